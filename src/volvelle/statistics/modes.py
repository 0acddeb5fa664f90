"""Sums over the modes of a mesh by |k|, from which every isotropic statistic follows.

A mode of a cube has k = k_f (i, j, l) with whole numbers, so that |k|^2 / k_f^2 is one as well:
sums are kept for every such number, and bins are made of them afterwards. Modes that differ by
signs are added before they are sorted, plane by plane, which leaves an eighth of them and no large
arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Plane = np.ndarray
"""[h + 1, h + 1] with h = n/2: over |j| and |l|."""


def squares(cells: int) -> np.ndarray:
    """i^2 for i = 0..n/2."""
    return np.arange(cells // 2 + 1, dtype=np.int64) ** 2


def multiplicity(cells: int) -> np.ndarray:
    """How many of n wavenumbers have each |i| = 0..n/2."""
    counts = np.full(cells // 2 + 1, 2.0)
    counts[[0, -1]] = 1.0
    return counts


def folded(read: Callable[[int], Plane], cells: int) -> Iterator[Plane]:
    """For |i| = 0..n/2, the sum over all modes of the cube with the same |i|, |j|, |l|.

    Args:
        read: the plane [n, n/2 + 1] of a real quantity at the first index, as rfftn stores it; the
            modes with a negative l, which are not stored, have the same.
        cells: n, per side.
    """
    half = cells // 2
    twice = multiplicity(cells).astype(np.float32)  # 1 and 2 are exact
    for i in range(half + 1):
        plane = read(i) if i in (0, half) else read(i) + read(cells - i)
        summed = plane[: half + 1].copy()
        summed[1:half] += plane[:half:-1]
        summed *= twice
        yield summed


def product(first: np.ndarray, second: np.ndarray | None = None) -> Callable[[int], Plane]:
    """Planes of Re(a b*), of |a|^2 without b."""
    other = first if second is None else second

    def read(i: int) -> Plane:
        a, b = first[i], other[i]
        return a.real * b.real + a.imag * b.imag

    return read


def sums(
    planes: Iterator[Plane], cells: int, axis: int | None = None, powers: tuple[int, ...] = (0,)
) -> np.ndarray:
    """Of folded planes times mu^power, mu = k_axis / k, for every |k|^2 / k_f^2.

    Returns [powers, 3 (n/2)^2 + 1].
    """
    square = squares(cells)
    along = [np.zeros_like(square), square[:, None], square[None, :]]
    flat = (square[:, None] + square[None, :]).ravel()
    longest = int(flat[-1]) + 1
    found = np.zeros((len(powers), int(3 * square[-1]) + 1))
    for i, plane in zip(square, planes, strict=True):
        weights = plane.ravel()
        if axis is not None:
            parallel = np.broadcast_to(i if axis == 0 else along[axis], plane.shape).ravel()
            mu_squared = parallel / np.maximum(flat + i, 1)
        for row, power in enumerate(powers):
            each = weights * mu_squared ** (power // 2) if power else weights
            # every |k|^2 of this plane is shifted by i^2: the sorting stays the same
            found[row, i : i + longest] += np.bincount(flat, each, minlength=longest)
    return found


def counts(cells: int) -> np.ndarray:
    """The number of modes for every |k|^2 / k_f^2."""
    many = multiplicity(cells)
    return sums((m * np.outer(many, many) for m in many), cells)[0]


def binned(table: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Sums [..., bins] of a table [..., |k|^2] between whole numbers: from one, below the next."""
    running = np.concatenate([np.zeros((*table.shape[:-1], 1)), np.cumsum(table, axis=-1)], axis=-1)
    return np.diff(running[..., np.minimum(thresholds, table.shape[-1])], axis=-1)
