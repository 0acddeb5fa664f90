"""Shells of a lightcone: particles counted in the pixels of HEALPix, between comoving distances.

    delta_i(n) = N_i(n) / (nbar Omega_pix (r_{i+1}^3 - r_i^3) / 3) - 1

in a flat universe. Maps are in ring order (Gorski et al. 2005, ApJ 622, 759).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import healpy
import numpy as np

from .errors import SkyError


@dataclass(frozen=True)
class Shells:
    """Counts of particles in shells, and how many a homogeneous universe would have."""

    edges: np.ndarray
    """[n + 1] comoving distances [Mpc/h]."""
    counts: np.ndarray
    """[n, npix] particles, 0 outside of the mask."""
    expected: np.ndarray
    """[n] mean number of particles per pixel."""
    mask: np.ndarray
    """[npix] of bool: pixels that are seen."""

    @property
    def nside(self) -> int:
        """Resolution of the maps."""
        return healpy.npix2nside(len(self.mask))

    @property
    def f_sky(self) -> float:
        """Fraction of the sky that is seen."""
        return float(self.mask.mean())

    @property
    def contrast(self) -> np.ndarray:
        """[n, npix] density contrast, 0 outside of the mask."""
        return np.where(self.mask, self.counts / self.expected[:, None] - 1.0, 0.0)

    @property
    def shot_noise(self) -> np.ndarray:
        """[n] white spectrum of the contrast of Poisson's points: 1 over their number per sr."""
        return healpy.nside2pixarea(self.nside) / self.expected

    def plus(self, other: Shells) -> Shells:
        """The same shells with the particles of another part of the lightcone as well.

        Raises SkyError for other shells.
        """
        if not np.array_equal(self.edges, other.edges) or self.counts.shape != other.counts.shape:
            raise SkyError(
                f"shells {self.edges} at nside {self.nside} and {other.edges} at {other.nside}; "
                "expected the same edges and pixels"
            )
        return Shells(self.edges, self.counts + other.counts, self.expected, self.mask)


def shells(
    positions: Any,
    edges: Any,
    nside: int,
    density: float,
    mask: Any = None,
) -> Shells:
    """Count particles of a lightcone in shells, from one edge, below the next.

    Args:
        positions: [N, 3] relative to the observer [Mpc/h].
        edges: [n + 1] ascending comoving distances that the lightcone covers [Mpc/h].
        nside: resolution, a power of 2.
        density: mean comoving number of particles [(h/Mpc)^3].
        mask: [npix] of bool, in ring order; the whole sky for None.

    Raises SkyError for arguments that do not fit.
    """
    if not healpy.isnsideok(nside, nest=True):
        raise SkyError(f"nside is {nside}; expected a power of 2")
    places = checked_positions(positions)
    ends = checked_distances(edges)
    if not (np.isfinite(density) and density > 0.0):
        raise SkyError(f"density is {density}; expected a positive number [(h/Mpc)^3]")
    pixels = healpy.nside2npix(nside)
    seen = np.ones(pixels, bool) if mask is None else checked_mask(mask, pixels)
    distance = np.sqrt(np.sum(places**2, axis=1))
    shell = np.searchsorted(ends, distance, side="right") - 1
    inside = (shell >= 0) & (shell < len(ends) - 1) & (distance > 0.0)
    pixel = healpy.vec2pix(nside, *places[inside].T)
    number = len(ends) - 1
    counts = np.bincount(shell[inside] * pixels + pixel, minlength=number * pixels)
    volume = healpy.nside2pixarea(nside) * np.diff(ends**3) / 3.0
    counts = np.where(seen, counts.reshape(number, pixels), 0)
    return Shells(ends, counts, density * volume, seen)


def cap(nside: int, direction: Any, opening: float) -> np.ndarray:
    """[npix] of bool: pixels whose centre is within an angle of a direction.

    Args:
        direction: [3], of any length.
        opening: angle from the axis to the rim [deg], above 0 and at most 180.

    Raises SkyError for a direction or an angle that is none.
    """
    axis = np.asarray(direction, np.float64)
    if axis.shape != (3,) or not np.linalg.norm(axis) > 0.0 or not 0.0 < opening <= 180.0:
        raise SkyError(
            f"direction {direction} and opening {opening}; expected three numbers that are not all "
            "0, and an angle above 0 and at most 180 degrees"
        )
    centres = np.stack(healpy.pix2vec(nside, np.arange(healpy.nside2npix(nside))), axis=-1)
    return centres @ (axis / np.linalg.norm(axis)) >= np.cos(np.radians(opening))


def checked_positions(positions: Any) -> np.ndarray:
    """[N, 3] as float64; raises SkyError for another shape and for what is not finite."""
    places = np.asarray(positions, np.float64)
    if places.ndim != 2 or places.shape[1] != 3 or not np.all(np.isfinite(places)):
        raise SkyError(
            f"positions have shape {places.shape}; expected finite numbers [N, 3], relative to the "
            "observer [Mpc/h]"
        )
    return places


def checked_distances(edges: Any) -> np.ndarray:
    """[n + 1] as float64; raises SkyError unless they ascend from 0 or more."""
    ends = np.asarray(edges, np.float64)
    good = ends.ndim == 1 and len(ends) > 1 and np.all(np.isfinite(ends))
    if not good or ends[0] < 0.0 or np.any(np.diff(ends) <= 0.0):
        raise SkyError(f"edges are {edges}; expected two or more ascending distances [Mpc/h]")
    return ends


def checked_mask(mask: Any, pixels: int) -> np.ndarray:
    """[npix] of bool; raises SkyError for another shape or type, or an empty one."""
    seen = np.asarray(mask)
    if seen.shape != (pixels,) or seen.dtype != bool or not seen.any():
        raise SkyError(
            f"a mask of shape {seen.shape} and type {seen.dtype}; expected {pixels} pixels of bool "
            "(ring order), of which some are seen"
        )
    return seen
