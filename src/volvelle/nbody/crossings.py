"""Particles on a lightcone, and their files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .errors import LightconeError
from .footprint import angles

LIGHT = 299792.458
"""[km/s]."""
UNITS = {
    "positions": "Mpc/h",
    "velocities": "km/s",
    "a": "scale factor",
    "index": "place in the grid",
    "replication": "boxes",
}


@dataclass(frozen=True)
class Crossings:
    """Particles where and when they cross an observer's past lightcone."""

    positions: np.ndarray
    """[N, 3], comoving, from the observer [Mpc/h]."""
    velocities: np.ndarray
    """[N, 3], peculiar [km/s]."""
    a: np.ndarray
    """[N], when they cross."""
    index: np.ndarray
    """[N], which particles they are."""
    replication: np.ndarray
    """[N, 3], by how many boxes they are moved."""

    @classmethod
    def none(cls) -> Crossings:
        """No particle."""
        three, one = np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
        return cls(three, three, one, np.zeros(0, np.int64), np.zeros((0, 3), np.int16))

    @classmethod
    def joined(cls, parts: Sequence[Crossings]) -> Crossings:
        """One after the other."""
        if not parts:
            return cls.none()
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in UNITS))

    @property
    def count(self) -> int:
        """Of particles."""
        return len(self.a)

    @property
    def distance(self) -> np.ndarray:
        """Comoving, from the observer [Mpc/h]."""
        return np.linalg.norm(np.asarray(self.positions, np.float64), axis=1)

    @property
    def angles(self) -> tuple[np.ndarray, np.ndarray]:
        """Right ascension and declination [deg]."""
        return angles(self.positions)

    @property
    def redshift(self) -> np.ndarray:
        """Of the expansion alone."""
        return 1.0 / np.asarray(self.a, np.float64) - 1.0

    @property
    def observed_redshift(self) -> np.ndarray:
        """With the Doppler shift of the peculiar velocity along the line of sight."""
        away = self.positions / np.maximum(self.distance, 1e-10)[:, None]
        along = np.sum(self.velocities * away, axis=1, dtype=np.float64)
        return (1.0 + self.redshift) * (1.0 + along / LIGHT) - 1.0


def write_crossings(path: str | Path, crossings: Crossings) -> Path:
    """Write particles of a lightcone to HDF5, whole or not at all; returns the path."""
    return _written(Path(path), {name: [getattr(crossings, name)] for name in UNITS})


def join_crossings(path: str | Path, parts: Sequence[str | Path]) -> Path:
    """Write the particles of several files to one, without holding more than one file's.

    Raises LightconeError for files that hold no lightcone.
    """
    columns = {
        name: [_Column(Path(part), name) for part in parts] for name in UNITS
    }  # read when they are written
    return _written(Path(path), columns)


class _Column:
    """One array of a file, read when it is asked for."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        with _opened(path) as file:
            array: Any = file[name]
            self.shape: tuple[int, ...] = array.shape

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        with _opened(self.path) as file:
            return np.asarray(file[self.name], dtype)


def _written(path: Path, columns: Mapping[str, Sequence[np.ndarray | _Column]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    with h5py.File(draft, "w") as file:
        for name, parts in columns.items():
            like = getattr(Crossings.none(), name)
            rows = sum(part.shape[0] for part in parts)
            to = file.create_dataset(name, (rows, *like.shape[1:]), like.dtype)
            to.attrs["unit"] = UNITS[name]
            done = 0
            for part in parts:
                to[done : done + part.shape[0]] = np.asarray(part)
                done += part.shape[0]
    with draft.open("rb+") as stream:
        os.fsync(stream.fileno())
    draft.replace(path)
    return path


def read_crossings(path: str | Path) -> Crossings:
    """Particles of a lightcone; raises LightconeError for files that hold none."""
    with _opened(Path(path)) as file:
        return Crossings(*(np.asarray(file[name]) for name in UNITS))


def crossing_pieces(path: str | Path, rows: int = 2**21) -> Iterator[Crossings]:
    """Particles of a lightcone, so many at a time; raises as ``read_crossings``."""
    with _opened(Path(path)) as file:
        number = len(file["a"])  # pyright: ignore[reportArgumentType]
        for first in range(0, max(number, 1), rows):  # an empty one where nothing crossed
            part: dict[str, Any] = {name: file[name] for name in UNITS}
            yield Crossings(*(each[first : first + rows] for each in part.values()))


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise LightconeError(f"{path} cannot be read as HDF5: {error}") from error
    with file:
        missing = [name for name in UNITS if name not in file]
        if missing:
            raise LightconeError(
                f"{path} has no {', '.join(missing)}; expected a file of a lightcone"
            )
        yield file
