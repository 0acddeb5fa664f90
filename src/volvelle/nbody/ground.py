"""What tiles stand on: Lagrangian perturbation theory of the whole box, in a folder.

    course.safetensors     drifts, kicks, growth; in its metadata whose folder this is
    field_0.npy, ...       displacement fields [n, n, n, 3] [Mpc/h]
    faces_000.npy, ...     the potential on the faces of every tile's mesh, for every stage
    ground.json            written last: all is there

The potential is that of particles where perturbation theory puts them, painted on a mesh of half as
many cells per side as the force's; what it misses has short waves, which end near the faces.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from safetensors import safe_open
from safetensors.numpy import load_file, save
from scipy.fft import irfftn, rfftn

from volvelle.compute import Executor, require_float64
from volvelle.learning import write_atomically

from .assignment import order_of
from .course import Course
from .dirichlet import DirichletMesh, Faces
from .errors import TilingError
from .lpt import Lagrangian
from .mesh import Mesh
from .painting import paint
from .tile import Tile
from .tiling import Index, Tiling

COURSE, DONE = "course.safetensors", "ground.json"
ROWS = 2**18
"""Particles that are painted at a time."""
COARSENING = 2
"""Cells of the force's mesh per cell of that of the faces' potential, along each axis."""

Field = Float[np.ndarray, "n n n"]


@dataclass(frozen=True)
class Ground:
    """A folder that tiles are made from.

    orders: number of displacement fields; dtype: of particles; assignment, gradient: of the force;
    owner: a hash of all that decides the result.
    """

    folder: Path
    tiling: Tiling
    course: Course
    orders: int
    dtype: str
    assignment: str
    gradient: str
    owner: str

    @classmethod
    def begin(
        cls,
        folder: Path,
        tiling: Tiling,
        course: Course,
        identity: str,
        *,
        orders: int = 2,
        dtype: str = "float32",
        assignment: str = "tsc",
        gradient: str = "spectral",
    ) -> Ground:
        """Take a folder; what is there already of the same ground stays.

        Args:
            identity: what tells these initial conditions from others: a hash, or words.

        Raises TilingError for a folder of another ground, MeshError and ForceError for other words.
        """
        words = json.dumps([identity, asdict(tiling), orders, dtype, assignment, gradient])
        digest = hashlib.sha256(words.encode())
        arrays = course.arrays()
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        found = cls(
            Path(folder), tiling, course, orders, dtype, assignment, gradient, digest.hexdigest()
        )
        found.check_owner()
        found.mesh  # noqa: B018 - refuses other words
        metadata = {
            "owner": found.owner,
            "tiling": json.dumps(asdict(tiling)),
            "orders": str(orders),
            "dtype": dtype,
            "assignment": assignment,
            "gradient": gradient,
        }
        arrays = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
        write_atomically(found.folder / COURSE, save(arrays, metadata))
        return found

    @classmethod
    def open(cls, folder: str | Path) -> Ground:
        """The ground in a folder, begun or finished; raises TilingError where there is none."""
        path = Path(folder) / COURSE
        if not path.is_file():
            raise TilingError(f"{folder} has no {COURSE}: no ground of tiles was begun there")
        with safe_open(path, "numpy") as file:
            held = file.metadata()
        return cls(
            Path(folder),
            Tiling(**json.loads(held["tiling"])),
            Course(**load_file(path)),
            int(held["orders"]),
            held["dtype"],
            held["assignment"],
            held["gradient"],
            held["owner"],
        )

    def check_owner(self) -> None:
        """Raise TilingError if the folder holds another ground."""
        path = self.folder / COURSE
        if path.is_file() and (other := Ground.open(self.folder).owner) != self.owner:
            raise TilingError(
                f"{self.folder} holds tiles of another configuration ({other[:12]}, this one is "
                f"{self.owner[:12]}); choose another folder, or delete that one"
            )

    @property
    def finished(self) -> bool:
        """Whether tiles can be run."""
        return (self.folder / DONE).is_file()

    def finish(self) -> None:
        """Say that all is there."""
        write_atomically(self.folder / DONE, json.dumps({"owner": self.owner}).encode())

    def field_path(self, number: int) -> Path:
        """Of a displacement field."""
        return self.folder / f"field_{number}.npy"

    def faces_path(self, stage: int) -> Path:
        """Of the potential on the faces of all tiles at one stage."""
        return self.folder / f"faces_{stage:03d}.npy"

    def write_fields(self, lagrangian: Lagrangian) -> None:
        """Displacement fields from memory."""
        shape = (*lagrangian.mesh.shape, 3)
        for number, field in enumerate(lagrangian.fields):
            values = np.asarray(field, self.dtype).reshape(shape)
            save_array(self.field_path(number), values)

    def planes(self, first: int, last: int) -> list[np.ndarray]:
        """Displacement fields of planes of the grid, [planes, n, n, 3] each."""
        paths = [self.field_path(number) for number in range(self.orders)]
        return [np.array(np.load(path, mmap_mode="r")[first:last]) for path in paths]

    @property
    def mesh(self) -> DirichletMesh:
        """Of the force in a tile."""
        tiling = self.tiling
        cell, mean = tiling.box_size / tiling.cells, tiling.refinement**-3.0
        return DirichletMesh(tiling.domain, cell, mean, self.assignment, self.gradient)

    def tile(self, index: Index) -> Tile:
        """A tile, with what it needs of the folder; the faces are read stage by stage.

        Raises TilingError while the ground is not finished.
        """
        if not self.finished:
            raise TilingError(f"{self.folder} has no {DONE}: its ground is begun and not finished")
        if self.dtype == "float64":
            require_float64("a tile in float64")
        faces = _StoredFaces(self, self.tiling.indices().index(index))
        return Tile(self.tiling, index, self.course, self._fields(index), faces, self.mesh)

    def _fields(self, index: Index) -> tuple[np.ndarray, ...]:
        tiling = self.tiling
        size, n = tiling.width, tiling.particles
        axes = [(first + np.arange(size)) % n for first in tiling.first(index)]
        found = []
        for number in range(self.orders):
            stored = np.load(self.field_path(number), mmap_mode="r")
            values = np.empty((size, size, size, 3), self.dtype)
            for i, plane in enumerate(axes[0]):
                values[i] = stored[plane][np.ix_(axes[1], axes[2])]
            found.append(values.reshape(-1, 3))
        return tuple(found)

    def faces(self, stage: int) -> None:
        """Make the file of the faces of one stage, unless it is there."""
        path = self.faces_path(stage)
        if path.is_file():
            return
        potential = self.potential(stage)
        tiling = self.tiling
        number = tiling.domain + 1
        found = np.empty((tiling.number, 3, 2, number, number), self.dtype)
        for i, index in enumerate(tiling.indices()):
            found[i] = faces_of(potential, tiling, index)
        save_array(path, found)

    def potential(self, stage: int) -> Field:
        """Of particles where Lagrangian perturbation theory puts them, as the force's mesh sees it,
        on ``COARSENING`` times fewer cells per side."""
        tiling = self.tiling
        fine = Mesh(tiling.cells, tiling.box_size)
        coarse = Mesh(tiling.cells // COARSENING, tiling.box_size)
        weights = self.course.at_force[stage, 0]
        count = np.zeros(coarse.shape, self.dtype)
        for positions in self._moved(weights):
            count += np.asarray(paint(coarse, jnp.asarray(positions), assignment=self.assignment))
        count *= count.dtype.type(coarse.cells**3 / tiling.particles**3)
        modes = np.asarray(rfftn(count, overwrite_x=True))
        del count
        order, (kx, ky, kz) = order_of(self.assignment), coarse.wavenumbers()
        square = np.asarray(kx**2 + ky**2 + kz**2, self.dtype)
        square[0, 0, 0] = np.inf
        modes /= -square
        for k in (kx, ky, kz):
            ratio = np.sinc(k * fine.cell / (2 * np.pi)) / np.sinc(k * coarse.cell / (2 * np.pi))
            modes *= (ratio**order).astype(self.dtype)
        return np.asarray(irfftn(modes, s=coarse.shape, axes=(0, 1, 2), overwrite_x=True))

    def _moved(self, weights: Float[np.ndarray, " 5"]) -> Iterator[np.ndarray]:
        """Positions, some planes of the grid at a time."""
        tiling, dtype = self.tiling, np.dtype(self.dtype)
        n = tiling.particles
        step = max(1, ROWS // n**2)
        axis = (np.arange(n) * tiling.spacing).astype(dtype)
        for first in range(0, n, step):
            fields = self.planes(first, min(first + step, n))
            x = sum(w.astype(dtype) * f for w, f in zip(weights, fields, strict=False))
            x += np.stack(np.meshgrid(axis[first : first + step], axis, axis, indexing="ij"), -1)
            yield x.reshape(-1, 3)


@dataclass(frozen=True)
class _StoredFaces:
    """The faces of one tile, read stage by stage."""

    ground: Ground
    number: int

    def __call__(self, stage: int) -> Faces:
        stored = np.load(self.ground.faces_path(stage), mmap_mode="r")
        return np.array(stored[self.number])


def lay_faces(task: tuple[str, int]) -> int:
    """The faces of one stage in a folder: a task for an executor."""
    folder, stage = task
    ground = Ground.open(folder)
    with jax.enable_x64(ground.dtype == "float64"):  # whatever the worker has
        ground.faces(stage)
    return stage


def faces_of(potential: Field, tiling: Tiling, index: Index) -> Faces:
    """A periodic field on a coarser mesh on the faces of a tile's mesh, by cubic interpolation."""
    points = np.arange(tiling.domain + 1)
    corner = [(first + tiling.margin) * tiling.refinement for first in tiling.first(index)]
    along = [first + points for first in corner]
    found = []
    for axis in range(3):
        sides = []
        for end in (0, -1):
            where = [at if each != axis else at[[end]] for each, at in enumerate(along)]
            values = potential
            for each in sorted(range(3), key=lambda a: a != axis):  # the single plane first
                values = _between(values, each, where[each])
            sides.append(values.squeeze(axis))
        found.append(np.stack(sides))
    return np.stack(found)


