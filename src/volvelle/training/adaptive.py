"""The adaptive training set: exact solutions where the posterior is, as few as will do.

A small space-filling start; then, until the requested accuracy is met: fit, explore the tempered
posterior with the emulator, keep new points (nearest-neighbour filter), solve them exactly, refit.
Nygaard et al. 2022 (arXiv:2205.15726), section 3, with surrogates that need a hundred times fewer
solutions, a temperature that follows the measured error, and a stopping rule in the user's units.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from volvelle.emulator import Emulator
from volvelle.inference import Posterior, conditional, explore, lacks_gradient, log_likelihoods_at
from volvelle.training.base import SurrogateSettings, Training
from volvelle.training.design import (
    check_budget,
    check_size,
    default_start,
    gaussian_start,
    initial_design,
    nearest_neighbour_filter,
    spread_out,
    suffices,
)
from volvelle.training.doubts import DOUBTED_VARIANCE, Doubted, Tail, doubted, thin_tail
from volvelle.training.edges import moved_onto
from volvelle.training.errors import TrainingError
from volvelle.training.history import Iteration, load_iterations, save_iteration
from volvelle.training.settling import PATIENCE, movement, stalled
from volvelle.training.weights import (
    effective_number,
    robust_scatter,
    tempered_weights,
    weighted_std,
    weights_at,
)

LOWEST_TEMPERATURE = 2.0  # the training set reaches beyond the posterior's 3 sigma
HIGHEST_TEMPERATURE = 1e5
TRUSTED_ERROR = 0.15  # explore where the error of ln L is below this fraction of its own range
WALKERS = 96
STEPS = 300
REACH = 1.3  # exploration may go this far beyond the solved region, so that it can grow
LARGEST_REACH = 5.2  # as far as a reach grows that doubles while the emulator proves right there
BEYOND = 0.5  # of the share of walkers that a flat posterior has beyond the solved region
RIGHT = 0.25  # largest error of a predicted gain in ln L, of that gain, for the reach to grow
OUTSIDE = "much of the posterior lies beyond what was solved"
WARM = "warm start"
NEW = "the number of points of the warm start that the ledger does not serve"
WARM_SCATTER = 0.5  # of ln L: up to here a hundred exact points can measure the shifts
FAILED = "failed certificate"
DOUBTFUL = "doubtful samples"
LAST_LOOK = "last look"
LOOKS = 4  # ensembles of WALKERS that look for doubtful samples before the chains do
ADAPTIVE = "adaptive"
FILTER_MINIMUM = 0.5  # of a batch; a filter that leaves less is relaxed, farthest points first


@dataclass(frozen=True)
class TrainingSettings(SurrogateSettings):
    """How the emulator is built and how good it has to be; see also ``SurrogateSettings``.

    ``accuracy``: largest shift of any mean, two errors included [sigma]; ``certificate_points``:
    exact solutions that will certify it, which sets the scatter of ln L that can be afforded;
    ``initial`` and ``batch``: solutions at the start and per iteration (None: from the dimension).
    """

    accuracy: float = 0.05
    initial: int | None = None
    batch: int | None = None
    certificate_points: int = 100

    @property
    def scatter_target(self) -> float:
        """Scatter s of ln L at which s/sqrt(n) is a tenth of the accuracy, half of what may be."""
        return self.accuracy * float(np.sqrt(self.certificate_points)) / 10.0


@dataclass
class Trainer(Training[TrainingSettings]):
    """The adaptive design.

    ``moved``: the last iteration's largest shift of a mean [sigma]; ``reach``: how far the next
    exploration may go, in units of the solved region; ``outside``: whether the last one found the
    posterior beyond that region.

    Raises:
        TrainingError: a network without cross-validation, whose error nothing would measure.
    """

    moved: float = float("inf")
    reach: float = REACH
    outside: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        network = self.settings.network
        if self.settings.kind == "network" and network is not None and network.folds == 0:
            raise TrainingError(
                "the adaptive design is steered by left-out errors and the network has folds: 0; "
                "give it 2 or more, or choose another design"
            )

    @property
    def design(self) -> str:
        """See ``Training``."""
        return ADAPTIVE

    @property
    def initial(self) -> int:
        """Solutions of the space-filling start."""
        k = self.exact.problem.n_emulated
        return self.settings.initial or default_start(k, self.settings.folds)

    @property
    def batch(self) -> int:
        """Solutions per iteration."""
        return self.settings.batch or 2 * self.exact.problem.n_emulated + 4

    def run(self, warm: np.ndarray | None = None) -> bool:
        """Train until the accuracy is met or the budget spent; whether it was met.

        Args:
            warm: points that are solved already (another run's), in place of the start [n, d];
                where they do not vary in some parameter, or are too few, the start is added.

        Raises:
            TrainingError: more than a fifth of the solutions fail.
        """
        stored = load_iterations(self.folder)
        while True:
            number = len(self.iterations)
            known = number < len(stored)
            if known and stored[number].reason in (FAILED, DOUBTFUL):
                return self._satisfied()  # it had ended here; ``add`` takes what follows
            iteration = stored[number] if known else self._next(number, warm)
            if iteration is None and self._satisfied():
                return True
            if iteration is None:
                most = self.settings.max_training
                self.ending = f"max_training ({most}) was reached before the accuracy was"
                if self.outside:
                    self.ending += f"; {OUTSIDE}"
                return False
            if not known:
                save_iteration(self.folder, iteration)
            self._advance(iteration)
            adaptive = [each for each in self.iterations if each.reason == ADAPTIVE]
            if not self._satisfied() and stalled(adaptive, self.log_like):
                self.ending = (
                    f"{PATIENCE} iterations in a row did not improve the left-out scatter of "
                    f"ln L, {self.scatter:.2g} (wanted {self.settings.scatter_target:.2g})"
                )
                self.say(f"the training ends: {self.ending}")
                return False

    def takes(self, certified: int) -> bool:
        """They do while ``max_training`` leaves room for them and another batch."""
        return len(self.asked) + certified + self.batch <= self.settings.max_training

    def doubtful(self, samples: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray | None:
        """A batch of those at which the emulator itself expects an error that the data would see,
        where they matter, or of a tail that decides over a width and has fewer solutions than a
        batch (`doubts`)."""
        found = self._doubtful(samples, DOUBTED_VARIANCE, weights)
        if found is not None or not self.takes(0):
            return found
        assert self.emulator is not None, "samples come after a fit"
        known = self.judged & ~np.isnan(self.log_like)
        solved = self.x[known], self.log_like[known]
        tail = thin_tail(self.exact.problem, self.emulator, solved, samples, weights)
        if tail is None or tail.solved >= self.batch:
            return None
        return self._some(tail, self.batch - tail.solved)

    def _doubtful(
        self, samples: np.ndarray, most: float, weights: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Where the emulator doubts itself; ``most``: the share of a variance that may be so."""
        assert self.emulator is not None, "samples come after a fit"
        if not self.takes(0):
            return None
        found = doubted(self.exact.problem, self.emulator, samples, weights)
        return self._some(found, self.batch) if found.matter(self.settings.accuracy, most) else None

    def _some(self, found: Doubted | Tail, most: int) -> np.ndarray:
        self.say(f"{found}: some are solved before the certificate")
        return found.samples[self._choose(found.samples, min(most, len(found.samples)))]

    def add(self, x: np.ndarray, reason: str) -> None:
        """Take points in and refit; on repetition those that were taken in then.

        Raises:
            TrainingError: what was done then was something else: by other rules of another version.
        """
        stored = load_iterations(self.folder)
        number = len(self.iterations)
        iteration = Iteration(number, 1.0, x, np.empty((0, x.shape[1])), reason)
        if number == len(stored):
            save_iteration(self.folder, iteration)
        elif stored[number].reason == reason:
            iteration = stored[number]
        else:
            raise TrainingError(
                f"iteration {number} in {self.folder} holds the points of a {stored[number].reason}"
                f", now those of a {reason} are due: another version made it; choose another "
                "output folder (the exact solutions are in the ledger)"
            )
        self._advance(iteration)

    def _next(self, number: int, warm: np.ndarray | None) -> Iteration | None:
        """What is to be solved next; None when the training is done, or its budget spent."""
        if self.iterations and self._satisfied():
            return self._last_look(number)
        return self._propose(number, warm)

    def _seed(self, number: int) -> int:
        return self.settings.seed + 7919 * number

    def _last_look(self, number: int) -> Iteration | None:
        """Doubtful samples of the emulator's own posterior, far beyond what was solved as well.

        The chains would find them, but take longer; ``walkers`` are what was looked at.
        """
        seeds = range(self._seed(number), self._seed(number) + LOOKS)
        looks = [self._explore(1.0, seed, LARGEST_REACH) for seed in seeds]
        samples = np.concatenate(looks)
        doubtful = self._doubtful(samples, math.inf)  # too few samples to know a variance from
        return None if doubtful is None else Iteration(number, 1.0, doubtful, samples, LAST_LOOK)

    def _propose(self, number: int, warm: np.ndarray | None) -> Iteration | None:
        problem, settings = self.exact.problem, self.settings
        seed = self._seed(number)
        if number == 0:
            new = 0 if warm is None else self._new(warm)
            if warm is not None and suffices(
                warm, problem.n_emulated, settings.folds, settings.kind
            ):
                check_budget(new, settings.max_training, NEW)
                return Iteration(0, 1.0, warm, np.empty((0, warm.shape[1])), WARM)
            check_size(self.initial, problem.n_emulated, "initial", settings.folds, settings.kind)
            x = initial_design(problem, self.initial, settings.width, seed)
            x = moved_onto(self.edges, x, x)
            if warm is not None:
                check_budget(new + len(x), settings.max_training, f"{NEW}, with the start,")
                x = np.concatenate([warm, x])
            return Iteration(0, float("inf"), x, np.empty((0, x.shape[1])), "initial design")
        room = settings.max_training - len(self.asked)
        if room < 1:
            return None
        temperature = self.temperature()
        self.say(f"exploring the emulator's posterior at temperature {temperature:.3g}")
        walkers = self._explore(temperature, seed, self.reach)
        chosen = self._choose(walkers, min(self.batch, room))
        points = moved_onto(self.edges, walkers[chosen], walkers)
        return Iteration(number, temperature, points, walkers, ADAPTIVE)

    def _new(self, warm: np.ndarray) -> int:
        """How many points of a warm start the ledger does not serve, which is said."""
        new = self.exact.unknown(warm)
        self.say(
            f"warm start: {len(warm)} points, of which {new} have to be solved"
            + (
                ": the ledger has no solution of them by this solver with these settings, fixed "
                "parameters and outputs"
                if new
                else ""
            )
        )
        return new

    def _advance(self, iteration: Iteration) -> None:
        started = time.monotonic()
        old = self.emulator
        before = len(self.x)
        self.say(f"iteration {iteration.number}: {len(iteration.points)} exact solutions")
        self._solve(iteration.points)
        held_out = self._held_out(old, before, iteration.temperature)
        beyond = self._beyond(old, iteration)
        reach, self.reach = self.reach, self._next_reach(old, before)
        self.say(f"fitting the emulator to {len(self.x)} solutions")
        self._fit()
        self.moved = movement(self.exact.problem, old, self.emulator, iteration)
        self.say(
            f"left-out scatter of ln L {self.scatter:.2g} (wanted "
            f"{self.settings.scatter_target:.2g}), means moved by {self.moved:.2g} sigma (wanted "
            f"{self._settled:.2g})"
        )
        if self.outside:
            self.say(OUTSIDE)
        iteration.record = self._entry(iteration, started) | {
            "held_out_log_likelihood_scatter": held_out,
            "posterior_shift_sigma": self.moved if np.isfinite(self.moved) else None,
            "reach": reach if beyond is not None else None,
            "walkers_beyond": beyond,
        }
        self.iterations.append(iteration)

    def temperature(self) -> float:
        """The lowest temperature at which the emulator's error is small against ln L's range."""
        d = len(self.exact.problem.names)
        temperature = LOWEST_TEMPERATURE
        while temperature < HIGHEST_TEMPERATURE:
            weights = self._weights(temperature)
            error = robust_scatter(self._residual, weights)
            if error <= TRUSTED_ERROR * 0.5 * d * temperature:
                break
            temperature *= 1.5
        return temperature

    def _explore(self, temperature: float, seed: int, reach: float) -> np.ndarray:
        problem = self.exact.problem
        assert self.emulator is not None, "exploration comes after a fit"
        posterior = problem.posterior(self.emulator)
        centre, scatter = self._surroundings(posterior, temperature)
        start = gaussian_start(centre, scatter, problem, WALKERS, seed)
        walkers, _ = explore(
            posterior,
            start,
            temperature=temperature,
            steps=STEPS,
            seed=seed,
            reach=reach,
        )
        return walkers[problem.in_prior(walkers)]

    def _surroundings(
        self, posterior: Posterior, temperature: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Centre [d] and covariance of the walkers' start, of the likeliest solutions.

        These say nothing of nuisance parameters, which stay where they are in the first design:
        they have their references' widths. Where that is all of a flat prior, of which the data may
        leave little, walkers would not find together in many dimensions: there the start has
        the posterior's own curvature, given the emulator's inputs, if there are gradients.
        """
        problem = self.exact.problem
        k, d = problem.n_emulated, len(problem.names)
        curved = problem.loose and self._has_gradient
        weights = tempered_weights(self.log_like, minimum=2.0 * (k if curved else d))
        centre = np.average(self.x, axis=0, weights=weights)
        scatter = np.cov(self.x, rowvar=False, aweights=weights)
        if curved:
            known = self.judged & ~np.isnan(self.log_like)
            best = self.x[np.argmax(np.where(known, self.log_like, -np.inf))]
            widths = self.widths()
            given = conditional(posterior.softened(widths), best, widths, k, 1.0 / temperature)
            return given.joined(centre[:k], scatter[:k, :k])
        for i in range(k, d):
            scatter[i, i] = max(scatter[i, i], problem.ref_scale[i] ** 2)
        return centre, scatter

    @property
    def _has_gradient(self) -> bool:
        foreign = self.exact.problem.foreign
        assert self.emulator is not None, "exploration comes after a fit"
        return foreign is None or lacks_gradient(foreign.posterior(self.emulator)) is None

    def _choose(self, walkers: np.ndarray, n: int) -> list[int]:
        assert self.emulator is not None, "choosing comes after a fit"
        k = self.exact.problem.n_emulated
        old = self.emulator.features.batch(self.x[:, :k])
        new = self.emulator.features.batch(walkers[:, :k])
        kept = np.where(nearest_neighbour_filter(new, old))[0]
        if len(kept) < FILTER_MINIMUM * n:
            kept = np.arange(len(walkers))
        return [int(kept[i]) for i in spread_out(new[kept], old, n)]

    def _beyond(self, old: Emulator | None, iteration: Iteration) -> float | None:
        """Share of the walkers beyond what was solved before them; sets ``outside``.

        A posterior that lies elsewhere presses them against the wall, one that is the same all
        over the region fills it: a share 1 - reach^-k of its volume is beyond.
        """
        if old is None or len(iteration.walkers) == 0:
            self.outside = False
            return None
        k = self.exact.problem.n_emulated
        beyond = float(np.mean(old.distances(iteration.walkers[:, :k]) > 1.0))
        self.outside = beyond > BEYOND * (1.0 - self.reach**-k)
        return beyond

    def _next_reach(self, old: Emulator | None, before: int) -> float:
        """A trust region: twice as far where the emulator foretold what was gained out there.

        An error below ``RIGHT`` itself is right whatever the gain.
        """
        if old is None or not self.outside or len(self.x) == before:
            return REACH
        best, found = np.max(self.log_like[:before]), self.log_like[before:]
        foretold = log_likelihoods_at(self.exact.problem.posterior(old), self.x[before:])
        gain, error = np.median(foretold) - best, np.median(np.abs(foretold - found))
        right = np.isfinite(error) and error <= RIGHT * max(gain, 1.0)  # one: all alike out there
        return min(2.0 * self.reach, LARGEST_REACH) if right else REACH

    def _held_out(self, old: Emulator | None, before: int, temperature: float) -> float | None:
        """Scatter of ln L's error of the previous emulator at solutions it had not seen."""
        if old is None or len(self.x) - before < 4:
            return None
        posterior = self.exact.problem.posterior(old)
        error = log_likelihoods_at(posterior, self.x[before:]) - self.log_like[before:]
        weights = weights_at(self.log_like[before:], temperature / max(temperature - 1.0, 1e-9))
        return weighted_std(error, weights) if np.all(np.isfinite(error)) else None

    def _satisfied(self) -> bool:
        if len(self.iterations) == 1 and self.iterations[0].reason == WARM:
            return self.scatter <= WARM_SCATTER  # the certificate decides whether more is needed
        if self.outside or self.scatter > self.settings.scatter_target:
            return False
        k = self.exact.problem.n_emulated  # nothing is learned of the rest
        enough = effective_number(weights_at(self.log_like, LOWEST_TEMPERATURE)) >= k
        return enough and self.moved <= self._settled

    @property
    def _settled(self) -> float:
        """Movement of the means from one iteration to the next that counts as none [sigma]."""
        return 0.5 * self.settings.accuracy
