"""Which directions an observer looks at."""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import healpy
import numpy as np

from .errors import LightconeError

Directions = np.ndarray


class Footprint(eqx.Module):
    """A part of the sky; right ascension and declination are those of the box's axes."""

    @abstractmethod
    def contains(self, directions: Directions) -> np.ndarray:
        """Whether unit vectors [N, 3] lie in it."""

    @abstractmethod
    def touches(self, direction: np.ndarray, radius: float) -> bool:
        """Whether any of it may lie within ``radius`` [rad] of a unit vector; in doubt yes."""

    @abstractmethod
    def pixels(self, nside: int) -> np.ndarray:
        """Which pixels of HEALPix [12 nside^2] (ring order) lie in it as a whole; in doubt not.

        Raises LightconeError where its own pixels are no parts of these, nor these of them.
        """

    @property
    @abstractmethod
    def fraction(self) -> float:
        """Of the whole sky."""


class Cap(Footprint):
    """All directions within an angle of one.

    Args:
        ra, dec: of the middle [deg].
        radius: [deg], above 0 and at most 180.

    Raises LightconeError for other angles.
    """

    ra: float
    dec: float
    radius: float

    def __check_init__(self) -> None:
        if not (np.isfinite(self.ra) and abs(self.dec) <= 90.0 and 0.0 < self.radius <= 180.0):
            raise LightconeError(
                f"a footprint of ra {self.ra}, dec {self.dec}, radius {self.radius} degrees; "
                "expected dec from -90 to 90 and a radius above 0, to 180"
            )

    @property
    def middle(self) -> np.ndarray:
        """As unit vector."""
        return vectors(np.array([self.ra]), np.array([self.dec]))[0]

    def contains(self, directions: Directions) -> np.ndarray:
        """See ``Footprint``."""
        return directions @ self.middle >= np.cos(np.radians(self.radius))

    def touches(self, direction: np.ndarray, radius: float) -> bool:
        """See ``Footprint``."""
        angle = np.arccos(np.clip(direction @ self.middle, -1.0, 1.0))
        return bool(angle <= np.radians(self.radius) + radius)

    def pixels(self, nside: int) -> np.ndarray:
        """See ``Footprint``."""
        number = healpy.nside2npix(nside)
        within = np.radians(self.radius) - healpy.max_pixrad(nside)
        if self.radius >= 180.0:
            return np.ones(number, bool)
        centres = np.stack(healpy.pix2vec(nside, np.arange(number)), -1)
        return (within > 0.0) & (centres @ self.middle >= np.cos(max(within, 0.0)))

    @property
    def fraction(self) -> float:
        """See ``Footprint``."""
        return 0.5 * (1.0 - float(np.cos(np.radians(self.radius))))


class PixelMask(Footprint):
    """The pixels of a HEALPix map in ring order that are True.

    Raises LightconeError for an array of another size, and where no pixel is True.
    """

    mask: np.ndarray

    def __init__(self, pixels: np.ndarray) -> None:
        pixels = np.asarray(pixels)
        if pixels.ndim != 1 or not healpy.isnpixok(pixels.size):
            raise LightconeError(
                f"a mask of shape {pixels.shape}; expected 12 nside^2 pixels in ring order"
            )
        if not np.any(pixels > 0):
            raise LightconeError("a mask without a pixel to look at; expected some above 0")
        self.mask = pixels > 0

    @property
    def nside(self) -> int:
        """Of the map."""
        return healpy.npix2nside(self.mask.size)

    def contains(self, directions: Directions) -> np.ndarray:
        """See ``Footprint``."""
        return self.mask[healpy.vec2pix(self.nside, *directions.T)]

    def touches(self, direction: np.ndarray, radius: float) -> bool:
        """See ``Footprint``."""
        if radius >= np.pi:
            return True
        near = healpy.query_disc(self.nside, direction, radius, inclusive=True)
        return bool(np.any(self.mask[near]))

    def pixels(self, nside: int) -> np.ndarray:
        """See ``Footprint``."""
        if not healpy.isnsideok(self.nside, nest=True):
            raise LightconeError(
                f"a mask of nside {self.nside} and maps of {nside}; expected a mask whose nside is "
                "a power of 2, so that its pixels and those of maps fit"
            )
        nested = healpy.reorder(self.mask, r2n=True)
        if nside >= self.nside:
            whole = np.repeat(nested, (nside // self.nside) ** 2)
        else:
            whole = nested.reshape(-1, (self.nside // nside) ** 2).all(axis=1)
        return np.asarray(healpy.reorder(whole, n2r=True))

    @property
    def fraction(self) -> float:
        """See ``Footprint``."""
        return float(np.mean(self.mask))


def vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Unit vectors [N, 3] of angles [deg]."""
    right, up = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(up) * np.cos(right), np.cos(up) * np.sin(right), np.sin(up)], -1)


def angles(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension from 0 to 360 and declination [deg] of vectors [N, 3]."""
    x, y, z = np.asarray(positions, np.float64).T
    ra = np.degrees(np.arctan2(y, x)) % 360.0
    return ra, np.degrees(np.arctan2(z, np.hypot(x, y)))
