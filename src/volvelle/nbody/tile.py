"""One tile of a simulation by spatial comoving Lagrangian acceleration (sCOLA).

    x = q + F(a) + x_res,    p_res += K [c g_tile(x) - g_F(a)]

F is Lagrangian perturbation theory of the whole box, g_F what it accelerates the tile's particles
by, and g_tile the force in the tile with the potential of F on the faces of its mesh (Tassev et al.
2015, arXiv:1502.07751; Leclercq et al. 2020, arXiv:2003.04925). Where a particle is outside of the
mesh, or within a cell of its faces, it is accelerated as F is. Integrators without a frame move the
whole of x by the same force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .course import Course
from .dirichlet import DirichletMesh, Faces
from .errors import ScheduleError
from .tiling import Index, Tiling

Values = Float[np.ndarray, "n 3"]


class TileParticles(NamedTuple):
    """A tile's own particles at one time; those of the buffer are not among them."""

    ids: Int[np.ndarray, " n"]
    """Numbers in the flattened grid of the box."""
    positions: Values
    """Not taken modulo the box: a particle's path is continuous [Mpc/h]."""
    momenta: Values
    """a^2 dx/dt / H0 at the same time [Mpc/h]."""
    a: float
    done: int
    """Stages."""


Visit = Callable[[TileParticles], None]


@dataclass(frozen=True)
class Tile:
    """All that a tile's run depends on.

    fields: displacement fields of the tile with its buffers, [width^3, 3] each [Mpc/h]; faces: the
    potential on the faces of its mesh at a stage of the course; mesh: of the force.
    """

    tiling: Tiling
    index: Index
    course: Course
    fields: tuple[Values, ...]
    faces: Callable[[int], Faces]
    mesh: DirichletMesh

    def run(self, until: int | None = None, visit: Visit | None = None) -> TileParticles:
        """The tile's particles when ``until`` stages are done, all if None.

        ``visit`` is called with those of the start, and of every later time at which a stage ends.

        Raises ScheduleError for a number of stages that there is not.
        """
        course = self.course
        last = course.number if until is None else until
        if not 0 <= last <= course.number:
            raise ScheduleError(
                f"run until {last} stages are done; there are {course.number} in this course"
            )
        x, p = self._begin()
        here = self._handed(*self._lpt(course.at_begin), float(course.begin[0]), 0)
        if visit is not None and not (course.staggered and last):
            visit(here)  # a leapfrog's first stage ends where it starts, and is visited
        for stage in range(last):
            x += _like(course.drift[stage], x) * p
            rate = self._rate(stage, x)
            p *= _like(course.decay[stage], p)
            p += _like(course.kick[stage], p) * rate
            if visit is not None or stage == last - 1:
                here = self._after(stage, x, p, rate)
            if visit is not None:
                visit(here)
        return here

    def _begin(self) -> tuple[Values, Values]:
        if self.course.framed:
            return np.zeros_like(self.fields[0]), np.zeros_like(self.fields[0])
        x, p = self._lpt(self.course.at_begin)
        return x, p / _like(self.course.begin[1], p)

    def _rate(self, stage: int, x: Values) -> Values:
        """What accelerates that which is integrated."""
        weights, source = self.course.at_force[stage], self.course.source[stage]
        seen = self._lattice() + x
        if self.course.framed:
            seen += self._sum(weights[0])
        g = self.mesh(seen, self.faces(stage))
        expected = self._sum(weights[2])
        outside = ~self.mesh.inside(seen)
        if self.course.framed:
            g -= expected
            g[outside] = 0.0
        else:
            g[outside] = expected[outside]
        g *= _like(source, g)
        return g

    def _after(self, stage: int, x: Values, p: Values, rate: Values) -> TileParticles:
        course = self.course
        p = p - _like(course.back[stage], p) * rate
        x = x + _like(course.ahead[stage], x) * p
        p = _like(course.momentum[stage], p) * p
        if course.framed:
            more, faster = self._lpt(course.at_time[stage])
            x, p = x + more, p + faster
        return self._handed(x, p, float(course.time[stage]), stage + 1)

    def _handed(self, x: Values, p: Values, a: float, done: int) -> TileParticles:
        tiling, size = self.tiling, self.tiling.width
        own = slice(tiling.buffer, tiling.buffer + tiling.inner)
        inner = [each.reshape(size, size, size, 3)[own, own, own].reshape(-1, 3) for each in (x, p)]
        n = tiling.particles
        ids = tiling.interior(self.index)
        points = np.stack([ids // n**2, ids // n % n, ids % n], 1)
        q = points.astype(x.dtype) * _like(tiling.spacing, x)
        return TileParticles(ids, q + inner[0], inner[1], a, done)

    def _lpt(self, weights: Float[np.ndarray, "3 5"]) -> tuple[Values, Values]:
        """Displacements and momenta of Lagrangian perturbation theory."""
        return self._sum(weights[0]), self._sum(weights[1])

    def _sum(self, weights: Float[np.ndarray, " 5"]) -> Values:
        total = _like(weights[0], self.fields[0]) * self.fields[0]
        for weight, field in zip(weights[1:], self.fields[1:], strict=False):
            total += _like(weight, field) * field
        return total

    def _lattice(self) -> Values:
        """The points of the grid from the low corner of the mesh [Mpc/h]."""
        tiling, dtype = self.tiling, self.fields[0].dtype
        axis = (np.arange(tiling.width) - tiling.margin).astype(dtype)
        axis *= dtype.type(tiling.spacing)
        return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def _like(number: np.ndarray | float, array: np.ndarray) -> np.ndarray:
    """A number in the precision of an array."""
    return array.dtype.type(number)
