"""Bins in wavenumber: from one edge, below the next."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from volvelle.nbody import Mesh

from .errors import BinError, EmptyBinWarning

ROUNDING = 1e-9
"""Relative, of a squared edge that is meant to be a whole number of fundamentals."""


def linear_edges(mesh: Mesh, width: float = 1.0, high: float | None = None) -> np.ndarray:
    """Edges (1/2 + i) width [h/Mpc] up to Nyquist's wavenumber, or to ``high``.

    Args:
        width: of each bin, in fundamentals 2 pi / L.
    """
    if not (np.isfinite(width) and width >= 1.0):
        raise BinError(f"bins of {width} fundamentals; expected at least 1, or some are empty")
    end = mesh.nyquist if high is None else high
    number = int(np.floor((end / mesh.fundamental - 0.5) / width * (1.0 + ROUNDING)))
    if number < 1:
        raise BinError(
            f"no bin of {width} fundamentals fits below {end:.4g} h/Mpc; the fundamental is "
            f"{mesh.fundamental:.4g}"
        )
    return mesh.fundamental * (0.5 + width * np.arange(number + 1))


def log_edges(
    mesh: Mesh, number: int, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """``number`` bins of equal width in ln k, from the fundamental to Nyquist's wavenumber.

    Args:
        low, high: the ends [h/Mpc], if they are others.

    The first ones may hold no mode: measurements say so.
    """
    first = mesh.fundamental if low is None else low
    last = mesh.nyquist if high is None else high
    if number < 1 or not 0.0 < first < last:
        raise BinError(f"{number} bins from {first} to {last} h/Mpc; expected some, ascending")
    edges = np.geomspace(first, last, number + 1)
    edges[[0, -1]] = first, last
    return edges


def checked_edges(mesh: Mesh, edges: Any, limit: float | None = None) -> np.ndarray:
    """Edges [h/Mpc] as float64; those of ``linear_edges`` for None.

    Raises BinError unless they ascend from 0 or more to at most Nyquist's wavenumber (or the
    ``limit`` [h/Mpc]).
    """
    given = linear_edges(mesh) if edges is None else np.asarray(edges, np.float64)
    highest = mesh.nyquist if limit is None else limit
    if given.ndim != 1 or len(given) < 2 or not np.all(np.isfinite(given)):
        raise BinError(f"edges have shape {given.shape}; expected two finite numbers or more")
    if given[0] < 0.0 or np.any(np.diff(given) <= 0.0):
        raise BinError("edges have to ascend from 0 or more")
    if given[-1] > highest * (1.0 + ROUNDING):
        raise BinError(
            f"the last edge is {given[-1]:.6g} h/Mpc; a mesh of {mesh.cells} cells in "
            f"{mesh.box_size} Mpc/h holds modes to {highest:.6g}. Take more cells or lower edges"
        )
    return given


def thresholds(mesh: Mesh, edges: np.ndarray) -> np.ndarray:
    """The least |k|^2 / k_f^2 that lies at or above each edge; k = 0 belongs to no bin."""
    square = (edges / mesh.fundamental) ** 2
    near = np.round(square)
    whole = np.where(np.abs(square - near) <= ROUNDING * np.maximum(near, 1.0), near, square)
    return np.maximum(np.ceil(whole), 1.0).astype(np.int64)


def mean_of(total: np.ndarray, number: np.ndarray) -> np.ndarray:
    """total / number, NaN where there is nothing."""
    return np.where(number > 0, total / np.maximum(number, 1.0), np.nan)


def warn_empty(number: np.ndarray, edges: np.ndarray, what: str) -> None:
    """Say which bins hold nothing; their values are NaN."""
    empty = np.flatnonzero(number == 0)
    if len(empty):
        named = ", ".join(f"{edges[i]:.4g} to {edges[i + 1]:.4g}" for i in empty[:5])
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        warnings.warn(
            f"{len(empty)} of {len(number)} bins hold no {what} and are NaN: {named}{more}",
            EmptyBinWarning,
            stacklevel=3,
        )
