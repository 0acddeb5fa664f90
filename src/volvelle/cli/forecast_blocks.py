"""The blocks of a forecast's file: their keys, types, defaults and limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .blocks import Block, Count, FilePath, Positive, empty

Fraction = Annotated[float, Field(gt=0, le=1)]
Numbers = Annotated[list[float], Field(min_length=1)]


def _number_or_block(given: Any) -> Any:
    """``0.7`` is a fixed value, ``{fiducial: 0.7}`` one that varies."""
    if isinstance(given, bool) or not isinstance(given, int | float | list | dict):
        raise PydanticCustomError(
            "quantity",
            "expected a number, which fixes it, or a block with fiducial:, which lets it vary",
        )
    if isinstance(given, dict):
        return {"varies": True, **given}
    return {"fiducial": given}


class Quantity(Block):
    """A value, and whether it varies, with the standard deviation of a Gaussian prior or none."""

    fiducial: float
    varies: bool = False
    prior: Positive | None = None
    latex: Annotated[str, Field(min_length=1)] | None = None


class BinQuantity(Block):
    """The same for every bin of a sample: one number for all, or a list of one per bin."""

    fiducial: Annotated[float | Numbers, Field(union_mode="left_to_right")]
    varies: bool = False
    prior: Positive | None = None


Varied = Annotated[Quantity, BeforeValidator(_number_or_block)]
PerBin = Annotated[BinQuantity, BeforeValidator(_number_or_block)]


class SmailForm(Block):
    """n ~ z^alpha exp(-(z / z0)^beta) up to z_max."""

    alpha: float = 2.0
    beta: Positive = 1.5
    z0: Positive
    z_max: Positive = 3.5


class SaccForm(Block):
    """n(z) of tracers in a SACC file (HDF5), one per bin."""

    file: FilePath
    tracers: Annotated[list[str], Field(min_length=1)]


class Redshifts(Block):
    """n(z) of a sample, as one of three forms."""

    smail: SmailForm | None = None
    table: FilePath | None = None
    """A text file: z and n(z), to be cut into bins, or z and a column for each bin."""
    sacc: SaccForm | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Redshifts:
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            raise PydanticCustomError(
                "n_z",
                "expected exactly one of smail, table and sacc, got {given}",
                {"given": " and ".join(given) or "none"},
            )
        return self


class Bins(Block):
    """Tomographic bins of measured redshifts."""

    edges: Annotated[list[float], Field(min_length=2)] | None = None
    number: Count | None = None
    """Bins of equal numbers of galaxies, between low and high."""
    low: Annotated[float, Field(ge=0)] = 0.0
    high: Positive = 3.0
    scatter: Annotated[float, Field(ge=1e-3, lt=1)]
    """Standard deviation of the measured redshift, over 1 + z."""

    @model_validator(mode="after")
    def _one_form(self) -> Bins:
        if (self.edges is None) == (self.number is None):
            raise PydanticCustomError("bins", "expected exactly one of edges and number")
        if self.edges is not None:
            rising = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
            if not rising or self.edges[0] < 0.0:
                raise PydanticCustomError("edges", "expected edges that increase, from 0 on")
        elif not self.low < self.high:
            raise PydanticCustomError("edges", "expected low below high")
        return self


class SampleBlock(Block):
    """Galaxies of one kind."""

    kind: Literal["counts", "shear"]
    n_z: Redshifts
    bins: Bins | None = None
    density: Annotated[Positive | Numbers, Field(union_mode="left_to_right")]
    """Of all bins together, or a list of one per bin [1/arcmin^2]."""
    ell_max: Positive | None = None
    bias: PerBin | None = None
    dz: PerBin | None = None
    m: PerBin | None = None
    sigma_e: Positive | None = None
    A_IA: Varied | None = None
    eta_IA: Varied | None = None
    z_IA: Positive = 0.62

    @model_validator(mode="after")
    def _fits_its_kind(self) -> SampleBlock:
        wrong = {"counts": ("m", "sigma_e", "A_IA", "eta_IA"), "shear": ("bias",)}[self.kind]
        for name in wrong:
            if getattr(self, name) is not None:
                raise PydanticCustomError(
                    "sample_kind",
                    "has {name}, which means nothing for {kind}; drop it",
                    {"name": name, "kind": self.kind},
                )
        needed = "bias" if self.kind == "counts" else "sigma_e"
        if getattr(self, needed) is None:
            raise PydanticCustomError(
                "sample_kind", "{kind} need {name}", {"name": needed, "kind": self.kind}
            )
        if self.eta_IA is not None and self.A_IA is None:
            raise PydanticCustomError("sample_kind", "has eta_IA without A_IA; give A_IA too")
        return self


class EllBlock(Block):
    """Logarithmic bands of multipoles."""

    min: Annotated[float, Field(ge=2)] = 20.0
    max: Positive = 2000.0
    bands: Annotated[int, Field(ge=2, le=500)] = 20

    @model_validator(mode="after")
    def _ordered(self) -> EllBlock:
        if self.min >= self.max:
            raise PydanticCustomError("ell", "expected min below max")
        return self


class SurveyBlock(Block):
    """The sky, the multipoles and the covariance."""

    f_sky: Fraction | None = None
    area: Annotated[float, Field(gt=0, le=41252.97)] | None = None
    """[square degrees] in the place of f_sky."""
    ell: Annotated[EllBlock, BeforeValidator(empty)] = EllBlock()
    spectra: Annotated[list[Literal["counts", "shear", "cross"]], Field(min_length=1)] = Field(
        default_factory=lambda: ["counts", "shear", "cross"]
    )
    covariance: Literal["fixed", "varying"] = "fixed"
    """Whether it varies with the parameters: then the likelihood has its determinant."""
    simulations: Count | None = None
    """How many will make the covariance: the Fisher matrix gets the Hartlap factor."""

    @model_validator(mode="after")
    def _one_size(self) -> SurveyBlock:
        if (self.f_sky is None) == (self.area is None):
            raise PydanticCustomError("area", "expected exactly one of f_sky and area")
        if self.covariance == "varying" and self.simulations is not None:
            raise PydanticCustomError(
                "simulations",
                "simulations are of one universe, and the covariance is to vary: expected "
                "covariance: fixed, or no simulations",
            )
        return self


class PowerBlock(Block):
    """The power spectrum of matter."""

    linear: Literal["learned", "extended", "eisenstein_hu"] = "learned"
    nonlinear: Literal["hmcode", "halofit", "none"] = "hmcode"


class ReportBlock(Block):
    """What is told beside the errors of the parameters."""

    figures_of_merit: list[Annotated[list[str], Field(min_length=1)]] = Field(default_factory=list)
    derived: dict[str, str] = Field(default_factory=dict)
    """Arithmetic of parameters, Omega_m among them."""
    triangle: Annotated[list[str], Field(min_length=2)] | None = None
    """Parameters of the picture; those of the universe unless given."""


class SystematicBlock(Block):
    """What is true while the fit assumes something else."""

    params: dict[str, float] = Field(default_factory=dict)
    power: PowerBlock | None = None

    @model_validator(mode="after")
    def _something(self) -> SystematicBlock:
        if not self.params and self.power is None:
            raise PydanticCustomError(
                "systematic", "changes nothing; expected params: or power: with the truth"
            )
        return self


class DepthBlock(Block):
    """How depth, density and redshifts follow from the area, in the same observing time.

    The defaults are the LSST Science Book's (arXiv:0912.0201, section 3.7.2), for limits in i.
    """

    overhead: Annotated[float, Field(ge=0)] = 0.1
    """Time per field that exposes nothing, over the exposure at the file's own area."""
    density_slope: Annotated[float, Field(ge=0)] = 0.31
    """d log10 n / d m."""
    z0_slope: Annotated[float, Field(ge=0)] = 0.0417
    """d z0 / d m of a Smail n(z)."""


