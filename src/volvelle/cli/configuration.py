"""A configuration file, checked before anything is computed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from . import checks
from .blinding import RECORD, SUFFIX, BlindBlock, blinded
from .blocks import (
    Block,
    CertificateBlock,
    Count,
    FilePath,
    TheoryBlock,
    empty,
)
from .compute_block import ComputeBlock, Local
from .designs import ADAPTIVE
from .document import Document
from .emulator_block import EmulatorBlock
from .messages import first_error
from .parameters import Parameter, SampledParameter
from .presets import PERCEPTRON
from .roles import roles
from .sampler_block import AnySampler, SamplerBlock

if TYPE_CHECKING:
    from ..cosmology import Parametrisation

NO_RESULT = {"output", "workers", "compute", "ledger"}
"""Keys that change where and how fast, not what: they do not enter the hash."""


def _likelihoods(given: Any) -> Any:
    """A list of names, or names with options, as name -> options."""
    wanted = "expected a list of different names, or a block of `name: options`"
    if isinstance(given, list):
        names = [name for name in given if isinstance(name, str)]
        if len(names) != len(given) or len(set(names)) != len(names):
            raise PydanticCustomError("likelihoods", wanted)
        given = dict.fromkeys(names)
    if not isinstance(given, dict) or not given:
        raise PydanticCustomError("likelihoods", wanted)
    return {name: empty(options) for name, options in given.items()}


class File(Block):
    """The keys at the top of a configuration file."""

    output: FilePath
    theory: TheoryBlock
    params: dict[str, Parameter]
    likelihood: Annotated[dict[str, dict[str, Any]], BeforeValidator(_likelihoods)]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    emulator: Annotated[EmulatorBlock, BeforeValidator(empty)] = EmulatorBlock()
    sampler: Annotated[SamplerBlock, BeforeValidator(empty)] = SamplerBlock()
    certificate: Annotated[CertificateBlock, BeforeValidator(empty)] = CertificateBlock()
    ledger: FilePath | None = None
    workers: Count | None = None
    compute: ComputeBlock | None = None
    simulate_if_missing: bool = False
    blind: BlindBlock | None = None


@dataclass(frozen=True)
class Configuration:
    """What a run needs to know, from a file that has passed every check."""

    source: Path
    text: str
    """The file as given."""
    hash: str
    """sha256 of everything that decides the result; equal for files that differ in form only."""
    output: Path
    seed: int
    solver_name: Literal["class", "camb"]
    direct: bool
    """Whether the package's own theory is taken, and the solver only certifies it."""
    solver_settings: dict[str, Any]
    """Keyword arguments of `volvelle.get_solver`."""
    neutrino_hierarchy: str
    sampled: tuple[SampledParameter, ...]
    fixed: dict[str, float]
    """Fixed parameters of the theory; `parametrisation` says which of them the solver gets."""
    fixed_nuisance: dict[str, float]
    parametrisation: Parametrisation
    labels: dict[str, str]
    """LaTeX of the parameters that are defined by expressions."""
    likelihoods: dict[str, dict[str, Any]]
    missing_data: dict[str, str]
    """Likelihoods whose data are not on this machine, with the reason; they are to be simulated."""
    shared: dict[str, tuple[str, ...]]
    """Nuisance parameters that stand for one number in several likelihoods, which are named."""
    data: dict[str, str]
    """sha256 of every file that decides the result: data, and the user's own code."""
    emulator: EmulatorBlock
    sampler: AnySampler
    sampler_name: str
    """The name of the sampler's block."""
    r_hat: float
    ess_min: float
    divergent: float
    evidence: bool
    """Whether the chains are asked for ln Z too."""
    certificate: CertificateBlock
    ledger: Path
    compute: ComputeBlock
    """Where exact solutions and chains are computed."""
    blind: BlindBlock | None
    """Hidden shifts; ``sampled`` holds the shifted parameters."""

    @property
    def hides(self) -> bool:
        """Whether outputs must not tell the blinded parameters (yet)."""
        return self.blind is not None and not (self.output / RECORD).exists()

    @property
    def hidden_names(self) -> frozenset[str]:
        """Sampled parameters that are shifted, as long as outputs must not tell by how much."""
        if self.blind is None or not self.hides:
            return frozenset()
        shifted = {*self.blind.shifts, *(f"log10_{name}" for name in self.blind.shifts)}
        names = frozenset(f"{name}{SUFFIX}" for name in shifted)
        return names.intersection(parameter.name for parameter in self.sampled)

    @classmethod
    def load(
        cls, path: str | Path, *, output: str | Path | None = None, files: bool = True
    ) -> Configuration:
        """Read and check a file.

        Args:
            path: a YAML file.
            output: takes the place of the file's ``output``.
            files: also check that solver, data and warm starts are on this machine.

        Raises ConfigurationError: one line with file, line and key.
        """
        from ..boltzmann import default_ledger

        document = Document.load(Path(path))
        try:
            file = File.model_validate(document.data)
        except ValidationError as error:
            raise first_error(document, error) from error
        known = (document, file.likelihood, file.simulate_if_missing)
        found = checks.likelihoods(*known, tuple(file.params), file.emulator.outputs)
        parts = roles(document, file.params, found.nuisance)
        name, theory = file.theory.solver_name, file.theory.solver
        hierarchy = file.theory.neutrino_hierarchy
        checks.cosmology(document, parts, hierarchy)
        sampled = sum(p.kind == "cosmology" for p in parts.sampled)
        if file.theory.volvelle is None:
            checks.design(document, file.emulator, sampled)
        else:
            checks.direct(document, file.likelihood, file.params, parts)
        settings = solver_settings(theory.model_dump(exclude={"neutrino_hierarchy"}))
        if files:
            solver = checks.solver(document, name, settings)
            inputs = replace(found.request, scalars=())
            wanted = checks.with_outputs(inputs, file.emulator.outputs)
            nuisance = list(found.nuisance)
            checks.natives(document, parts, hierarchy, solver, wanted, nuisance, settings)
            checks.likelihood_scalars(document, parts, hierarchy, solver, found)
            checks.outputs(document, parts, hierarchy, solver, file.emulator.outputs)
            checks.warm_starts(document, file.emulator.warm_start)
            checks.output(document, Path(output or file.output))
        else:
            checks.outputs(document, parts, hierarchy, None, file.emulator.outputs)
        parts = blinded(document, file.blind, parts)
        checks.sampler(document, file.sampler, tuple(p.name for p in parts.sampled))
        return cls(
            source=document.path,
            text=document.text,
            hash=_hash(file),
            output=Path(output or file.output),
            seed=file.seed,
            solver_name=name,
            direct=file.theory.volvelle is not None,
            solver_settings=settings,
            neutrino_hierarchy=hierarchy,
            sampled=parts.sampled,
            fixed=parts.fixed,
            fixed_nuisance=parts.fixed_nuisance,
            parametrisation=parts.parametrisation,
            labels=parts.labels,
            likelihoods=dict(file.likelihood),
            missing_data=found.missing,
            shared=found.shared,
            data=found.data | _own_code(file.emulator),
            emulator=file.emulator,
            sampler=file.sampler.chosen,
            sampler_name=file.sampler.name,
            r_hat=file.sampler.r_hat,
            ess_min=file.sampler.ess_min,
            divergent=file.sampler.divergent,
            evidence=bool(file.sampler.evidence),
            certificate=file.certificate,
            ledger=file.ledger or default_ledger(),
            compute=computed_where(document, file.compute, file.workers),
            blind=file.blind,
        )

    @property
    def expanded_text(self) -> str:
        """The file as given; a preset's keys are added as comments, merged with the file's own."""
        if self.emulator.preset is None:
            return self.text
        merged = self.emulator.model_dump(mode="json", exclude={"preset", "design"})
        merged["design"] = _design(self.emulator)
        written = yaml.safe_dump({"emulator": merged}, sort_keys=False)
        comments = "".join(f"# {line}\n" for line in written.splitlines())
        return f"{self.text.rstrip()}\n\n# with preset {self.emulator.preset}:\n{comments}"


