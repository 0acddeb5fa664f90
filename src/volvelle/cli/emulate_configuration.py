"""A file for ``volvelle emulate``, checked before anything is computed."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from . import checks
from .blocks import Block, Count, FilePath, Positive, SolverBlock, empty
from .compute_block import ComputeBlock
from .configuration import NO_RESULT, computed_where, solver_settings
from .document import Document
from .emulator_block import check_lmax
from .messages import first_error
from .parameters import Parameter, Reference, Sampled, SampledParameter
from .roles import roles

if TYPE_CHECKING:
    from ..cosmology import Parametrisation
    from ..training import BoxSettings


def _different(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise PydanticCustomError(
            "outputs", "expected a list of different names of outputs, at least one"
        )
    return names


class AccuracyBlock(Block):
    """Largest error that a model of the box may have."""

    spectra: Positive = 0.1
    """Of every multipole, in units of full-sky cosmic variance [sigma]."""
    other: Positive = 1e-3
    """Of every other number, relative."""
    percentile: Annotated[float, Field(ge=50, le=100)] = 95.0
    """Share of the models in the box that are as good [%]."""


class PointsBlock(Block):
    """How many exact solutions are asked for."""

    initial: Count | None = None
    """Of the space-filling start; chosen from the number of parameters if null."""
    batch: Count | None = None
    """Where the largest error is expected, in the first round; chosen likewise if null."""
    held_out: Annotated[int, Field(ge=20)] = 24
    """Fresh ones per round; where they show the accuracy, a certificate is tried."""
    certificate: Annotated[int, Field(ge=20)] = 100
    """Fresh ones that certify; those of a certificate that fails join the training."""
    max_training: Count = 400
    """Most of all before the last certificate."""


class EmulateFile(Block):
    """The keys at the top of the file."""

    output: FilePath
    theory: SolverBlock
    params: dict[str, Parameter]
    outputs: Annotated[list[str], AfterValidator(_different)]
    lmax: Annotated[int, Field(ge=2)] = 2508
    accuracy: Annotated[AccuracyBlock, BeforeValidator(empty)] = AccuracyBlock()
    points: Annotated[PointsBlock, BeforeValidator(empty)] = PointsBlock()
    kind: Literal["auto", "polynomial", "gaussian_process"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    ledger: FilePath | None = None
    workers: Count | None = None
    compute: ComputeBlock | None = None


@dataclass(frozen=True)
class EmulateConfiguration:
    """What the training of a box needs to know, from a file that has passed every check."""

    source: Path
    text: str
    hash: str
    """sha256 of everything that decides the result."""
    output: Path
    solver_name: Literal["class", "camb"]
    solver_settings: dict[str, Any]
    """Keyword arguments of `volvelle.get_solver`."""
    neutrino_hierarchy: str
    sampled: tuple[SampledParameter, ...]
    fixed: dict[str, float]
    parametrisation: Parametrisation
    outputs: tuple[str, ...]
    lmax: int
    settings: BoxSettings
    ledger: Path
    compute: ComputeBlock
    """Where exact solutions are computed."""

    @classmethod
    def load(cls, path: str | Path, *, output: str | Path | None = None) -> EmulateConfiguration:
        """Read and check a file; raises ConfigurationError: one line with file, line and key."""
        from ..boltzmann import OUTPUTS, Request, default_ledger
        from ..emulator import also_needed
        from ..training import BoxSettings, TrainingError, check_size, default_start

        document = Document.load(Path(path))
        try:
            file = EmulateFile.model_validate(document.data)
        except ValidationError as error:
            raise first_error(document, error) from error
        given = {name: _referred(document, name, value) for name, value in file.params.items()}
        parts = roles(document, given, {})
        name, theory = file.theory.solver_name, file.theory.solver
        hierarchy = theory.neutrino_hierarchy
        checks.cosmology(document, parts, hierarchy)
        lacking = also_needed(file.outputs)
        if lacking:
            raise document.error(
                ("outputs",),
                f"the error of TE is measured in its cosmic variance, which takes "
                f"{' and '.join(lacking)} too; add them",
            )
        settings = solver_settings(theory.model_dump(exclude={"neutrino_hierarchy"}))
        solver = checks.solver(document, name, settings)
        known = [name for name in file.outputs if name in OUTPUTS]
        wanted = replace(Request.of(known, file.lmax), scalars=())
        checks.natives(document, parts, hierarchy, solver, wanted, [], settings)
        checks.outputs(document, parts, hierarchy, solver, file.outputs, ("outputs",))
        if "lmax" in file.model_fields_set:
            try:
                check_lmax(file.lmax, file.outputs)
            except PydanticCustomError as error:
                raise document.error(("lmax",), error.message()) from error
        checks.output(document, Path(output or file.output))
        points, d = file.points, len(parts.sampled)
        initial = points.initial or default_start(d)
        try:
            check_size(initial, d, "initial")
        except TrainingError as error:
            raise document.error(("points", "initial"), str(error)) from error
        if initial + points.held_out > points.max_training:
            raise document.error(
                ("points", "max_training"),
                f"is {points.max_training}, but the start takes {initial} and deciding takes "
                f"{points.held_out} more; raise it",
            )
        box = BoxSettings(
            **file.accuracy.model_dump(), **points.model_dump(), kind=file.kind, seed=file.seed
        )
        try:
            box.check()
        except TrainingError as error:
            raise document.error(("accuracy", "percentile"), str(error)) from error
        content = file.model_dump(mode="json", by_alias=True, exclude=NO_RESULT, exclude_none=True)
        return cls(
            source=document.path,
            text=document.text,
            hash=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            output=Path(output or file.output),
            solver_name=name,
            solver_settings=settings,
            neutrino_hierarchy=hierarchy,
            sampled=parts.sampled,
            fixed=parts.fixed,
            parametrisation=parts.parametrisation,
            outputs=tuple(file.outputs),
            lmax=file.lmax,
            settings=box,
            ledger=file.ledger or default_ledger(),
            compute=computed_where(document, file.compute, file.workers),
        )

    def summary(self) -> dict[str, Any]:
        """What is asked for, in words."""
        settings = self.settings
        box = ", ".join(f"{p.name} {p.prior['min']:g} to {p.prior['max']:g}" for p in self.sampled)
        return {
            "solver": self.solver_name,
            "box": box,
            "outputs": ", ".join(self.outputs),
            "accuracy": f"{settings.spectra:g} sigma of cosmic variance, {settings.other:g} of "
            f"other numbers, for {settings.percentile:g}% of the box",
            "exact solutions": f"at most {settings.max_training}, and {settings.certificate} for "
            "the certificate",
            "output": self.output,
            "ledger": self.ledger,
        }


def _referred(document: Document, name: str, value: Any) -> Any:
    """A parameter with its box as reference: centre and half width.

    Raises ConfigurationError for a prior without ends, or a ref, which means nothing here.
    """
    if not isinstance(value, Sampled):
        return value
    key = ("params", name)
    low, high = getattr(value.prior, "min", None), getattr(value.prior, "max", None)
    if low is None or high is None:
        raise document.error(key, "has a prior without ends; the box needs min and max")
    if value.prior.dist != "uniform":
        raise document.error(
            (*key, "prior"),
            f"dist {value.prior.dist} has no meaning in a box, all of which counts alike; give "
            "min and max only",
        )
    if value.ref is not None:
        raise document.error((*key, "ref"), "the box is that of the prior; remove ref")
    if value.scale == "log":
        middle = math.sqrt(low * high)
        reference = Reference(loc=middle, scale=0.5 * math.log10(high / low))
    else:
        reference = Reference(loc=0.5 * (low + high), scale=0.5 * (high - low))
    return value.model_copy(update={"ref": reference})
