"""A small valid configuration that needs no data and no compiler, to be spoilt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

REMOVE = object()
"""As a new value: take the key away."""

BASE: dict[str, Any] = {
    "output": "runs/x",
    "theory": {"camb": {}},
    "params": {
        "omega_b": {"prior": {"min": 0.005, "max": 0.1}, "ref": {"loc": 0.0224, "scale": 0.001}},
        "omega_cdm": {"prior": {"dist": "norm", "loc": 0.12, "scale": 0.01}},
        "theta_star_100": 1.041,
        "n_s": {"value": 0.965},
        "ln10A_s": 3.05,
        "tau_reio": 0.054,
    },
    "likelihood": {
        "gaussian": {
            "mean": [0.3, 147.0],
            "covariance": [1e-4, 1.0],
            "outputs": ["Omega_m", "r_drag"],
        }
    },
}

Write = Callable[[Mapping[str, Any]], Path]


def changed(changes: Mapping[str, Any], base: Mapping[str, Any] = BASE) -> dict[str, Any]:
    """A file's content with values replaced; keys are dotted paths."""
    content = copy.deepcopy(dict(base))
    for path, value in changes.items():
        *above, last = path.split(".")
        block = content
        for name in above:
            block = block.setdefault(name, {})
        if value is REMOVE:
            del block[last]
        else:
            block[last] = value
    return content


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write BASE with changes to a file."""

    def to_file(changes: Mapping[str, Any]) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(changed(changes), sort_keys=False))
        return path

    return to_file


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any data set."""
    monkeypatch.setenv("VOLVELLE_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("VOLVELLE_CACHE", str(tmp_path / "no-cache"))
