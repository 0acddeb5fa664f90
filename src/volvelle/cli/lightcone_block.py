"""The block of a simulation's file that asks for a lightcone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from .blocks import Block, FilePath, Positive, empty
from .document import Document
from .maps_block import GalaxiesBlock, MapsBlock, Name, SurveyBlock

if TYPE_CHECKING:
    from ..cosmology import Cosmology
    from ..nbody import Footprint, Lightcone, Mesh
    from .simulate_configuration import SimulateFile

Pair = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)]
Place = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=3, max_length=3)]


class CapBlock(Block):
    """All directions within an angle of one."""

    ra: float
    dec: Annotated[float, Field(ge=-90, le=90)]
    radius: Annotated[float, Field(gt=0, le=180)]
    """All [deg]."""


class LightconeBlock(Block):
    """What an observer sees."""

    redshifts: Pair
    """The nearest and the farthest."""
    observer: Place | None = None
    """[Mpc/h]; the middle of the box if null."""
    replicate: bool = True
    """Whether the box goes on beyond its walls."""
    footprint: CapBlock | None = None
    """All the sky if null."""
    mask: FilePath | None = None
    """A HEALPix map in FITS, in the place of footprint; pixels above 0 are seen."""
    thickness: Positive = 20.0
    """Of the slab that is drawn [Mpc/h]."""
    maps: Annotated[MapsBlock | None, BeforeValidator(empty)] = None
    """Shells and convergence; none if left out."""
    galaxies: dict[Name, GalaxiesBlock] | None = None
    """Mock galaxies, by the names of samples."""
    survey: Annotated[SurveyBlock | None, BeforeValidator(empty)] = None
    """A data vector of maps and galaxies; none if left out."""


def checked_lightcone(
    document: Document, file: SimulateFile, cosmology: Cosmology, mesh: Mesh
) -> Lightcone | None:
    """The cone, or None without the block; ConfigurationError for one that cannot be had."""
    from ..nbody import Lightcone, LightconeError

    block = file.lightcone
    if block is None:
        return None
    low, high = block.redshifts
    if high > file.steps.start:
        raise document.error(
            ("lightcone", "redshifts"),
            f"a lightcone to redshift {high:g} of a simulation from {file.steps.start:g}; start "
            "it earlier (steps.start), or take a nearer one",
        )
    try:
        return Lightcone.of(
            cosmology,
            mesh.box_size,
            redshifts=(low, high),
            observer=None if block.observer is None else tuple(block.observer),  # pyright: ignore[reportArgumentType]
            footprint=_footprint(document, block),
            replicate=block.replicate,
        )
    except LightconeError as error:
        raise document.error(("lightcone",), str(error)) from error


def _footprint(document: Document, block: LightconeBlock) -> Footprint | None:
    from ..nbody import Cap, LightconeError, PixelMask

    if block.mask is not None and block.footprint is not None:
        raise document.error(("lightcone", "mask"), "beside footprint; choose one of them")
    if block.footprint is not None:
        return Cap(block.footprint.ra, block.footprint.dec, block.footprint.radius)
    if block.mask is None:
        return None
    import healpy

    try:
        return PixelMask(np.asarray(healpy.read_map(block.mask)))
    except (OSError, LightconeError, ValueError) as error:
        raise document.error(("lightcone", "mask"), f"{block.mask}: {error}") from error


def lightcone_summary(cone: Lightcone, particles: float) -> dict[str, Any]:
    """What is seen, and how much of it; ``particles`` to a (Mpc/h)^3."""
    low, high = cone.redshifts
    return {
        "lightcone": f"redshift {low:g} to {high:g}, {cone.near:.4g} to {cone.far:.4g} Mpc/h, "
        f"{cone.sky_fraction:.3g} of the sky",
        "boxes deep": round(cone.far / cone.box_size, 2),
        "particles in it": f"about {cone.volume * particles:.3g}",
    }
