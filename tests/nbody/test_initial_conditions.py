"""Phases that do not depend on the resolution, spectra, amplitudes, and local f_NL."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from small_boxes import MESH, PLANCK, POWER, small_box
from volvelle.nbody import (
    BoxPower,
    InitialConditions,
    InitialConditionsError,
    Mesh,
    from_white_noise,
    gaussian,
    to_white_noise,
    white_noise,
)
from volvelle.power import TabulatedPower, linear_power

FINE = Mesh(32, 32.0)
DOUBLE = jnp.float64


def low_modes(field: jax.Array, below: int) -> np.ndarray:
    """Modes of wave numbers below a limit, normalised by the number of cells."""
    n = field.shape[0]
    modes = np.fft.rfftn(np.asarray(field, dtype=float)) / n**3
    few = np.r_[0:below, n - below + 1 : n]
    return modes[np.ix_(few, few, range(below))]


def test_phases_are_the_same_at_every_resolution() -> None:
    coarse, fine = (white_noise(11, mesh, dtype=DOUBLE) for mesh in (MESH, FINE))
    one, other = low_modes(coarse, 8) * 16**1.5, low_modes(fine, 8) * 32**1.5
    np.testing.assert_allclose(one, other, atol=1e-13)
    one, other = (
        low_modes(gaussian(PLANCK, mesh, 11, power=POWER, dtype=DOUBLE).density, 8)
        for mesh in (MESH, FINE)
    )
    np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_white_noise_is_white() -> None:
    """Mean, variance, kurtosis, and the variance of its modes on every plane of the transform."""
    noise = np.asarray(white_noise(3, FINE, dtype=DOUBLE))
    number = noise.size
    assert abs(noise.mean()) < 4.0 / number**0.5
    assert abs(noise.var() - 1.0) < 4.0 * (2.0 / number) ** 0.5
    assert abs(np.mean(noise**4) - 3.0) < 4.0 * (96.0 / number) ** 0.5
    power = np.abs(np.fft.rfftn(noise)) ** 2 / number
    for plane in range(17):
        assert abs(power[..., plane].mean() - 1.0) < 5.0 / 32 * 2.0**0.5, plane
    own = [power[i, j, k] for i in (0, 16) for j in (0, 16) for k in (0, 16)]
    assert 0.05 < np.mean(own) < 4.0
    other = np.asarray(white_noise(4, FINE, dtype=DOUBLE))
    assert abs(np.mean(noise * other)) < 4.0 / number**0.5


def test_precisions_have_the_same_phases() -> None:
    single = white_noise(3, MESH)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, white_noise(3, MESH, dtype=DOUBLE), atol=2e-5)


def test_seeds() -> None:
    noise = white_noise(2**40 + 7, MESH)
    assert np.abs(noise - white_noise(7, MESH)).max() > 1.0
    many = jax.vmap(lambda seed: white_noise(seed, MESH))(jnp.arange(3))
    np.testing.assert_allclose(many[2], white_noise(2, MESH), atol=1e-6)
    for seed in (-1, 2**64, 1.5, True, None):
        with pytest.raises(InitialConditionsError, match="whole number from 0"):
            white_noise(seed, MESH)  # type: ignore[arg-type]
    with pytest.raises(InitialConditionsError, match="one whole number"):
        white_noise(jnp.arange(3), MESH)
    with pytest.raises(InitialConditionsError, match="at most 32768"):
        white_noise(1, Mesh(32770, 1.0))


def test_fixed_amplitudes_and_pairs() -> None:
    fixed = white_noise(5, MESH, fixed_amplitude=True, dtype=DOUBLE)
    modes, free = np.fft.rfftn(fixed), np.fft.rfftn(white_noise(5, MESH, dtype=DOUBLE))
    np.testing.assert_allclose(np.abs(modes), 16**1.5, rtol=1e-9)
    np.testing.assert_allclose(np.angle(modes * np.conj(free)), 0.0, atol=1e-9)
    pair = white_noise(5, MESH, paired=True, dtype=DOUBLE)
    np.testing.assert_array_equal(pair, -white_noise(5, MESH, dtype=DOUBLE))


def test_the_spectrum_is_that_of_the_model() -> None:
    """Fixed amplitudes have no scatter: every mode's power is P(k), in h-units."""
    initial = gaussian(PLANCK, MESH, 5, power=POWER, fixed_amplitude=True, dtype=DOUBLE)
    k = np.sqrt(np.asarray(MESH.k_squared()))
    h = PLANCK.h
    wanted = np.asarray(linear_power(PLANCK, k[k > 0] * h, 1.0, POWER)) * h**3
    found = np.abs(np.asarray(initial.modes)) ** 2 * MESH.volume / 16.0**6
    np.testing.assert_allclose(found[k > 0], wanted, rtol=1e-5)
    assert abs(found[0, 0, 0]) < 1e-20


def test_any_function_is_a_spectrum() -> None:
    initial = gaussian(
        PLANCK, MESH, 5, power=lambda k, a: 100.0 / k, fixed_amplitude=True, dtype=DOUBLE
    )
    found = np.abs(np.asarray(initial.modes)[1, 2, 3]) ** 2 * MESH.volume / 16.0**6
    k = MESH.fundamental * 14.0**0.5
    np.testing.assert_allclose(found, 100.0 / (k * PLANCK.h) * PLANCK.h**3, rtol=1e-6)


