"""Gravity of particles by a mesh: paint, solve Poisson's equation, read the gradient."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .errors import ForceError
from .force import Density, Force, Modification, modified
from .mesh import Mesh
from .painting_jax import Sums
from .particles import as_particles
from .sums import gather, spread, sums_on

GRADIENTS = ("spectral", "finite-difference")


class ParticleMesh(Force):
    """The acceleration g = -grad phi with laplacian(phi) = delta, by a mesh.

    delta = particles/mean - 1 is painted, phi = -delta/k^2 in Fourier space, and g is read where
    the particles are, with the same assignment: no particle acts on itself, and the forces add up
    to zero. Resolves nothing below about two cells.

    In other gravity, or with matter that is not in particles,

        phi = -modification(k, a) [fraction delta + density(a)]/k^2

    Args:
        mesh: of the force; as fine as the particles' grid, or finer.
        assignment: ``cic``, ``tsc`` or ``pcs``.
        gradient: ``spectral`` (i k, four transforms) or ``finite-difference`` (of four points,
            accurate to fourth order in k cell, two transforms).
        modification: of k [h/Mpc] as [n, n, n/2 + 1] and a, a factor of the potential. The mean
            mode, which feels no force, is given the k of the fundamental.
        density: of a, the linear density contrast of other matter as Fourier field, times its
            fraction of the matter.
        fraction: of the matter that the particles stand for.

    Raises ForceError for another gradient, and for ``ngp``, whose force jumps; MeshError for
    another assignment.
    """

    mesh: Mesh
    assignment: str = eqx.field(static=True)
    gradient: str = eqx.field(static=True)
    modification: Modification | None
    density: Density | None
    fraction: float | Array

    def __init__(
        self,
        mesh: Mesh,
        assignment: str = "cic",
        gradient: str = "spectral",
        *,
        modification: Modification | None = None,
        density: Density | None = None,
        fraction: float | Array = 1.0,
    ) -> None:
        if gradient not in GRADIENTS:
            raise ForceError(f"gradient is {gradient!r}; expected one of {', '.join(GRADIENTS)}")
        if sums_on(mesh, assignment).order == 1:
            raise ForceError("a force by 'ngp' jumps; expected cic, tsc or pcs")
        self.mesh, self.assignment, self.gradient = mesh, assignment, gradient
        self.modification, self.density, self.fraction = modification, density, fraction

    def __call__(self, positions: Any, a: Any = 1.0) -> Float[Array, "n 3"]:
        """g [Mpc/h] at positions [N, 3] [Mpc/h], any real numbers, at scale factor ``a``.

        Raises ParticleError for positions of another shape, NaN and infinity.
        """
        on = sums_on(self.mesh, self.assignment)
        return self._solve(on, as_particles(positions), jnp.asarray(a))

    @eqx.filter_jit
    def _solve(self, on: Sums, x: Float[Array, "n 3"], a: Array) -> Float[Array, "n 3"]:
        delta = self.fraction * painted_contrast(on, x)
        if self.density is not None:
            delta += jnp.asarray(self.density(a)).astype(delta.dtype)
        potential = -delta * inverse_square(self.mesh, x.dtype)
        if self.modification is not None:
            potential = potential * modified(self.mesh, self.modification, a, x.dtype)
        if self.gradient == "spectral":
            slopes = spectral_slopes(self.mesh, potential)
        else:
            phi = jnp.fft.irfftn(potential, s=self.mesh.shape)
            slopes = jnp.stack([_difference(phi, axis) for axis in range(3)]) / self.mesh.cell
        return gather(on, x, slopes)


def painted_contrast(on: Sums, x: Float[Array, "n 3"]) -> Complex[Array, "n n half"]:
    """delta of particles as they are painted, transformed; not 0 for the mean."""
    count = spread(on, x, jnp.ones((len(x), 1), x.dtype))[0]
    return jnp.fft.rfftn(count) * (on.cells**3 / len(x))


def inverse_square(mesh: Mesh, dtype: Any) -> Float[Array, "n n half"]:
    """1/k^2 [(Mpc/h)^2], 0 for the mean."""
    kx, ky, kz = (jnp.asarray(k**2, dtype) for k in mesh.wavenumbers())
    squared = kx + ky + kz
    return jnp.where(squared > 0.0, 1.0 / jnp.where(squared > 0.0, squared, 1.0), 0.0)


def spectral_slopes(mesh: Mesh, potential: Complex[Array, "n n half"]) -> Float[Array, "3 n n n"]:
    """-grad of a potential by -i k; a wave at Nyquist's wavenumber has no slope along its axis."""
    waves = [
        jnp.asarray(np.where(np.abs(k) < 0.999 * mesh.nyquist, -k, 0.0), potential.real.dtype)
        for k in mesh.wavenumbers()
    ]
    slopes = jnp.stack([1j * k * potential for k in waves])
    return jnp.fft.irfftn(slopes, s=mesh.shape, axes=(1, 2, 3))


def _difference(phi: Float[Array, "n n n"], axis: int) -> Float[Array, "n n n"]:
    """-d phi/d(axis) per cell from two points on either side (error of order cell^4)."""
    one = jnp.roll(phi, 1, axis) - jnp.roll(phi, -1, axis)
    two = jnp.roll(phi, 2, axis) - jnp.roll(phi, -2, axis)
    return 2.0 / 3.0 * one - two / 12.0
