"""Gravity of particles in a cube whose potential is known on its faces, by sine transforms.

    laplacian(phi) = delta inside,    phi = given on the faces

The potential is a sum of two. The first vanishes on the faces and is a series of sines,
phi_m = -delta_m / k_m^2 with k_m = pi m / L, whose gradient is a series of cosines along one axis:
between them the force is that of ``ParticleMesh``, mode by mode. The second has no source and the
given values on the faces. It solves the seven-point equation: its source is -phi/h^2 in the points
next to the faces, its eigenvalues are sum_i (2 cos(pi m_i / M) - 2) / h^2 (Leclercq et al. 2020,
arXiv:2003.04925); it is smooth away from the faces, and differences of four points are its slope.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.fft import dct, dst, dstn

from .errors import ForceError
from .mesh import Mesh
from .painting_jax import Sums
from .pm import GRADIENTS
from .sums import gather, spread, sums_on

MARGIN = 2
"""Mesh points beyond the faces, onto which particles near them are painted."""

Faces = Float[np.ndarray, "3 2 m m"]
"""A field on the faces of a cube: axis, side (low, high), and the two other axes in order."""


@dataclass(frozen=True)
class DirichletMesh:
    """A cube of ``cells`` per side, from corner to corner, in which forces are computed.

    cell: side of one [Mpc/h]; mean: particles per cell of the whole box; assignment, gradient: as
    of ``ParticleMesh``. Raises ForceError for another gradient, MeshError for another assignment.
    """

    cells: int
    cell: float
    mean: float
    assignment: str = "tsc"
    gradient: str = "spectral"

    def __post_init__(self) -> None:
        if self.gradient not in GRADIENTS:
            raise ForceError(f"gradient is {self.gradient!r}; expected one of {GRADIENTS}")
        self._sums()

    def _sums(self) -> Sums:
        """On a mesh with a margin, whose periodicity nothing reaches."""
        number = self.cells + 1 + 2 * MARGIN
        number += number % 2
        return sums_on(Mesh(number, number * self.cell), self.assignment)

    def inside(self, x: Float[np.ndarray, "n 3"]) -> np.ndarray:
        """Which particles, from the low corner [Mpc/h], are a cell at least from every face."""
        return np.all((x >= self.cell) & (x <= (self.cells - 1) * self.cell), axis=1)

    def contrast(self, x: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m m m"]:
        """delta at the points between the faces."""
        reach = 1.5 * self.cell
        near = np.all((x > -reach) & (x < self.cells * self.cell + reach), axis=1)
        shifted = np.where(near[:, None], x + x.dtype.type(MARGIN * self.cell), 0.0)
        count = np.asarray(_painted(self._sums(), jnp.asarray(shifted, x.dtype), jnp.asarray(near)))
        inner = slice(MARGIN + 1, MARGIN + self.cells)
        return count[inner, inner, inner] / x.dtype.type(self.mean) - x.dtype.type(1.0)

    def __call__(self, x: Float[np.ndarray, "n 3"], faces: Faces) -> Float[np.ndarray, "n 3"]:
        """g = -grad phi [Mpc/h] of particles, from the low corner [Mpc/h]; 0 for those outside.

        ``faces``: phi on the faces [(Mpc/h)^2].
        """
        on = self._sums()
        delta = self.contrast(x)
        size = on.cells
        slopes = np.zeros((3, size, size, size), x.dtype)
        here = slice(MARGIN, MARGIN + self.cells + 1)
        within = slopes[:, here, here, here]
        self._add_slopes(within, delta, faces)
        kept = self.inside(x)
        shifted = np.where(kept[:, None], x + x.dtype.type(MARGIN * self.cell), self.cell)
        found = np.asarray(_taken(on, jnp.asarray(shifted, x.dtype), jnp.asarray(slopes)))
        return np.where(kept[:, None], found, x.dtype.type(0.0))

    def _add_slopes(self, slopes: np.ndarray, delta: np.ndarray, faces: Faces) -> None:
        """Fill in -grad phi at all points, faces included, as [3, cells + 1, ...]."""
        smooth = self.harmonic(faces.astype(delta.dtype))
        first = _sines(delta)
        first /= -self._square(delta.dtype)
        if self.gradient == "finite-difference":
            smooth[1:-1, 1:-1, 1:-1] += _sines(first) / self._volume(delta.dtype)
        for axis in range(3):
            slopes[axis] = -_difference(smooth, axis) / delta.dtype.type(self.cell)
            if self.gradient == "spectral":
                self._add_cosines(slopes[axis], first, axis)

    def _add_cosines(self, slope: np.ndarray, first: np.ndarray, axis: int) -> None:
        k = self._waves(first.dtype)
        shape = [1, 1, 1]
        shape[axis] = -1
        terms = first * (-k).reshape(shape)
        others = [each for each in range(3) if each != axis]
        for each in others:
            terms = np.asarray(dst(terms, type=1, axis=each, overwrite_x=True))
        pad = [(0, 0)] * 3
        pad[axis] = (1, 1)
        terms = np.asarray(dct(np.pad(terms, pad), type=1, axis=axis, overwrite_x=True))
        where: list[Any] = [slice(1, -1)] * 3
        where[axis] = slice(None)
        slope[tuple(where)] += terms / self._volume(first.dtype)

    def harmonic(self, faces: Faces) -> Float[np.ndarray, "m m m"]:
        """The potential without a source at all points, faces included."""
        m, dtype = self.cells, faces.dtype
        wave = np.sin(np.pi * np.arange(1, m) / m)
        turn = np.where(np.arange(1, m) % 2 == 1, 1.0, -1.0)
        modes = np.zeros((m - 1,) * 3, dtype)
        for axis in range(3):
            low, high = (_sines(faces[axis, side, 1:-1, 1:-1]) for side in (0, 1))
            near, far = (
                np.expand_dims((2.0 * each).astype(dtype), [a for a in range(3) if a != axis])
                for each in (wave, wave * turn)
            )
            modes -= near * np.expand_dims(low, axis) + far * np.expand_dims(high, axis)
        cosine = (2.0 * np.cos(np.pi * np.arange(1, m) / m) - 2.0).astype(dtype)
        modes /= cosine[:, None, None] + cosine[:, None] + cosine
        phi = np.empty((m + 1,) * 3, dtype)
        phi[1:-1, 1:-1, 1:-1] = _sines(modes) / self._volume(dtype)
        for axis in range(3):
            for side in (0, 1):
                where: list[Any] = [slice(None)] * 3
                where[axis] = -side
                phi[tuple(where)] = faces[axis, side]
        return phi

    def _waves(self, dtype: Any) -> np.ndarray:
        return (np.pi * np.arange(1, self.cells) / (self.cells * self.cell)).astype(dtype)

    def _square(self, dtype: Any) -> np.ndarray:
        k = self._waves(dtype) ** 2
        return k[:, None, None] + k[:, None] + k

    def _volume(self, dtype: Any) -> Any:
        """Two sine transforms of a field are this times the field."""
        return dtype.type((2.0 * self.cells) ** 3)


@partial(jax.jit, static_argnums=0)
def _painted(on: Sums, x: Array, near: Array) -> Array:
    return spread(on, x, near.astype(x.dtype)[:, None])[0]


@partial(jax.jit, static_argnums=0)
def _taken(on: Sums, x: Array, fields: Array) -> Array:
    return gather(on, x, fields)


def _sines(field: np.ndarray) -> np.ndarray:
    """Sine transform along all axes."""
    return np.asarray(dstn(field, type=1))


def _difference(phi: np.ndarray, axis: int) -> np.ndarray:
    """d phi per cell: from two points on either side; fewer near the faces."""
    f = np.moveaxis(phi, axis, 0)
    slope = np.empty_like(f)
    slope[2:-2] = (8.0 * (f[3:-1] - f[1:-3]) - (f[4:] - f[:-4])) / 12.0
    slope[1], slope[-2] = 0.5 * (f[2] - f[0]), 0.5 * (f[-1] - f[-3])
    slope[0] = -1.5 * f[0] + 2.0 * f[1] - 0.5 * f[2]
    slope[-1] = 1.5 * f[-1] - 2.0 * f[-2] + 0.5 * f[-3]
    return np.moveaxis(slope, 0, axis)
