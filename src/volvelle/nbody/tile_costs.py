"""What tiles cost and how right they are, said before they run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from .dirichlet import MARGIN as EDGE
from .dirichlet import DirichletMesh
from .memory import memory_free, memory_needed
from .mesh import Mesh
from .pm import ParticleMesh
from .tiling import Tiling

PROGRAM = 400 * 2**20
"""Bytes of a process with its programs and without a tile, and what its heap holds in vain."""
PER_PARTICLE, PER_CELL = 58, 14
"""Numbers that a tile holds at its highest point, of each particle and of each cell."""
PER_ROW, PER_POINT = 2**23, 5
"""The same of the potential of one stage: of all planes that are painted, and of each point."""

POWER_ERROR, POWER_LENGTH = 0.029, 4.9
CORRELATION_ERROR, CORRELATION_LENGTH = 1.83e-3, 3.95
"""Largest errors of P and 1 - r up to k = 1 h/Mpc today, of tiles of 96 Mpc/h with a buffer of 12,
and the lengths [Mpc/h] of buffer in which they fall by e: through the rows of 128^3 particles in
docs/validation/tiles.md."""
AT_TILE, AT_BUFFER = 96.0, 12.0
FLOORS = 3e-4, 1e-5
"""Below which errors were not followed."""


class Errors(NamedTuple):
    """Expected of the matter today, against the box as a whole."""

    power: float
    """Largest |P/P - 1| to k = 1 h/Mpc."""
    correlation: float
    """Largest 1 - r to k = 1 h/Mpc."""


class Pace(NamedTuple):
    """Measured here, of one force of a tile and of the box."""

    tile: float
    """Seconds."""
    boost: float | None
    """s: how many times more particles per second in the tile than in the box; None where the box
    does not fit in memory."""


def expected_errors(tiling: Tiling) -> Errors:
    """By tile and buffer, for the margin that ``Tiling.of`` chooses.

    error = e_0 exp(-(buffer - 12) / length) 96 / tile: errors come from the faces, and there are
    fewer of them in larger tiles.
    """
    buffer, tile = tiling.buffer * tiling.spacing, tiling.inner * tiling.spacing
    found = [
        max(floor, error * np.exp(-(buffer - AT_BUFFER) / length) * AT_TILE / tile)
        for error, length, floor in zip(
            (POWER_ERROR, CORRELATION_ERROR),
            (POWER_LENGTH, CORRELATION_LENGTH),
            FLOORS,
            strict=True,
        )
    ]
    return Errors(*(float(min(each, 1.0)) for each in found))


def tile_memory(tiling: Tiling, orders: int = 2, dtype: str = "float32") -> int:
    """Bytes at the highest point of a worker that runs tiles.

    orders: number of displacement fields.
    """
    points = (tiling.domain + 1 + 2 * EDGE) ** 3
    numbers = (PER_PARTICLE + 3 * (orders - 2)) * tiling.width**3 + PER_CELL * points
    return PROGRAM + np.dtype(dtype).itemsize * numbers


def ground_memory(tiling: Tiling, dtype: str = "float32") -> int:
    """Bytes at the highest point of a worker that makes the potential of a stage."""
    numbers = PER_ROW + PER_POINT * (tiling.cells // 2) ** 3
    return PROGRAM + np.dtype(dtype).itemsize * numbers


def disk_needed(tiling: Tiling, stages: int, orders: int = 2, dtype: str = "float32") -> int:
    """Bytes of the ground in its folder."""
    faces = 6 * (tiling.domain + 1) ** 2 * tiling.number * stages
    return np.dtype(dtype).itemsize * (3 * orders * tiling.particles**3 + faces)


def measured_pace(
    tiling: Tiling, dtype: str = "float32", assignment: str = "tsc", gradient: str = "spectral"
) -> Pace:
    """Time one force of a tile, and one of the box if it fits in memory, each its second call."""
    with jax.enable_x64(dtype == "float64"):  # whatever the worker has
        return _measured_pace(tiling, dtype, assignment, gradient)


def _measured_pace(tiling: Tiling, dtype: str, assignment: str, gradient: str) -> Pace:
    random = np.random.default_rng(0)

    def best(call: Callable[[], object]) -> float:
        call()
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    cell = tiling.box_size / tiling.cells
    mesh = DirichletMesh(tiling.domain, cell, tiling.refinement**-3.0, assignment, gradient)
    size = tiling.width * tiling.spacing
    x = (random.random((tiling.width**3, 3)) * size - tiling.margin * tiling.spacing).astype(dtype)
    faces = np.zeros((3, 2, tiling.domain + 1, tiling.domain + 1), dtype)
    seconds = best(lambda: mesh(x, faces))
    free = memory_free()
    whole = memory_needed(tiling.particles, tiling.cells, dtype=np.dtype(dtype).type)
    if free is not None and whole > free:
        return Pace(seconds, None)
    box = Mesh(tiling.cells, tiling.box_size)
    y = (random.random((tiling.particles**3, 3)) * tiling.box_size).astype(dtype)
    force = ParticleMesh(box, assignment, gradient)
    all_of_it = best(lambda: jax.block_until_ready(force(y)))
    return Pace(seconds, all_of_it / len(y) / (seconds / len(x)))
