"""What the page on forecasts and its examples show, as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np

from example_scripts import load_example
from volvelle.cli.forecast_configuration import ForecastConfiguration
from volvelle.inference import Fisher, fisher_from_jacobian

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "forecast.md"
EXAMPLE = ROOT / "examples" / "12_fisher_and_moped.py"
CCL = 1e-3
"""Largest relative difference of spectra: CCL's Limber integral and spline of P."""


def test_python_of_the_page() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict = {}
    exec(block, names)
    fisher, same = names["fisher"], names["same"]
    np.testing.assert_allclose(fisher.matrix, same.matrix, rtol=1e-10)
    assert names["compressed"].vectors.shape == (2, 30)


def test_files_of_the_page(tmp_path: Path) -> None:
    """The whole file is one, and the block of the design fits the example."""
    whole, design = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "shear.yaml"
    file.write_text(whole)
    found = ForecastConfiguration.load(file)
    assert found.names == ("Omega_cdm", "sigma8", "n_s", *(f"m_sources_{n}" for n in range(1, 5)))
    assert len(found.survey.samples[0].bins) == 4
    example = (ROOT / "examples" / "11_forecast.yaml").read_text().split("optimise:")[0]
    file.write_text(example + design)
    made = ForecastConfiguration.load(file)
    assert made.optimise == ForecastConfiguration.load(ROOT / "examples/11_forecast.yaml").optimise


def test_keys_of_the_page() -> None:
    """Every key of the file is explained."""
    from volvelle.cli.forecast_blocks import ForecastFile, OptimiseBlock, SampleBlock, SurveyBlock

    text = PAGE.read_text()
    for block in (ForecastFile, SampleBlock, SurveyBlock, OptimiseBlock):
        for key in block.model_fields:
            if key not in ("output", "neutrino_hierarchy"):
                assert re.search(rf"\b{key}\b", text), key


def test_the_example(tmp_path: Path) -> None:
    """Its spectra are CCL's, its differences are derivatives, and it draws."""
    of = load_example("12_fisher_and_moped.py")
    ours = np.asarray(jax.jit(of.mean)(jnp.asarray(of.FIDUCIAL)))
    theirs = of.ccl_mean(of.FIDUCIAL)
    assert ours.shape == theirs.shape == (10, 50)
    assert np.max(np.abs(ours / theirs - 1.0)) < CCL

    def curve(x: jax.Array) -> jax.Array:
        pairs = jnp.arange(1.0, 11.0)[:, None]
        return jnp.exp(x[0] * pairs) * jnp.sin(x[1] * jnp.asarray(of.ELL / 300.0))

    covariance = of.gaussian_covariance(jax.jit(of.spectra)(of.FIDUCIAL), of.noise(), of.F_SKY)
    found = of.by_differences(lambda x: np.asarray(curve(jnp.asarray(x))), 1e-3, covariance)
    exact = fisher_from_jacobian(curve, covariance, of.NAMES, of.FIDUCIAL)
    np.testing.assert_allclose(found.matrix, exact.matrix, rtol=1e-6)
    unit = Fisher(of.NAMES, of.FIDUCIAL, 1e4 * np.eye(2))
    of.draw(tmp_path / "a.png", [("one", of.outline(unit), "-"), ("two", of.outline(unit), "--")])
    x = [np.linspace(-1.0, 1.0, 20)] * 2
    chi2 = 9.0 * (x[0][:, None] ** 2 + x[1] ** 2)
    of.draw_grids(tmp_path / "b.png", x, chi2, 1.1 * chi2)
    for name in ("a.png", "b.png"):
        assert matplotlib.image.imread(tmp_path / name).std() > 0.01
