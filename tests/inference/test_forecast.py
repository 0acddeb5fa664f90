"""Forecasts of a survey: against the Fisher matrix of its spectra, and refits."""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import Cosmology
from volvelle.inference import (
    DerivativeError,
    Forecast,
    ParameterNamesError,
    forecast,
    parameter_bias,
    read_fisher,
    write_fisher,
)
from volvelle.inference.errors import FisherError
from volvelle.likelihood import LikelihoodOptionError, hartlap_factor
from volvelle.power import EisensteinHu
from volvelle.probes import AngularSpectra, Sample, Smail, Survey, bands

UNIVERSE = {
    "Omega_cdm": 0.2644, "Omega_b": 0.0493, "h": 0.6736, "sigma8": 0.811, "n_s": 0.9649,
    "tau_reio": 0.06, "m_nu": 0.0,
}  # fmt: skip
NAMES = ("sigma8", "bias_lenses_1", "Omega_cdm")
LIMITS, ELL = bands(30.0, 1000.0, 5)
STEP = 1e-4
"""Of differences, relative: they err by its square."""


def survey() -> Survey:
    lenses = Sample(
        "lenses", "counts", (Smail(2.0, 2.0, 0.5, z_max=3.0),), jnp.asarray([3.0]),
        bias=jnp.asarray([1.5]), ell_max=300.0,
    )  # fmt: skip
    sources = Sample(
        "sources", "shear", (Smail(2.0, 2.0, 0.9, z_max=3.0),), jnp.asarray([8.0]),
        m=jnp.asarray([0.0]), alignment=(0.3, 0.0),
    )  # fmt: skip
    return Survey((lenses, sources), ELL, LIMITS, 0.1, power=EisensteinHu(), limber="always")


@lru_cache(maxsize=1)
def made() -> Forecast:
    return forecast(survey(), UNIVERSE, NAMES)


def spectra(x: jax.Array) -> AngularSpectra:
    """The survey's, by hand."""
    values = {**UNIVERSE, "sigma8": x[0], "Omega_cdm": x[2]}
    cosmology = Cosmology.from_parameters(values)
    return survey().all_spectra(cosmology, {"bias_lenses_1": x[1]})


def mean(x: jax.Array) -> jax.Array:
    return spectra(x).values


def test_is_the_fisher_matrix_of_its_spectra() -> None:
    found = made()
    assert found.fisher.names == NAMES
    np.testing.assert_allclose(found.fisher.values, [0.811, 1.5, 0.2644])
    value, at = jax.jit(mean), np.asarray(found.fisher.values)
    ups = STEP * np.diag(np.abs(at))
    slope = jnp.stack([(value(at + up) - value(at - up)) / (2 * up.sum()) for up in ups])
    expected = np.einsum("ipl,jpl->ij", slope, found.covariance.solve(slope))
    np.testing.assert_allclose(found.fisher.matrix, expected, rtol=1e-6)
    assert found.size == 3 * 5 - 2 * np.sum(ELL > 300.0)
    assert found.precision == 1.0


def test_a_covariance_from_simulations() -> None:
    found = forecast(survey(), UNIVERSE, NAMES, simulations=100)
    factor = hartlap_factor(100, found.size)
    assert found.precision == pytest.approx(factor)
    np.testing.assert_allclose(found.fisher.matrix, factor * made().fisher.matrix, rtol=1e-12)
    with pytest.raises(LikelihoodOptionError, match="simulations for"):
        forecast(survey(), UNIVERSE, NAMES, simulations=found.size + 2)
    with pytest.raises(LikelihoodOptionError, match="those are of one universe"):
        forecast(survey(), UNIVERSE, NAMES, varying=True, simulations=100)


def test_a_covariance_that_varies() -> None:
    found = forecast(survey(), UNIVERSE, NAMES, varying=True)
    value, at = jax.jit(spectra), np.asarray(found.fisher.values)
    ups = STEP * np.diag(np.abs(at))
    blocks = [
        (survey().covariance(value(at + up)).blocks - survey().covariance(value(at - up)).blocks)
        / (2 * up.sum())
        for up in ups
    ]
    inverse = np.linalg.inv(found.covariance.blocks)
    trace = [
        [0.5 * np.einsum("lij,lji->", inverse @ a, inverse @ b) for b in blocks] for a in blocks
    ]
    expected = np.asarray(made().fisher.matrix) + trace
    np.testing.assert_allclose(found.fisher.matrix, expected, rtol=1e-5)
    assert np.max(np.abs(trace / np.asarray(made().fisher.matrix))) > 1e-3


def test_biases() -> None:
    """Of alignments and of the universe's h that are fixed at wrong values."""
    found = made()
    bias = found.bias(found.fisher, {"A_IA_sources": 0.5, "h": 0.68})
    fixed = survey()
    cosmology = Cosmology.from_parameters({**UNIVERSE, "h": 0.68})
    truth = jax.jit(lambda: fixed.all_spectra(cosmology, {"A_IA_sources": 0.5}).values)()
    offset = truth - found.spectra.values
    expected = parameter_bias(found.fisher, found.derivatives, found.covariance, offset)
    np.testing.assert_allclose(bias, expected, rtol=1e-8)
    assert np.all(np.abs(bias) > 0.0)
    with pytest.raises(ParameterNamesError, match="sigma8 varies in the fit"):
        found.bias(found.fisher, {"sigma8": 0.8})
    with pytest.raises(ParameterNamesError, match=r"'A_IA'.*A_IA_sources"):
        found.bias(found.fisher, {"A_IA": 0.8})


def test_refusals() -> None:
    with pytest.raises(ParameterNamesError, match=r"'sigma_8'.*sigma8"):
        forecast(survey(), UNIVERSE, ("sigma_8",))
    broken = forecast_of_nothing()
    with pytest.raises(DerivativeError, match="spectra by n_s"):
        forecast(broken, UNIVERSE, ("n_s",))


def forecast_of_nothing() -> Survey:
    """Whose power has no derivative."""

    class Broken(EisensteinHu):
        def spectrum(self, cosmology: Cosmology):
            kink = jnp.sqrt(jnp.abs(jnp.asarray(cosmology.n_s) - 0.9649))
            return EisensteinHu().spectrum(cosmology.replace(sigma8=0.8 + kink))

    plain = survey()
    return Survey(plain.samples, ELL, LIMITS, 0.1, power=Broken(), limber="always")


def test_files(tmp_path) -> None:
    path = tmp_path / "fisher.txt"
    write_fisher(path, made().fisher)
    back = read_fisher(path)
    assert back.names == NAMES
    np.testing.assert_array_equal(back.matrix, made().fisher.matrix)
    np.testing.assert_array_equal(back.values, made().fisher.values)
    np.testing.assert_array_equal(np.loadtxt(path), back.matrix)
    (tmp_path / "other.txt").write_text("# a\n# b\n# 1\n2.0\n")
    for name in ("other.txt", "missing.txt"):
        with pytest.raises(FisherError, match="expected the lines"):
            read_fisher(tmp_path / name)
