"""The blocks of a configuration file: their keys, types, defaults and limits.

Every model is strict (``"3"`` is no number) and refuses unknown keys. Keys are described where they
stand; `messages` turns what pydantic finds into one-line errors.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
FilePath = Annotated[Path, Field(strict=False), AfterValidator(Path.expanduser)]
Setting = int | float | str
"""A value that is handed to a solver as it stands."""


class Block(BaseModel):
    """A mapping with known keys only, frozen once read."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        if isinstance(given, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in given:
                if key not in known and key not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key; {offer}",
                        {"key": key, "offer": offer(str(key), known), "known": known},
                    )
        return given


def offer(name: str, known: list[str] | tuple[str, ...]) -> str:
    """The nearest known names to a wrong one, or all of them."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(by_lower[each] for each in near)}?"
    return f"known are {', '.join(sorted(known))}" if known else "none is known here"


def empty(given: Any) -> Any:
    """``class:`` with nothing behind it means: all defaults."""
    return {} if given is None else given


class ClassTheory(Block):
    """CLASS solves; every key has a default."""

    path: FilePath | None = None
    """Folder of a modified CLASS whose Python extension is built; the installed one otherwise."""
    non_linear: Literal["halofit", "hmcode", "none"] = "halofit"
    neutrino_hierarchy: Literal["single", "degenerate", "normal", "inverted", "native"] = "single"
    precision: dict[str, Setting] = Field(default_factory=dict)
    extra_args: dict[str, Setting] = Field(default_factory=dict)


class CambTheory(Block):
    """CAMB solves; every key has a default."""

    non_linear: Literal["halofit", "hmcode", "none"] = "halofit"
    lens_potential_accuracy: Annotated[float, Field(ge=0)] = 1.0
    """CAMB's accuracy of the lensing potential; 1 is what Planck needs."""
    neutrino_hierarchy: Literal["single", "degenerate", "normal", "inverted", "native"] = "single"
    precision: dict[str, Setting] = Field(default_factory=dict)
    extra_args: dict[str, Setting] = Field(default_factory=dict)


class DirectTheory(Block):
    """Volvelle's own theory, for likelihoods that need nothing else; CLASS certifies it."""

    neutrino_hierarchy: Literal["single", "degenerate", "normal", "inverted"] = "single"


class SolverBlock(Block):
    """Which exact solver, and how it is set."""

    class_: Annotated[ClassTheory | None, BeforeValidator(empty)] = Field(None, alias="class")
    camb: Annotated[CambTheory | None, BeforeValidator(empty)] = None

    @model_validator(mode="after")
    def _one_theory(self) -> SolverBlock:
        named = sorted(field.removesuffix("_") for field in self.model_fields_set)
        if len(named) != 1:
            known = [field.alias or name for name, field in type(self).model_fields.items()]
            raise PydanticCustomError(
                "solver",
                "expected exactly one of {known}, got {given}",
                {
                    "known": f"{', '.join(known[:-1])} and {known[-1]}",
                    "given": " and ".join(named) or "none",
                },
            )
        return self

    @property
    def solver_name(self) -> Literal["class", "camb"]:
        """The solver that computes, or certifies what the package computes itself."""
        return "camb" if self.camb is not None else "class"

    @property
    def solver(self) -> ClassTheory | CambTheory:
        """Its settings."""
        return self.camb or self.class_ or ClassTheory()


class TheoryBlock(SolverBlock):
    """Which exact solver is learned; or the package's own theory, of which nothing is."""

    volvelle: Annotated[DirectTheory | None, BeforeValidator(empty)] = None

    @property
    def neutrino_hierarchy(self) -> str:
        """How the masses of neutrinos are split."""
        return (self.volvelle or self.solver).neutrino_hierarchy


class CertificateBlock(Block):
    """How many fresh exact solutions certify the posterior."""

    points: Annotated[int, Field(ge=20)] = 100
    max_points: Annotated[int, Field(ge=20)] = 400

    @model_validator(mode="after")
    def _range(self) -> CertificateBlock:
        if self.points > self.max_points:
            raise PydanticCustomError(
                "points",
                "points is {points}, more than max_points, which is {most}; lower the one or "
                "raise the other",
                {"points": self.points, "most": self.max_points},
            )
        return self
