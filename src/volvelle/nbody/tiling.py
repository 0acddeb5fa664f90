"""How a box is cut into tiles with buffers, and what that costs.

A tile is a cube of the particles' grid. What is simulated for it is the tile with a buffer on
every side; particles of the buffer are thrown away at the end. The faces of its mesh lie ``margin``
inside of the buffer's edge. Particles that are outside of them move as Lagrangian perturbation
theory says, and bring in the matter that streams through the faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from .errors import TilingError
from .mesh import Mesh

BUFFER, MARGIN = 24.0, 6.0
"""[Mpc/h] of those that are not named: the validation's page says with which error."""
LARGEST = 0.75
"""Of the box, that a tile with its buffers is advised to be at most."""

Index = tuple[int, int, int]


@dataclass(frozen=True)
class Tiling:
    """``per_side`` tiles along every axis of a box with ``particles`` per side.

    cells: of the force's mesh in the whole box, per side; buffer, margin: on each side of a tile,
    in distances of particles, the margin a part of the buffer.

    Raises TilingError for tiles that do not divide the particles, particles that do not divide the
    mesh, and buffers that a tile has no room for.
    """

    particles: int
    cells: int
    box_size: float
    per_side: int
    buffer: int
    margin: int

    def __post_init__(self) -> None:
        if self.per_side < 1 or self.particles % self.per_side:
            near = [d for d in range(1, self.particles + 1) if self.particles % d == 0]
            near = sorted(near, key=lambda d: abs(d - self.per_side))[:3]
            raise TilingError(
                f"{self.per_side} tiles per side of {self.particles} particles per side; expected "
                f"a number that divides them, {' or '.join(map(str, sorted(near)))} say"
            )
        if self.cells % self.particles:
            raise TilingError(
                f"a mesh of {self.cells} cells per side of {self.particles} particles per side; "
                f"tiles need a mesh that they divide: a multiple of {self.particles}"
            )
        room = min(self.inner, (self.particles - self.inner) // 2)
        if not 2 <= self.buffer <= room:
            raise TilingError(
                f"a buffer of {self.buffer} particles on each side of tiles of {self.inner}, in a "
                f"box of {self.particles}; expected 2 to {room}: not more than the tile, nor, with "
                "the tile, than the box"
            )
        if not 0 <= self.margin <= self.buffer - 2:
            raise TilingError(
                f"a margin of {self.margin} particles in a buffer of {self.buffer}; expected 0 to "
                f"{self.buffer - 2}"
            )

    @classmethod
    def of(
        cls,
        mesh: Mesh,
        cells: int,
        per_side: int,
        buffer: float = BUFFER,
        margin: float | None = None,
    ) -> Tiling:
        """With buffer and margin in Mpc/h, rounded to whole distances of particles; a margin of a
        quarter of the buffer, at most ``MARGIN``, if None.
        """
        wide = round(buffer / mesh.cell)
        outer = min(MARGIN, 0.25 * buffer) if margin is None else margin
        return cls(mesh.cells, cells, mesh.box_size, per_side, wide, round(outer / mesh.cell))

    @property
    def inner(self) -> int:
        """Particles per side of a tile."""
        return self.particles // self.per_side

    @property
    def width(self) -> int:
        """Particles per side of a tile with its buffers."""
        return self.inner + 2 * self.buffer

    @property
    def refinement(self) -> int:
        """Cells of the mesh per distance of particles."""
        return self.cells // self.particles

    @property
    def domain(self) -> int:
        """Cells per side of the mesh of a tile, from face to face."""
        return (self.width - 2 * self.margin) * self.refinement

    @property
    def spacing(self) -> float:
        """Distance of particles [Mpc/h]."""
        return self.box_size / self.particles

    @property
    def number(self) -> int:
        """Of tiles."""
        return self.per_side**3

    @property
    def overcompute(self) -> float:
        """(1 + 2 buffer/tile)^3: particles that are moved over those that are kept."""
        return (self.width / self.inner) ** 3

    @property
    def extent(self) -> float:
        """Side of a tile with its buffers over that of the box."""
        return self.width / self.particles

    @property
    def potential(self) -> float:
        """(L / L_tile)^3, how many times less work the longest task is than the whole box: the
        parallelisation potential without what the hardware adds."""
        return self.extent**-3

    def indices(self) -> list[Index]:
        """Of all tiles."""
        return [(i, j, k) for i, j, k in product(range(self.per_side), repeat=3)]

    def first(self, index: Index) -> tuple[int, int, int]:
        """The lowest point of the grid of a tile with its buffers; below 0 at the box's edge."""
        i, j, k = (each * self.inner - self.buffer for each in index)
        return i, j, k

    def interior(self, index: Index) -> np.ndarray:
        """Numbers of a tile's own particles in the flattened grid of the box, ascending."""
        n = self.particles
        axes = [np.arange(each * self.inner, (each + 1) * self.inner) for each in index]
        x, y, z = np.meshgrid(*axes, indexing="ij")
        return ((x * n + y) * n + z).ravel()
