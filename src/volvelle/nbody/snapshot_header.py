"""What a snapshot says of itself, whatever its format, and the units that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import SnapshotError
from .snapshot import CRITICAL

LENGTHS: Mapping[str, float] = {"kpc/h": 1e-3, "Mpc/h": 1.0}
"""[Mpc/h], by name."""
CENTIMETRES: Mapping[str, float] = {"kpc/h": 3.085678e21, "Mpc/h": 3.085678e24}
GRAMS = 1.989e43
"""Of 1e10 solar masses, as GADGET counts them."""
SAME_UNIT = 1e-3
"""Digits to which codes write the same unit."""
WRONG_BY = 2.0
"""Largest factor between the density of the particles and Omega_m; kpc/h taken for Mpc/h is 1e9."""
EXPANSION = 1e-3
"""Between the scale factor and the redshift of a header, of 1 + z."""


@dataclass(frozen=True)
class Header:
    """One file of a snapshot, in its own units.

    ``counts`` and ``totals`` [types] are the particles of each type in this file and in all files,
    ``masses`` [types] the mass of each particle of a type, or 0 where they differ. ``length`` is
    the name of the unit of length where the file states one, ``velocity`` and ``mass`` the units
    stated [km/s], [1e10 Msun/h].
    """

    path: Path
    counts: tuple[int, ...]
    totals: tuple[int, ...]
    masses: tuple[float, ...]
    a: float
    redshift: float
    box_size: float
    files: int
    Omega_m: float
    Omega_de: float
    h: float
    length: str | None = None
    velocity: float = 1.0
    mass: float = 1.0

    def check(self) -> None:
        """Raise SnapshotError for a header that describes no snapshot of a universe."""
        for name in ("a", "box_size", "h", "Omega_m"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise SnapshotError(
                    f"{self.path}: the header has {name} = {value}; only periodic snapshots of "
                    "cosmological simulations can be read"
                )
        if abs(self.a * (1.0 + self.redshift) - 1.0) > EXPANSION:
            raise SnapshotError(
                f"{self.path}: the header has Time = {self.a} and Redshift = {self.redshift}; Time "
                "has to be the scale factor 1 / (1 + Redshift)"
            )
        if self.files < 1 or not sum(self.totals):
            raise SnapshotError(
                f"{self.path}: the header counts {self.files} files and {sum(self.totals)} "
                "particles"
            )

    def unit(self, given: str | None) -> float:
        """The unit of length [Mpc/h]: as given, as the file states it, or the one in which the
        particles make up Omega_m; refused where these contradict each other or none can tell."""
        if given is not None and given not in LENGTHS:
            raise SnapshotError(f"length {given!r} is not known; choose from {', '.join(LENGTHS)}")
        if given and self.length and given != self.length:
            raise SnapshotError(
                f"{self.path} states {self.length}, and length={given!r} was asked for"
            )
        stated = given or self.length
        densities = {name: self._density(unit) for name, unit in LENGTHS.items()}
        fitting = [name for name, density in densities.items() if self._fits(density)]
        if stated is None:
            if len(fitting) == 1:
                return LENGTHS[fitting[0]]
            raise SnapshotError(
                f"{self.path} does not state its unit of length, and the masses in its header do "
                f"not tell it; say length='kpc/h' or length='Mpc/h'"
            )
        density = densities[stated]
        if density is not None and not self._fits(density):
            raise SnapshotError(
                f"{self.path}: in {stated} its particles have {density:.3g} of the critical "
                f"density, while Omega_m = {self.Omega_m:.4g}; the lengths are in another unit "
                f"({' or '.join(fitting) or 'none that is known'}) or the masses are not in "
                "1e10 Msun/h"
            )
        return LENGTHS[stated]

    def _density(self, unit: float) -> float | None:
        """Omega of all particles, or None where the header does not know their masses."""
        pairs = list(zip(self.totals, self.masses, strict=True))
        if any(count and not mass for count, mass in pairs):
            return None
        mass = sum(count * each for count, each in pairs) * self.mass
        return mass / (CRITICAL * (self.box_size * unit) ** 3)

    def _fits(self, density: float | None) -> bool:
        return density is not None and 1 / WRONG_BY < density / self.Omega_m < WRONG_BY

    def same(self, other: Header) -> bool:
        """Whether the other file belongs to the same snapshot."""
        names = ("totals", "masses", "a", "box_size", "files", "Omega_m", "Omega_de", "h")
        return all(getattr(self, name) == getattr(other, name) for name in names)


def named_length(path: Path, centimetres: float) -> str:
    """The unit of length that a file states in centimetres (of h times them)."""
    for name, size in CENTIMETRES.items():
        if abs(centimetres / size - 1.0) < SAME_UNIT:
            return name
    raise SnapshotError(
        f"{path}: UnitLength_in_cm = {centimetres:.6g} is neither kpc/h ({CENTIMETRES['kpc/h']}) "
        f"nor Mpc/h ({CENTIMETRES['Mpc/h']})"
    )