class OptimiseBlock(Block):
    """A design of the survey that makes a figure of merit as large as it can be."""

    maximise: Annotated[list[str], Field(min_length=1)]
    area: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = None
    """Least and largest [square degrees]: area against depth, at the same observing time."""
    depth: Annotated[DepthBlock, BeforeValidator(empty)] = DepthBlock()
    edges: list[str] = Field(default_factory=list)
    """Samples of which the inner edges of the bins are moved."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 60

    @model_validator(mode="after")
    def _something(self) -> OptimiseBlock:
        if self.area is None and not self.edges:
            raise PydanticCustomError("optimise", "moves nothing; expected area: or edges:")
        if self.area is not None and not self.area[0] < self.area[1] <= 41252.97:
            raise PydanticCustomError("optimise", "expected area: [least, largest], within the sky")
        return self


class ForecastFile(Block):
    """The keys at the top of the file."""

    output: FilePath
    params: dict[str, Varied]
    samples: Annotated[dict[str, SampleBlock], Field(min_length=1)]
    survey: SurveyBlock
    power: Annotated[PowerBlock, BeforeValidator(empty)] = PowerBlock()
    limber: Literal["auto", "always", "never"] = "auto"
    neutrino_hierarchy: Literal["single", "degenerate", "normal", "inverted"] = "single"
    report: Annotated[ReportBlock, BeforeValidator(empty)] = ReportBlock()
    systematic: dict[str, SystematicBlock] = Field(default_factory=dict)
    optimise: OptimiseBlock | None = None
