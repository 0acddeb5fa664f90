"""Forces in a cube with a potential on its faces: against the periodic box, and exact solutions."""

import numpy as np
import pytest

from volvelle.nbody import ForceError, Mesh, ParticleMesh
from volvelle.nbody.dirichlet import DirichletMesh
from volvelle.nbody.pm import inverse_square, painted_contrast
from volvelle.nbody.sums import sums_on

ROUNDING = 1e-12
"""Of sums of 32^3 numbers in float64."""
INSIDE = {"spectral": 0.006, "finite-difference": 0.004}
"""Rms over rms, four cells from the faces: waves between Nyquist's on the faces are not known."""


def surface(field: np.ndarray) -> np.ndarray:
    return np.stack([np.stack([np.take(field, end, axis) for end in (0, -1)]) for axis in range(3)])


def test_a_harmonic_potential_is_that_of_its_faces() -> None:
    """A wave along two axes that grows along the third, at the rate of the seven-point equation."""
    m, k = 32, 0.1 * np.pi
    x, y, z = np.meshgrid(*[np.arange(m + 1.0)] * 3, indexing="ij")
    rate = np.arccosh(3.0 - 2.0 * np.cos(k))
    phi = np.sin(k * x) * np.cos(k * y) * np.exp(rate * (z - m))
    found = DirichletMesh(m, 1.5, 1.0).harmonic(surface(phi))
    np.testing.assert_allclose(found, phi, atol=ROUNDING)


@pytest.mark.parametrize("gradient", ["spectral", "finite-difference"])
def test_forces_are_those_of_the_whole_box(gradient: str) -> None:
    """With the true potential on the faces, of clustered particles, away from the faces."""
    mesh, first, m = Mesh(32, 96.0), 6, 20
    random = np.random.default_rng(1)
    centres = random.uniform(0.0, 96.0, (40, 3))
    x = np.concatenate([c + random.normal(0.0, 5.0, (800, 3)) for c in centres]) % 96.0
    wanted = np.asarray(ParticleMesh(mesh, "tsc", gradient)(x))
    delta = painted_contrast(sums_on(mesh, "tsc"), x)
    phi = np.fft.irfftn(np.asarray(-delta * inverse_square(mesh, x.dtype)), axes=(0, 1, 2))
    points = np.arange(first, first + m + 1)
    cube = phi[np.ix_(points, points, points)]
    dirichlet = DirichletMesh(m, mesh.cell, len(x) / 32**3, gradient=gradient)
    local = x - first * mesh.cell
    found = dirichlet(local, surface(cube))
    deep = np.all((local > 4 * mesh.cell) & (local < (m - 4) * mesh.cell), axis=1)
    assert deep.sum() > 500
    off = np.sqrt(np.mean((found - wanted)[deep] ** 2) / np.mean(wanted[deep] ** 2))
    assert off < INSIDE[gradient]
    assert not found[~dirichlet.inside(local)].any()


def test_another_gradient_is_refused() -> None:
    with pytest.raises(ForceError, match="gradient is 'spline'"):
        DirichletMesh(8, 1.0, 1.0, gradient="spline")
