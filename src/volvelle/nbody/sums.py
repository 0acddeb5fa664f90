"""The five sums of painting as operations: each other's transposes and derivatives."""

from __future__ import annotations

from typing import Any

from . import painting_jax as plain
from .assignment import order_of
from .compiled import kernel_threads
from .mesh import Mesh
from .operations import LinearSum
from .painting_jax import Sums


def sums_on(mesh: Mesh, assignment: str) -> Sums:
    """The settings of the sums, as of now: with the kernel if it is in use.

    Raises MeshError for an unknown assignment.
    """
    return Sums(mesh.cells, mesh.box_size, order_of(assignment), kernel_threads())


def _onto_mesh(on: Sums, x: tuple[int, ...], w: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    return (w[1], on.cells, on.cells, on.cells)


def _at_particles(on: Sums, x: tuple[int, ...], f: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    return (x[0], f[0])


def _like_positions(on: Sums, x: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    return x


spread = LinearSum(
    "spread", "spread", (0, 1), plain.spread, _onto_mesh, in_turn=plain.spread_in_turn
)
"""Of positions and weights [N, C]; linear in the weights."""
gather = LinearSum("gather", "gather", (0, 1), plain.gather, _at_particles)
"""Of positions and fields [C, n, n, n]; linear in the fields."""
_spread_slope = LinearSum("spread_slope", "spread_slope", (0, 1, 2), plain.spread_slope, _onto_mesh)
_slope_of_fields = LinearSum("slope_of_fields", "slope", (0, 2, 1), plain.slope, _like_positions)
_gather_slope = LinearSum(
    "gather_slope", "gather_slope", (0, 1, 2), plain.gather_slope, _at_particles
)
_slope_of_weights = LinearSum("slope_of_weights", "slope", (0, 1, 2), plain.slope, _like_positions)
for one, other in (
    (spread, gather),
    (_spread_slope, _slope_of_fields),  # at fixed weights
    (_gather_slope, _slope_of_weights),  # at fixed fields
):
    one.transposed, other.transposed = other, one
spread.moved, gather.moved = _spread_slope, _gather_slope
