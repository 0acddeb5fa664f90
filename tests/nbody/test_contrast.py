"""The density contrast for measurements against the direct sum over particles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.nbody import Mesh, ParticleError, contrast_of_parts, density_contrast

MESH = Mesh(16, 50.0)
LEFT = {"ngp": 0.4, "cic": 0.05, "tsc": 7e-3, "pcs": 1.2e-3}
"""Of the error of an interlaced, deconvolved contrast of random points, over its rms, at half to
three quarters of Nyquist's wavenumber (measured: 0.32, 0.032, 0.0047, 0.0007)."""

PARTS = 3e-7 * 16**1.5 * (np.pi / 2.0) ** 12
"""Rounding of a number per cell of about 1 in float32, added up over 16^3 cells in quadrature,
times the largest factor of the deconvolution of cubic splines."""


def particles() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(-50.0, 100.0, (300, 3)), rng.uniform(0.5, 1.5, 300)


def direct(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """delta_k = n^3 sum w exp(-i k x)/sum w, 0 for the mean."""
    waves = [
        np.exp(-1j * np.multiply.outer(x[:, i], k.ravel()))
        for i, k in enumerate(MESH.wavenumbers())
    ]
    found = np.einsum("p,pi,pj,pk->ijk", w, *waves) * MESH.cells**3 / w.sum()
    found[0, 0, 0] = 0.0
    return found


@pytest.mark.parametrize("assignment", LEFT)
def test_what_interlacing_and_deconvolution_leave(assignment: str, backend: str) -> None:
    x, w = particles()
    truth = direct(x, w)
    k = np.sqrt(MESH.k_squared()) / MESH.nyquist
    shell, low = (k > 0.5) & (k < 0.75), (k > 0.0) & (k < 0.3)
    errors = {
        interlaced: np.abs(density_contrast(MESH, x, w, assignment, interlaced=interlaced) - truth)
        / np.sqrt(np.mean(np.abs(truth) ** 2))
        for interlaced in (True, False)
    }
    assert errors[True][shell].mean() < LEFT[assignment]
    assert errors[True][shell].mean() < 0.55 * errors[False][shell].mean()
    assert errors[True][low].mean() < 0.65 * errors[False][low].mean()
    assert errors[True][0, 0, 0] == 0.0


def test_without_deconvolution_the_window_stays() -> None:
    x, w = particles()
    both = (density_contrast(MESH, x, w, "cic", deconvolved=d) for d in (False, True))
    raw, divided = (np.asarray(each) for each in both)
    windows = [np.sinc(0.5 * MESH.cell * k / np.pi) ** 2 for k in MESH.wavenumbers()]
    np.testing.assert_allclose(raw, divided * windows[0] * windows[1] * windows[2], atol=1e-9)


def test_the_field_is_real() -> None:
    """On the planes of Nyquist's wavenumber as well."""
    x, w = particles()
    found = density_contrast(MESH, x, w, "tsc")
    again = jnp.fft.rfftn(jnp.fft.irfftn(found, s=MESH.shape))
    np.testing.assert_allclose(again, found, atol=1e-10)


def test_gradient() -> None:
    x, w = (jnp.asarray(each) for each in particles())
    truth = direct(*particles())

    def misfit(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.sum(jnp.abs(density_contrast(MESH, x, w) - 0.9 * truth) ** 2) / 1e6

    rng = np.random.default_rng(1)
    u, v = (jnp.asarray(rng.normal(size=each.shape)) for each in (x, w))
    gx, gw = jax.jit(jax.grad(misfit, (0, 1)))(x, w)
    step = 1e-5
    expected = (misfit(x + step * u, w + step * v) - misfit(x - step * u, w - step * v)) / (
        2.0 * step
    )
    np.testing.assert_allclose(jnp.vdot(gx, u) + jnp.vdot(gw, v), expected, rtol=1e-6)


def test_what_is_refused() -> None:
    with pytest.raises(ParticleError, match="add up to 0; a density contrast needs a positive sum"):
        density_contrast(MESH, np.zeros((2, 3)), [1.0, -1.0])
    with pytest.raises(ParticleError, match="no particles"):
        density_contrast(MESH, np.zeros((0, 3)))


def test_particles_in_parts_are_those_at_once() -> None:
    """To rounding of the sums, which deconvolution enlarges at the corner of the mesh."""
    mesh = Mesh(16, 50.0)
    x = np.random.default_rng(3).uniform(0.0, 50.0, (5000, 3)).astype(np.float32)
    wanted = np.asarray(density_contrast(mesh, x, assignment="pcs"))
    found = contrast_of_parts(mesh, lambda: iter((x[:1000], x[1000:1001], x[1001:])))
    np.testing.assert_allclose(found, wanted, rtol=0.0, atol=PARTS)
    with pytest.raises(ParticleError, match="no particles"):
        contrast_of_parts(mesh, lambda: iter(()))
