"""The exact solver behind an emulator: the very one that made its training solutions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import Any

import numpy as np

from ..boltzmann import (
    Ledger,
    Request,
    Solver,
    SolverError,
    default_ledger,
    get_solver,
    restrict,
    solve_many,
)
from ..compute import SerialExecutor
from ..cosmology import CosmologyError, Parametrisation
from ..training.provenance import recorded_parametrisation, recorded_solver
from .errors import ExactSolutionError, PluginInputError, SolverVersionError

RUN = "plug-in"
"""Who paid for these solutions, in the ledger."""


def training_solver(
    record: Mapping[str, Any], log: Logger, path: str | None = None, trusted: bool = False
) -> Solver:
    """The solver of the training, with its settings.

    Args:
        record: of the emulator; path: folder of the CLASS to use in the installed one's place;
        trusted: whether its settings may be texts, which may name files and commands.

    Raises:
        TrainingError: a record whose settings cannot be read, or not be trusted.
        SolverNotInstalledError: it is not installed.
        SolverVersionError: another version is, or Volvelle now drives it with other settings.
    """
    trained = record["solver"]
    _, chosen = recorded_solver(trained, trusted)
    if path is not None:
        if trained["solver"] != "class":
            raise PluginInputError(
                f"class_path is {path}, but this emulator was trained with {trained['solver']}; "
                "drop class_path"
            )
        chosen["path"] = path
    solver = get_solver(trained["solver"], **chosen)
    found = solver.identity()
    name = trained["solver"].upper()
    if found["version"] != trained["version"]:
        raise SolverVersionError(
            f"this emulator was trained with {name} {trained['version']}, installed is {name} "
            f"{found['version']}; install {trained['version']}, train again, or choose outside: "
            "raise, reject or flag, which solve nothing"
        )
    if found["settings"] != trained["settings"]:
        raise SolverVersionError(
            f"this version of Volvelle gives {name} other settings ({found['settings']}) than the "
            f"training's ({trained['settings']}); train again, or choose outside: raise, reject or "
            "flag, which solve nothing"
        )
    if found.get("extension_sha256") != trained.get("extension_sha256"):
        log.warning(
            "%s %s is installed, as in the training, but another build of it",
            name,
            found["version"],
        )
    return solver


def parametrisation_of(record: Mapping[str, Any]) -> Parametrisation:
    """From an emulator's parameters to the solver's inputs.

    Raises PluginInputError for a record that does not say which parameters the solver gets.
    """
    definitions = record["definitions"]
    if definitions and "parametrisation" not in record:
        raise PluginInputError(
            "this emulator's file is of an older version and does not say which of its "
            f"parameters ({', '.join(definitions)}) the solver gets; run its training again "
            "(the solutions are in the ledger), or choose outside: raise, reject or flag"
        )
    return recorded_parametrisation(record)


def non_linear_model(record: Mapping[str, Any]) -> str:
    """The training's non-linear model: none, halofit or hmcode."""
    return str(json.loads(record["solver"]["settings"])["non_linear"])


@dataclass(frozen=True)
class ExactTheory:
    """Exact solutions in an emulator's place, each kept in the ledger."""

    solver: Solver
    request: Request
    parametrisation: Parametrisation
    neutrino_hierarchy: str
    ledger: Path

    @classmethod
    def of(
        cls,
        record: Mapping[str, Any],
        log: Logger,
        path: str | None,
        ledger: str | Path | None,
        trusted: bool = False,
    ) -> ExactTheory:
        """From an emulator's record; raises the errors of ``training_solver`` and
        ``parametrisation_of``."""
        return cls(
            training_solver(record, log, path, trusted),
            Request.from_json(record["request"]),
            parametrisation_of(record),
            record["neutrino_hierarchy"],
            Path(ledger or default_ledger()),
        )

    def solve(self, values: Mapping[str, float]) -> tuple[dict[str, np.ndarray], bool]:
        """All outputs at named parameters, and whether they were in the ledger.

        Raises SolverError, with the solver's own words, where there is no solution, and
        ExactSolutionError where it is not known whether there is.
        """
        try:
            cosmology = self.parametrisation.cosmology(values, self.neutrino_hierarchy)
        except CosmologyError as error:
            raise SolverError(str(error)) from error
        ledger, executor = Ledger(self.ledger), SerialExecutor()
        (entry,) = solve_many(self.solver, [cosmology], self.request, ledger, executor, RUN)
        if not entry.stored:
            raise ExactSolutionError(
                f"an exact solution was not finished ({entry.failure}); mend that, or choose "
                "outside: raise, reject or flag"
            )
        if entry.theory is None:
            raise SolverError(entry.failure or "the solver gave no reason")
        theory = restrict(entry.theory, self.request)
        return {name: np.asarray(value) for name, value in theory.items()}, entry.cached
