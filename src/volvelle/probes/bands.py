"""Nodes and tables of projections without Limber's approximation: static, and no cosmology.

Distances are in units that make the last node's fixed, wavenumbers in the inverse of it: a universe
stretches both. What is made once is kept in memory, for the same multipoles and samples.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .errors import BeyondLimberError
from .extent import Extent, reach, settled_ell
from .grid import fiducial_distances, fiducial_redshift
from .spherical_bessel import Splines

_FIRST = 2e-4
"""Redshift of the lowest node, at 1 Mpc: for lensing at l = 2, 4 Mpc is too far by 2e-3."""
_REFERENCE = 1e-3
_NEAR = 100.0  # [Mpc] below which steps in chi are equal
_STEP = 0.1  # of smooth kernels, in ln(chi + _NEAR), at a tolerance of 1e-3
_SAMPLING = 1.3  # radians of the fastest wave of a kernel between two nodes
_LENSED = 2.0  # times fewer where n(z) only lenses
_GROWTH = 0.25  # of steps, per step
_MARGIN = 0.03, 10.0  # around fine nodes: relative, and [Mpc]; universes differ in shape
_RATIO = 0.1  # of smooth functions of k, per step in ln k
_OVERSAMPLED = 1.1
_SMOOTH_TO = 0.3  # [1/Mpc]: nearer than (l + 1/2) / that, smooth kernels are Limber's
_BEGIN = 0.1  # of the largest distance, where smooth kernels must still be projected
_SHARE = 0.1  # of the tolerance, for what is cut along the line of sight
_FLAT = 0.05  # [1/Mpc] up to which P does not fall, or little
_SLACK = 1.3  # of the multipole at which a tracer is settled
_LOWEST = 0.12  # k chi over l + 1/2 below which j_l is too small to matter, l < 9
_LARGEST = 4e9  # bytes of tables


@dataclass(frozen=True, eq=False)
class Band:
    """Multipoles that share nodes, and their tables."""

    ell: np.ndarray
    z: np.ndarray
    """[n] redshifts of the nodes in the fiducial universe."""
    nodes: np.ndarray
    """[n] their distances there [Mpc]."""
    k: np.ndarray
    """[k] wavenumbers there [1/Mpc]."""
    start: np.ndarray
    """[l] number of the first wavenumber of a table."""
    weights: np.ndarray
    """[l, rows] of the integral over k, 0 beyond the last row of a table [1/Mpc]."""
    tables: dict[int, np.ndarray]
    """[l, rows, n] per order of the derivative of j_l (see ``spherical_bessel``)."""

    @property
    def highest(self) -> np.ndarray:
        """[l] the last wavenumbers of the tables."""
        rows = np.count_nonzero(self.weights, axis=1)
        return self.k[self.start + rows - 1]

    @property
    def bytes(self) -> int:
        """Size of the tables."""
        return sum(table.nbytes for table in self.tables.values())


@lru_cache(maxsize=8)
def make_band(
    multipoles: tuple[float, ...],
    extents: tuple[Extent, ...],
    orders: tuple[int, ...],
    tolerance: float,
) -> Band:
    """Nodes for multipoles and tracers that meet ``tolerance``, and their tables.

    Args:
        multipoles: [l] increasing.
        orders: the derivatives of j_l.

    Raises BeyondLimberError where the tables would be too large.
    """
    ell = np.asarray(multipoles)
    fineness = (tolerance / _REFERENCE) ** 0.25
    # What Limber's approximation is not good enough for, decides.
    top = [min(settled_ell(each, tolerance / 2.0), float(ell[-1])) + 0.5 for each in extents]
    reaches = [
        reach(each.amplitude, _SHARE * tolerance, max(nu / each.centre, _FLAT))
        for each, nu in zip(extents, top, strict=True)
    ]
    chi = _distances(extents, reaches, tolerance, fineness)
    high = np.maximum(_SMOOTH_TO, (ell + 0.5) / (_BEGIN * chi[-1]))
    for each, q, last in zip(extents, reaches, top, strict=True):
        if each.own:  # where its own spectrum is Limber's, others are, beyond their ends
            wanted = np.sqrt(q**2 + ((ell + 0.5) / each.bulk) ** 2)
            high = np.where(ell <= last * _SLACK, np.maximum(high, wanted), high)
    low = _least(ell) / chi[-1]
    own = [(each.fine[1], q) for each, q in zip(extents, reaches, strict=True) if each.own]
    k, step = _wavenumbers(float(low.min()), float(high.max()), own, fineness)
    start = np.maximum(np.searchsorted(k, low) - 1, 0)
    stop = np.minimum(np.searchsorted(k, high * (1.0 - 1e-9)) + 1, k.size)
    rows = int(np.max(stop - start))
    size = 8.0 * ell.size * rows * chi.size * len(orders)
    if size > _LARGEST:
        raise BeyondLimberError(
            f"tables of {size / 1e9:.1f} GB for {ell.size} multipoles without Limber's "
            f"approximation ({rows} wavenumbers, {chi.size} distances); expected less than "
            f"{_LARGEST / 1e9:g} GB: ask for fewer multipoles or a larger tolerance, give samples "
            "that are known when the program is traced, or say limber='always'"
        )
    start = np.minimum(start, k.size - rows)
    weights = np.zeros((ell.size, rows))
    tables = {order: np.zeros((ell.size, rows, chi.size)) for order in orders}
    splines = Splines(chi)
    for n, (begin, end) in enumerate(zip(start, stop, strict=True)):
        weights[n, : end - begin] = step[begin:end]
        weights[n, end - begin - 1] /= 2.0
        found = splines.moments(ell[n], k[begin:end], orders)
        for order, table in zip(orders, found, strict=True):
            tables[order][n, : end - begin] = table
    return Band(ell, _redshifts(chi, extents), chi, k, start, weights, tables)


def _distances(
    extents: tuple[Extent, ...], reaches: list[float], tolerance: float, fineness: float
) -> np.ndarray:
    """[n] nodes that follow every kernel, from the first to the last distance [Mpc]."""
    nearest = float(np.interp(_FIRST, *fiducial_distances(1.0)))
    first = min(each.near * (1.0 - _MARGIN[0]) - _MARGIN[1] for each in extents)
    chi = np.linspace(max(first, nearest), max(each.far for each in extents), 20000)
    step = _STEP * fineness * (chi + _NEAR)
    for each, q in zip(extents, reaches, strict=True):
        if each.own:
            finest = _SAMPLING / q * fineness
        elif isinstance(each.sampled, np.ndarray):
            sampled = reach(each.sampled, _SHARE * tolerance, 1.0 / each.centre)
            finest = _LENSED * _SAMPLING / sampled * fineness
        else:
            finest = each.sampled * fineness
        low, high = each.fine
        low, high = low * (1.0 - _MARGIN[0]) - _MARGIN[1], high * (1.0 + _MARGIN[0]) + _MARGIN[1]
        step = np.where((chi >= low) & (chi <= high), np.minimum(step, finest), step)
    step = np.minimum.accumulate(step - _GROWTH * chi) + _GROWTH * chi
    step = np.minimum.accumulate((step + _GROWTH * chi)[::-1])[::-1] - _GROWTH * chi
    return _spread(chi, 1.0 / step, 8)[0]


def _redshifts(chi: np.ndarray, extents: tuple[Extent, ...]) -> np.ndarray:
    """z of the nodes; the last is that of the tracer which ends there, exactly."""
    z = fiducial_redshift(chi)
    z[-1] = max(each.z_far for each in extents)
    return z


def _wavenumbers(
    low: float, high: float, own: list[tuple[float, float]], fineness: float
) -> tuple[np.ndarray, np.ndarray]:
    """[k] nodes and weights: even steps of a smooth function of k, so that sums are integrals.

    Spectra of structure up to a wavenumber q, along lines of sight that end at ``far``, wave as
    fast as far q / k where k > q, and else as fast as far.
    """
    k = np.geomspace(low, high, 20000)
    density = 1.0 / (_RATIO * fineness * k)
    if own:
        far, q = (max(each) for each in zip(*own, strict=True))
        density = density + _OVERSAMPLED * far / np.pi * q / np.sqrt(q**2 + k**2)
    return _spread(k, density, 16)


def _spread(x: np.ndarray, density: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of this density from the first to the last x, and their steps."""
    pieces = np.diff(x) * (density[1:] + density[:-1]) / 2.0
    count = np.concatenate([[0.0], np.cumsum(pieces)])
    number = max(int(np.ceil(count[-1])), least)
    nodes = np.interp(np.linspace(0.0, count[-1], number + 1), count, x)
    return nodes, count[-1] / number / np.interp(nodes, x, density)


def _least(ell: np.ndarray) -> np.ndarray:
    """[l] x below which j_l(x) may be left out."""
    nu = ell + 0.5
    return np.maximum(_LOWEST * nu, nu - 6.0 * nu ** (1.0 / 3.0))
