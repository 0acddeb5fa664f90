"""The code of docs/nbody.md and of the examples of simulations runs as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import jax
import pytest

from example_scripts import load_example

SCATTER = 0.04
"""Of the ratio of two spectra at one k in a box of 48 Mpc/h."""
PAGE = Path(__file__).parents[2] / "docs" / "nbody.md"


def test_the_page() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["late"].positions.shape == (32**3, 3)
    slopes = names["slopes"]
    assert float(slopes[0]) > 0.0 and bool(jax.numpy.all(jax.numpy.isfinite(slopes[1])))


@pytest.mark.parametrize(
    ("script", "options", "figure"),
    [
        ("16_simulation.py", ["--particles", "32"], "simulation.png"),
        (
            "17_recover_initial_conditions.py",
            ["--particles", "16", "--steps", "60"],
            "recovered.png",
        ),
        ("21_neutrino_pair.py", ["--particles", "32", "--steps", "10"], "neutrino_pair.png"),
    ],
)
def test_the_examples(
    script: str,
    options: list[str],
    figure: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--output", str(tmp_path), *options])
    load_example(script).main()
    assert (tmp_path / figure).stat().st_size > 10_000
    said = capsys.readouterr().out
    if "recovered" in figure:
        found = re.search(r"k < 0.2 h/Mpc: ([\d.]+)", said)
        assert found is not None and float(found.group(1)) > 0.95, said
    if "neutrino" in figure:
        found = re.search(r": ([\d.]+), HMcode-2020 ([\d.]+)", said)
        assert found is not None, said
        particles, theory = map(float, found.groups())
        assert particles == pytest.approx(theory, abs=SCATTER), said
