"""An emulator of a stated box to a stated accuracy, without any likelihood.

A space-filling start; then, until fresh exact solutions show the accuracy: solutions where the
emulator expects its largest error, and the fresh ones that refused it, join the training. Where the
fresh ones of a round show it, more of them, uniform in the box, certify it. A certificate that
fails joins the training like them, and the next one takes solutions of its own; the record says
which number the last one has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from volvelle.boltzmann import LedgerEntry
from volvelle.emulator import (
    COSMIC_VARIANCE,
    BuildReport,
    Emulator,
    box_of,
    build_emulator,
    error_at,
    error_scale,
    error_unit,
)
from volvelle.emulator.features import hubble_index
from volvelle.training.base import fit_record
from volvelle.training.check import CheckResult, compare, domain_points
from volvelle.training.design import check_budget, check_size, default_start, initial_design
from volvelle.training.design import spread_out as spread
from volvelle.training.errors import TrainingError
from volvelle.training.history import Iteration, load_iterations, save_iteration
from volvelle.training.problem import Exact, refuse_many_failures

START, HELD_OUT, WORST, FRESH = "start", "held out", "largest expected error", "certificate"
CANDIDATES = 2000  # points of the box among which those of the largest expected error are sought
LARGEST = 0.1  # of the candidates, from which the points are taken, far apart
GROWTH = 1.5  # of the batch, from round to round
PATIENCE = 4  # rounds of which one has to bring something
ROUNDING = 1e-9
IMPROVEMENT = 0.9  # of the best error before them


@dataclass(frozen=True)
class BoxSettings:
    """How good the emulator has to be, and with how many exact solutions.

    ``spectra``: largest error of any multipole [sigma of full-sky cosmic variance]; ``other``: of
    any other number, relative; each at the ``percentile`` of the models in the box. ``initial``,
    ``batch``: solutions of the start and of the first round (None: from the dimension);
    ``held_out``: fresh ones per round, after which a certificate is tried; ``certificate``: fresh
    ones that certify; ``max_training``: most solutions before the last certificate, those of failed
    certificates and those that the solver failed at included.
    """

    spectra: float = 0.1
    other: float = 1e-3
    percentile: float = 95.0
    kind: str = "auto"
    initial: int | None = None
    batch: int | None = None
    held_out: int = 24
    certificate: int = 100
    max_training: int = 400
    seed: int = 1

    def limit(self, name: str) -> float:
        """Of an output's error."""
        return self.spectra if error_unit(name) == COSMIC_VARIANCE else self.other

    def ratios(self, result: CheckResult) -> dict[str, float]:
        """Error over limit of each output, at the percentile."""
        return {
            name: error_at(errors, self.percentile) / self.limit(name)
            for name, errors in result.errors.items()
        }

    def check(self) -> None:
        """Raises TrainingError for a percentile that so small a certificate cannot show."""
        beyond = self.certificate * (1.0 - self.percentile / 100.0)
        if self.percentile < 100.0 and beyond < 1.0 - ROUNDING:
            least = int(np.ceil(100.0 / (100.0 - self.percentile) * (1.0 - ROUNDING)))
            raise TrainingError(
                f"the {self.percentile:g}th percentile of {self.certificate} solutions is their "
                f"largest error; certify with at least {least}, or ask for percentile 100, or a "
                "lower one"
            )


