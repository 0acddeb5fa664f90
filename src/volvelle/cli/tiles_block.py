"""The block of a simulation's file that cuts the box into tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from .blocks import Block, Count, Positive
from .document import Document

if TYPE_CHECKING:
    from ..nbody import Mesh, Tiling
    from .simulate_configuration import SimulateFile


class TilesBlock(Block):
    """Cubes of the particles' grid that are simulated apart (sCOLA)."""

    per_side: Count
    """Tiles along every axis of the box."""
    buffer: Positive = 24.0
    """On each side of a tile, simulated and thrown away [Mpc/h]."""
    margin: Annotated[float, Field(ge=0)] | None = None
    """Outermost part of the buffer that perturbation theory moves [Mpc/h]; a quarter, at most 6,
    if null."""


def checked_tiling(document: Document, file: SimulateFile, mesh: Mesh, cells: int) -> Tiling | None:
    """How the box is cut, or None for no tiles; ConfigurationError for what tiles cannot do."""
    from ..nbody import Tiling, TilingError

    block = file.tiles
    if block is None:
        return None
    if file.force.pm is None:
        raise document.error(("tiles",), "need the force of a mesh; choose force: {pm: }")
    if file.neutrinos != "none":
        raise document.error(
            ("tiles",), "and neutrinos: grid, whose density is of the whole box; choose none"
        )
    try:
        return Tiling.of(mesh, cells, block.per_side, block.buffer, block.margin)
    except TilingError as error:
        raise document.error(("tiles",), str(error)) from error


def tiles_summary(tiling: Tiling) -> dict[str, Any]:
    """What a cut costs and how right it is, before it is run."""
    from ..nbody import expected_errors

    errors, spacing = expected_errors(tiling), tiling.spacing
    return {
        "tiles": f"{tiling.number} of {tiling.inner * spacing:g} Mpc/h, with buffers of "
        f"{tiling.buffer * spacing:g} Mpc/h, {tiling.margin * spacing:g} of them by perturbation "
        "theory",
        "tile and buffers over the box": round(tiling.extent, 3),
        "overcompute": round(tiling.overcompute, 2),
        "expected of P(k) to 1 h/Mpc": f"within {100 * errors.power:.2g}% of the box as a whole",
        "expected of 1 - r to 1 h/Mpc": f"{errors.correlation:.1g}",
        "parallelisation potential": f"{tiling.potential:.3g} times the hardware's factor",
    }
