"""All tiles of a box on an executor: each a task by itself, its results on the disk when it ends.

z0.000.3.hdf5 ...               parts of GADGET snapshots
tile_00_01_02.cone.hdf5         what crossed a lightcone
tile_00_01_02.json              written last: the tile is done
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from volvelle.compute import Executor
from volvelle.cosmology import Cosmology
from volvelle.learning import write_atomically

from .crossings import Crossings, write_crossings
from .errors import TilingError
from .ground import Ground
from .lightcone import Lightcone, Moment, Watch
from .memory import peak_memory, trim_memory
from .snapshot import CRITICAL, Snapshot
from .snapshot_files import write_snapshot
from .tile import TileParticles
from .tiling import Index

GROUND = "ground"
PLANES = 16
"""Of the displacement fields that are looked at together."""
RETRIES = 2
"""Of a tile whose worker died."""


@dataclass(frozen=True)
class Universe:
    """What the header of a snapshot says."""

    Omega_m: float
    Omega_de: float
    h: float

    @classmethod
    def of(cls, cosmology: Cosmology) -> Universe:
        """Of a cosmology."""
        return cls(
            float(cosmology.Omega_m),
            float(cosmology.Omega_de),
            float(cosmology.hubble_parameter),
        )


@dataclass(frozen=True)
class TileTask:
    """A tile to be run in a folder, whose ``ground`` is laid.

    names: of the snapshots, by the number of stages that are done then; until: stages after which
    the tile stops, all if None; cone: the lightcone that its particles cross, if any.
    """

    folder: str
    index: Index
    universe: Universe
    names: tuple[tuple[int, str], ...]
    until: int | None = None
    cone: Lightcone | None = None

    @property
    def crossed(self) -> Path:
        """The file of what crosses the lightcone."""
        return self.done.with_suffix(".cone.hdf5")

    @property
    def done(self) -> Path:
        """The file that is there when the tile is done."""
        name = "tile_" + "_".join(f"{each:02d}" for each in self.index)
        return Path(self.folder) / f"{name}.json"


def run_tile(task: TileTask) -> dict[str, Any]:
    """Run a tile and store its parts of the snapshots; returns the content of its JSON file.

    A tile that is done is not run again. Raises TilingError for one that was done otherwise.
    """
    folder, started = Path(task.folder), time.perf_counter()
    ground = Ground.open(folder / GROUND)
    done, number = task.done, ground.tiling.indices().index(task.index)
    last = ground.course.number if task.until is None else task.until
    wanted = {"owner": ground.owner, "until": last, "snapshots": [each for _, each in task.names]}
    if done.is_file():
        content = json.loads(done.read_text())
        if {key: content[key] for key in wanted} != wanted:
            raise TilingError(
                f"{done} is of another configuration; choose another folder, or delete that one"
            )
        return content
    names = dict(task.names)
    trim_memory()

    def store(particles: TileParticles) -> None:
        if particles.done in names:
            path = folder / f"{names[particles.done]}.{number}.hdf5"
            write_part(path, ground, task.universe, particles)
        if watch is not None:
            now = Moment(particles.a, particles.positions, particles.momenta)
            with jax.enable_x64(True):  # distances need it, whatever particles have
                crossed.append(watch(now, particles.ids))

    watch, crossed = None if task.cone is None else Watch(task.cone), []
    with jax.enable_x64(ground.dtype == "float64"):  # whatever the worker has
        end = ground.tile(task.index).run(last, store if names or watch else None)
    if watch is not None:
        write_crossings(task.crossed, Crossings.joined(crossed))
    content = {
        **wanted,
        "index": list(task.index),
        "a": end.a,
        "seconds": round(time.perf_counter() - started, 3),
        "memory": peak_memory(),
    }
    write_atomically(done, json.dumps(content, indent=1).encode())
    return content


def stages_seen(ground: Ground, cone: Lightcone) -> dict[Index, int | None]:
    """After how many stages each tile has crossed a lightcone; None for those that never do.

    Particles are taken to move no further than half as far again as perturbation theory moves the
    one that it moves most.
    """
    tiling, course = ground.tiling, ground.course
    weights = np.abs(course.at_time[-1][0])
    largest = np.max([[np.abs(f).max() for f in fields] for fields in _pieces(ground)], axis=0)
    farthest = float(weights[: len(largest)] @ largest)
    size, margin = tiling.inner * tiling.spacing, 1.5 * farthest
    found: dict[Index, int | None] = {}
    for index in tiling.indices():
        low = np.array(index) * size - margin
        seen = cone.seen(low, low + size + 2.0 * margin)
        if seen is None or seen[0] > course.time[-1]:
            found[index] = None
        else:
            late = np.flatnonzero(course.time >= min(seen[1], float(course.time[-1])) * (1 - 1e-9))
            found[index] = int(late[0]) + 1
    return found


def _pieces(ground: Ground) -> Iterator[list[np.ndarray]]:
    """Displacement fields, a few planes at a time."""
    for first in range(0, ground.tiling.particles, PLANES):
        yield ground.planes(first, min(first + PLANES, ground.tiling.particles))


def write_part(path: Path, ground: Ground, universe: Universe, particles: TileParticles) -> None:
    """One tile's part of a snapshot in GADGET's HDF5, one file of as many as there are tiles."""
    tiling, a = ground.tiling, particles.a
    total = tiling.particles**3
    size = particles.positions.dtype.type(tiling.box_size)
    positions = particles.positions % size
    positions[positions >= size] = 0.0
    snapshot = Snapshot.from_momenta(
        positions,
        particles.momenta,
        a=a,
        box_size=tiling.box_size,
        Omega_m=universe.Omega_m,
        Omega_de=universe.Omega_de,
        h=universe.h,
        masses=CRITICAL * universe.Omega_m * tiling.box_size**3 / total,
        ids=particles.ids + 1,
    )
    write_snapshot(path, snapshot, files=tiling.number, total=total)


def run_tiles(tasks: Sequence[TileTask], executor: Executor) -> Iterator[dict[str, Any]]:
    """Run those that are not done; yields what ``run_tile`` returns as they finish.

    A tile whose worker died is done again, twice at most. Raises TilingError at the end, with the
    words of what went wrong, if some failed; the others are kept, and a repeated call does the
    failed ones alone.
    """
    waiting, failures = list(tasks), []
    for attempt in range(RETRIES + 1):
        died = []
        for number, outcome in executor.map(run_tile, waiting, limited=False):
            if outcome.value is not None:
                yield outcome.value
            elif outcome.signal is not None and attempt < RETRIES:
                died.append(waiting[number])
            else:
                failures.append(f"{waiting[number].index}: {outcome.error}")
        waiting = died
        if not waiting:
            break
    if failures:
        raise TilingError(
            f"{len(failures)} of {len(tasks)} tiles failed; the others are kept, repeat the call "
            f"for these: {'; '.join(failures[:3])}"
        )
