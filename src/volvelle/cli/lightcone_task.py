"""A lightcone of one simulation: found step by step, put together, counted and drawn."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from ..learning import write_atomically
from ..nbody import (
    Crossings,
    Lightcone,
    join_crossings,
    read_crossings,
    write_crossings,
)

PARTS, WHOLE, PICTURE = "lightcone_steps", "lightcone.hdf5", "lightcone.safetensors"
SHELLS, PIXELS = 12, 512
"""Of the counts against the mean; of a picture, per side."""


def keep_step(folder: Path, stage: int, found: Crossings) -> None:
    """What crossed up to a stage."""
    write_crossings(folder / PARTS / f"{stage:04d}.hdf5", found)


def steps_of(folder: Path) -> list[Path]:
    """The files of ``keep_step``, in order."""
    return sorted((folder / PARTS).glob("*.hdf5"))


def put_together(
    cone: Lightcone,
    folder: Path,
    parts: Sequence[Path],
    particles: int,
    thickness: float,
    last: Iterable[np.ndarray] | None,
) -> dict[str, Any]:
    """One file of all parts, a picture, and counts; returns these. The parts are removed.

    Args:
        particles: in the box.
        thickness: of the slab of the pictures [Mpc/h].
        last: positions of the last snapshot, in pieces, which is drawn beside; None without one.
    """
    mean = particles / cone.box_size**3
    edges = np.cbrt(np.linspace(cone.near**3, cone.far**3, SHELLS + 1))
    if not (folder / WHOLE).is_file():
        slabs = _Slabs(cone, thickness, mean)
        counts = np.zeros(SHELLS, np.int64)
        for path in parts:
            found = read_crossings(path)
            counts += np.histogram(found.distance, edges)[0]
            slabs.add(found)
        arrays = {**slabs.pictures(last), "counts": counts}
        write_atomically(folder / PICTURE, save(arrays))
        join_crossings(folder / WHOLE, parts)
    for path in parts:
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    counts = load_file(folder / PICTURE)["counts"]
    return {
        "particles": int(counts.sum()),
        "expected": mean * cone.volume,
        "edges": edges.tolist(),
        "density": (counts / (mean * cone.volume / SHELLS)).tolist(),
        "near": cone.near,
        "far": cone.far,
        "redshifts": list(cone.redshifts),
        "sky_fraction": cone.sky_fraction,
        "thickness": thickness,
    }


class _Slabs:
    """1 + delta of slabs through the observer: the cone, its part in a box, that box at the end."""

    def __init__(self, cone: Lightcone, thickness: float, mean: float) -> None:
        self.cone, self.thickness, self.mean = cone, thickness, mean
        self.axes, self.half = _thinnest(cone), 0.5 * cone.box_size
        width = 1.5 / np.cbrt(mean)  # one and a half distances between particles
        self.few = int(np.clip(2.0 * self.half / width, 8, PIXELS))
        self.many = int(np.clip(2.0 * cone.far / width, 8, PIXELS))
        self.whole, self.inner = np.zeros((self.many,) * 2), np.zeros((self.few,) * 2)

    def add(self, found: Crossings) -> None:
        """Count the particles of a step."""
        self.whole += self._slab(found.positions, self.cone.far, self.many)
        self.inner += self._slab(found.positions, self.half, self.few)

    def pictures(self, last: Iterable[np.ndarray] | None) -> dict[str, np.ndarray]:
        """With the box around the observer as it is at the end."""
        found = {"cone": self.whole, "inner": self.inner}
        if last is not None:
            size, end = self.cone.box_size, np.zeros_like(self.inner)
            for positions in last:
                x = np.asarray(positions, np.float64) - self.cone.observer
                end += self._slab(x - size * np.round(x / size), self.half, self.few)
            found["end"] = end
        return {
            **{name: values.astype(np.float32) for name, values in found.items()},
            "axes": np.array(self.axes),
        }

    def _slab(self, x: np.ndarray, reach: float, cells: int) -> np.ndarray:
        kept = np.abs(x[:, self.axes[2]]) < 0.5 * self.thickness
        edges = np.linspace(-reach, reach, cells + 1)
        counts = np.histogram2d(x[kept, self.axes[0]], x[kept, self.axes[1]], (edges, edges))[0]
        return counts / (self.mean * self.thickness * (2.0 * reach / cells) ** 2)


def _thinnest(cone: Lightcone) -> tuple[int, int, int]:
    """Two axes of a picture and the one across, so that the footprint is seen."""
    if cone.footprint is None:
        return 0, 1, 2
    import healpy

    at = np.stack(healpy.pix2vec(32, np.arange(healpy.nside2npix(32))), -1)
    seen = at[cone.footprint.contains(at)]
    across = int(np.argmin(np.abs(seen).mean(axis=0))) if len(seen) else 2
    first, second = (axis for axis in range(3) if axis != across)
    return first, second, across
