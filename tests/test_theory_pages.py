"""What a page for users of jax-cosmo and an example show, as they stand."""

import re
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from scipy.integrate import quad

from example_scripts import load_example

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coming-from-jax-cosmo.md"
EXAMPLE = ROOT / "examples" / "08_against_ccl.py"
CCL = {"distance": 2e-5, "power": 1e-4, "shear": 1e-3}
"""Largest relative differences: distances as both codes promise, CCL's spline of P, its Limber
integral (measured: 6e-6, 1e-5, 4e-5)."""


def test_the_page_for_users_of_jax_cosmo() -> None:
    """Its blocks are one script; no jax-cosmo is needed."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict = {}
    for block in blocks:
        exec(block, names)
    without_radiation = [
        2997.92458 * quad(lambda z: 1.0 / np.sqrt(0.303 * (1.0 + z) ** 3 + 0.697), 0.0, end)[0]
        for end in (0.01, 0.5, 2.0)
    ]
    np.testing.assert_allclose(names["distance"], without_radiation, rtol=1e-3)  # [Mpc/h]
    assert np.all(np.diff(names["growth"]) < 0.0)
    assert names["spectrum"].shape == (100,) and np.all(np.isfinite(names["spectrum"]))
    assert names["data"].values.shape == (10, 10)
    eigenvalues = np.linalg.eigvalsh(names["fisher"])
    assert np.all(eigenvalues > 0.0)


def test_the_page_names_what_exists() -> None:
    """Every name of a right-hand column."""
    import volvelle.cosmology
    import volvelle.power
    import volvelle.probes

    rows = re.findall(r"^\|[^|]*\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    called = {name for row in rows for name in re.findall(r"\b([A-Za-z_0-9]{2,})\(", row)}
    known = {n for m in (volvelle.cosmology, volvelle.power, volvelle.probes) for n in m.__all__}
    methods = {"replace", "dense", "solve", "chi2"}
    assert called - known - methods == set()


def test_the_figures_against_ccl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load_example("08_against_ccl.py")
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--output", str(tmp_path)])
    module.main()
    lines = capsys.readouterr().out.splitlines()
    for line, (name, limit) in zip(lines, CCL.items(), strict=True):
        assert f"{name}.png" in line
        assert float(line.split()[-3]) < limit
        image = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert image.shape[0] > 400 and np.std(image[..., :3]) > 0.05


def test_without_ccl_the_example_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_example("08_against_ccl.py")
    monkeypatch.setitem(sys.modules, "pyccl", None)
    with pytest.raises(SystemExit, match="which is not installed: pip install pyccl"):
        module.other_universe(module.Cosmology(**module.UNIVERSE))
