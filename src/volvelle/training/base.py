"""What every design has: a training set of exact solutions, its emulator, and its account."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from volvelle.boltzmann import LedgerEntry
from volvelle.emulator import BuildReport, Emulator
from volvelle.inference import UndefinedError
from volvelle.learning import Epochs, NetworkSettings
from volvelle.training.edges import Edge, can_be_left_out, edges_of
from volvelle.training.errors import TrainingError
from volvelle.training.fit import fit_emulator
from volvelle.training.history import Iteration
from volvelle.training.problem import Exact, Problem, refuse_many_failures
from volvelle.training.provenance import parametrisation_record
from volvelle.training.weights import (
    effective_number,
    tempered_weights,
    weighted_std,
    weights_at,
)

Solved = tuple[np.ndarray, list[dict[str, Any]], np.ndarray]
"""Points whose solution succeeded [n, d], what is learned of them, their ln L [n]."""


@dataclass(frozen=True)
class SurrogateSettings:
    """What every design is told.

    ``kind``: of surrogate; ``max_training``: most exact solutions that may be asked for, failed
    ones included; ``width``: half width of the reference box in ref.scale; ``network``: how one of
    kind 'network' is made.
    """

    kind: str = "auto"
    max_training: int = 500
    width: float = 1.0
    seed: int = 1
    network: NetworkSettings | None = None

    @property
    def folds(self) -> int | None:
        """Of a network's cross-validation; None for another kind of surrogate."""
        return (self.network or NetworkSettings()).folds if self.kind == "network" else None


Settings = TypeVar("Settings", bound=SurrogateSettings)


