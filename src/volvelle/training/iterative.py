"""The iteration of Nygaard et al. 2022 (arXiv:2205.15726), section 3, as published.

A space-filling start, an emulator fitted to it, a sampling of the likelihood at high temperature
with that emulator, the last N points of the chains, the nearest-neighbour filter, exact solutions,
and a new emulator without the start; until the points of two consecutive iterations agree.

Where the paper says nothing: the sampler is the ensemble of ``inference.explore``, whose walkers
at the end are the last N points; it is kept from leaving the solved region by more than a third.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from volvelle.emulator import Emulator
from volvelle.inference import explore
from volvelle.learning import NetworkSettings
from volvelle.training.adaptive import REACH
from volvelle.training.base import Solved, SurrogateSettings, Training
from volvelle.training.design import SPACE_FILLING, Filter, check_budget, check_size
from volvelle.training.errors import TrainingError
from volvelle.training.halting import PATIENCE, Halt, r_minus_1
from volvelle.training.history import Iteration, load_iterations, save_iteration
from volvelle.training.weights import tempered_weights

WALKERS = (64, 512)  # fewest and most; more points are taken from the ensemble's later legs
LEAST_AFFORDED = 0.5  # of an iteration's points; with fewer the iteration is not begun
LEG = 100  # moves of every walker between two looks at the convergence
MOST_LEGS = 10
SAMPLED = 0.01  # R - 1 of two looks below which the sampling ends
FIRST, LATER, CUT = "first iteration", "iteration", ", cut"


@dataclass(frozen=True)
class IterativeSettings(SurrogateSettings):
    """The paper's numbers are the defaults; see also ``SurrogateSettings``.

    ``start``: a key of ``design.SPACE_FILLING``; ``initial``: its points; ``first``: taken from the
    first chains; ``points``: the last ones of each later chains, before the filter; ``keep_first``:
    whether the first iteration's points stay in the training set; ``filter``: None for all points;
    ``max_training``: the paper's two models took 49 671 and 53 959 solutions.

    Raises:
        TrainingError: a criterion of the filter without a filter.
    """

    kind: str = "network"
    max_training: int = 60_000
    network: NetworkSettings | None = NetworkSettings(folds=0)  # noqa: RUF009 (it is frozen)
    start: str = "latin_hypercube"
    initial: int = 10_000
    first: int = 5_000
    points: int = 20_000
    temperature: float = 5.0
    keep_first: bool = False
    filter: Filter | None = Filter()  # noqa: RUF009 (it is frozen)
    halt: Halt = Halt()  # noqa: RUF009 (it is frozen)
    most_iterations: int = 20

    def __post_init__(self) -> None:
        if self.halt.new_points is not None and self.filter is None:
            raise TrainingError(
                f"halt.new_points is {self.halt.new_points:g} and there is no filter, so that all "
                "points are new; give a filter, or halt by r_minus_1"
            )


@dataclass(frozen=True)
class IterativeStage:
    """The state after one iteration: its emulator and what it has cost.

    ``calls``: exact solutions asked for so far, failed ones and those dropped again included;
    ``training``: solutions that the emulator was fitted to; ``r_minus_1``: see ``Halt``, None
    until there are two iterations of chains; ``seconds``: of this stage, as measured now, and
    ``seconds_training`` the emulator's part.
    """

    number: int
    emulator: Emulator
    calls: int
    training: int
    r_minus_1: float | None
    converged: bool
    seconds: float
    seconds_training: float


@dataclass
class Iterative(Training[IterativeSettings]):
    """The iteration. Its last one is cut where the budget ends, and one cut to less than half is
    not begun; then, or where R - 1 stops falling, it ends unmet.

    ``afford``: called with the number of points wanted, answers how many may be solved, a budget
    beside ``max_training``.
    """

    afford: Callable[[int], int] = lambda wanted: wanted
    distances: list[float] = field(default_factory=list)
    _solved: list[Solved] = field(default_factory=list, init=False)

    @property
    def design(self) -> str:
        """See ``Training``."""
        return "iterative"

    def run(self, warm: np.ndarray | None = None) -> bool:
        """See ``Training``."""
        self._refuse_warm(warm)
        converged = False
        for stage in self.stages():
            converged = stage.converged
        return converged

    def stages(self) -> Iterator[IterativeStage]:
        """Run the iteration; yields after every fit.

        Raises:
            TrainingError: more than a fifth of the solutions fail, or there are too few.
        """
        stored = load_iterations(self.folder)
        for number in range(self.settings.most_iterations + 1):
            started = time.monotonic()
            known = number < len(stored)
            iteration = stored[number] if known else self._propose(number)
            if iteration is None and number == 0:
                raise TrainingError(
                    f"hardly any of the {self.settings.initial} points of the start can be "
                    "afforded; give fewer, or a larger budget"
                )
            if iteration is None:
                self._end("the next iteration was not begun: " + self._spent())
                return
            if not known:
                save_iteration(self.folder, iteration)
            stage = self._advance(iteration, started)
            if not stage.converged and iteration.reason.endswith(CUT):
                self._end("the last iteration was cut: " + self._spent())
            elif not stage.converged and self.settings.halt.stalled(self.distances):
                self._end(
                    f"R - 1 between iterations has not fallen for {PATIENCE} iterations (it is "
                    f"{self.distances[-1]:.3g}, and {self.settings.halt.r_minus_1:g} was asked "
                    "for): more of them would not help, more points per iteration may"
                )
            yield stage
            if stage.converged or self.ending:
                return
        self._end(f"most_iterations ({self.settings.most_iterations}) were done")

    def _end(self, ending: str) -> None:
        self.ending = ending
        self.say(f"the iteration ends before its halt is met: {ending}")

    def _spent(self) -> str:
        return (
            f"after {len(self.asked)} exact solutions its budget (max_training: "
            f"{self.settings.max_training}) leaves too little"
        )

    def _propose(self, number: int) -> Iteration | None:
        problem, settings = self.exact.problem, self.settings
        seed = settings.seed + 7919 * number
        left = settings.max_training - len(self.asked)
        if self.emulator is None:
            for name in ("initial", "first", "points"):
                size, parameters = getattr(settings, name), problem.n_emulated
                check_size(size, parameters, name, settings.folds, settings.kind)
            check_budget(settings.initial, settings.max_training, "initial")
            place = SPACE_FILLING[settings.start]
            wanted = place(problem, settings.initial, settings.width, seed)
            walkers, reason = np.empty((0, wanted.shape[1])), settings.start
        elif left < 1:
            return None
        else:
            n = settings.first if number == 1 else settings.points
            self.say(f"sampling at temperature {settings.temperature:g} for {n} points")
            walkers = self._sample(self.emulator, n, seed)
            wanted, reason = self._filter(walkers), FIRST if number == 1 else LATER
        affordable = min(self.afford(len(wanted)), left)
        if affordable < LEAST_AFFORDED * len(wanted):
            return None
        reason += CUT if affordable < len(wanted) else ""
        temperature = float("inf") if self.emulator is None else settings.temperature
        return Iteration(number, temperature, wanted[:affordable], walkers, reason)

    def _advance(self, iteration: Iteration, started: float) -> IterativeStage:
        """Solve and fit; the iteration's record says what it brought."""
        self.say(
            f"iteration {iteration.number} ({iteration.reason}): "
            f"{len(iteration.points)} exact solutions"
        )
        self._solved.append(self._solutions(iteration.points))
        self.iterations.append(iteration)
        solved = time.monotonic()
        if len(iteration.points) > 0:
            self.x, self.theories, self.log_like = self._training_set()
            what, settings = "what was solved without failure", self.settings
            size, parameters = len(self.x), self.exact.problem.n_emulated
            check_size(size, parameters, what, settings.folds, settings.kind)
            self.say(f"fitting the emulator to {len(self.x)} solutions")
            self._fit()
        assert self.emulator is not None, "the start holds points"
        distance, fraction = self._distance(), _new_fraction(iteration)
        if distance is not None:
            self.distances.append(distance)
        iteration.record = self._entry(iteration, started) | {
            "r_minus_1": distance,
            "new_points": fraction,
        }
        return IterativeStage(
            iteration.number,
            self.emulator,
            len(self.asked),
            len(self.x),
            distance,
            self.settings.halt.met(distance, fraction),
            time.monotonic() - started,
            time.monotonic() - solved,
        )

    def _sample(self, emulator: Emulator, n: int, seed: int) -> np.ndarray:
        """The last ``n`` points [n, d] of an ensemble that moves until two looks at it agree."""
        problem, settings = self.exact.problem, self.settings
        rng = np.random.default_rng(seed)
        x = self.x
        weights = tempered_weights(self.log_like, minimum=min(2.0 * x.shape[1], 0.5 * len(x)))
        size = int(np.clip(n + n % 2, *WALKERS))
        walkers = x[rng.choice(len(x), size=size, p=weights / weights.sum())].copy()
        # spread over a tenth of the training set: the moves need walkers that differ
        walkers += 0.1 * rng.normal(size=walkers.shape) * np.std(x, axis=0)
        k = problem.n_emulated
        spread = rng.normal(size=walkers[:, k:].shape) * problem.ref_scale[k:]
        walkers[:, k:] = problem.ref_loc[k:] + spread
        inside = problem.in_prior(walkers)
        if not np.any(inside):
            raise TrainingError("every start of the sampling lies outside the priors; move ref")
        walkers[~inside] = walkers[rng.choice(np.where(inside)[0], size=int(np.sum(~inside)))]
        posterior = problem.posterior(emulator)
        looks = [walkers]
        needed = -(-n // size)
        settled = 0
        for leg in range(MOST_LEGS + needed):
            walkers, rate = explore(
                posterior,
                looks[-1],
                temperature=settings.temperature,
                steps=LEG,
                seed=seed + leg,
                reach=REACH,
            )
            distance = r_minus_1(looks[-1], walkers)
            looks.append(walkers)
            self.say(f"  {(leg + 1) * LEG} moves, acceptance {rate:.2f}, R - 1 = {distance:.4f}")
            settled += settled > 0 or distance < SAMPLED or leg + 1 >= MOST_LEGS
            if settled == needed:
                break
        last = np.concatenate(looks[-needed:])
        return last[rng.permutation(len(last))][:n]

    def _filter(self, walkers: np.ndarray) -> np.ndarray:
        """Points that are new to the training set; all of them while it will be dropped."""
        kept = self._kept(len(self.iterations) + 1)
        old = [self.iterations[i].points for i in kept if i < len(self.iterations)]
        if self.settings.filter is None or not old:
            return walkers
        k = self.exact.problem.n_emulated
        new = self.settings.filter.new(walkers[:, :k], np.concatenate(old)[:, :k])
        self.say(f"  {int(np.sum(new))} of {len(walkers)} points pass the nearest-neighbour filter")
        return walkers[new]

    def _kept(self, number: int) -> list[int]:
        """Indices of the iterations that a training set after ``number`` of them consists of."""
        if number <= 2:
            return [number - 1]
        return list(range(1 if self.settings.keep_first else 2, number))

    def _training_set(self) -> Solved:
        parts = [self._solved[i] for i in self._kept(len(self._solved))]
        return (
            np.concatenate([part[0] for part in parts]),
            [theory for part in parts for theory in part[1]],
            np.concatenate([part[2] for part in parts]),
        )

    def _distance(self) -> float | None:
        """R - 1 of the last two iterations' points, before the filter."""
        if len(self.iterations) < 3:
            return None
        k = self.exact.problem.n_emulated
        before, now = self.iterations[-2:]
        return r_minus_1(before.walkers[:, :k], now.walkers[:, :k])


def _new_fraction(iteration: Iteration) -> float | None:
    """Fraction of the chains' points that passed the filter; unknown where they were cut."""
    if len(iteration.walkers) == 0 or iteration.reason.endswith(CUT):
        return None
    return len(iteration.points) / len(iteration.walkers)
