"""Growth of displacements against the background's and their Einstein-de Sitter values."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from small_boxes import EINSTEIN_DE_SITTER, PLANCK
from volvelle.cosmology import growth_factor, hubble
from volvelle.nbody import particle_growth

A = jnp.array([0.02, 0.1, 0.3, 0.6, 1.0])
LIMITS = np.array([1.0, -3.0 / 7.0, -1.0 / 3.0, 5.0 / 21.0, 1.0 / 7.0])
POWERS = np.array([1, 2, 3, 3, 3])
SOLVED = 3e-6
"""Of the table: 512 steps and cubic interpolation (measured: 2e-6 in slopes, 2e-7 in values)."""
UNIVERSES = {
    "planck": PLANCK.replace(m_nu=0.0),
    "dark energy": PLANCK.replace(m_nu=0.0, w0=-0.8, wa=-0.4),
    "open": PLANCK.replace(m_nu=0.0, Omega_k=0.05),
    "closed": PLANCK.replace(m_nu=0.0, Omega_k=-0.05),
}
solved = jax.jit(particle_growth)


@pytest.mark.parametrize("name", UNIVERSES)
def test_the_first_order_is_the_growth_of_the_background(name: str) -> None:
    """Where no neutrino has mass all matter clusters, and both equations are one."""
    found = solved(UNIVERSES[name])(A)[0][:, 0]
    np.testing.assert_allclose(found, growth_factor(UNIVERSES[name], A), rtol=1e-5)


def test_einstein_de_sitter() -> None:
    growth = solved(EINSTEIN_DE_SITTER)
    values, momenta, forces = growth(A)
    wanted = LIMITS * A[:, None] ** POWERS
    np.testing.assert_allclose(values, wanted, rtol=SOLVED)
    np.testing.assert_allclose(momenta, POWERS * wanted * A[:, None] ** 0.5, rtol=SOLVED)
    rise = POWERS * (POWERS + 0.5)
    np.testing.assert_allclose(forces, rise * wanted * A[:, None], rtol=SOLVED)


def test_momenta_and_forces_are_the_derivatives() -> None:
    """T = Q d/da of what comes out, by differentiating it."""
    growth = solved(UNIVERSES["dark energy"])
    for read, slope in ((0, 1), (1, 2)):
        found = jax.vmap(jax.jacfwd(lambda a, read=read: growth(a)[read]))(A[:-1])
        wanted = growth(A[:-1])[slope]
        np.testing.assert_allclose(growth.Q(A[:-1])[:, None] * found, wanted, rtol=1e-5)


def test_the_transverse_growth_is_its_first_integral() -> None:
    values, momenta, _ = solved(UNIVERSES["planck"])(A)
    wanted = values[:, 1] * momenta[:, 0] - values[:, 0] * momenta[:, 1]
    np.testing.assert_allclose(momenta[:, 4], wanted, rtol=1e-5)


def test_expansion_and_inversion() -> None:
    growth = solved(PLANCK)
    np.testing.assert_allclose(growth.E(A), hubble(PLANCK, A) / hubble(PLANCK, 1.0), rtol=1e-12)
    np.testing.assert_allclose(growth.scale_factor(growth(A)[0][:, 0]), A, rtol=1e-9)
    slope = jax.grad(growth.scale_factor)(jnp.array(0.5))
    middle = growth.scale_factor(jnp.array(0.5))
    wanted = growth.Q(middle) / growth(middle)[1][0]
    np.testing.assert_allclose(slope, wanted, rtol=1e-6)


def test_a_coupling_multiplies_the_source() -> None:
    """1.1 G in an Einstein-de Sitter universe: D1 = a^n with n (n + 1/2) = 1.65."""
    growth = particle_growth(EINSTEIN_DE_SITTER, lambda a: jnp.where(a > 1e-3, 1.1, 1.0))
    n = (-0.5 + np.sqrt(0.25 + 6.0 * 1.1)) / 2.0
    late = jnp.array([0.3, 0.9])
    values, momenta, forces = growth(late)
    np.testing.assert_allclose(momenta[:, 0] / values[:, 0], n * late**0.5, rtol=2e-4)
    np.testing.assert_allclose(forces[:, 0], 1.65 * late * values[:, 0], rtol=1e-9)


def test_derivatives_in_the_cosmology() -> None:
    names = ("omega_cdm", "h", "w0", "wa", "Omega_k", "m_nu")

    def late(values: jax.Array) -> jax.Array:
        universe = PLANCK.replace(**dict(zip(names, values, strict=True)))
        return particle_growth(universe)(jnp.array(0.4))[0]

    at = jnp.array([getattr(PLANCK, name) for name in names])
    found, value, step = jax.jit(jax.jacfwd(late))(at), jax.jit(late), 1e-4
    for i, name in enumerate(names):
        shift = jnp.zeros(len(names)).at[i].set(step)
        wanted = (value(at + shift) - value(at - shift)) / (2.0 * step)
        np.testing.assert_allclose(found[:, i], wanted, rtol=1e-4, atol=1e-7, err_msg=name)


def test_single_precision() -> None:
    wanted = solved(PLANCK)(A)
    with jax.enable_x64(False):
        found = jax.jit(particle_growth)(PLANCK)(A.astype(jnp.float32))
        assert found[0].dtype == jnp.float32
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=3e-5)
