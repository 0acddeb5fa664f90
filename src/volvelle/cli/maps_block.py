"""The blocks of a lightcone that make maps, galaxies and a mock data vector of it: their keys."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .blocks import Block, Count, FilePath, Positive
from .forecast_blocks import SmailForm

Ascending = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2)]
Range = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)]
Multipoles = Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=2)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+(_[A-Za-z0-9]+)*$")]
"""Of files and of parameters."""
Statistic = Literal["counts", "counts_shear", "shear"]


def _power_of_two(nside: int) -> int:
    if nside & (nside - 1):
        low = 1 << (nside.bit_length() - 1)
        raise PydanticCustomError(
            "nside",
            "{nside} is no power of 2; take {low} or {high}",
            {"nside": nside, "low": low, "high": 2 * low},
        )
    return nside


def _rising(values: Any) -> Any:
    if isinstance(values, list) and any(a >= b for a, b in pairwise(values)):
        raise PydanticCustomError("rising", "expected numbers that ascend")
    return values


Nside = Annotated[int, Field(ge=1, le=8192), AfterValidator(_power_of_two)]
Bands = Annotated[Multipoles, AfterValidator(_rising)]


class RedshiftsBlock(Block):
    """n(z) as one of three forms, from one redshift to another."""

    smail: SmailForm | None = None
    table: FilePath | None = None
    """A text file: z and n(z)."""
    comoving: Positive | None = None
    """The same number everywhere [(h/Mpc)^3]; of galaxies, in the place of their density."""
    between: Annotated[Range, AfterValidator(_rising)] | None = None
    """Redshifts beyond which there is none; no cut if null."""

    @model_validator(mode="after")
    def _one_form(self) -> RedshiftsBlock:
        forms = ("smail", "table", "comoving")
        given = [name for name in forms if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "n_z",
                "expected exactly one of smail, table and comoving, got {given}",
                {"given": " and ".join(given) or "none"},
            )
        return self


class SourcesBlock(Block):
    """What is behind the matter: at one redshift, or with n(z)."""

    redshift: Positive | None = None
    n_z: RedshiftsBlock | None = None
    density: Positive | None = None
    """[1/arcmin^2]; a survey's noise is of it."""
    sigma_e: Positive | None = None
    """Scatter of the ellipticity, per component."""

    @model_validator(mode="after")
    def _one_form(self) -> SourcesBlock:
        if (self.redshift is None) == (self.n_z is None):
            raise PydanticCustomError("sources", "expected exactly one of redshift and n_z")
        return self


class MapsBlock(Block):
    """Shells of the matter and convergence, in HEALPix, and their spectra."""

    nside: Nside | None = None
    """The finest whose pixels at the far end are as wide as particles are apart, if null."""
    shells: Annotated[
        Count | Ascending, Field(union_mode="left_to_right"), BeforeValidator(_rising)
    ] = 10
    """How many, of equal thickness; or the distances between them [Mpc/h]."""
    sources: dict[Name, SourcesBlock] | None = None
    """By name; one plane at the cone's far end, named far, if null."""
    bands: Bands | None = None
    """Multipoles at which bands of spectra begin, the last excluded; ten, as the footprint and the
    particles allow, if null."""


class GalaxiesBlock(Block):
    """Mock galaxies of one sample."""

    n_z: RedshiftsBlock
    density: Positive | None = None
    """[1/arcmin^2]."""
    bias: Positive = 1.0
    """Linear."""
    rsd: bool = True
    """Whether observed redshifts have the Doppler shift of the peculiar velocity."""
    smoothing: Annotated[float, Field(ge=0)] = 4.0
    """Of the linear density that the bias is a response to, by a Gaussian [Mpc/h]."""

    @model_validator(mode="after")
    def _one_number(self) -> GalaxiesBlock:
        if (self.density is None) == (self.n_z.comoving is None):
            raise PydanticCustomError(
                "density", "expected a density, or n_z with comoving, and not both"
            )
        return self


class SurveyBlock(Block):
    """A mock data vector: spectra with noise and covariance, in SACC."""

    samples: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of galaxies and sources; all galaxies, and all sources that have n(z), if null."""
    statistics: Annotated[list[Statistic], Field(min_length=1)] | None = None
    """All if null."""
    bands: Bands | None = None
    """Those of the maps where the simulation resolves every sample, if null."""
    super_sample: bool = True
    """Whether the covariance has what waves longer than the footprint do to all bands together."""