@dataclass
class Training(ABC, Generic[Settings]):
    """A design at work: it places points, has them solved, and fits an emulator.

    Every solution is in the ledger, and every choice of points in ``folder``, before the next
    step: a repeated call goes on from there and ends in the same emulator. ``ending`` is one
    sentence on why the training ended before its own rule was met, empty where it was met.
    """

    exact: Exact
    settings: Settings
    folder: Path
    say: Callable[[str], None] = lambda text: None
    epochs: Epochs | None = None
    iterations: list[Iteration] = field(default_factory=list)
    x: np.ndarray = field(init=False)
    theories: list[dict[str, Any]] = field(default_factory=list)
    log_like: np.ndarray = field(init=False)
    asked: list[LedgerEntry] = field(default_factory=list)
    emulator: Emulator | None = None
    report: BuildReport | None = None
    scatter: float = float("inf")
    ending: str = ""

    def __post_init__(self) -> None:
        self.x = np.empty((0, len(self.exact.problem.names)))
        self.log_like = np.empty(0)

    @property
    @abstractmethod
    def design(self) -> str:
        """The design's name in a configuration file."""

    @abstractmethod
    def run(self, warm: np.ndarray | None = None) -> bool:
        """Train until the design's own rule is met or the budget spent; whether it was met.

        Args:
            warm: points that are solved already (another run's) [n, d], for a design that can
                start from them.

        Raises:
            TrainingError: more than a fifth of the solutions fail, too few points for the
                parameters, or ``warm`` with a design that does not start from points.
        """

    def takes(self, certified: int) -> bool:
        """Whether the points of a failed certificate, ``certified`` of them, join the training.

        Only the adaptive design does that: the others are what the user asked for.
        """
        return False

    def doubtful(self, samples: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray | None:
        """Samples of the posterior [m, d] that the training should not have left out [n, d].

        ``weights`` [m] of the samples, where they are another posterior's. None where there are too
        few of them to matter, or for a design that takes no points in.
        """
        return None

    def add(self, x: np.ndarray, reason: str) -> None:
        """Take points in [n, d] (of a failed certificate, or doubtful ones) and refit.

        Raises:
            TrainingError: the design does not do that (see ``takes``).
        """
        raise TrainingError(
            f"the {self.design} design got {len(x)} points to add; only the adaptive design takes "
            "points in, choose it or train another design with more points"
        )

    def _refuse_warm(self, warm: np.ndarray | None) -> None:
        if warm is not None:
            raise TrainingError(
                f"the {self.design} design got {len(warm)} points of a warm start; only the "
                "adaptive design starts from points, choose it or leave the warm start out"
            )

    def _solutions(self, points: np.ndarray) -> Solved:
        """Solve exactly; every entry is counted, failures are left out of what comes back."""
        entries = self.exact.solve(points) if len(points) else []
        self.asked.extend(entries)
        refuse_many_failures(self.asked)
        good = [i for i, entry in enumerate(entries) if not entry.failed]
        problem = self.exact.problem
        theories = [problem.learned(points[i], self.exact.theory(entries[i])) for i in good]
        value = problem.log_likelihood_of
        values = [value(points[i], t) for i, t in zip(good, theories, strict=True)]
        if values and np.all(np.isnan(values)):
            self._refuse_undefined(points[good[0]], entries[good[0]], len(values))
        return points[good], theories, np.array(values)

    def _refuse_undefined(self, x: np.ndarray, entry: LedgerEntry, n: int) -> None:
        """Raise UndefinedError: ln L is NaN at all ``n`` solutions, of which this is the first."""
        problem = self.exact.problem
        each = problem.log_likelihoods(x, self.exact.theory(entry))
        names = [p.name for p, v in zip(problem.likelihoods, each, strict=True) if np.isnan(v)]
        where = ", ".join(f"{p} = {float(v)!r}" for p, v in zip(problem.names, x, strict=True))
        raise UndefinedError(
            f"ln L of {', '.join(names)} is NaN at each of {n} exact solutions, the first at "
            f"{where}; mend the likelihood or its data"
        )

    def _solve(self, points: np.ndarray) -> None:
        """Solve exactly and join the training set."""
        x, theories, values = self._solutions(points)
        self.x = np.concatenate([self.x, x])
        self.theories.extend(theories)
        self.log_like = np.concatenate([self.log_like, values])

    def _fit(self) -> None:
        """Fit the training set; the left-out error of ln L where the surrogate gives one."""
        problem = self.exact.problem
        self.emulator, self.report = fit_emulator(
            problem,
            self.x,
            self.theories,
            self.log_like,
            self.settings.kind,
            self.settings.network,
            self.folder / "network",
            self.epochs,
        )
        if not self.report.left_out:  # a network without cross-validation
            self._residual = np.full(len(self.x), -np.inf)
            self.scatter = float("inf")
            return
        predicted = np.array(
            [
                problem.log_likelihood_of(x, {**exact, **left_out})
                for x, exact, left_out in zip(
                    self.x, self.theories, self.report.left_out, strict=True
                )
            ]
        )
        self._residual = np.where(np.isfinite(predicted), predicted - self.log_like, -np.inf)
        self.scatter = self._scatter_at(1.0)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Where one solution is that of a whole line."""
        return edges_of(self.exact.problem, self.settings.kind)

    @property
    def judged(self) -> np.ndarray:
        """Which solutions say how good the emulator is [n]: those that no copies foretell."""
        return can_be_left_out(self.edges, self.x)

    def _scatter_at(self, temperature: float) -> float:
        """Scatter of the left-out error of ln L over the posterior at a temperature."""
        weights = self._weights(temperature)
        if np.any(~np.isfinite(self._residual[weights > 1e-6 * weights.max()])):
            return float("inf")
        return weighted_std(np.where(np.isfinite(self._residual), self._residual, 0.0), weights)

    def _weights(self, temperature: float) -> np.ndarray:
        """Weights of the solutions at a temperature, or a higher one if too few count there; none
        of those on an edge, which their copies foretell."""
        d = len(self.exact.problem.names)
        judged = self.judged
        log_like = np.where(judged, self.log_like, -np.inf)
        weights = weights_at(log_like, temperature)
        if effective_number(weights) < d:
            weights = tempered_weights(log_like, minimum=float(min(d, np.sum(judged))))
        return weights

    def widths(self) -> np.ndarray:
        """About those of the posterior: of the likeliest solutions [d]; nuisance parameters that
        are no inputs of the emulator have their reference's."""
        problem = self.exact.problem
        weights = tempered_weights(self.log_like, minimum=2.0 * len(problem.names))
        spread = np.sqrt(np.cov(self.x, rowvar=False, aweights=weights).diagonal())
        inputs = np.arange(len(spread)) < problem.n_emulated
        return np.where(inputs & (spread > 0.0), spread, problem.ref_scale)

    def _entry(self, iteration: Iteration, started: float) -> dict[str, Any]:
        """What an iteration that began at ``started`` [s, monotonic] cost and brought."""
        return {
            "iteration": iteration.number,
            "reason": iteration.reason,
            "temperature": iteration.temperature if np.isfinite(iteration.temperature) else None,
            "exact_calls_total": len(self.asked),
            "training_set": len(self.x),
            "failed": sum(entry.failed for entry in self.asked),
            "left_out_log_likelihood_scatter": self._known_scatter(),
            "surrogates": self.report.surrogates if self.report else {},
            "seconds": time.monotonic() - started,
        }

    def _known_scatter(self) -> float | None:
        return self.scatter if np.isfinite(self.scatter) else None

    @property
    def history(self) -> list[dict[str, Any]]:
        """What every iteration cost and brought; the last says why the training ended early."""
        found = [iteration.record for iteration in self.iterations]
        if found and self.ending:
            found[-1] = {**found[-1], "ending": self.ending}
        return found

    def record(self) -> dict[str, Any]:
        """Provenance of the emulator, for its file."""
        assert self.report is not None, "the record comes after a fit"
        return {
            **fit_record(self.exact.problem, self.x, self.report),
            "left_out_log_likelihood_scatter": self._known_scatter(),
            **self._asked(),
        }

    def _asked(self) -> dict[str, Any]:
        """What a record says of the design."""
        return {
            "design": self.design,
            "settings": asdict(self.settings),
            "likelihoods": [likelihood.name for likelihood in self.exact.problem.likelihoods],
        }


def problem_record(problem: Problem) -> dict[str, Any]:
    """What a record says of the theory."""
    return {
        "solver": problem.solver.identity(),
        "request": problem.request.to_json(),
        "neutrino_hierarchy": problem.neutrino_hierarchy,
        "parameters": list(problem.theory_names),
        "fixed": dict(problem.fixed),
        "definitions": dict(problem.parametrisation.definitions),
        "parametrisation": parametrisation_record(problem.parametrisation),
    }


def fit_record(problem: Problem, x: np.ndarray, report: BuildReport) -> dict[str, Any]:
    """What a record says of the solver and of the fit to its solutions at points [n, d]."""
    return {
        **problem_record(problem),
        "points": x[:, : problem.n_theory].tolist(),
        "surrogates": report.surrogates,
        "interpolation": report.interpolation,
        "scores": report.scores,
    }
