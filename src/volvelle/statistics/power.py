"""Power spectra of densities: auto and cross, multipoles, correlation and transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .bins import checked_edges, mean_of, thresholds, warn_empty
from .density import Density, same_mesh
from .errors import StatisticsError
from .modes import binned, counts, folded, product, sums
from .painted_noise import noise_planes

ORDERS = (0, 2, 4)
LEGENDRE = np.array([[1.0, 0.0, 0.0], [-0.5, 1.5, 0.0], [0.375, -3.75, 4.375]])
"""L_0, L_2, L_4 in powers of mu^2."""


@dataclass(frozen=True)
class PowerSpectrum:
    """P(k) = (V / N^6) <Re(a b*)> over the modes of each bin, a, b not normalised.

    ``k`` [bins] is the mean |k| of the modes of a bin [h/Mpc], ``values`` [bins] [(Mpc/h)^3] what
    is measured, ``shot_noise`` [bins] what discrete objects add to it (0 for fields and for cross
    spectra), ``modes`` [bins] the number of modes, k and -k counted both, ``edges`` [bins + 1]
    [h/Mpc]. Empty bins are NaN.
    """

    k: np.ndarray
    values: np.ndarray
    shot_noise: np.ndarray
    modes: np.ndarray
    edges: np.ndarray

    @property
    def subtracted(self) -> np.ndarray:
        """Values without shot noise [(Mpc/h)^3]."""
        return self.values - self.shot_noise

    @property
    def error(self) -> np.ndarray:
        """Standard deviation of an auto spectrum's values, of a Gaussian field, P sqrt(2 / modes)
        [(Mpc/h)^3]."""
        return np.where(self.modes > 0, self.values, np.nan) * np.sqrt(
            2.0 / np.maximum(self.modes, 1.0)
        )

    @property
    def empty(self) -> np.ndarray:
        """[bins] of bool: no mode."""
        return self.modes == 0


@dataclass(frozen=True)
class Multipoles:
    """P_l(k) = (2l + 1) (V / N^6) <Re(a b*) L_l(mu)>, mu = k_axis / k, l = 0, 2, 4.

    ``values`` and ``shot_noise`` [3, bins], all else as of ``PowerSpectrum``. The mean is over the
    modes that a bin has: those of the first bins do not cover mu evenly.
    """

    k: np.ndarray
    values: np.ndarray
    shot_noise: np.ndarray
    modes: np.ndarray
    edges: np.ndarray
    axis: int

    @property
    def subtracted(self) -> np.ndarray:
        """Values without shot noise [3, bins] [(Mpc/h)^3]."""
        return self.values - self.shot_noise

    @property
    def empty(self) -> np.ndarray:
        """[bins] of bool: no mode."""
        return self.modes == 0


def power_spectrum(
    density: Density, other: Density | None = None, *, edges: Any = None
) -> PowerSpectrum:
    """P(k) of a density, or of two.

    Args:
        other: for the cross spectrum; objects that are in both catalogues add shot noise to it,
            which is not stated.
        edges: of bins [h/Mpc], ascending, at most Nyquist's wavenumber; without any, bins as wide
            as the fundamental (see ``linear_edges``, ``log_edges``).

    Raises BinError for other edges, DensityError for two meshes. Warns of empty bins.
    """
    bins = checked_edges(density.mesh, edges)
    table, noise = _tables(density, other, None, (0,))
    k, modes, (values, expected) = _in_bins(density, bins, np.stack([table[0], noise[0]]))
    return PowerSpectrum(k, values, expected, modes, bins)


def power_multipoles(
    density: Density, other: Density | None = None, *, axis: int = 2, edges: Any = None
) -> Multipoles:
    """P_0, P_2 and P_4 about a line of sight along an axis of the box, seen from far.

    Args:
        axis: 0, 1 or 2.
        other, edges: as of ``power_spectrum``.

    Raises as ``power_spectrum``, and StatisticsError for another axis.
    """
    if axis not in (0, 1, 2):
        raise StatisticsError(f"axis {axis!r} is none of a box; expected 0, 1 or 2")
    bins = checked_edges(density.mesh, edges)
    table, noise = _tables(density, other, axis, ORDERS)
    both = np.stack([LEGENDRE @ table, LEGENDRE @ noise])
    both *= (2.0 * np.array(ORDERS) + 1.0)[:, None]
    k, modes, (values, expected) = _in_bins(density, bins, both)
    return Multipoles(k, values, expected, modes, bins, axis)


@dataclass(frozen=True)
class Ratio:
    """A dimensionless function of k, of two densities: ``values`` [bins] at ``k`` [h/Mpc]."""

    k: np.ndarray
    values: np.ndarray
    modes: np.ndarray
    edges: np.ndarray


def cross_correlation(
    density: Density, other: Density, *, edges: Any = None, subtract_noise: bool = False
) -> Ratio:
    """r(k) = P_ab / sqrt(P_aa P_bb): 1 where the phases are the same.

    Args:
        edges: as of ``power_spectrum``.
        subtract_noise: take the shot noise from P_aa and P_bb; values are NaN where nothing is left
            of one.
    """
    both = power_spectrum(density, other, edges=edges)
    first, second = (_auto(each, edges, subtract_noise) for each in (density, other))
    root = np.sqrt(_positive(first)) * np.sqrt(_positive(second))
    return Ratio(both.k, both.values / root, both.modes, both.edges)


def transfer(
    density: Density, other: Density, *, edges: Any = None, subtract_noise: bool = False
) -> Ratio:
    """T(k) = sqrt(P_aa / P_bb) of a density over another one.

    ``edges``, ``subtract_noise``: as of ``cross_correlation``.
    """
    same_mesh(density, other)
    one = power_spectrum(density, edges=edges)
    first, second = (_auto(each, edges, subtract_noise) for each in (density, other))
    return Ratio(one.k, np.sqrt(_positive(first) / _positive(second)), one.modes, one.edges)


def _auto(density: Density, edges: Any, subtract_noise: bool) -> np.ndarray:
    found = power_spectrum(density, edges=edges)
    return found.subtracted if subtract_noise else found.values


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0.0, values, np.nan)


def _tables(
    density: Density, other: Density | None, axis: int | None, powers: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of power times mu^power, and of the noise in it, by |k|^2 [powers, |k|^2]."""
    cells = density.cells
    if other is not None:
        same_mesh(density, other)
    read = product(density.modes, None if other is None else other.modes)
    scale = density.mesh.volume / float(cells) ** 6
    table = scale * sums(folded(read, cells), cells, axis, powers)
    if other is not None or not density.shot_noise:
        return table, np.zeros_like(table)
    return table, sums(noise_planes(density), cells, axis, powers)


def _in_bins(
    density: Density, edges: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean |k|, number of modes, means of the table's rows."""
    limits = thresholds(density.mesh, edges)
    number = counts(density.cells)
    modes = binned(number, limits)
    lengths = density.mesh.fundamental * np.sqrt(np.arange(len(number)))
    warn_empty(modes, edges, "mode")
    k = mean_of(binned(number * lengths, limits), modes)
    return k, modes, mean_of(binned(table, limits), modes)