@dataclass
class BoxTraining:
    """The design at work; every choice of points is in ``folder`` before it is solved.

    The box is that of the problem's priors; ``outputs`` are learned (all of the request's if none
    is named, and the angular scale besides where the expansion rate is sampled). ``ending``: why
    the accuracy was not reached, empty where it was; ``certificate``: the last one, number
    ``certificates``, of solutions that its emulator has not seen.
    """

    exact: Exact
    settings: BoxSettings
    folder: Path
    outputs: tuple[str, ...] = ()
    say: Callable[[str], None] = lambda text: None
    x: np.ndarray = field(init=False)
    theories: list[dict[str, Any]] = field(default_factory=list)
    asked: list[LedgerEntry] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    emulator: Emulator = field(init=False)
    report: BuildReport = field(init=False)
    certificate: CheckResult = field(init=False)
    certificates: int = 0
    ending: str = ""

    def __post_init__(self) -> None:
        problem = self.exact.problem
        self.x = np.empty((0, len(problem.names)))
        self._lower, self._upper = np.array([prior.bounds for prior in problem.priors]).T
        self._stored = load_iterations(self.folder)
        self._number = 0
        self._best: list[float] = []

    def run(self) -> bool:
        """Train and certify; whether the certificate shows the accuracy.

        Raises:
            TrainingError: more than a fifth of the solutions fail, or too few points are allowed.
        """
        d, settings = len(self.exact.problem.names), self.settings
        settings.check()
        initial = settings.initial or default_start(d)
        check_size(initial, d, "initial", kind=settings.kind)
        check_budget(initial, settings.max_training, "initial")
        self._join(*self._solve(START, lambda: initial_design(*self._start(initial))))
        batch = float(settings.batch or 2 * d + 4)
        while True:
            self._fit()
            found = self._held_out()
            tried = found is not None and self._good(found)
            if tried and self._good(self._certified()):
                return True
            if found is None or self._stopped(batch):
                break
            worst = self._solve(WORST, lambda count=int(batch): self._worst(count))
            for result in (found, self.certificate) if tried else (found,):
                self._join(result.points, self._theories(result))
            self._join(*worst)
            batch *= GROWTH
        self.say(f"training ends: {self.ending}")
        if not tried:
            self._certified()
        if self._good(self.certificate):
            self.ending = ""  # held-out solutions doubted it, or there was no room for them
        return not self.ending

    def _held_out(self) -> CheckResult | None:
        """Errors at the fresh solutions of this round; None without room for them."""
        n = self.settings.held_out
        if len(self.asked) + n > self.settings.max_training:
            self.ending = self._spent()
            return None
        return self._measured(HELD_OUT, n)

    def _certified(self) -> CheckResult:
        """The next certificate, which always has room."""
        self.certificates += 1
        self.certificate = self._measured(FRESH, self.settings.certificate)
        return self.certificate

    def _start(self, n: int) -> tuple[Any, int, float, int]:
        return self.exact.problem, n, 1.0, self.settings.seed

    def _solve(
        self, reason: str, choose: Callable[[], np.ndarray]
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Solve the points of this step: those on disk, or newly chosen ones, stored first."""
        points = self._points(reason, choose)
        self.say(f"{reason}: {len(points)} exact solutions")
        entries = self.exact.solve(points)
        self.asked.extend(entries)
        refuse_many_failures(self.asked)
        good = [i for i, entry in enumerate(entries) if not entry.failed]
        return points[good], [self._learned(entries[i]) for i in good]

    def _learned(self, entry: LedgerEntry) -> dict[str, Any]:
        """What the emulator learns of a solution."""
        problem, theory = self.exact.problem, self.exact.theory(entry)
        if not self.outputs:
            return theory
        hubble = hubble_index(problem.names, problem.parametrisation.definitions)
        wanted = {*self.outputs, *(["theta_star_100"] if hubble is not None else [])}
        return {name: value for name, value in theory.items() if name in wanted}

    def _points(self, reason: str, choose: Callable[[], np.ndarray]) -> np.ndarray:
        number, self._number = self._number, self._number + 1
        if number < len(self._stored):
            stored = self._stored[number]
            if stored.reason != reason:
                raise TrainingError(
                    f"{self.folder} holds step {number} of another training ({stored.reason}, "
                    f"expected {reason}); delete the folder to begin anew"
                )
            return stored.points
        points = choose()
        empty = np.empty((0, points.shape[1]))
        save_iteration(self.folder, Iteration(number, float("inf"), points, empty, reason))
        return points

    def _join(self, x: np.ndarray, theories: list[dict[str, Any]]) -> None:
        self.x = np.concatenate([self.x, x])
        self.theories.extend(theories)

    def _fit(self) -> None:
        problem = self.exact.problem
        middle = 0.5 * (self._lower + self._upper)
        unit = (self.x - middle) / (self._upper - self._lower)
        central = self.theories[int(np.argmin(np.sum(unit**2, axis=1)))]
        self.say(f"fitting the emulator to {len(self.x)} solutions")
        emulator, self.report = build_emulator(
            problem.names,
            problem.fixed,
            self.x,
            self.theories,
            [self._noise(central)],
            None,
            self.settings.kind,
            definitions=problem.parametrisation.definitions,
        )
        self.emulator = replace(emulator, domain=box_of(self._lower, self._upper))

    def _noise(self, theory: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The error that each element may have: the metric in which the emulator is built."""
        scales = {name: self.settings.limit(name) * error_scale(name, theory) for name in theory}
        return {name: np.where(scale > 0.0, scale, np.inf) for name, scale in scales.items()}

    def _measured(self, reason: str, n: int) -> CheckResult:
        """Errors at fresh points, all of which count as asked for."""
        seed = self.settings.seed + 7919 * (self._number + 1)
        points = self._points(reason, lambda: domain_points(self.emulator, self.x, n, seed))
        say = self._saying(reason)
        limits = {name: self.settings.limit(name) for name in self.emulator.outputs}
        fresh = reason == FRESH
        result = compare(self.emulator, self.exact, points, say, chi2=fresh, limits=limits)
        self.asked.extend(result.entries)
        refuse_many_failures(self.asked)
        ratios = self.settings.ratios(result)
        worst = max(ratios, key=ratios.__getitem__)
        self.history.append(
            {
                "reason": reason,
                "training_set": len(self.x),
                "exact_calls": len(self.asked),
                "error_over_limit": ratios,
            }
        )
        self.say(
            f"{reason}: at the {self.settings.percentile:g}th percentile {worst} is off by "
            f"{ratios[worst]:.3g} times the accuracy asked for"
        )
        return result

    def _theories(self, result: CheckResult) -> list[dict[str, Any]]:
        return [self._learned(entry) for entry in result.entries if not entry.failed]

    def _saying(self, reason: str) -> Callable[[str], None]:
        return lambda text: self.say(f"{reason}: {text}")

    def _good(self, result: CheckResult) -> bool:
        return all(ratio <= 1.0 for ratio in self.settings.ratios(result).values())

    def _spent(self) -> str:
        most = self.settings.max_training
        return f"{len(self.asked)} exact solutions were asked for and max_training is {most}"

    def _stopped(self, batch: float) -> bool:
        """Whether to give up: nothing improves, or the next round would be too many."""
        last = self.history[-1]["error_over_limit"].values()
        self._best.append(max(last))
        before, recent = self._best[:-PATIENCE], self._best[-PATIENCE:]
        if before and min(recent) > IMPROVEMENT * min(before):
            self.ending = (
                f"the error stopped improving: {min(recent):.3g} times the accuracy after "
                f"{len(self.x)} solutions, {min(before):.3g} times {PATIENCE} rounds before; ask "
                "for less, make the box smaller, or the solver more precise"
            )
        elif len(self.asked) + int(batch) > self.settings.max_training:
            self.ending = self._spent()
        return bool(self.ending)

    def _worst(self, n: int) -> np.ndarray:
        """Points [n, d] of the largest expected error, far from what is solved and each other."""
        seed = self.settings.seed + 104729 * (self._number + 1)
        x = domain_points(self.emulator, self.x, CANDIDATES, seed)
        count = max(int(LARGEST * len(x)), 2 * n)
        x = x[np.argsort(self.emulator.expected(x))[::-1][:count]]
        width = self._upper - self._lower
        return x[spread(x / width, self.x / width, n)]

    @property
    def words(self) -> str:
        """The certificate in a sentence or two."""
        settings, ratios = self.settings, self.settings.ratios(self.certificate)
        reached = self._good(self.certificate)
        worst = max(ratios, key=ratios.__getitem__)
        verdict = "reaches" if reached else "does NOT reach"
        failed = sum(entry.failed for entry in self.certificate.entries)
        before = self.certificates - 1
        earlier = "the one before" if before == 1 else f"the {before} before"
        return (
            f"The emulator {verdict} the accuracy asked for: at the {settings.percentile:g}th "
            f"percentile of {len(self.certificate.points)} fresh exact solutions, uniform in the "
            f"box, the largest error is {ratios[worst]:.3g} times the limit ({worst})."
            + (f" {failed} more failed: of its error there nothing is known." if failed else "")
            + (
                f" This is certificate number {self.certificates}: {earlier} failed and joined "
                "the training."
                if before
                else ""
            )
            + (f" Training ended because {self.ending}." if self.ending else "")
        )

    def record(self) -> dict[str, Any]:
        """Provenance and certificate of the emulator, for its file."""
        ends = zip(self.exact.problem.names, self._lower, self._upper, strict=True)
        return {
            **fit_record(self.exact.problem, self.x, self.report),
            "design": "box",
            "settings": asdict(self.settings),
            "likelihoods": [],
            "box": {name: [float(a), float(b)] for name, a, b in ends},
            "history": self.history,
            "certificate": {
                "kind": "box",
                "passed": self._good(self.certificate),
                "words": self.words,
                "number": self.certificates,
                "ending": self.ending or None,
                "limits": {name: self.settings.limit(name) for name in self.emulator.outputs},
                "percentile": self.settings.percentile,
                **self.certificate.record(),
            },
        }
