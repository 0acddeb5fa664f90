"""Many models at once: look up, solve the missing in parallel, store each as it is finished."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from ..compute import CRASHES, Executor, Outcome, UnfitWorkerError, differences
from ..errors import VolvelleError
from .errors import SolverError, SolverNotInstalledError
from .ledger import Ledger, LedgerEntry
from .packing import as_float64, model_key, not_finite
from .request import Request, restrict

Progress = Callable[[int, int, int, int, float | None], object]
"""Called as `progress(done, total, failed, cached, seconds_left)`, the last None while unknown."""


class AnySolver(Protocol):
    """What is needed of a solver here: a ``Solver``, or one of tables of its own."""

    @property
    def name(self) -> str: ...

    def identity(self) -> dict[str, str]: ...

    def solve(self, cosmology: Any, request: Request) -> Mapping[str, Any]: ...


class _Cosmology(Protocol):
    def canonical(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class _Answer:
    theory: dict[str, np.ndarray] | None = None
    failure: str | None = None


@dataclass
class _Model:
    """One of the distinct models asked for, and the places where its entry belongs."""

    cosmology: _Cosmology
    parameters: Mapping[str, Any]
    places: list[int] = field(default_factory=list)


def solve_many(
    solver: AnySolver,
    cosmologies: Sequence[_Cosmology],
    request: Request,
    ledger: Ledger,
    executor: Executor,
    run: str,
    progress: Progress | None = None,
) -> list[LedgerEntry]:
    """Entries of all `cosmologies`, in order, each distinct model solved at most once, ever.

    What the ledger knows, failures included, is not solved again; the rest is solved by `executor`
    and stored under `run` the moment it is finished. Closing, interrupting or killing the program
    loses only what is in flight. An entry that repeats an earlier one of the list counts as cached.
    Failures come back as entries; `failure_summary` counts them. A solver of another identity,
    version or settings, than the one here solves nothing. Raises LedgerError, ExecutorError, and
    SolverNotInstalledError if the solver's library is missing.
    """
    identity = solver.identity()
    models: dict[str, _Model] = {}
    for place, cosmology in enumerate(cosmologies):
        parameters = cosmology.canonical()
        key = model_key(identity, parameters)
        models.setdefault(key, _Model(cosmology, parameters)).places.append(place)
    entries: list[LedgerEntry | None] = [None] * len(cosmologies)

    def settle(model: _Model, entry: LedgerEntry) -> None:
        first, *repeated = model.places
        entries[first] = entry
        for place in repeated:
            entries[place] = replace(entry, cached=True)

    missing: list[_Model] = []
    for model in models.values():
        known = ledger.lookup(identity, model.parameters, request)
        if known is None:
            missing.append(model)
        else:
            settle(model, known)
    meter = _Meter(entries, len(missing), executor.workers, progress)
    meter.report()
    tasks = [model.cosmology for model in missing]
    # Closed explicitly: after an interrupt the tasks in flight must end before this returns.
    with closing(executor.map(partial(_solve, solver, request, identity), tasks)) as outcomes:
        for index, outcome in outcomes:
            entry = _record(ledger, identity, missing[index], request, outcome, run)
            settle(missing[index], entry)
            meter.count(outcome.seconds)
    return [entry for entry in entries if entry is not None]


def unknown_models(
    solver: AnySolver, cosmologies: Sequence[_Cosmology], request: Request, ledger: Ledger
) -> int:
    """How many distinct models `solve_many` would solve: the ledger has neither a solution of this
    solver that covers `request` nor a failure."""
    identity = solver.identity()
    models = {model_key(identity, c.canonical()): c.canonical() for c in cosmologies}
    return sum(ledger.lookup(identity, each, request) is None for each in models.values())


def failure_summary(entries: Iterable[LedgerEntry]) -> tuple[int, str]:
    """Number of failed entries and their commonest message ("" if none failed).

    Messages that differ by numbers only are one; the first of them stands for all.
    """
    messages = [entry.failure or "" for entry in entries if entry.failed]
    if not messages:
        return 0, ""
    kinds = [re.sub(r"[-+.\d]+(e[-+]?\d+)?", "#", message) for message in messages]
    commonest = Counter(kinds).most_common(1)[0][0]
    return len(messages), messages[kinds.index(commonest)]


def _solve(
    solver: AnySolver, request: Request, identity: Mapping[str, str], cosmology: _Cosmology
) -> _Answer:
    """The worker's task; errors that are not the model's own are left to the executor."""
    _require(solver, identity)
    try:
        theory = solver.solve(cosmology, request)
    except SolverNotInstalledError as error:
        raise UnfitWorkerError(f"no {solver.name} there: {error}") from error
    except SolverError as error:
        return _Answer(failure=str(error))
    arrays = as_float64(restrict(theory, request))
    wrong = not_finite(arrays)
    if wrong:
        return _Answer(failure=f"{solver.name} returned NaN or infinity in {', '.join(wrong)}")
    return _Answer(theory=arrays)


def _require(solver: AnySolver, identity: Mapping[str, str]) -> None:
    """Raise UnfitWorkerError unless the solver, where this runs, is the one that was asked for."""
    try:
        here = solver.identity()
    except VolvelleError as error:  # where the program runs it has one
        raise UnfitWorkerError(f"no {solver.name} there: {error}") from error
    differing = differences(here, identity)
    if differing:
        raise UnfitWorkerError(f"another {solver.name} there: {differing}")


def _record(
    ledger: Ledger,
    identity: Mapping[str, str],
    model: _Model,
    request: Request,
    outcome: Outcome[_Answer],
    run: str,
) -> LedgerEntry:
    """Store what became of a model and return it."""
    if outcome.unfit:  # where there is no other place to solve it
        raise UnfitWorkerError(
            f"the solver changed since this program looked at it ({outcome.error}); repeat the "
            "command: what is finished is kept"
        )
    answer = outcome.value
    crashed = outcome.signal in CRASHES
    if answer is None and not crashed:
        return LedgerEntry(None, outcome.error, outcome.seconds, run, time.time(), stored=False)
    if answer is not None and answer.theory is not None:
        ledger.store(identity, model.parameters, request, answer.theory, outcome.seconds, run)
        return LedgerEntry(answer.theory, None, outcome.seconds, run, time.time())
    failure = answer.failure if answer is not None else outcome.error
    failure = failure or "the solver gave no reason"
    ledger.store_failure(identity, model.parameters, request, failure, outcome.seconds, run)
    return LedgerEntry(None, failure, outcome.seconds, run, time.time())


class _Meter:
    """Counts entries for the progress report and estimates the time that is left."""

    def __init__(
        self,
        entries: Sequence[LedgerEntry | None],
        missing: int,
        workers: int,
        progress: Progress | None,
    ) -> None:
        self._entries, self._missing, self._workers = entries, missing, workers
        self._progress = progress
        self._seconds: list[float] = []

    def count(self, seconds: float) -> None:
        """One more model is finished, after `seconds` [s]."""
        self._seconds.append(seconds)
        self.report()

    def report(self) -> None:
        """Call the progress function, if there is one."""
        if self._progress is None:
            return
        known = [entry for entry in self._entries if entry is not None]
        failed = sum(entry.failed for entry in known)
        cached = sum(entry.cached for entry in known)
        self._progress(len(known), len(self._entries), failed, cached, self._seconds_left())

    def _seconds_left(self) -> float | None:
        left = self._missing - len(self._seconds)
        if left == 0:
            return 0.0
        if not self._seconds:
            return None
        return left * float(np.mean(self._seconds)) / min(left, self._workers)
