"""The paper's own recipe, the baseline that the adaptive training is measured against.

Nygaard et al. 2022 (arXiv:2205.15726), section 3: a Latin hypercube, a network trained on it, a
sampling of the likelihood at high temperature with that network, the last N points of the chains,
the nearest-neighbour filter, exact solutions, and a new network without the hypercube; until the
points of two consecutive iterations agree.

Where the paper says nothing: the sampler is the ensemble of ``inference.explore``, whose walkers
at the end are the last N points; it is kept from leaving the solved region by more than a third.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from volvelle.boltzmann import LedgerEntry
from volvelle.emulator import Emulator
from volvelle.inference import explore
from volvelle.learning import Epochs, NetworkSettings
from volvelle.training.adaptive import REACH
from volvelle.training.design import latin_hypercube, nearest_neighbour_filter
from volvelle.training.errors import TrainingError
from volvelle.training.fit import fit_emulator
from volvelle.training.history import Iteration, load_iterations, save_iteration
from volvelle.training.problem import Exact, refuse_many_failures
from volvelle.training.weights import tempered_weights

WALKERS = (64, 512)  # fewest and most; more points are taken from the ensemble's later legs
LEAST_AFFORDED = 0.5  # of an iteration's points; with fewer the recipe ends before it
LEG = 100  # moves of every walker between two looks at the convergence
MOST_LEGS = 10
SAMPLED = 0.01  # R - 1 of two looks below which the sampling ends
HYPERCUBE, FIRST, LATER = "Latin hypercube", "first iteration", "iteration"


@dataclass(frozen=True)
class ConnectSettings:
    """The recipe with the paper's numbers as defaults.

    ``initial``: points of the hypercube; ``first``: taken from the first chains; ``points``: from
    each later ones, before the filter; ``width``: half width of the hypercube in ref.scale;
    ``keep_first``: whether the first iteration's points stay in the training set; ``r_minus_1``:
    of the points of two consecutive iterations, below which the recipe ends.
    """

    initial: int = 10_000
    first: int = 5_000
    points: int = 20_000
    temperature: float = 5.0
    width: float = 1.0
    keep_first: bool = False
    r_minus_1: float = 0.01
    most_iterations: int = 20
    network: NetworkSettings = NetworkSettings(folds=0)  # noqa: RUF009 (it is frozen)
    seed: int = 1


@dataclass(frozen=True)
class ConnectStage:
    """The state after one iteration: its emulator and what it has cost.

    ``calls``: exact solutions asked for so far, failed ones and those dropped again included;
    ``training``: solutions that the network was trained on; ``r_minus_1``: see the settings, None
    until there are two iterations of chains; ``seconds``: of this stage, as measured now, and
    ``seconds_training`` the network's part.
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
class Connect:
    """The iteration; the choice of points is in ``folder`` and every solution in the ledger, so
    that a repeated call goes on.

    ``afford``: called with the number of points wanted, answers how many may be solved; when it
    cuts an iteration short, that one is the last; one cut to less than half is not begun.
    """

    exact: Exact
    settings: ConnectSettings
    folder: Path
    say: Callable[[str], None] = lambda text: None
    epochs: Epochs | None = None
    afford: Callable[[int], int] = lambda wanted: wanted
    iterations: list[Iteration] = field(default_factory=list)
    asked: list[LedgerEntry] = field(default_factory=list)
    _solved: list[tuple[np.ndarray, list[dict[str, Any]], np.ndarray]] = field(
        default_factory=list, init=False
    )

    def stages(self) -> Iterator[ConnectStage]:
        """Run the recipe; yields after every training.

        Raises:
            TrainingError: more than a fifth of the solutions fail, or there is nothing to train on.
        """
        stored = load_iterations(self.folder)
        emulator: Emulator | None = None
        for number in range(self.settings.most_iterations + 1):
            started = time.monotonic()
            if number < len(stored):
                iteration, cut = stored[number], stored[number].reason.endswith("cut")
            else:
                proposed = self._propose(number, emulator)
                if proposed is None:
                    return
                iteration, cut = proposed
                save_iteration(self.folder, iteration)
            self._solve(iteration)
            self.iterations.append(iteration)
            solved = time.monotonic()
            emulator, training = self._train()
            distance = self._r_minus_1()
            converged = distance is not None and distance < self.settings.r_minus_1
            yield ConnectStage(
                number,
                emulator,
                len(self.asked),
                training,
                distance,
                converged,
                time.monotonic() - started,
                time.monotonic() - solved,
            )
            if converged or cut:
                return

    def _propose(self, number: int, emulator: Emulator | None) -> tuple[Iteration, bool] | None:
        problem, settings = self.exact.problem, self.settings
        seed = settings.seed + 7919 * number
        if emulator is None:
            wanted = latin_hypercube(problem, settings.initial, settings.width, seed)
            walkers, reason = np.empty((0, wanted.shape[1])), HYPERCUBE
        else:
            n = settings.first if number == 1 else settings.points
            self.say(f"sampling at temperature {settings.temperature:g} with {n} walkers")
            walkers = self._sample(emulator, n, seed)
            wanted, reason = self._filter(walkers), FIRST if number == 1 else LATER
        affordable = self.afford(len(wanted))
        if len(wanted) == 0 or affordable < LEAST_AFFORDED * len(wanted):
            return None
        cut = affordable < len(wanted)
        reason += ", cut" if cut else ""
        temperature = float("inf") if emulator is None else settings.temperature
        return Iteration(number, temperature, wanted[:affordable], walkers, reason), cut

    def _sample(self, emulator: Emulator, n: int, seed: int) -> np.ndarray:
        """The last ``n`` points [n, d] of an ensemble that moves until two looks at it agree."""
        problem, settings = self.exact.problem, self.settings
        rng = np.random.default_rng(seed)
        x, _, log_like = self._training_set()
        weights = tempered_weights(log_like, minimum=min(2.0 * x.shape[1], 0.5 * len(x)))
        size = int(np.clip(n + n % 2, *WALKERS))
        walkers = x[rng.choice(len(x), size=size, p=weights / weights.sum())].copy()
        # spread over a tenth of the training set: the moves need walkers that differ
        walkers += 0.1 * rng.normal(size=walkers.shape) * np.std(x, axis=0)
        k = problem.n_theory
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
        if not old:
            return walkers
        k = self.exact.problem.n_theory
        known = np.concatenate(old)[:, :k]
        centre, scale = known.mean(axis=0), known.std(axis=0)
        new = nearest_neighbour_filter((walkers[:, :k] - centre) / scale, (known - centre) / scale)
        self.say(f"  {int(np.sum(new))} of {len(walkers)} points pass the nearest-neighbour filter")
        return walkers[new]

    def _solve(self, iteration: Iteration) -> None:
        problem = self.exact.problem
        self.say(f"{iteration.reason}: {len(iteration.points)} exact solutions")
        entries = self.exact.solve(iteration.points)
        self.asked.extend(entries)
        refuse_many_failures(self.asked)
        good = [i for i, entry in enumerate(entries) if not entry.failed]
        theories = [self.exact.theory(entries[i]) for i in good]
        x = iteration.points[good]
        values = [problem.log_likelihood(a, t) for a, t in zip(x, theories, strict=True)]
        self._solved.append((x, theories, np.array(values)))

    def _kept(self, number: int) -> list[int]:
        """Indices of the iterations that a training set after ``number`` of them consists of."""
        if number <= 2:
            return [number - 1]
        return list(range(1 if self.settings.keep_first else 2, number))

    def _training_set(self) -> tuple[np.ndarray, list[dict[str, Any]], np.ndarray]:
        parts = [self._solved[i] for i in self._kept(len(self._solved))]
        return (
            np.concatenate([part[0] for part in parts]),
            [theory for part in parts for theory in part[1]],
            np.concatenate([part[2] for part in parts]),
        )

    def _train(self) -> tuple[Emulator, int]:
        x, theories, log_like = self._training_set()
        self.say(f"training the network on {len(x)} solutions")
        emulator, _ = fit_emulator(
            self.exact.problem,
            x,
            theories,
            log_like,
            "network",
            self.settings.network,
            self.folder / "network",
            self.epochs,
        )
        return emulator, len(x)

    def _r_minus_1(self) -> float | None:
        if len(self.iterations) < 3:
            return None
        k = self.exact.problem.n_theory
        before, now = self.iterations[-2:]
        return r_minus_1(before.walkers[:, :k], now.walkers[:, :k])


def r_minus_1(first: np.ndarray, second: np.ndarray) -> float:
    """Gelman and Rubin's R - 1 of two sets of points [n, d], the worst parameter's."""
    means = np.stack([first.mean(axis=0), second.mean(axis=0)])
    within = 0.5 * (first.var(axis=0, ddof=1) + second.var(axis=0, ddof=1))
    between = means.var(axis=0, ddof=1)
    n = min(len(first), len(second))
    return float(np.max(np.sqrt((n - 1) / n + between / within) - 1.0))
