"""The particle-mesh force: what it conserves, plane waves, and the hooks of other gravity."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.nbody import ForceError, Mesh, MeshError, ParticleError, ParticleMesh

MESH = Mesh(16, 40.0)
GRADIENTS = ("spectral", "finite-difference")
ROUNDING = 1e-12
"""Of sums of forces in float64, over their mean size."""


def random(number: int = 200) -> np.ndarray:
    return np.random.default_rng(1).uniform(-40.0, 80.0, (number, 3))


def wave(axis: int, mode: int, amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    """A grid of particles, and a displacement along a wave's own direction."""
    q = np.stack(np.meshgrid(*[np.arange(16) * MESH.cell] * 3, indexing="ij"), -1).reshape(-1, 3)
    moved = np.zeros_like(q)
    moved[:, axis] = amplitude * np.sin(mode * MESH.fundamental * q[:, axis])
    return q, moved


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("assignment", ["cic", "pcs"])
def test_forces_add_up_to_zero_and_none_is_on_oneself(
    assignment: str, gradient: str, backend: str
) -> None:
    force = ParticleMesh(MESH, assignment, gradient)
    found = np.asarray(force(random()))
    assert np.abs(found.sum(axis=0)).max() < ROUNDING * np.abs(found).mean() * len(found)
    alone = np.asarray(force(random(1)))
    assert np.abs(alone).max() < ROUNDING * MESH.volume / (4.0 * np.pi * MESH.cell**2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_wave_falls_with_its_displacement(axis: int) -> None:
    """laplacian(phi) = delta = -div(psi): g = psi, but for what mesh points see of a wave.

    TSC takes a centred difference of the particles of a grid and reads three points; differences
    of four points have an error of (k cell)^4/30 to leading order.
    """
    for mode in (1, 2, 4):
        q, psi = wave(axis, mode, 1e-4)
        x = mode * MESH.fundamental * MESH.cell
        seen = np.sin(x) / x * (0.75 + 0.25 * np.cos(x))
        for gradient in GRADIENTS:
            found = np.asarray(ParticleMesh(MESH, "tsc", gradient)(q + psi))
            finite = (8.0 * np.sin(x) - np.sin(2.0 * x)) / (6.0 * x)
            expected = seen * psi * (1.0 if gradient == "spectral" else finite)
            np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(psi).max())
        assert mode > 1 or 1.0 - finite == pytest.approx(x**4 / 30.0, rel=0.1)


def test_other_gravity_and_other_matter() -> None:
    """A factor of k and a; matter that is a field, beside a fraction in particles."""
    x = random()
    plain = np.asarray(ParticleMesh(MESH)(x))

    def factor(k: Any, a: Any) -> Any:
        return 1.0 + a * jnp.where(k < 2.5 * MESH.fundamental, 0.5, 0.0)

    modified = np.asarray(ParticleMesh(MESH, modification=factor)(x, 0.4))
    low = ParticleMesh(
        MESH, modification=lambda k, a: jnp.where(k < 2.5 * MESH.fundamental, 1.0, 0.0)
    )
    np.testing.assert_allclose(modified, plain + 0.2 * np.asarray(low(x, 1.0)), atol=1e-11)
    assert np.abs(modified - plain).max() > 0.01 * np.abs(plain).max()
    singular = np.asarray(ParticleMesh(MESH, modification=lambda k, a: 1.0 + 1.0 / k)(x))
    assert np.isfinite(singular).all()

    kx = MESH.fundamental
    points = np.arange(16) * MESH.cell
    field = np.cos(kx * points)[:, None, None] * np.ones((1, 16, 16))
    other = jnp.fft.rfftn(jnp.asarray(field))
    mixed = ParticleMesh(MESH, density=lambda a: 0.3 * a * other, fraction=0.7)
    added = np.asarray(mixed(x, 0.5)) - 0.7 * plain
    expected = -0.15 / kx * np.sin(kx * x[:, 0])  # phi = -delta/k^2, g = -grad phi
    half = 0.5 * kx * MESH.cell
    np.testing.assert_allclose(added[:, 0], expected, atol=1.1 * half**2 / 2.0 * 0.15 / kx)
    assert np.abs(added[:, 0]).max() > 0.1 / kx
    np.testing.assert_allclose(added[:, 1:], 0.0, atol=1e-11)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_gradient(gradient: str, backend: str) -> None:
    """Of a scalar of forces, in positions and in a parameter of gravity."""
    x = jnp.asarray(random())
    towards = jnp.asarray(np.random.default_rng(2).normal(size=x.shape))

    @jax.jit
    def misfit(x: jax.Array, strength: jax.Array) -> jax.Array:
        force = ParticleMesh(MESH, "tsc", gradient, modification=lambda k, a: 1.0 + strength * k)
        return jnp.vdot(force(x), towards)

    one = jnp.asarray(0.3)
    slope, change = jax.grad(misfit, (0, 1))(x, one)
    along = jnp.asarray(np.random.default_rng(3).normal(size=x.shape))
    step = 1e-5
    expected = (misfit(x + step * along, one) - misfit(x - step * along, one)) / (2.0 * step)
    np.testing.assert_allclose(jnp.vdot(slope, along), expected, rtol=1e-6)
    np.testing.assert_allclose(change, (misfit(x, one + 1.0) - misfit(x, one)), rtol=1e-9)


def test_single_precision() -> None:
    x = random().astype(np.float32)
    found, exact = (np.asarray(ParticleMesh(MESH)(each)) for each in (x, x.astype(float)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=3e-6 * np.abs(exact).max())


def test_what_is_refused() -> None:
    with pytest.raises(ForceError, match="expected one of spectral, finite-difference"):
        ParticleMesh(MESH, gradient="fourier")
    with pytest.raises(ForceError, match="'ngp' jumps"):
        ParticleMesh(MESH, "ngp")
    with pytest.raises(MeshError, match="expected one of ngp"):
        ParticleMesh(MESH, "spline")
    with pytest.raises(ParticleError, match="no particles"):
        ParticleMesh(MESH)(np.zeros((0, 3)))
    with pytest.raises(ParticleError, match="NaN"):
        ParticleMesh(MESH)([[0.0, 1.0, np.nan]])
