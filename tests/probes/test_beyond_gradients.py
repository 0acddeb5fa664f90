"""Spectra beyond Limber's approximation: derivatives, and what is made once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sky import COSMOLOGY, Scaled, ccl_universe
from volvelle.probes import (
    Alignment,
    KernelDensity,
    NumberCounts,
    Shifted,
    Smail,
    WeakLensing,
    angular_cl,
)
from volvelle.probes.bands import make_band

pytest.importorskip("pyccl")

NARROW = KernelDensity([0.5], 0.02)
FAR = Smail(2.0, 1.5, 0.35, z_max=2.5)
PARAMETERS = ("omega_b", "omega_cdm", "h", "A_s", "n_s", "m_nu", "w0", "wa", "N_eff", "T_cmb")
CENTRE = [0.0224, 0.12, 0.67, 2.1e-9, 0.965, 0.1, -0.95, 0.1, 3.2, 2.7255, 1.3, 0.3, 0.8, 0.004]


def everything(theta: jax.Array) -> jax.Array:
    """Spectra as a function of cosmology, bias, magnification, alignment and shift."""
    _, _, lattice = ccl_universe()
    names = dict(zip(PARAMETERS, theta, strict=False))
    cosmology = COSMOLOGY.replace(**names, neutrino_hierarchy="degenerate")
    bias, slope, amplitude, shift = theta[10:]
    tracers = [
        NumberCounts(Shifted(NARROW, shift, 0.05), bias, rsd=True, magnification=slope),
        WeakLensing(FAR, Alignment(amplitude)),
    ]
    cl = angular_cl(cosmology, [2.0, 80.0], tracers, Scaled(lattice, COSMOLOGY))
    assert cl.values.shape == (3, 2)
    return jnp.log(cl.values)


def test_gradients_in_every_parameter() -> None:
    """Of a weighted sum of all spectra, against differences of fourth order."""
    theta = jnp.asarray(CENTRE)
    weights = np.random.default_rng(3).normal(size=(3, 2))
    both = jax.jit(jax.value_and_grad(lambda t: jnp.sum(weights * everything(t))))
    exact = np.asarray(both(theta)[1])
    for i, name in enumerate([*PARAMETERS, "bias", "slope", "amplitude", "shift"]):
        step = 1e-3 * max(abs(CENTRE[i]), 0.01 if i != 3 else 0.0)
        move = jnp.zeros(theta.size).at[i].set(step)
        one, two = (both(theta + n * move)[0] - both(theta - n * move)[0] for n in (1, 2))
        numeric = float(8.0 * one - two) / (12.0 * step)
        assert abs(numeric) > 0.0
        np.testing.assert_allclose(exact[i], numeric, rtol=1e-4, err_msg=name)


def test_one_trace_per_shape_one_set_of_tables_and_vmap() -> None:
    _, _, lattice = ccl_universe()
    traces = []

    @jax.jit
    def f(omega_cdm: jax.Array, shift: jax.Array) -> jax.Array:
        traces.append(1)
        tracers = [NumberCounts(Shifted(NARROW, shift, 0.05)), WeakLensing(FAR)]
        cosmology = COSMOLOGY.replace(omega_cdm=omega_cdm)
        return angular_cl(cosmology, [5.0, 25.0], tracers, Scaled(lattice, COSMOLOGY)).values

    before = make_band.cache_info().misses
    one, two = f(0.12, 0.01), f(0.11, -0.02)
    assert len(traces) == 1 and np.all(one != two)
    many = jax.vmap(f)(jnp.asarray([0.12, 0.11]), jnp.asarray([0.01, -0.02]))
    np.testing.assert_allclose(many, jnp.stack([one, two]), rtol=1e-10)
    assert make_band.cache_info().misses == before + 1
