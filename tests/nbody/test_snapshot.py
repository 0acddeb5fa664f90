"""Particles in a snapshot: what fits together, momenta, redshift space."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import planck18
from volvelle.nbody import Mesh, ParticleError, Particles, Snapshot

NUMBERS = {"a": 0.5, "box_size": 100.0, "Omega_m": 0.3, "Omega_de": 0.7, "h": 0.7}


def some(**changes: object) -> Snapshot:
    rng = np.random.default_rng(1)
    given = {
        "positions": rng.uniform(0.0, 100.0, (8, 3)),
        "velocities": rng.normal(0.0, 300.0, (8, 3)),
        **NUMBERS,
        **changes,
    }
    return Snapshot(given.pop("positions"), given.pop("velocities"), **given)


def test_equal_masses_make_up_the_matter_of_the_box() -> None:
    """rho_crit = 2.7754e11 h^2 Msun/Mpc^3, from G in Mpc (km/s)^2 / Msun."""
    critical = 3.0 * 100.0**2 / (8.0 * np.pi * 4.30091e-9) / 1e10
    assert some().masses * 8 / 100.0**3 == pytest.approx(0.3 * critical, rel=1e-4)


def test_momenta_there_and_back() -> None:
    """p = a^2 dx/dt / H0, v = a dx/dt."""
    first = some()
    np.testing.assert_allclose(first.momenta, 0.5**2 * (first.velocities / 0.5) / 100.0)
    others = {"a": 0.5, "box_size": 100.0, "Omega_m": 0.3, "Omega_de": 0.7, "h": 0.7}
    back = Snapshot.from_momenta(first.positions, first.momenta, **others)
    np.testing.assert_allclose(back.velocities, first.velocities)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_redshift_space_moves_along_one_axis(axis: int) -> None:
    first = some()
    hubble = 100.0 * np.sqrt(0.3 * 8.0 + 0.7)
    moved = first.redshift_space(axis) - first.positions
    moved = (moved + 50.0) % 100.0 - 50.0
    np.testing.assert_allclose(moved[:, axis], first.velocities[:, axis] / (0.5 * hubble))
    assert np.abs(np.delete(moved, axis, axis=1)).max() < 1e-12
    doubled = (first.redshift_space(axis, 2 * hubble) - first.positions + 50.0) % 100.0 - 50.0
    np.testing.assert_allclose(2 * doubled[:, axis], moved[:, axis])


def test_what_a_simulation_returns_becomes_a_snapshot() -> None:
    """p = a^2 dx/dt / H0 there, v = a dx/dt here."""
    rng = np.random.default_rng(2)
    moved, momentum = (jnp.asarray(rng.normal(0.0, 1.0, (64, 3))) for _ in range(2))
    particles = Particles(Mesh(4, 50.0), moved, momentum, jnp.asarray(0.5))
    found = Snapshot.of(particles, planck18())
    np.testing.assert_allclose(found.velocities, 100.0 * momentum / 0.5)
    np.testing.assert_allclose(found.velocities, particles.velocities)
    np.testing.assert_array_equal(found.positions, particles.positions)
    assert float(found.Omega_m) == pytest.approx(float(planck18().Omega_m))
    assert float(found.h) == pytest.approx(0.6766, abs=0.01)
    assert found.box_size == 50.0


def test_redshift_space_is_differentiable() -> None:
    first = some()

    def seen(velocities: jax.Array) -> jax.Array:
        return jnp.sum(Snapshot(first.positions, velocities, **NUMBERS).redshift_space())

    slope = jax.grad(seen)(jnp.asarray(first.velocities))
    np.testing.assert_allclose(slope[:, 2], 1.0 / (0.5 * first.hubble))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"positions": np.zeros((8, 2))}, r"expected \(n, 3\)"),
        ({"positions": np.zeros((0, 3))}, r"expected \(n, 3\)"),
        ({"velocities": np.zeros((7, 3))}, "velocities have shape"),
        ({"masses": np.ones(7)}, "masses have shape"),
        ({"ids": np.arange(9)}, "ids have shape"),
        ({"positions": np.full((8, 3), np.nan)}, "positions need to be finite"),
        ({"velocities": np.full((8, 3), np.inf)}, "velocities need to be finite"),
        ({"a": 0.0}, "a has to be positive"),
        ({"box_size": -1.0}, "box_size has to be positive"),
        ({"h": np.nan}, "h has to be positive"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(ParticleError, match=words):
        some(**changes)


def test_an_axis_that_is_none_is_refused() -> None:
    with pytest.raises(ParticleError, match="axis 3"):
        some().redshift_space(3)
