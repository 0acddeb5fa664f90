"""What an emulator's record says, with the type of everything checked where it is read.

A record is data of whoever wrote the file; nothing in it is taken on trust.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from volvelle.boltzmann import Request, Solver
from volvelle.cosmology import INPUT_PARAMETERS, ExpressionError, Parametrisation, in_order
from volvelle.emulator import Emulator
from volvelle.errors import VolvelleError
from volvelle.inference import make_prior
from volvelle.learning.untrusted import printable
from volvelle.training.errors import TrainingError
from volvelle.training.problem import Problem

IDENTITY = ("solver", "version", "extension_sha256", "settings")
HANDED_ON = ("non_linear", "lens_potential_accuracy", "lens_margin", "precision", "extra")
"""Settings that a record may set; not the folder of a library, which is code."""
OUR_OWN = ("interface", "curved_precision", "tensors")
"""Entries of a solver's settings that no user sets: they are compared, not handed on."""

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError,
             RecursionError)  # fmt: skip
"""What reading values of another type than expected, or texts nested without end, may raise."""


@dataclass(frozen=True)
class Provenance:
    """Where an emulator comes from.

    ``solver``: its identity, None for an imported network; ``points``: of the training [n, d];
    ``checks``: results of earlier checks; ``asked``: points that were solved before, of the
    training and of these checks [m, d]; ``complete``: whether the record says how parameters become
    a universe (those of before checks existed do so only where all are Volvelle's own).
    """

    parameters: tuple[str, ...]
    fixed: Mapping[str, float]
    solver: Mapping[str, str] | None
    request: Request | None
    hierarchy: str
    parametrisation: Parametrisation
    points: np.ndarray
    checks: tuple[Mapping[str, Any], ...]
    asked: np.ndarray
    complete: bool

    @classmethod
    def of(cls, emulator: Emulator, record: Mapping[str, Any]) -> Provenance:
        """Read a record; raises TrainingError for what is not what it should be."""
        try:
            return cls._of(emulator, record)
        except (*MALFORMED, VolvelleError) as error:
            raise TrainingError(
                f"the emulator's record cannot be understood ({type(error).__name__}: {error}); "
                "ask its author, or train again"
            ) from error

    @classmethod
    def _of(cls, emulator: Emulator, record: Mapping[str, Any]) -> Provenance:
        names = emulator.parameters
        found = record.get("solver")
        solver = None if found is None else {str(k): str(v) for k, v in printable(found).items()}
        if solver is not None and not {"solver", "version", "settings"} <= set(solver):
            raise ValueError("the solver has no name, version or settings")
        request = record.get("request")
        own = {*names, *(name for name, _ in emulator.fixed)} <= {*INPUT_PARAMETERS}
        points = _points(record, len(names))
        checks = record.get("checks", [])
        if not isinstance(checks, list) or not all(isinstance(c, dict) for c in checks):
            raise ValueError("the checks are no list")
        return cls(
            names,
            dict(emulator.fixed),
            solver,
            None if request is None else Request.from_json(str(request)),
            str(record.get("neutrino_hierarchy", "single")),
            recorded_parametrisation(record),
            points,
            tuple(checks),
            np.concatenate([points, *(_points(check, len(names)) for check in checks)]),
            record.get("parametrisation") is not None or own,
        )

    def solver_settings(self, trusted: bool = False) -> tuple[str, dict[str, Any]]:
        """Name and keyword arguments of the solver of the training, for ``get_solver``.

        Numbers only, unless the file is ``trusted``: a text may be a file's name or, in CLASS, a
        command of the shell. Which library is loaded no record decides.

        Raises:
            TrainingError: there was none, or its settings cannot be read or are not handed on.
        """
        if self.solver is None:
            raise TrainingError(
                "the emulator was not trained by a solver that Volvelle knows of; name one to "
                "compare it with (--other-solver class or camb)"
            )
        return recorded_solver(self.solver, trusted)

    def differences(self, solver: Solver) -> list[str]:
        """How a solver differs from that of the training, in words; empty for the same."""
        here, there = solver.identity(), dict(self.solver or {})
        words = []
        for key in (*IDENTITY, *sorted({*here, *there} - {*IDENTITY})):
            if here.get(key) == there.get(key):
                continue
            if key == "settings":
                words += _settings(there.get(key), here.get(key))
            else:
                a, b = (str(side.get(key, "none"))[:20] for side in (there, here))
                words.append(f"{key} was {a}, is {b}")
        return words

    def problem(self, solver: Solver, request: Request) -> Problem:
        """The universe at a point, without any likelihood.

        Raises:
            TrainingError: the record does not say how parameters become a universe.
        """
        if not self.complete:
            raise TrainingError(
                "the emulator samples inputs of the solver's own and was written before records "
                "said how these reach it; repeat the run that made it (its exact solutions are in "
                "the ledger)"
            )
        d = len(self.parameters)
        return Problem(
            names=self.parameters,
            n_theory=d,
            priors=tuple(make_prior({"min": -1e300, "max": 1e300}) for _ in self.parameters),
            ref_loc=np.zeros(d),
            ref_scale=np.ones(d),
            fixed=self.fixed,
            neutrino_hierarchy=self.hierarchy,
            likelihoods=(),
            solver=solver,
            request=request,
            parametrisation=self.parametrisation,
        )