def _between(field: Field, axis: int, points: np.ndarray) -> Field:
    """At points of the finer mesh along an axis; halfway between two by the four around."""
    n = field.shape[axis]
    low, odd = points // COARSENING, points % COARSENING != 0

    def at(shift: int) -> np.ndarray:
        return np.take(field, (low + shift) % n, axis)

    if not odd.any():
        return at(0)
    shape = [1, 1, 1]
    shape[axis] = -1
    nine, one = field.dtype.type(9 / 16), field.dtype.type(1 / 16)
    middle = nine * (at(0) + at(1)) - one * (at(-1) + at(2))
    return np.where(odd.reshape(shape), middle, at(0))


def save_array(path: Path, values: np.ndarray) -> None:
    """A NumPy file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        np.save(stream, values)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def lay_ground(ground: Ground, executor: Executor) -> Iterator[int]:
    """Make the faces of all stages by an executor and finish; yields how many are done.

    Raises TilingError where one fails; what is done is kept.
    """
    number = ground.course.number
    tasks: list[Any] = [
        (str(ground.folder), stage)
        for stage in range(number)
        if not ground.faces_path(stage).is_file()
    ]
    done = number - len(tasks)
    for _, outcome in executor.map(lay_faces, tasks, limited=False):
        if not outcome.ok:
            raise TilingError(f"the potential of a stage could not be made: {outcome.error}")
        done += 1
        yield done
    ground.finish()