def test_white_noise_in_and_out() -> None:
    noise = np.random.default_rng(0).normal(size=MESH.shape)
    initial = from_white_noise(PLANCK, MESH, noise, power=POWER)
    assert initial.density.dtype == jnp.float64
    found = to_white_noise(PLANCK, initial, power=POWER)
    np.testing.assert_allclose(found, noise - noise.mean(), atol=1e-10)


def test_a_spectrum_that_does_not_cover_the_box_is_refused() -> None:
    k = np.geomspace(0.5, 20.0, 20)
    table = TabulatedPower(k, [0.0, 1.0], np.ones((2, 20)))
    with pytest.raises(InitialConditionsError, match=r"from 0\.196.* to 2\.72.* h/Mpc.*from 0\.5"):
        gaussian(PLANCK, MESH, 1, power=table)
    with pytest.raises(InitialConditionsError, match="P is nan"):
        gaussian(PLANCK, MESH, 1, power=lambda k, a: jnp.where(k > 0.5, jnp.nan, 1.0))
    with pytest.raises(InitialConditionsError, match=r"at a = 0\.2"):
        BoxPower.of(PLANCK, MESH, table, a=0.2)


def test_values_that_are_no_density_are_refused() -> None:
    field = np.zeros(MESH.shape)
    field[3, 2, 1] = np.nan
    with pytest.raises(InitialConditionsError, match="1 values that are not finite"):
        InitialConditions(MESH, field)
    with pytest.raises(InitialConditionsError, match=r"expected \(16, 16, 16\)"):
        InitialConditions(MESH, field[:8])
    with pytest.raises(InitialConditionsError, match="not finite"):
        from_white_noise(PLANCK, MESH, field, power=POWER)


BIG = Mesh(32, 2000.0)


def test_local_non_gaussianity_by_brute_force() -> None:
    """The square of the potential as a sum over pairs of its modes, for a few of the result's."""
    noise = white_noise(9, MESH, dtype=DOUBLE)
    f_nl = 1e4
    plain = from_white_noise(PLANCK, MESH, noise, power=POWER)
    bent = from_white_noise(PLANCK, MESH, noise, power=POWER, f_nl=f_nl)
    change = np.asarray(bent.modes - plain.modes) / 16**3
    k = np.sqrt(np.asarray(MESH.k_squared()))
    k[0, 0, 0] = 1.0
    per_mpc = k * PLANCK.h
    primordial = 9 / 25 * 2 * np.pi**2 / per_mpc**3 * PLANCK.A_s * (per_mpc / 0.05) ** (-0.0351)
    matter = np.asarray(linear_power(PLANCK, per_mpc.ravel(), 1.0, POWER)).reshape(k.shape)
    transfer = np.sqrt(matter / primordial)
    phi = np.asarray(plain.modes) / 16**3 / transfer
    full = np.fft.fftn(np.fft.irfftn(phi))  # all of space, zero at Nyquist's plane
    full[8], full[:, 8], full[:, :, 8] = 0.0, 0.0, 0.0
    index = range(-7, 8)
    for target in ((1, 0, 0), (2, -3, 1), (0, 5, 4)):
        total = 0.0
        for i in index:
            for j in index:
                for m in index:
                    rest = np.array(target) - (i, j, m)
                    if np.max(np.abs(rest)) < 8:
                        total = total + full[i, j, m] * full[tuple(rest)]
        wanted = f_nl * total * transfer[target]
        np.testing.assert_allclose(change[target], wanted, rtol=2e-5, atol=1e-7)


def test_positive_f_nl_skews_towards_dense_peaks() -> None:
    def skewness(f_nl: float) -> float:
        field = gaussian(PLANCK, BIG, 2, power=POWER, f_nl=f_nl, dtype=DOUBLE).density
        return float(jnp.mean(field**3) / jnp.mean(field**2) ** 1.5)

    assert skewness(2000.0) > 0.1 + skewness(0.0)
    assert skewness(-2000.0) < skewness(0.0) - 0.1
    with pytest.raises(InitialConditionsError, match="give A_s"):
        gaussian(PLANCK.replace(A_s=None, sigma8=0.8), BIG, 2, power=POWER, f_nl=10.0)


def test_densities_are_differentiable() -> None:
    noise = white_noise(9, MESH, dtype=DOUBLE)

    def total(values: jax.Array, noise: jax.Array) -> jax.Array:
        cosmology = PLANCK.replace(A_s=values[0] * 1e-9, n_s=values[1], h=values[2])
        initial = from_white_noise(cosmology, MESH, noise, power=POWER, f_nl=values[3])
        return jnp.sum(jnp.sin(initial.density))

    at = jnp.array([2.1, 0.96, 0.68, 500.0])
    slopes, to_noise = jax.jit(jax.grad(total, (0, 1)))(at, noise)
    value = jax.jit(total)
    for i, step in enumerate((1e-5, 1e-5, 1e-5, 1e-2)):
        shift = jnp.zeros(4).at[i].set(step)
        wanted = (value(at + shift, noise) - value(at - shift, noise)) / (2.0 * step)
        np.testing.assert_allclose(slopes[i], wanted, rtol=1e-5)
    towards = np.random.default_rng(1).normal(size=MESH.shape)
    wanted = (value(at, noise + 1e-5 * towards) - value(at, noise - 1e-5 * towards)) / 2e-5
    np.testing.assert_allclose(jnp.sum(to_noise * towards), wanted, rtol=1e-5)


def test_initial_conditions_are_a_pytree() -> None:
    initial = small_box()
    doubled = jax.tree.map(lambda each: 2.0 * each, initial)
    np.testing.assert_array_equal(doubled.density, 2.0 * initial.density)
