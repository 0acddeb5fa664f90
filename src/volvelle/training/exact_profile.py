"""Profile likelihoods of which every point is an exact solution.

The emulator finds the maxima, the exact solver says what chi2 is there. Where the two disagree by
more than the accuracy asked for, the exact solutions join the training set, the emulator is
refitted and those points are found again. How far an exact point may lie above the true minimum is
told by the refitted emulator, which knows the solution there: the chi2 that it would still gain by
moving (``slack``). Where that exceeds the accuracy the point is found again too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import LedgerEntry
from volvelle.emulator import Emulator
from volvelle.inference import (
    Interval,
    Objective,
    PriorTerms,
    Profile,
    Region,
    intervals,
    profile,
    region,
)
from volvelle.learning import NetworkSettings, write_atomically
from volvelle.training.errors import TrainingError
from volvelle.training.fit import fit_emulator
from volvelle.training.problem import Exact, refuse_many_failures

ROUNDS = 4


@dataclass(frozen=True)
class ProfileSettings:
    """What is asked for: the parameters on their grids, and how exact.

    ``accuracy``: of Delta chi2, exact against emulator; ``rounds``: of exact solutions, at most;
    ``priors``: those that count as data; ``kind`` and ``network``: of surrogate, for the refits.
    """

    names: tuple[str, ...]
    axes: tuple[np.ndarray, ...]
    accuracy: float = 0.1
    rounds: int = ROUNDS
    priors: PriorTerms = "nuisance"
    seed: int = 1
    kind: str = "auto"
    network: NetworkSettings | None = None


@dataclass(frozen=True)
class ExactProfile:
    """Exact chi2 at the maxima that the emulator found; the last row of all is the best fit.

    ``x`` [n+1, d]; ``chi2`` [n+1], NaN where the exact solution failed; ``difference`` [n+1]:
    emulated less exact Delta chi2, of the emulator that chose the point and had not seen it (but,
    from the second round on, its neighbour of the round before);
    ``slack`` [n+1]: of chi2, as above; ``unsettled`` [n+1]: beyond the accuracy in either.
    """

    found: Profile
    """By the last emulator, which has seen every exact solution."""
    x: np.ndarray
    chi2: np.ndarray
    difference: np.ndarray
    slack: np.ndarray
    unsettled: np.ndarray
    flags: tuple[tuple[str, ...], ...]
    entries: list[LedgerEntry]
    history: list[dict[str, Any]]

    @property
    def delta_chi2(self) -> np.ndarray:
        """Exact Delta chi2 on the grid, in its shape."""
        return (self.chi2[:-1] - np.nanmin(self.chi2)).reshape(self.found.shape)

    @property
    def best(self) -> int:
        """Row of the least exact chi2."""
        return int(np.nanargmin(self.chi2))

    @property
    def met(self) -> bool:
        """Whether every point is within the accuracy, and nothing speaks against any."""
        return not bool(np.any(self.unsettled)) and not any(self.flags)

    def intervals(self, level: float) -> tuple[Interval, ...]:
        """Where the exact Delta chi2 <= level, of one parameter."""
        return intervals(self.found.axes[0], self.delta_chi2, level, self.found.bounds[0])

    def region(self, level: float) -> Region:
        """Extent of the exact Delta chi2 <= level, of two parameters."""
        return region(self.found.axes, self.delta_chi2, level, self.found.bounds)


@eqx.filter_jit
def _chi2(objective: Objective, x: jax.Array) -> jax.Array:
    return 2.0 * jax.vmap(objective.minus_log_like)(x)


@dataclass
class Profiler:
    """Rounds of finding and solving; every solution is in the ledger, every choice in ``folder``.

    ``training`` [m, d]: the points that the emulator was trained on, nuisance included, whose
    solutions are looked up in the ledger (and solved again if it has lost them).
    """

    exact: Exact
    settings: ProfileSettings
    samples: np.ndarray
    training: np.ndarray
    folder: Path
    say: Callable[[str], None] = lambda text: None
    progress: Callable[[int, int], None] | None = None
    entries: list[LedgerEntry] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    def run(self, emulator: Emulator) -> ExactProfile:
        """Find, solve and refit until the accuracy is met or the rounds are spent.

        Raises:
            TrainingError: too many solutions fail, or that of the best fit does.
        """
        n = int(np.prod([len(axis) for axis in self.settings.axes])) + 1
        d = len(self.exact.problem.names)
        self.x, self.chi2 = np.full((n, d), np.nan), np.full(n, np.inf)
        self.difference, self.slack = np.full(n, np.nan), np.full(n, np.inf)
        self.found_by: list[tuple[str, ...]] = [()] * n
        self.failed = np.zeros(n, dtype=bool)
        self._take_in(self.training, paid=False)
        number = 0
        while True:
            self.say(f"round {number}: {n - 1} maxima of the emulator")
            found = self._find(emulator)
            objective = self._objective(emulator)
            todo = self._unsettled(found, objective) if number else np.ones(n, dtype=bool)
            if number:
                self._note(number, todo)
            if number == self.settings.rounds or not np.any(todo):
                return self._result(found, todo)
            self._solve(number, found, objective, np.flatnonzero(todo))
            self.say(f"fitting the emulator to {len(self.known)} solutions")
            emulator = self._refit()
            number += 1

    def _find(self, emulator: Emulator) -> Profile:
        settings = self.settings
        return profile(
            self.exact.problem.posterior(emulator),
            settings.names,
            settings.axes,
            self.samples,
            priors=settings.priors,
            seed=settings.seed,
            progress=self.progress,
        )

    def _objective(self, emulator: Emulator) -> Objective:
        posterior = self.exact.problem.posterior(emulator)
        return Objective.of(posterior, self.samples, self.settings.priors)

    def _unsettled(self, found: Profile, objective: Objective) -> np.ndarray:
        """Which points are to be found again [n]; measures the slack of all."""
        here = np.asarray(_chi2(objective, jnp.asarray(self.x)))
        least = 2.0 * np.append(found.optima.minus_log_like, found.best.minus_log_like)
        self.slack = np.where(self.failed, np.nan, np.maximum(here - least, 0.0))
        wrong = ~(np.abs(self.difference) <= self.settings.accuracy)
        movable = ~(self.slack <= self.settings.accuracy)
        outside = np.array(["outside the emulator's domain" in f for f in self.found_by])
        return (wrong | movable | outside) & ~self.failed

    def _solve(self, number: int, found: Profile, objective: Objective, rows: np.ndarray) -> None:
        """Exact chi2 at the new maxima of some rows; the lower of old and new is kept."""
        points = np.concatenate([found.optima.x, found.best.x])[rows]
        rows, points = self._stored(number, rows, points)
        self.say(f"{len(points)} exact solutions")
        theories = self._take_in(points, paid=True)
        flags = [*found.flags, found.best.flags(0)]
        emulated = dict(zip(map(int, rows), self._emulated(objective, rows, points), strict=True))
        errors: dict[int, float] = {}
        for row, point, theory in zip(map(int, rows), points, theories, strict=True):
            self.found_by[row] = flags[row]
            if theory is None:
                self.failed[row] = not np.isfinite(self.chi2[row])
                continue
            exact = self._exact_chi2(objective, point, theory)
            errors[row] = emulated[row] - exact
            if exact < self.chi2[row]:
                self.x[row], self.chi2[row], self.failed[row] = point, exact, False
        last = len(self.x) - 1
        if self.failed[last]:
            raise TrainingError("the exact solution at the best fit failed; see the ledger's words")
        if last not in errors:  # kept from an earlier round: this emulator has seen it
            errors[last] = self._emulated(objective, np.array([last]), self.x[last:])[0]
            errors[last] -= self.chi2[last]
        for row, error in errors.items():
            self.difference[row] = error - errors[last]

    def _emulated(self, objective: Objective, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """chi2 by the emulator at some points, in the shape that is compiled already."""
        full = np.repeat(points[:1], len(self.x), axis=0)
        full[rows] = points
        return np.asarray(_chi2(objective, jnp.asarray(full)))[rows] + self._offset

    @property
    def _offset(self) -> float:
        likelihoods = self.exact.problem.likelihoods
        return 2.0 * float(sum(np.asarray(like.max_log_prob) for like in likelihoods))

    def _exact_chi2(self, objective: Objective, x: np.ndarray, theory: dict[str, Any]) -> float:
        terms = float(objective.prior_terms(jnp.asarray(x)))
        return self._offset - 2.0 * (self.exact.problem.log_likelihood(x, theory) + terms)

    def _take_in(self, points: np.ndarray, paid: bool) -> list[dict[str, Any] | None]:
        """Solve points and add them to the training set; their theories, None for failures."""
        problem = self.exact.problem
        entries = self.exact.solve(points)
        if not paid:
            self.known, self.theories, self.log_like = np.empty((0, points.shape[1])), [], []
        else:
            self.entries.extend(entries)
            refuse_many_failures(self.entries)
        theories = [None if e.failed else self.exact.theory(e) for e in entries]
        for point, theory in zip(points, theories, strict=True):
            if theory is not None:
                self.known = np.vstack([self.known, point])
                self.theories.append(theory)
                self.log_like.append(problem.log_likelihood(point, theory))
        return theories

    def _refit(self) -> Emulator:
        emulator, _ = fit_emulator(
            self.exact.problem,
            self.known,
            self.theories,
            np.array(self.log_like),
            self.settings.kind,
            self.settings.network,
            self.folder / "network",
        )
        return emulator

    def _stored(
        self, number: int, rows: np.ndarray, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The choice of a round as an interrupted call made it; stored now if there is none."""
        settings = self.settings
        path = self.folder / f"round_{number:03d}.json"
        asked = {
            "axes": [axis.tolist() for axis in settings.axes],
            "accuracy": settings.accuracy,
            "priors": settings.priors,
            "training": hashlib.sha256(self.training.tobytes()).hexdigest(),
        }
        if path.exists():
            try:
                content = json.loads(path.read_text())
                if content["asked"] == asked and len(content["rows"]) == len(content["points"]):
                    return np.array(content["rows"]), np.array(content["points"], dtype=float)
            except (ValueError, KeyError) as error:
                raise TrainingError(
                    f"{path} is damaged ({error}); delete it to choose its points again"
                ) from error
        content = {"asked": asked, "rows": rows.tolist(), "points": points.tolist()}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(content).encode())
        return rows, points

    def _note(self, number: int, todo: np.ndarray) -> None:
        """What the round before brought."""
        worst = float(np.nanmax(np.abs(self.difference)))
        slack = float(np.nanmax(self.slack))
        self.history.append(
            {
                "round": number,
                "exact_solutions": len(self.entries),
                "max_difference": worst,
                "max_slack": slack,
                "unsettled": int(todo.sum()),
            }
        )
        self.say(
            f"round {number}: Delta chi2 of emulator and exact solver differ by at most "
            f"{worst:.3f}; the refitted emulator would gain at most {slack:.3f} by moving; "
            f"{int(todo.sum())} points beyond {self.settings.accuracy:g}"
        )

    def _result(self, found: Profile, todo: np.ndarray) -> ExactProfile:
        flags = [
            (*("exact solution failed",) * bool(failed), *words)
            for failed, words in zip(self.failed, self.found_by, strict=True)
        ]
        return ExactProfile(
            found,
            self.x,
            np.where(self.failed, np.nan, self.chi2),
            np.where(self.failed, np.nan, self.difference),
            self.slack,
            todo,
            tuple(flags),
            self.entries,
            self.history,
        )
