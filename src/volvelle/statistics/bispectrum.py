"""The bispectrum of a density by Fourier transforms of shells (Scoccimarro 2015, arXiv:1506.02729).

With D_i the field that has the modes of one shell in k only, and I_i the same of modes that are 1,

    B(k1, k2, k3) = (V^2 / N^9) sum_x D1 D2 D3 / sum_x I1 I2 I3,   sum_x over the mesh,

the mean over all closed triangles with a side in each shell. Three modes below N/3 fundamentals
close without the help of the mesh's periodicity, and a mesh of three times the largest mode is fine
enough. I_i is even along every axis: a cosine transform of an octant.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from .bins import mean_of, thresholds
from .density import Density, cosine_transform, inverse
from .errors import TriangleError
from .modes import binned, counts, folded, multiplicity, product, squares, sums

MEMORY = 2_000_000_000
"""[bytes]."""
WIDTH = 1.0
"""Of shells, in fundamentals."""
WORK = 4
"""Fields of real numbers that a transform holds at a time, besides those that are kept."""


@dataclass(frozen=True)
class Bispectrum:
    """B of triangles [m], in [(Mpc/h)^6].

    ``sides`` [m, 3] [h/Mpc] are the middles of the shells, ``k`` [m, 3] the mean |k| of their
    modes, ``values`` [m] what is measured, ``shot_noise`` [m] what discrete objects add,

        (P1 + P2 + P3) V sum(w^2)/(sum w)^2 + V^2 sum(w^3)/(sum w)^3,

    1/nbar and 1/nbar^2 for equal weights; ``triangles`` [m] is how many there are, k1 in the first
    shell and so on; ``power`` [m, 3] [(Mpc/h)^3] is that of the shells without shot noise, and
    ``width`` [h/Mpc] the shells'. ``theta`` [m] is there where triangles were given by angles.
    """

    sides: np.ndarray
    k: np.ndarray
    values: np.ndarray
    shot_noise: np.ndarray
    triangles: np.ndarray
    power: np.ndarray
    width: float
    theta: np.ndarray | None = None

    @property
    def subtracted(self) -> np.ndarray:
        """Values without shot noise [m] [(Mpc/h)^6]."""
        return self.values - self.shot_noise

    @property
    def reduced(self) -> np.ndarray:
        """Q = B / (P1 P2 + P2 P3 + P3 P1) of values without shot noise [m]."""
        p1, p2, p3 = self.power.T
        return self.subtracted / (p1 * p2 + p2 * p3 + p3 * p1)


def bispectrum(
    density: Density, sides: Any, *, width: float | None = None, memory: float = MEMORY
) -> Bispectrum:
    """B of triangles with given sides.

    Args:
        sides: the middles of the three shells, of shape (m, 3) [h/Mpc].
        width: of the shells [h/Mpc]; without any, one fundamental.
        memory: fields of shells are kept up to this many bytes, and made again beyond; the density
            itself is not counted.

    Raises TriangleError for sides that do not close, shells that begin below 0, end beyond N/3
    fundamentals or hold no mode, and memory for less than three shells.
    """
    given = np.asarray(sides, np.float64)
    mesh = density.mesh
    wide = WIDTH * mesh.fundamental if width is None else float(width)
    _check(density, given, wide)
    unique, which = np.unique(np.round(given / mesh.fundamental, 9), return_inverse=True)
    which = which.reshape(given.shape)
    edges = mesh.fundamental * unique[:, None] + wide * np.array([-0.5, 0.5])
    limits = np.stack([thresholds(mesh, each) for each in edges])
    k, power = _powers(density, edges, limits)
    fields = _Shells(density, limits, memory)
    values, number = np.empty(len(given)), np.empty(len(given))
    for row in _order(which, fields.kept):
        values[row], number[row] = fields.sums(*which[row])
    if not number.all():
        first = given[int(np.argmin(number))]
        raise TriangleError(f"no triangle of modes has sides near {first} h/Mpc; widen the shells")
    three = power[which]
    shot = density.shot_noise * three.sum(axis=1) + density.triple_noise
    scale = mesh.volume**2 / float(density.cells) ** 9
    return Bispectrum(given, k[which], scale * values / number, shot, number, three, wide)


def bispectrum_angles(
    density: Density,
    k1: float,
    k2: float,
    theta: Any,
    *,
    width: float | None = None,
    memory: float = MEMORY,
) -> Bispectrum:
    """B(k1, k2, theta), k3 = |k1 + k2| = sqrt(k1^2 + k2^2 + 2 k1 k2 cos(theta)).

    Args:
        k1, k2: middles of shells [h/Mpc].
        theta: between the two vectors, of shape (m,) [radians], from 0 to pi.
        width, memory: as of ``bispectrum``, which says what is raised.
    """
    angles = np.atleast_1d(np.asarray(theta, np.float64))
    if angles.ndim != 1 or np.any((angles < 0.0) | (angles > np.pi)):
        raise TriangleError("theta has to be angles from 0 to pi")
    third = np.sqrt(np.maximum(k1**2 + k2**2 + 2.0 * k1 * k2 * np.cos(angles), 0.0))
    sides = np.stack([np.full_like(third, k1), np.full_like(third, k2), third], axis=1)
    found = bispectrum(density, sides, width=width, memory=memory)
    return Bispectrum(**{**vars(found), "theta": angles})


def _check(density: Density, sides: np.ndarray, width: float) -> None:
    mesh = density.mesh
    if sides.ndim != 2 or sides.shape[1] != 3 or not len(sides) or not np.all(np.isfinite(sides)):
        raise TriangleError(f"sides have shape {sides.shape}; expected finite numbers (m, 3)")
    if not (np.isfinite(width) and width > 0.0):
        raise TriangleError(f"shells have a width of {width}; expected a positive one [h/Mpc]")
    highest = mesh.fundamental * mesh.cells / 3.0
    if sides.max() + 0.5 * width > highest * (1.0 + 1e-9):
        raise TriangleError(
            f"a shell reaches to {sides.max() + 0.5 * width:.5g} h/Mpc; modes beyond a third of "
            f"the mesh, {highest:.5g}, close by its periodicity. Take more cells or smaller k"
        )
    if sides.min() < 0.5 * width:
        raise TriangleError(
            f"a shell of width {width:.4g} around {sides.min():.4g} h/Mpc begins below 0"
        )
    open_ = 2.0 * sides.max(axis=1) - sides.sum(axis=1) > 1.5 * width
    if open_.any():
        raise TriangleError(
            f"sides {sides[open_][0]} h/Mpc close no triangle, with shells of {width:.4g} either"
        )


def _powers(
    density: Density, edges: np.ndarray, limits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean |k| [h/Mpc] and P without shot noise [(Mpc/h)^3] of shells [shells]."""
    cells, mesh = density.cells, density.mesh
    number = counts(cells)
    table = sums(folded(product(density.modes), cells), cells)[0]
    lengths = mesh.fundamental * np.sqrt(np.arange(len(number)))
    rows = np.stack([number, number * lengths, table])
    found = np.stack([binned(rows, limit)[:, 0] for limit in limits], axis=1)
    if not found[0].all():
        low, high = edges[int(np.argmin(found[0]))]
        raise TriangleError(
            f"no mode lies between {low:.5g} and {high:.5g} h/Mpc; widen the shells"
        )
    k, mean = mean_of(found[1], found[0]), mean_of(found[2], found[0])
    return k, mean * mesh.volume / float(cells) ** 6 - density.shot_noise


