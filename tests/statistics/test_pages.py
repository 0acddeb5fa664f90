"""The pages on statistics and snapshots are scripts that run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def run(page: str) -> dict:
    """The names that the blocks of a page leave."""
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL):
        exec(block, names)
    return names


def test_statistics() -> None:
    names = run("statistics.md")
    assert len(names["voids"].radii) > 0
    assert names["poles"].values.shape[0] == 3
    assert np.all(np.isfinite(names["b"].reduced))
    assert np.all(np.isfinite(names["slope"]))
    assert np.abs(names["slope"]).max() > 0.0


def test_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("snapshots.md")
    np.testing.assert_allclose(names["snapshot"].velocities, names["made"].velocities, rtol=1e-6)
    assert names["seen"].shape == (1000, 3)


def test_lightcone_maps() -> None:
    names = run("lightcone-maps.md")
    assert names["theory"].shape == (3, 4)
    assert np.all(names["theory"][[0, 2]] > 0.0)
    assert np.all(np.abs(names["lensing"].values) < 4.0 * names["lensing"].error)