def recorded_solver(
    identity: Mapping[str, str], trusted: bool = False
) -> tuple[str, dict[str, Any]]:
    """Name and keyword arguments for ``get_solver`` of a recorded identity; see
    ``Provenance.solver_settings``."""
    try:
        settings = json.loads(identity["settings"])
        given = {k: v for k, v in settings.items() if k not in OUR_OWN}
        refused = [k for k in given if k not in HANDED_ON]
        for key in ("precision", "extra"):
            values = dict(given.get(key, {}))
            refused += [k for k, v in values.items() if not (trusted or _is_number(v))]
    except MALFORMED as error:
        raise TrainingError(
            f"the settings of the emulator's solver cannot be read ({error}); name a solver to "
            "compare it with (--other-solver class or camb)"
        ) from error
    if refused:
        raise TrainingError(
            f"the emulator's record sets {', '.join(refused)[:200]} of its solver to what is "
            "no number, and text may name files and commands; look at the settings with "
            "`volvelle emulator show`; the check takes them with --trust-settings, a plug-in with "
            "trust_settings, if they are harmless"
        )
    return identity["solver"], given


def recorded_parametrisation(record: Mapping[str, Any]) -> Parametrisation:
    """How parameters become a universe, as far as a record says it; ValueError for nonsense."""
    definitions = {str(k): str(v) for k, v in record.get("definitions", {}).items()}
    ways = record.get("parametrisation") or {}
    try:
        ordered = in_order(definitions)
    except ExpressionError as error:
        raise ValueError(str(error)) from error
    return Parametrisation(
        ordered,
        tuple(str(name) for name in ways.get("dropped", [])),
        tuple((str(name), float(value)) for name, value in ways.get("unset", [])),
        tuple((str(name), str(leader)) for name, leader in ways.get("idle", [])),
    )


def parametrisation_record(found: Parametrisation) -> dict[str, Any]:
    """What a record says of it beside the definitions."""
    return {"dropped": list(found.dropped), "unset": list(found.unset), "idle": list(found.idle)}


def _points(entry: Mapping[str, Any], d: int) -> np.ndarray:
    """Points [n, d] of a record or of a check in it; ValueError for what is none."""
    points = np.asarray(entry.get("points", []), dtype=float)
    if points.size == 0:
        return np.empty((0, d))
    if points.ndim != 2 or points.shape[1] != d or not np.all(np.isfinite(points)):
        raise ValueError(f"points of shape {points.shape}; expected finite numbers [n, {d}]")
    return points


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def _settings(there: str | None, here: str | None) -> list[str]:
    try:
        old, new = json.loads(there or "{}"), json.loads(here or "{}")
        keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        return [f"setting {key} was {old.get(key)!r:.60}, is {new.get(key)!r:.60}" for key in keys]
    except MALFORMED:
        return [f"settings were {there!r:.80}, are {here!r:.80}"]
