"""The block ``emulator.design``: where the exact solutions of the training are placed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .blocks import Block, Count, Positive, empty

ADAPTIVE = "adaptive"


def _filter(given: Any) -> Any:
    """``filter: none`` is no filter; nothing behind the key is forgotten, not chosen."""
    if given is None or (isinstance(given, str) and given != "none"):
        raise PydanticCustomError(
            "filter", "expected a block of neighbours, tolerance and metric, or none"
        )
    return None if given == "none" else given


class AdaptiveDesign(Block):
    """Volvelle's own; its keys stand in the emulator block: initial, batch, width, warm_start."""

    @model_validator(mode="before")
    @classmethod
    def _keys_stand_above(cls, given: Any) -> Any:
        for key in ("initial", "batch", "width", "warm_start"):
            if isinstance(given, dict) and key in given:
                raise PydanticCustomError(
                    "adaptive",
                    "{key} of the adaptive design stands in the emulator block itself; write it "
                    "there, beside design",
                    {"key": key},
                )
        return given


class SpaceFillingDesign(Block):
    """One set of solutions and one fit."""

    points: Count
    """Exact solutions."""
    width: Positive = 1.0
    """Half width of the reference box in units of each parameter's ref.scale."""


class FilterBlock(Block):
    """The nearest-neighbour filter of Nygaard et al. 2022, section 3.2."""

    neighbours: Count = 5
    tolerance: Annotated[float, Field(ge=0)] = 2.0
    """Standard deviations of the distances to the neighbours."""
    metric: Literal["scaled", "whitened"] = "scaled"


class HaltBlock(Block):
    """When the iteration ends; null takes a criterion away."""

    r_minus_1: Positive | None = 0.01
    """Of the chains' points of two consecutive iterations."""
    new_points: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of an iteration's points that pass the filter."""
    when: Literal["either", "both"] = "either"

    @model_validator(mode="after")
    def _ends(self) -> HaltBlock:
        if self.r_minus_1 is None and self.new_points is None:
            raise PydanticCustomError(
                "halt",
                "r_minus_1 and new_points are both null, so that nothing ends the iteration; give "
                "a number for at least one",
            )
        return self


class IterativeDesign(Block):
    """The iteration of Nygaard et al. 2022 with the paper's numbers as defaults."""

    start: Literal["latin_hypercube", "hypersphere"] = "latin_hypercube"
    initial: Count = 10_000
    """Exact solutions of the start, dropped once chains have been solved."""
    first: Count = 5_000
    """Points that are taken from the first chains."""
    points: Count = 20_000
    """The last points of each later chains, before the filter."""
    temperature: Annotated[float, Field(ge=1)] = 5.0
    keep_first: bool = False
    """Whether the first chains' points stay in the training set."""
    filter: Annotated[FilterBlock | None, BeforeValidator(_filter)] = FilterBlock()
    halt: Annotated[HaltBlock, BeforeValidator(empty)] = HaltBlock()
    most_iterations: Count = 20
    width: Positive = 1.0
    """Half width of the reference box in units of each parameter's ref.scale."""

    @model_validator(mode="after")
    def _filter_is_there(self) -> IterativeDesign:
        if self.filter is None and self.halt.new_points is not None:
            raise PydanticCustomError(
                "halt",
                "halt.new_points is given and filter is none, so that all points are new; give a "
                "filter, or halt by r_minus_1",
            )
        return self


class DesignBlock(Block):
    """Exactly one design."""

    adaptive: Annotated[AdaptiveDesign | None, BeforeValidator(empty)] = None
    latin_hypercube: SpaceFillingDesign | None = None
    hypersphere: SpaceFillingDesign | None = None
    iterative: Annotated[IterativeDesign | None, BeforeValidator(empty)] = None

    @model_validator(mode="after")
    def _one_design(self) -> DesignBlock:
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            raise PydanticCustomError(
                "design",
                "expected exactly one of {known}, got {given}",
                {
                    "known": ", ".join(type(self).model_fields),
                    "given": " and ".join(given) or "none",
                },
            )
        return self

    @property
    def name(self) -> str:
        """The one that is given."""
        (name,) = self.model_fields_set
        return name

    @property
    def chosen(self) -> AdaptiveDesign | SpaceFillingDesign | IterativeDesign:
        """Its keys."""
        return getattr(self, self.name)

    def sizes(self) -> dict[str, int]:
        """Numbers of points that a surrogate may have to be fitted to alone, by their keys."""
        chosen = self.chosen
        if isinstance(chosen, SpaceFillingDesign):
            return {"points": chosen.points}
        if isinstance(chosen, IterativeDesign):
            return {"initial": chosen.initial, "first": chosen.first, "points": chosen.points}
        return {}
