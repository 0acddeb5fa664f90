"""Two-point correlation functions: of densities by their modes, of catalogues by counting pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from .bins import ROUNDING, mean_of, warn_empty
from .density import Density, inverse, known_array, same_mesh
from .errors import BinError, DensityError
from .modes import binned, folded, multiplicity, product, sums
from .painted_noise import noise_planes


@dataclass(frozen=True)
class Correlation:
    """xi(r) [bins] at the mean distance ``r`` [bins] [Mpc/h] of the pairs of a bin.

    ``pairs`` [bins] is their number (of mesh points, or of objects, each counted once), ``edges``
    [bins + 1] [Mpc/h]. Empty bins are NaN. Shot noise is at r = 0 only, and is not in it.
    """

    r: np.ndarray
    values: np.ndarray
    pairs: np.ndarray
    edges: np.ndarray


def correlation_function(
    density: Density, other: Density | None = None, *, edges: Any = None
) -> Correlation:
    """xi(r) = <delta(x) delta(x + r)> = irfftn(|delta_k|^2) / N^3, over the mesh points of bins.

    Args:
        other: for the cross-correlation.
        edges: of bins in r [Mpc/h], from 0 to half of the box; without any, as wide as a cell, from
            half a cell on.

    The noise of painted objects is taken from |delta_k|^2 first. Raises BinError, DensityError.
    """
    mesh, cells = density.mesh, density.cells
    if other is not None:
        same_mesh(density, other)
    bins = _edges(mesh.cell, mesh.box_size, edges)
    read = product(density.modes, None if other is None else other.modes)
    modes = np.stack([read(i) for i in range(cells)])
    if other is None and density.shot_noise:
        _take_noise(modes, density)
    values = inverse(modes, cells)
    values /= np.asarray(float(cells) ** 3, values.dtype)
    number = sums(folded(lambda i: np.ones((cells, cells // 2 + 1)), cells), cells)[0]
    half = cells // 2
    total = sums(folded(lambda i: values[i, :, : half + 1], cells), cells)[0]
    square = (bins / mesh.cell) ** 2
    near = np.round(square)
    whole = np.where(np.abs(square - near) <= ROUNDING * np.maximum(near, 1.0), near, square)
    limits = np.ceil(whole).astype(np.int64)
    points = binned(number, limits)
    warn_empty(points, bins, "pair")
    r = mean_of(binned(number * np.sqrt(np.arange(len(number))), limits), points) * mesh.cell
    return Correlation(r, mean_of(binned(total, limits), points), points * cells**3 / 2.0, bins)


def _take_noise(modes: np.ndarray, density: Density) -> None:
    """Subtract the expected noise from |delta_k|^2, in place."""
    cells, half = density.cells, density.cells // 2
    many, scale = multiplicity(cells), float(cells) ** 6 / density.mesh.volume
    for i, plane in enumerate(noise_planes(density)):
        octant = scale * plane / (many[i] * np.outer(many, many))
        for row in {i, (cells - i) % cells}:
            modes[row, : half + 1] -= octant
            modes[row, half + 1 :] -= octant[half - 1 : 0 : -1]
    modes[0, 0, 0] = 0.0


def pair_correlation(
    positions: Any,
    box_size: float,
    edges: Any,
    *,
    other: Any = None,
    weights: Any = None,
    other_weights: Any = None,
) -> Correlation:
    """xi(r) = DD / RR - 1 of a catalogue in a periodic box, by pair counts with a k-d tree.

    RR is exact: that of a random catalogue without end, with as many pairs.

    Args:
        positions: [n, 3] [Mpc/h], wrapped into the box.
        edges: of bins in r [Mpc/h], ascending, at most half of the box.
        other: another catalogue [m, 3], for the cross-correlation.
        weights, other_weights: of the objects [n], [m].

    Raises DensityError for other shapes and NaN, BinError for other edges.
    """
    bins = _edges(box_size / 256, box_size, edges)
    first = _tree(positions, box_size)
    second = first if other is None else _tree(other, box_size)
    w1 = _weights(weights, first.n)
    w2 = w1 if other is None else _weights(other_weights, second.n)
    given = None if weights is None and other_weights is None else (w1, w2)
    within = np.asarray(first.count_neighbors(second, bins, weights=given), np.float64)
    # count_neighbors counts distances up to an edge; a bin begins at its lower edge
    pairs = np.diff(within)
    all_pairs = w1.sum() * w2.sum()
    if other is None:
        all_pairs -= np.sum(w1**2)
        if bins[0] <= 0.0:
            pairs[0] += within[0] - np.sum(w1**2)
        pairs, all_pairs = 0.5 * pairs, 0.5 * all_pairs
    elif bins[0] <= 0.0:
        pairs[0] += within[0]
    shells = 4.0 * np.pi / 3.0 * np.diff(bins**3) / box_size**3
    warn_empty(pairs, bins, "pair")
    values = np.where(pairs > 0, pairs / (all_pairs * shells) - 1.0, np.nan)
    return Correlation(_middles(bins), values, pairs, bins)


def _middles(bins: np.ndarray) -> np.ndarray:
    """Mean distance in shells of uniform density."""
    return 0.75 * np.diff(bins**4) / np.diff(bins**3)


def _tree(positions: Any, box_size: float) -> KDTree:
    where = known_array(positions).astype(np.float64)
    if where.ndim != 2 or where.shape[1] != 3 or not len(where):
        raise DensityError(f"positions have shape {where.shape}; expected (n, 3), n >= 1")
    if not np.all(np.isfinite(where)):
        raise DensityError(f"{int(np.sum(~np.isfinite(where)))} coordinates are NaN or infinite")
    wrapped = where % box_size
    return KDTree(np.where(wrapped < box_size, wrapped, 0.0), boxsize=box_size)


def _weights(weights: Any, count: int) -> np.ndarray:
    if weights is None:
        return np.ones(count)
    found = known_array(weights).astype(np.float64)
    if found.shape != (count,) or not np.all(np.isfinite(found)):
        raise DensityError(
            f"weights have shape {found.shape}; expected ({count},), all of them finite"
        )
    return found


def _edges(cell: float, box_size: float, edges: Any) -> np.ndarray:
    if edges is None:
        return cell * (0.5 + np.arange(int(box_size / (2.0 * cell) * (1.0 + ROUNDING))))
    given = np.asarray(edges, np.float64)
    if given.ndim != 1 or len(given) < 2 or not np.all(np.isfinite(given)):
        raise BinError(f"edges have shape {given.shape}; expected two finite numbers or more")
    if given[0] < 0.0 or np.any(np.diff(given) <= 0.0) or given[-1] > 0.5 * box_size:
        raise BinError(
            f"edges of r have to ascend from 0 or more to at most half of the box, "
            f"{0.5 * box_size:.6g} Mpc/h"
        )
    return given
