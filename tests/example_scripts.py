"""The examples that are scripts, as modules."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[1] / "examples"


def load_example(file: str) -> ModuleType:
    """The script of this name in examples/; what it sets in the environment ends with its import,
    as processes of other tests would inherit it (a number of JAX's devices, say)."""
    spec = importlib.util.spec_from_file_location(Path(file).stem, FOLDER / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = dict(os.environ)
    try:
        spec.loader.exec_module(module)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return module
