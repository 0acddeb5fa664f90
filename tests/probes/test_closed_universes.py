"""Closed universes, whose learned power begins at a first mode, inside of integrals at low l."""

from functools import partial

import jax
import numpy as np

from volvelle.cosmology import planck18
from volvelle.power import Halofit, learned_power
from volvelle.probes import (
    Alignment,
    CMBLensing,
    NumberCounts,
    Smail,
    WeakLensing,
    angular_cl,
    cap_window,
    super_sample_covariance,
)

WIDE = Smail(2.0, 1.5, 0.3)
TRACERS = [NumberCounts(WIDE, 1.3), WeakLensing(WIDE, Alignment(0.5)), CMBLensing(1089.0)]


@partial(jax.jit, static_argnums=1)
def spectra(curvature: float, mode: str) -> tuple[jax.Array, jax.Array]:
    def of(omega_k: jax.Array) -> jax.Array:
        universe = planck18().replace(Omega_k=omega_k)
        found = angular_cl(universe, [2.0, 10.0, 100.0], TRACERS, learned_power(), limber=mode)
        return found.values

    return of(curvature), jax.jacrev(of)(curvature)


def test_spectra_go_smoothly_through_flat_ones() -> None:
    found = [spectra(x, "always") for x in (-0.09, -0.01, 0.0, 0.01)]
    values, slopes = (np.stack([each[n] for each in found]) for n in (0, 1))
    assert np.all(np.isfinite(values)) and np.all(np.isfinite(slopes))
    bend = np.abs(values[1] + values[3] - 2.0 * values[2]) / np.abs(values[2])
    assert np.max(bend) < 0.02
    np.testing.assert_allclose((values[3] - values[1]) / 0.02, slopes[2], rtol=0.05)


def test_derivatives_beyond_limber() -> None:
    """What is not taken, as the universe is closed, leaves no NaN behind."""
    for curvature in (-0.09, 0.0):
        assert all(np.all(np.isfinite(each)) for each in spectra(curvature, "auto"))


def test_super_sample_covariance() -> None:
    closed = planck18().replace(Omega_k=-0.09, m_nu=0.0)

    @jax.jit
    def root() -> jax.Array:
        power, window = Halofit(learned_power()), cap_window(0.1)
        return super_sample_covariance(closed, [10.0, 100.0], TRACERS, power, window=window).root

    assert np.all(np.isfinite(root()))
