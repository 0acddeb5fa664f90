"""The examples that are scripts, as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[1] / "examples"


def load_example(file: str) -> ModuleType:
    """The script of this name in examples/."""
    spec = importlib.util.spec_from_file_location(Path(file).stem, FOLDER / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
