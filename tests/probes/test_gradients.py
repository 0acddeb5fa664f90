"""Derivatives of spectra in every parameter, one trace per shape, and batches."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from power_references import one_sided
from sky import COSMOLOGY, Scaled, ccl_universe
from volvelle.power import EisensteinHu, Halofit
from volvelle.probes import (
    Alignment,
    CMBLensing,
    CustomTracer,
    InverseGrowth,
    KernelDensity,
    NumberCounts,
    PowerLaw,
    Shifted,
    Table,
    WeakLensing,
    angular_cl,
)

pytest.importorskip("pyccl")

NARROW_Z = np.linspace(0.2, 0.9, 141)
NARROW = Table(NARROW_Z, np.exp(-0.5 * ((NARROW_Z - 0.5) / 0.05) ** 2))
PARAMETERS = ("omega_b", "omega_cdm", "h", "A_s", "n_s", "m_nu", "w0", "wa", "Omega_k")
PARAMETERS += ("N_eff", "T_cmb")
NUISANCE = ("b", "b2", "s", "A", "eta", "z0", "m", "shift", "c")


def everything(theta: jax.Array) -> jax.Array:
    """All kinds of spectra as a function of cosmology, nuisance and n(z) values."""
    _, _, lattice = ccl_universe()
    model = Scaled(lattice, COSMOLOGY)
    names = dict(zip(PARAMETERS, theta, strict=False))
    cosmology = COSMOLOGY.replace(**names, neutrino_hierarchy="degenerate")
    b, b2, s, amplitude, eta, z0, m, shift, centre = theta[11:20]
    z = np.linspace(0.1, 1.2, theta.size - 20)
    sample = Table(z, theta[20:])
    tracers = [
        NumberCounts(sample, PowerLaw(b, b2), rsd=True, magnification=s),
        WeakLensing(Shifted(sample, shift), Alignment(amplitude, eta, z0), m),
        NumberCounts(KernelDensity(z, 0.1, theta[20:], z_max=2.0), InverseGrowth(b)),
        CMBLensing(1089.0),
        CustomTracer(lambda _, a: 1e-3 * jnp.exp(-(((1.0 / a - 1.0 - centre) / 0.2) ** 2)), 2.0),
    ]
    ell = [10.0, 700.0]
    return jnp.log(angular_cl(cosmology, ell, tracers, model, limber="always").values)


ORDINARY = (0.0224, 0.12, 0.67, 2.1e-9, 0.965, 0.1, -0.95, 0.1, 0.0, 3.2, 2.7255)
AWKWARD = (0.0224, 0.12, 0.67, 2.1e-9, 0.965, 0.0, -1.0, 0.0, 0.0, 3.2, 2.7255)
LABELS = (*PARAMETERS, *NUISANCE, *(f"n{i}" for i in range(8)))


def test_gradients_in_every_parameter() -> None:
    """Differences of fourth order; at Omega_k = 0, and at m_nu = 0 (one-sided), w = -1 too."""
    sample = np.exp(-0.5 * ((np.linspace(0.1, 1.2, 8) - 0.5) / 0.3) ** 2)
    nuisance = [1.3, 0.5, 0.3, 0.8, 0.6, 0.62, 0.01, 0.004, 0.6, *sample]
    f, slopes = jax.jit(everything), jax.jit(jax.jacfwd(everything))
    for cosmological in (ORDINARY, AWKWARD):
        theta = jnp.asarray([*cosmological, *nuisance])
        exact = np.asarray(slopes(theta))
        for i, name in enumerate(LABELS):
            if name == "m_nu" and theta[i] == 0.0:
                numeric = one_sided(f, theta, i)
            else:
                numeric = _difference(f, theta, i)
            scale = np.max(np.abs(numeric))
            assert scale > 0.0
            np.testing.assert_allclose(
                exact[..., i], numeric, rtol=1e-4, atol=1e-5 * scale, err_msg=name
            )
        if cosmological is ORDINARY:
            reverse = jax.jit(jax.grad(lambda t: jnp.sum(everything(t))))(theta)
            np.testing.assert_allclose(reverse, exact.sum((0, 1)), rtol=1e-8, atol=1e-10)


def _difference(f: Callable[[jax.Array], jax.Array], theta: jax.Array, i: int) -> np.ndarray:
    # A shift moves kinks across nodes: the sums are smooth in it only between two nodes.
    floor = 0.0 if LABELS[i] == "A_s" else 0.01
    step = 1e-5 if LABELS[i] == "shift" else 1e-3 * max(abs(float(theta[i])), floor)
    move = jnp.zeros(theta.size).at[i].set(step)
    one, two = f(theta + move) - f(theta - move), f(theta + 2 * move) - f(theta - 2 * move)
    return np.asarray((8.0 * one - two) / (12.0 * step))


def test_gradients_from_the_universe_to_the_sky() -> None:
    """Power spectra included: Eisenstein & Hu, halofit, galaxies, shapes and alignments; at
    m_nu = 0, Omega_k = 0 and w = -1, and one trace for all."""
    traces = []

    def spectra(theta: jax.Array) -> jax.Array:
        traces.append(1)
        cosmology = COSMOLOGY.replace(**dict(zip(PARAMETERS, theta, strict=True)))
        tracers = [NumberCounts(NARROW, 1.5), WeakLensing(NARROW, Alignment(0.5))]
        model = Halofit(EisensteinHu())
        # beyond Limber's approximation there is no derivative in Omega_k (test_beyond_gradients)
        values = angular_cl(cosmology, [30.0, 700.0], tracers, model, limber="always").values
        return jnp.log(jnp.abs(values))  # alignments make the cross-spectrum negative

    f, slopes = jax.jit(spectra), jax.jit(jax.jacfwd(spectra))
    theta = jnp.asarray(AWKWARD)
    exact = np.asarray(slopes(theta))
    for i, name in enumerate(PARAMETERS):
        numeric = one_sided(f, theta, i) if name == "m_nu" else _difference(f, theta, i)
        scale = np.max(np.abs(numeric))
        np.testing.assert_allclose(
            exact[..., i], numeric, rtol=1e-4, atol=1e-4 * scale, err_msg=name
        )
    assert len(traces) == 2


def test_one_trace_per_shape_and_vmap() -> None:
    _, _, lattice = ccl_universe()
    model = Scaled(lattice, COSMOLOGY)
    traces = []

    @jax.jit
    def f(omega_cdm: jax.Array, shift: jax.Array) -> jax.Array:
        traces.append(1)
        tracers = [NumberCounts(NARROW), WeakLensing(Shifted(NARROW, shift))]
        cosmology = COSMOLOGY.replace(omega_cdm=omega_cdm)
        return angular_cl(cosmology, [10.0, 100.0], tracers, model).values

    one, two = f(0.12, 0.01), f(0.11, -0.02)
    assert len(traces) == 1 and np.all(one != two)
    many = jax.vmap(f)(jnp.asarray([0.12, 0.11]), jnp.asarray([0.01, -0.02]))
    np.testing.assert_allclose(many, jnp.stack([one, two]), rtol=1e-10)
