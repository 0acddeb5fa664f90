"""Spherical voids that do not overlap, and how many there are of each size.

For radii from the largest to the least: delta is averaged over spheres of this radius, and mesh
points below the threshold are taken, the emptiest first, unless their sphere would overlap one that
was taken before: d < R + R', for points on a mesh a matter of whole numbers. After the finder of
A. Banerjee & N. Dalal 2016, arXiv:1606.06167.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .density import Density
from .errors import RadiusError
from .smoothing import Kernel, check_radius, inside, smoothed

THRESHOLD = -0.7
LEAST = 4.0
"""Cells in the least radius: below it, spheres of mesh points are none."""
CHUNK = 4096
"""Candidates looked at together."""


@dataclass(frozen=True)
class Voids:
    """Spheres, from the largest to the smallest.

    ``centres`` [voids, 3] [Mpc/h], ``radii`` [voids] [Mpc/h], ``delta`` [voids] as smoothed by the
    kernel, ``achieved`` [voids] the mean of delta over the mesh points inside, whatever the kernel.
    """

    centres: np.ndarray
    radii: np.ndarray
    delta: np.ndarray
    achieved: np.ndarray
    threshold: float
    kernel: str
    searched: np.ndarray
    """Radii [Mpc/h], descending."""
    box_size: float

    @property
    def counts(self) -> np.ndarray:
        """Voids of each radius that was searched."""
        return np.array([int(np.sum(self.radii == radius)) for radius in self.searched])

    @property
    def filling(self) -> float:
        """The fraction of the box that is in voids."""
        return float(np.sum(self.radii**3)) * 4.0 * np.pi / 3.0 / self.box_size**3

    def size_function(self) -> VoidSizes:
        """dn/dR = N_i / [V (R_i - R_i+1)] of every radius but the least, which has no next."""
        if len(self.searched) < 2:
            raise RadiusError("a size function needs two radii or more")
        number, width = self.counts[:-1], -np.diff(self.searched)
        scale = self.box_size**3 * width
        middle = 0.5 * (self.searched[1:] + self.searched[:-1])
        return VoidSizes(middle, number / scale, np.sqrt(number) / scale, number)


@dataclass(frozen=True)
class VoidSizes:
    """dn/dR [(h/Mpc)^4] at ``radius`` [Mpc/h], the middles between radii; ``error`` is that of a
    Poisson count, ``counts`` the number of voids."""

    radius: np.ndarray
    values: np.ndarray
    error: np.ndarray
    counts: np.ndarray


def find_voids(
    density: Density,
    radii: Any,
    *,
    threshold: float = THRESHOLD,
    kernel: Kernel = "cells",
) -> Voids:
    """Non-overlapping spheres whose mean delta is below a threshold.

    Args:
        radii: [Mpc/h], in any order; four cells or more, less than a quarter of the box.
        threshold: of the mean delta in a sphere, between -1 and 0.
        kernel: ``cells``, with which every void has exactly the density that was asked for, or
            ``sphere``, which is smooth but rings where radii are a few cells.

    Raises RadiusError for radii that the mesh does not hold, or another threshold.
    """
    searched = np.unique(np.asarray(radii, np.float64).ravel())[::-1]
    mesh = density.mesh
    if not len(searched):
        raise RadiusError("no radius to look for voids of")
    for radius in searched:
        check_radius(mesh, radius, kernel)
    if searched[-1] < LEAST * mesh.cell or searched[0] >= 0.25 * mesh.box_size:
        raise RadiusError(
            f"radii reach from {searched[-1]:.4g} to {searched[0]:.4g} Mpc/h; expected {LEAST:.0f} "
            f"cells ({LEAST * mesh.cell:.4g}) or more and less than a quarter of the box "
            f"({0.25 * mesh.box_size:.4g})"
        )
    if not -1.0 < threshold < 0.0:
        raise RadiusError(f"the threshold is {threshold}; expected one between -1 and 0")
    centres, sizes, values = _search(density, searched, threshold, kernel)
    return Voids(
        centres=centres * mesh.cell,
        radii=sizes,
        delta=values,
        achieved=_means(density.field(), centres, sizes / mesh.cell),
        threshold=threshold,
        kernel=kernel,
        searched=searched,
        box_size=mesh.box_size,
    )


def _search(
    density: Density, searched: np.ndarray, threshold: float, kernel: Kernel
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mesh points [voids, 3], radii [Mpc/h] and smoothed delta of the voids."""
    cells, cell = density.cells, density.mesh.cell
    centres: list[np.ndarray] = []
    sizes: list[float] = []
    values: list[float] = []
    for radius in searched:
        delta = smoothed(density, radius, kernel)
        flat = np.flatnonzero(delta < threshold)
        if not len(flat):
            continue
        order = np.argsort(delta.ravel()[flat], kind="stable")
        flat = flat[order]
        taken = np.zeros((cells,) * 3, bool)
        for size in np.unique(sizes):
            ball = _ball((radius + size) / cell)
            for number in np.flatnonzero(np.asarray(sizes) == size):
                _mark(taken, centres[number], ball)
        own, marks = _ball(2.0 * radius / cell), taken.ravel()
        for start in range(0, len(flat), CHUNK):
            waiting = flat[start : start + CHUNK]
            waiting = waiting[~marks[waiting]]
            while len(waiting):
                found = np.array(np.unravel_index(waiting[0], taken.shape))
                centres.append(found)
                sizes.append(float(radius))
                values.append(float(delta.ravel()[waiting[0]]))
                _mark(taken, found, own)
                waiting = waiting[~marks[waiting]]
    return (
        np.array(centres, dtype=np.int64).reshape(-1, 3),
        np.array(sizes, dtype=np.float64),
        np.array(values, dtype=np.float64),
    )


def _ball(radius: float) -> np.ndarray:
    """Offsets at less than a distance [cells], a cube of bool around its middle; those at the
    distance itself touch and do not overlap."""
    reach = int(np.ceil(radius))
    square = np.arange(-reach, reach + 1) ** 2
    total = square[:, None, None] + square[:, None] + square
    return total < radius**2 * (1.0 - 1e-12)


def _mark(taken: np.ndarray, centre: np.ndarray, ball: np.ndarray) -> None:
    """Set the points of a ball around a mesh point, periodically."""
    cells, reach = len(taken), len(ball) // 2
    low, high = centre - reach, centre + reach + 1
    if low.min() >= 0 and high.max() <= cells:
        x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
        taken[x, y, z] |= ball
        return
    x, y, z = (np.arange(a, b) % cells for a, b in zip(low, high, strict=True))
    if len(ball) <= cells:
        taken[np.ix_(x, y, z)] |= ball
        return
    for i, plane in zip(x, ball, strict=True):  # larger than the box: points come up twice
        rows, columns = np.nonzero(plane)
        taken[i, y[rows], z[columns]] = True


def _means(field: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """The mean over the mesh points within a radius [cells] of each centre."""
    found = np.empty(len(centres))
    for radius in np.unique(radii):
        reach = int(np.floor(radius * (1.0 + 1e-9)))
        offsets = np.arange(-reach, reach + 1)
        square = offsets**2
        ball = inside(square[:, None, None] + square[:, None] + square, radius)
        for number in np.flatnonzero(radii == radius):
            where = [(c + offsets) % len(field) for c in centres[number]]
            found[number] = field[np.ix_(*where)][ball].mean(dtype=np.float64)
    return found