def _order(which: np.ndarray, kept: int) -> np.ndarray:
    """Rows such that shells that are kept serve as many triangles as they can: by blocks of shells
    of which three fit."""
    block = np.sort(which, axis=1) // max(kept // 3, 1)
    return np.lexsort((which[:, 2], which[:, 1], which[:, 0], *block.T[::-1]))


class _Shells:
    """Fields of shells, as many as memory holds, the least recently used dropped first."""

    def __init__(self, density: Density, limits: np.ndarray, memory: float) -> None:
        reach = int(np.ceil(np.sqrt(limits.max())))
        fast: int = scipy.fft.next_fast_len((3 * reach) // 2 + 1, real=True)  # type: ignore  # stub
        self.cells = min(2 * fast, density.cells)
        self._limits, self._reach = limits, reach
        each = self.cells**3 * np.dtype(density.precision).itemsize + (self.cells // 2 + 1) ** 3 * 8
        self.kept = int((memory - WORK * each) // each)
        if self.kept < 3:
            raise TriangleError(
                f"memory={memory / 1e6:.3g} MB holds fewer than three shells on a mesh of "
                f"{self.cells} cells, for which {(3 + WORK) * each / 1e6:.3g} MB are needed"
            )
        self._modes = self._cropped(density)
        self._cache: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._pair: tuple[int, int] | None = None
        self._product = np.empty(0)
        many = multiplicity(self.cells)
        self._many = many[:, None, None] * many[:, None] * many

    def _cropped(self, density: Density) -> np.ndarray:
        """The modes up to the largest that is asked for, in the order of a smaller mesh."""
        at = min(self._reach, self.cells // 2 - 1)
        modes = np.zeros((2 * at + 1, 2 * at + 1, at + 1), density.modes.dtype)
        rows = np.r_[0 : at + 1, -at:0]
        for i, row in enumerate(rows):
            modes[i] = density.modes[row][rows, : at + 1]
        self._rows = rows
        return modes

    def _made(self, shell: int) -> tuple[np.ndarray, np.ndarray]:
        low, high = self._limits[shell]
        at = self._modes.shape[2] - 1
        half = self.cells // 2
        chosen = np.zeros((self.cells, self.cells, half + 1), self._modes.dtype)
        plane = self._rows[:, None] ** 2 + np.arange(at + 1) ** 2
        for i, row in enumerate(self._rows):
            total = plane + int(row) ** 2
            chosen[row][self._rows, : at + 1] = self._modes[i] * ((total >= low) & (total < high))
        field = inverse(chosen, self.cells)
        square = squares(self.cells)
        octant = square[:, None, None] + square[:, None] + square
        ones = ((octant >= low) & (octant < high)).astype(np.float64)
        return field, cosine_transform(ones) / float(self.cells) ** 3

    def _shell(self, shell: int) -> tuple[np.ndarray, np.ndarray]:
        if shell not in self._cache:
            if len(self._cache) >= self.kept:
                self._cache.popitem(last=False)
            self._cache[shell] = self._made(shell)
        self._cache.move_to_end(shell)
        return self._cache[shell]

    def sums(self, first: int, second: int, third: int) -> tuple[float, float]:
        """sum D1 D2 D3 and sum I1 I2 I3 of three shells, times N^6: the sum over triangles, and the
        number of them."""
        (d1, i1), (d2, i2) = self._shell(first), self._shell(second)
        d3, i3 = self._shell(third)
        if self._pair != (first, second):
            self._product = d1 * d2
            self._pair = (first, second)
        total = sum(float(np.vdot(a, b)) for a, b in zip(self._product, d3, strict=True))
        number = float(np.sum(i1 * i2 * i3 * self._many))
        scale = float(self.cells) ** 6
        return scale * total, float(np.round(scale * number))
