"""The ``params`` block: fixed values, priors and references."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from .blocks import Block, Positive

TAGS = (
    "fixed",
    "expression",
    "value",
    "sampled",
    "uniform",
    "norm",
    "truncnorm",
    "loguniform",
)
"""Names of the forms below; pydantic puts them into the location of an error."""


@dataclass(frozen=True)
class SampledParameter:
    """A parameter that the run infers.

    ``prior`` is a plain dict, ``{"min", "max"}`` or ``{"dist", "loc", "scale", ...}``; ``ref_loc``
    and ``ref_scale`` say where the first exact solutions are placed, apart from the prior;
    ``label`` is LaTeX without dollar signs; ``kind`` is "cosmology" or "nuisance". With a
    logarithmic scale all this is of ``log10_NAME``, and ``linear`` is NAME.
    """

    name: str
    prior: dict[str, Any]
    ref_loc: float
    ref_scale: float
    label: str
    kind: Literal["cosmology", "nuisance"]
    linear: str | None = None

    @property
    def key(self) -> str:
        """Its key in the file."""
        return self.linear or self.name


def _width(low: float, high: float) -> None:
    if low >= high:
        raise PydanticCustomError(
            "prior_width",
            "the prior has no width: min {low} is not below max {high}; for a fixed value write "
            "`NAME: {low}`",
            {"low": f"{low:g}", "high": f"{high:g}"},
        )


class Uniform(Block):
    """Uniform between min and max."""

    dist: Literal["uniform"] = "uniform"
    min: float
    max: float

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        _width(self.min, self.max)
        return self


class Norm(Block):
    """Gaussian of mean loc and standard deviation scale."""

    dist: Literal["norm"]
    loc: float
    scale: Positive


class TruncNorm(Block):
    """Gaussian of mean loc and standard deviation scale, cut at min and max."""

    dist: Literal["truncnorm"]
    loc: float
    scale: Positive
    min: float
    max: float

    @model_validator(mode="after")
    def _ordered(self) -> TruncNorm:
        _width(self.min, self.max)
        return self


class LogUniform(Block):
    """Uniform in the logarithm between min and max, both positive."""

    dist: Literal["loguniform"]
    min: Positive
    max: Positive

    @model_validator(mode="after")
    def _ordered(self) -> LogUniform:
        _width(self.min, self.max)
        return self


FORMS = ("uniform", "norm", "truncnorm", "loguniform")


def _prior_known(given: Any) -> Any:
    """Refuse what is no prior at all, before its form decides which keys it needs."""
    if not isinstance(given, dict):
        raise PydanticCustomError(
            "prior_form",
            "expected a prior such as {min: 0, max: 1} or {dist: norm, loc: 0, scale: 1}",
        )
    if given.get("dist", "uniform") not in FORMS:
        raise PydanticCustomError(
            "prior_dist",
            "expected dist to be one of {forms}, got {dist}",
            {"forms": ", ".join(FORMS), "dist": repr(given["dist"])},
        )
    return given


def _prior_form(given: Any) -> str:
    return given.get("dist", "uniform") if isinstance(given, dict) else given.dist


Prior = Annotated[
    Annotated[Uniform, Tag("uniform")]
    | Annotated[Norm, Tag("norm")]
    | Annotated[TruncNorm, Tag("truncnorm")]
    | Annotated[LogUniform, Tag("loguniform")],
    Discriminator(_prior_form),
    BeforeValidator(_prior_known),
]


class Reference(Block):
    """A first guess of the posterior: centre and standard deviation."""

    loc: float
    scale: Positive


def _arithmetic(text: str) -> str:
    from ..cosmology import ExpressionError, parse

    try:
        names = parse(text).names
    except ExpressionError as error:
        raise PydanticCustomError("expression", "{words}", {"words": str(error)}) from error
    if not names:
        raise PydanticCustomError(
            "parameter_form",
            "expected a number, or a block with prior: (or value:), or an expression of other "
            "parameters",
        )
    return text


ExpressionText = Annotated[str, AfterValidator(_arithmetic)]
Latex = Annotated[str, Field(min_length=1)]


class Value(Block):
    """A fixed or defined parameter written as a block."""

    value: Annotated[
        Annotated[float, Tag("fixed")] | Annotated[ExpressionText, Tag("expression")],
        Discriminator(lambda given: "expression" if isinstance(given, str) else "fixed"),
    ]
    latex: Latex | None = None
    drop: bool | None = None
    """Whether it stands in expressions only (true) or is handed to the solver as well (false)."""


class Sampled(Block):
    """A parameter with a prior."""

    prior: Prior
    ref: Reference | None = None
    latex: Latex | None = None
    scale: Literal["linear", "log"] = "linear"
    """log: sampled in log10, with a flat prior there; ref.scale is in log10 then."""
    drop: bool | None = None
    unset: float | None = None
    """Of a solver's input: where the model is the one without this input."""
    unset_with: str | None = None
    """Of a solver's input: another one; where that is unset, this one means nothing."""

    @model_validator(mode="after")
    def _logarithm_exists(self) -> Sampled:
        if self.scale != "log":
            return self
        if not isinstance(self.prior, Uniform):
            raise PydanticCustomError(
                "log_prior",
                "scale: log takes a prior of min and max only, flat in log10 between them, not "
                "dist {dist}; drop one of the two",
                {"dist": self.prior.dist},
            )
        if self.prior.min <= 0.0:
            raise PydanticCustomError(
                "log_range",
                "scale: log, but the prior reaches {low}: zero and negative numbers have no "
                "logarithm; raise min above 0 or drop scale",
                {"low": f"{self.prior.min:g}"},
            )
        if self.unset is not None:
            raise PydanticCustomError(
                "log_unset", "unset goes with a linear scale only; drop unset or scale"
            )
        return self

    @model_validator(mode="after")
    def _reference_in_prior(self) -> Sampled:
        low, high = getattr(self.prior, "min", -math.inf), getattr(self.prior, "max", math.inf)
        if self.ref is not None and not low <= self.ref.loc <= high:
            raise PydanticCustomError(
                "ref_outside",
                "ref.loc {loc} lies outside the prior, {low} to {high}; move the one or widen the "
                "other",
                {"loc": f"{self.ref.loc:g}", "low": f"{low:g}", "high": f"{high:g}"},
            )
        return self

    def prior_dict(self) -> dict[str, Any]:
        """The prior as a plain dict; a uniform one has min and max only."""
        given = self.prior.model_dump()
        return {k: v for k, v in given.items() if (k, v) != ("dist", "uniform")}

    def reference(self) -> tuple[float, float] | None:
        """Centre and scale of the first guess: ``ref``, or those of a Gaussian prior."""
        if self.ref is not None:
            return self.ref.loc, self.ref.scale
        if isinstance(self.prior, Norm):
            return self.prior.loc, self.prior.scale
        if isinstance(self.prior, TruncNorm):
            return min(max(self.prior.loc, self.prior.min), self.prior.max), self.prior.scale
        return None


def _parameter_known(given: Any) -> Any:
    """Refuse what is no number, expression, or block with either a value or a prior."""
    if isinstance(given, dict):
        if "value" in given and "prior" in given:
            raise PydanticCustomError(
                "value_and_prior",
                "has a value and a prior; keep value: to fix it or prior: to sample it",
            )
        if "value" not in given and "prior" not in given:
            raise PydanticCustomError(
                "no_prior",
                "has neither a value nor a prior; give prior: {min: .., max: ..} to sample it, "
                "or a number to fix it",
            )
    elif isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise PydanticCustomError(
            "parameter_form", "expected a number, or a block with prior: (or value:)"
        )
    return given


def _parameter_form(given: Any) -> str:
    if isinstance(given, dict):
        return "sampled" if "prior" in given else "value"
    return {Value: "value", Sampled: "sampled", str: "expression"}.get(type(given), "fixed")


Parameter = Annotated[
    Annotated[float, Tag("fixed")]
    | Annotated[ExpressionText, Tag("expression")]
    | Annotated[Value, Tag("value")]
    | Annotated[Sampled, Tag("sampled")],
    Discriminator(_parameter_form),
    BeforeValidator(_parameter_known),
]
"""What may stand behind a name in ``params``."""
