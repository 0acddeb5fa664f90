"""Spectra at the solver's own multipoles: to rounding where it splines, untouched where not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from volvelle.emulator.basis import PrincipalComponents
from volvelle.emulator.block import output_of
from volvelle.emulator.splined import INTERPOLATION_CHI2, SplinedComponents, splined

LMAX, COMPONENTS = 2508, 5
ELL = np.arange(2, LMAX + 1)


def class_like(rng: np.random.Generator, step: int, first: int) -> np.ndarray:
    """Wiggly functions of l splined from every l up to ``first`` and every ``step``-th beyond."""
    nodes = np.concatenate([np.arange(2, first), np.arange(first, LMAX + 2 * step, step)])
    phases = rng.uniform(0.0, 6.3, (COMPONENTS, 1))
    values = np.sin(nodes / 95.0 + phases) * (200.0 / (nodes + 200.0)) ** 2
    return CubicSpline(nodes, values, axis=1)(ELL)


def basis_of(spectra: list[np.ndarray]) -> PrincipalComponents:
    components = np.concatenate(spectra, axis=1)
    return PrincipalComponents(jnp.linspace(0.0, 1.0, components.shape[1]), jnp.asarray(components))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def s(rng) -> np.ndarray:
    return rng.normal(size=(30, COMPONENTS))


OUTPUTS = [output_of(name, np.zeros(LMAX + 1)) for name in ("lensed_tt", "lensed_te")]
NOISE = np.tile(1e-3 * (1.0 + ELL / 500.0), 2)


@pytest.mark.parametrize(("step", "first"), [(40, 370), (40, 391), (20, 365)])
def test_knots_of_the_solver_are_found(rng, s, step, first):
    basis = basis_of([class_like(rng, step, first), class_like(rng, step, first)])
    sparse, chi2 = splined(basis, NOISE, s, OUTPUTS)
    assert isinstance(sparse, SplinedComponents)
    assert (sparse.step, sparse.dense) == (step, first - 2) and chi2 < 1e-15
    assert sparse.components.size < basis.components.size / 4
    np.testing.assert_allclose(jax.vmap(sparse.decode)(s), jax.vmap(basis.decode)(s), atol=1e-11)


def test_smooth_spectra_need_no_matching_knots_and_the_error_is_what_it_says(rng, s):
    smooth = np.exp(-((ELL - 1200.0) ** 2) / 300.0**2) * rng.normal(size=(COMPONENTS, 1))
    basis = basis_of([smooth, smooth])
    sparse, chi2 = splined(basis, NOISE, s, OUTPUTS)
    assert isinstance(sparse, SplinedComponents) and chi2 <= INTERPOLATION_CHI2
    error = np.asarray(jax.vmap(sparse.decode)(s) - jax.vmap(basis.decode)(s)) / NOISE
    assert np.max(np.sum(error**2, axis=1)) == pytest.approx(chi2, rel=1e-6)


def test_rough_spectra_stay_as_they_are(rng, s):
    basis = basis_of([rng.normal(size=(COMPONENTS, len(ELL))) for _ in range(2)])
    assert splined(basis, NOISE, s, OUTPUTS) == (basis, 0.0)


def test_short_spectra_and_other_outputs_stay_as_they_are(s):
    short = [output_of(name, np.zeros(201)) for name in ("lensed_tt", "lensed_te")]
    basis = basis_of([np.ones((COMPONENTS, 199))] * 2)
    assert splined(basis, np.ones(398), s, short)[0] is basis
    mixed = [OUTPUTS[0], output_of("hubble", np.zeros(160))]
    basis = basis_of([np.ones((COMPONENTS, len(ELL))), np.ones((COMPONENTS, 160))])
    assert splined(basis, np.ones(len(ELL) + 160), s, mixed)[0] is basis


def test_gradient(rng, s):
    basis = basis_of([class_like(rng, 40, 370), class_like(rng, 40, 370)])
    sparse, _ = splined(basis, NOISE, s, OUTPUTS)
    jacobian = jax.jacrev(sparse.decode)(jnp.asarray(s[0]))
    np.testing.assert_allclose(jacobian.T, basis.components, atol=1e-11)
