"""What a folder of simulations says of them: its JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .pages import read_content

FILE = "simulate.json"
KEYS = ("snapshots", "checks", "realisations")
FLOOR = 0.05
"""Of 1 + delta in pictures, below which all is dark."""


def holds_simulation(folder: Path) -> bool:
    """Whether a folder is that of simulations."""
    return (Path(folder) / FILE).is_file()


def read_simulation(folder: Path) -> dict[str, Any]:
    """The content of ``simulate.json``; raises MissingFileError and ReportError."""
    return read_content(Path(folder) / FILE, KEYS, "simulate")
