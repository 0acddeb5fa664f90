"""Clustering dark energy against CLASS, and its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.boltzmann import POWER_K, POWER_Z, ClassSolver, Request
from volvelle.cosmology import Cosmology, planck18
from volvelle.cosmology.background import densities
from volvelle.cosmology.constants import HUBBLE_DISTANCE
from volvelle.cosmology.growth import growth_table
from volvelle.power.dark_energy import HorizonGrowth
from volvelle.training.linear_power_design import (
    design,
    universe,
)

K = jnp.asarray(POWER_K[POWER_K < 0.02])
A = jnp.asarray(1.0 / (1.0 + POWER_Z[[0, 8, 16]]))[:, None]
AGAINST_CLASS = 1e-3
"""Of P: CLASS has its default precision, and radiation perturbed near the horizon besides."""


@jax.jit
def clustering(cosmology: Cosmology) -> jax.Array:
    growth = growth_table(densities(cosmology), clustering_neutrinos=True)
    return 2.0 * HorizonGrowth.of(cosmology, growth)(K[None], A)


@pytest.mark.parametrize("dark", [{"w0": -0.7, "wa": 0.0}, {"w0": -1.2, "wa": 0.6}])
def test_against_class(dark: dict[str, float]) -> None:
    """P(k) / P(0.02), over the same without dark energy's perturbations, w = -1."""
    solver, base = ClassSolver(non_linear="none"), planck18().replace(m_nu=0.0)
    logs = []
    for cosmology in (base.replace(**dark), base):
        table = solver.solve(cosmology, Request.of(["matter_power"]))["matter_power"]
        logs.append(np.log(table[[0, 8, 16]][:, : K.size]))
    expected = logs[0] - logs[1]
    expected -= expected[:, -1:]
    found = np.asarray(clustering(base.replace(**dark)))
    assert np.max(np.abs(expected)) > 0.01
    np.testing.assert_allclose(found - found[:, -1:], expected, atol=AGAINST_CLASS)


@pytest.mark.parametrize("curvature", [0.0, 0.08, -0.08])
def test_a_constant_does_not_cluster(curvature: float) -> None:
    flat = clustering(planck18().replace(Omega_k=curvature))
    np.testing.assert_allclose(flat, 0.0, atol=1e-9)


def test_derivatives_across_minus_one() -> None:
    """The scheme is regular at w = -1, and so is its derivative; likewise at Omega_k = 0."""

    def of(theta: jax.Array) -> jax.Array:
        return clustering(planck18().replace(w0=theta[0], wa=theta[1], Omega_k=theta[2]))

    centre, step = jnp.asarray([-1.0, 0.0, 0.0]), 1e-4
    exact = np.asarray(jax.jacfwd(of)(centre))
    for n in range(3):
        shift = step * jnp.eye(3)[n]
        difference = (of(centre + shift) - of(centre - shift)) / (2.0 * step)
        np.testing.assert_allclose(exact[..., n], difference, atol=1e-6, rtol=1e-4)
    assert np.max(np.abs(exact[..., 0])) > 0.1


def test_how_much_it_is_in_the_box() -> None:
    """What the docs say of the learned power's domain, of modes that there are."""
    largest = 0.0
    for cosmology in map(universe, design(0, 100)):
        curvature = -float(cosmology.Omega_k) * (float(cosmology.h) / HUBBLE_DISTANCE) ** 2
        exists = np.asarray(K) ** 2 > 8.0 * curvature
        found = np.abs(np.expm1(np.asarray(clustering(cosmology))[:, exists]))
        largest = max(largest, float(np.max(found)))
    assert 0.2 < largest < 0.3
