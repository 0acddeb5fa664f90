"""Waves near the horizon among radiation, and the learned spectrum before its last redshift."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from volvelle.cosmology import planck18
from volvelle.cosmology.background import densities
from volvelle.power import early as early_module
from volvelle.power.early import EarlyGrowth
from volvelle.power.learned import learned_power


def test_beyond_the_horizon_it_solves_einsteins_equation() -> None:
    """y h' + 3/2 (y + 4/3) / (1 + y) h = 5/2 y^2 / (1 + y), from y^2 among radiation."""

    def slope(y: float, h: np.ndarray) -> np.ndarray:
        return (2.5 * y**2 / (1.0 + y) - 1.5 * (y + 4.0 / 3.0) / (1.0 + y) * h) / y

    first, y = 1e-3, np.array([0.5, 3.0, 30.0])
    start = [0.625 * first**2 * (1.0 - first / 5.0)]  # to second order: h = 5/8 y^2 (1 - y / 5)
    exact = solve_ivp(slope, (first, 30.0), start, t_eval=y, rtol=1e-10, atol=1e-14).y[0]
    found = EarlyGrowth.of(densities(planck18()))
    power = found(jnp.full(3, 1e-12), jnp.asarray(y) * found.equality)
    ratio = np.exp(np.asarray(power) / (2.0 * early_module._HELD)) * (y + 2.0 / 3.0)
    np.testing.assert_allclose(ratio / exact, ratio[0] / exact[0], rtol=1e-5)
    assert ratio[0] / exact[0] == pytest.approx(1.0, rel=1e-5)


def test_small_scales_and_late_times_are_left_alone() -> None:
    found = EarlyGrowth.of(densities(planck18()))
    assert abs(float(found(jnp.asarray(10.0), jnp.asarray(1e-3)))) < 1e-5
    assert abs(float(found(jnp.asarray(1e-4), jnp.asarray(1.0)))) < 2e-3


def test_the_learned_spectrum_reaches_last_scattering() -> None:
    """It is smooth where the rest that is learned ends, and NaN before z = 1200."""
    spectrum = jax.jit(lambda k, a: learned_power().spectrum(planck18())(k, a))
    k = jnp.asarray([1e-3, 0.01, 0.1, 1.0])
    last, near, far, beyond = (
        spectrum(k, jnp.full(4, 1.0 / (1.0 + z))) for z in (99.99, 100.01, 1100.0, 1210.0)
    )
    np.testing.assert_allclose(near, last, rtol=1e-3)
    assert np.all(far > 0.0) and np.all(far < near) and np.all(np.isnan(beyond))
