"""What ``volvelle measure`` measures of one snapshot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..nbody import Mesh, Snapshot
from ..statistics import (
    Density,
    Measured,
    bispectrum_angles,
    correlation_function,
    density_pdf,
    find_voids,
    linear_edges,
    power_multipoles,
    power_spectrum,
)
from ..statistics.bispectrum import MEMORY
from .errors import MeasureError

PARTICLE, CELL = 110, 28
"""Most bytes for each while files are read and statistics measured, in float32 (measured)."""
STATISTICS = ("power", "multipoles", "bispectrum", "pdf", "voids", "xi")
ARRAYS = ("at", "values", "noise")
POWER, LENGTH, VOLUME2 = "(Mpc/h)^3", "Mpc/h", "(Mpc/h)^6"


@dataclass(frozen=True)
class Settings:
    """How everything is measured; the help of ``volvelle measure`` says what each is."""

    statistics: tuple[str, ...] = ("power",)
    kind: int = 1
    length: str | None = None
    cells: int = 256
    assignment: str = "pcs"
    axis: int = 2
    redshift_space: bool = False
    keep_noise: bool = False
    width: float = 1.0
    k1: float = 0.1
    k2: float = 0.15
    angles: int = 10
    radius: float = 10.0
    delta: tuple[float, float, int] = (-1.0, 3.0, 80)
    radii: tuple[float, ...] = ()
    threshold: float = -0.7

    def check(self) -> None:
        """Raise MeasureError for what no snapshot could be measured with."""
        unknown = [name for name in self.statistics if name not in STATISTICS]
        if unknown or not self.statistics:
            raise MeasureError(
                f"unknown statistic {', '.join(unknown) or '(none)'}; choose from "
                f"{', '.join(STATISTICS)}"
            )
        if self.axis not in (0, 1, 2):
            raise MeasureError(f"axis {self.axis} is none of a box; expected 0, 1 or 2")
        low, high, number = self.delta
        if not (low < high and number >= 1):
            raise MeasureError(f"--delta {low} {high} {number}: expected ascending ends and bins")
        if "voids" in self.statistics and len(set(self.radii)) < 2:
            raise MeasureError("voids need --radii, two or more [Mpc/h], separated by commas")
        if self.angles < 1:
            raise MeasureError(f"--angles {self.angles}: expected at least 1")

    def memory(self, particles: int, itemsize: int = 4) -> int:
        """Bytes that measuring takes, about, for particles in numbers of ``itemsize`` bytes."""
        mesh = self.cells**3 * CELL
        if "bispectrum" in self.statistics:
            mesh += min(MEMORY, (self.angles + 2) * self.cells**3 * 6)
        return (particles * PARTICLE + mesh) * itemsize // 4

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return json.loads(json.dumps(asdict(self)))

    def key(self, path: Path, parts: list[Path]) -> str:
        """Of what is measured of these files as they are now."""
        stats = [(part.resolve(), part.stat()) for part in parts]
        seen = [(str(where), stat.st_size, stat.st_mtime_ns) for where, stat in stats]
        text = json.dumps([self.record(), str(path), seen])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def measure_snapshot(settings: Settings, snapshot: Snapshot) -> list[Measured]:
    """All statistics that are asked for, with shot noise taken off where it is known."""
    positions = (
        snapshot.redshift_space(settings.axis) if settings.redshift_space else snapshot.positions
    )
    density = Density.of_catalogue(
        positions,
        float(snapshot.box_size),
        cells=settings.cells,
        weights=None if np.ndim(snapshot.masses) == 0 else np.asarray(snapshot.masses),
        assignment=settings.assignment,
    )
    found: list[Measured] = []
    for name in settings.statistics:
        found += MEASURES[name](settings, density)
    return found


def _edges(settings: Settings, mesh: Mesh) -> np.ndarray:
    return linear_edges(mesh, settings.width)


def _taken(settings: Settings, noise: np.ndarray) -> np.ndarray:
    """The shot noise to take off."""
    return np.zeros_like(noise) if settings.keep_noise else noise


def _power(settings: Settings, density: Density) -> list[Measured]:
    found = power_spectrum(density, edges=_edges(settings, density.mesh))
    noise = _taken(settings, found.shot_noise)
    return [Measured("power", "k", "h/Mpc", POWER, found.k, found.values - noise, noise)]


def _multipoles(settings: Settings, density: Density) -> list[Measured]:
    edges = _edges(settings, density.mesh)
    found = power_multipoles(density, axis=settings.axis, edges=edges)
    taken = _taken(settings, found.shot_noise)
    return [
        Measured(f"multipole_{ell}", "k", "h/Mpc", POWER, found.k, values - noise, noise)
        for ell, values, noise in zip((0, 2, 4), found.values, taken, strict=True)
    ]


def _bispectrum(settings: Settings, density: Density) -> list[Measured]:
    theta = np.pi * (np.arange(settings.angles) + 0.5) / settings.angles
    width = settings.width * density.mesh.fundamental
    found = bispectrum_angles(density, settings.k1, settings.k2, theta, width=width)
    noise, nothing = _taken(settings, found.shot_noise), np.zeros_like(theta)
    return [
        Measured("bispectrum", "theta", "rad", VOLUME2, theta, found.values - noise, noise),
        Measured("reduced_bispectrum", "theta", "rad", "", theta, found.reduced, nothing),
    ]


def _pdf(settings: Settings, density: Density) -> list[Measured]:
    low, high, number = settings.delta
    edges = np.linspace(low, high, number + 1)
    found = density_pdf(density, settings.radius, edges=edges)
    return [Measured("pdf", "delta", "", "", found.delta, found.values, np.zeros(number))]


def _voids(settings: Settings, density: Density) -> list[Measured]:
    voids = find_voids(density, settings.radii, threshold=settings.threshold)
    sizes = voids.size_function()
    order = np.argsort(sizes.radius)
    at, values = sizes.radius[order], sizes.values[order]
    return [Measured("voids", "R", LENGTH, "(h/Mpc)^4", at, values, np.zeros_like(at))]


def _xi(settings: Settings, density: Density) -> list[Measured]:
    found = correlation_function(density)
    return [Measured("xi", "r", LENGTH, "", found.r, found.values, np.zeros_like(found.r))]


MEASURES: Mapping[str, Callable[[Settings, Density], list[Measured]]] = {
    "power": _power,
    "multipoles": _multipoles,
    "bispectrum": _bispectrum,
    "pdf": _pdf,
    "voids": _voids,
    "xi": _xi,
}


def packed(blocks: list[Measured]) -> list[dict[str, Any]]:
    """Blocks as JSON's values, exactly."""
    return [
        {**vars(block), **{name: getattr(block, name).tolist() for name in ARRAYS}}
        for block in blocks
    ]


def unpacked(content: list[dict[str, Any]]) -> list[Measured]:
    """The blocks again."""
    words = ("name", "axis", "axis_unit", "unit")
    found = []
    for each in content:
        name, axis, axis_unit, unit = (each[word] for word in words)
        at, values, noise = (np.array(each[array], float) for array in ARRAYS)
        found.append(Measured(name, axis, axis_unit, unit, at, values, noise))
    return found