def computed_where(
    document: Document, compute: ComputeBlock | None, workers: int | None
) -> ComputeBlock:
    """The place, of which ``workers`` is the shorthand for local processes."""
    if compute is None:
        return ComputeBlock(local=Local(workers=workers))
    if workers is not None:
        raise document.error(
            ("workers",), "cannot stand beside compute; write compute: {local: {workers: N}}"
        )
    return compute


def solver_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    settings = {("extra" if key == "extra_args" else key): v for key, v in given.items()}
    if "path" in settings:
        settings["path"] = None if settings["path"] is None else str(settings["path"])
    return settings


def _own_code(emulator: EmulatorBlock) -> dict[str, str]:
    """Hashes of the files of a network's functions that are the user's own."""
    from ..compute import plugin_sha256

    given = {} if emulator.network is None else emulator.network.model_dump()
    found: dict[str, str] = {}
    for value in given.values():
        if isinstance(value, str) and ":" in value:
            found.update(plugin_sha256(value))
    return found


def _design(emulator: EmulatorBlock) -> dict[str, Any]:
    design = emulator.design
    return {design.name: design.chosen.model_dump(mode="json")}


def _hash(file: File) -> str:
    # what is not given and has no value is left out: keys of later versions change no hash
    content = file.model_dump(mode="json", by_alias=True, exclude=NO_RESULT, exclude_none=True)
    emulator = content["emulator"]
    for key in ("preset", "design"):  # a preset's keys are in the others
        emulator.pop(key, None)
    if emulator["target"] == "theory":
        del emulator["target"]
    if file.sampler.chosen == SamplerBlock().chosen:  # given, or what is taken where none is
        content["sampler"].pop(file.sampler.name, None)
    network = emulator.get("network", {})
    if network.get("architecture") == PERCEPTRON:
        del network["architecture"]
    if file.emulator.design.name != ADAPTIVE:  # which has all its keys in the block itself
        emulator["design"] = _design(file.emulator)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
