"""CosmoSIS: a module file in a folder of its own, which CosmoSIS puts on Python's path."""

from pathlib import Path

MODULE = Path(__file__).with_name("volvelle_interface.py")
"""What stands behind ``file =`` in a CosmoSIS parameter file."""
