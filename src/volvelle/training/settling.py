"""Whether an adaptive training settles: how far the posterior still moves, and what is gained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from volvelle.emulator import Emulator
from volvelle.inference import log_likelihoods_at
from volvelle.training.history import Iteration
from volvelle.training.problem import Problem

PATIENCE = 6  # iterations of which one has to bring something
IMPROVEMENT = 0.9  # of the best left-out scatter before them
STILL = 0.5  # [sigma] more than this from one iteration to the next is movement
FEWEST = 10  # walkers that say something about a mean


def movement(
    problem: Problem, old: Emulator | None, new: Emulator | None, iteration: Iteration
) -> float:
    """Largest shift of a mean from one emulator's posterior to the next one's [sigma].

    By the walkers of the iteration, re-weighted; infinite where there are too few.
    """
    if old is None or new is None or len(iteration.walkers) < FEWEST:
        return float("inf")
    new_like = log_likelihoods_at(problem.posterior(new), iteration.walkers)
    old_like = log_likelihoods_at(problem.posterior(old), iteration.walkers)
    power = 1.0 - 1.0 / iteration.temperature
    finite = np.isfinite(new_like) & np.isfinite(old_like)
    if finite.sum() < FEWEST:
        return float("inf")
    walkers = iteration.walkers[finite]
    base = power * old_like[finite]
    tilt = base + new_like[finite] - old_like[finite]
    w_old, w_new = (np.exp(v - v.max()) for v in (base, tilt))
    mean_old = np.average(walkers, axis=0, weights=w_old)
    mean_new = np.average(walkers, axis=0, weights=w_new)
    spread = np.sqrt(np.average((walkers - mean_new) ** 2, axis=0, weights=w_new))
    return float(np.max(np.abs(mean_new - mean_old) / np.where(spread > 0, spread, np.inf)))


def stalled(adaptive: Sequence[Iteration], log_like: np.ndarray) -> bool:
    """Whether solutions where the posterior is bring nothing more: noise, or a kink in it.

    For some iterations the means have hardly moved, the temperature has not fallen, the left-out
    scatter is not better than it was, and no solution is much likelier than before.

    Args:
        adaptive: the iterations that followed the posterior; log_like: of all solutions [n].
    """
    before, recent = adaptive[:-PATIENCE], adaptive[-PATIENCE:]
    if not before:
        return False

    def least(iterations: Sequence[Iteration]) -> tuple[float, float]:
        scatters = (each.record["left_out_log_likelihood_scatter"] for each in iterations)
        temperature = min(each.temperature for each in iterations)
        return temperature, min(value or float("inf") for value in scatters)

    solved = before[-1].record["training_set"]
    gained = np.max(log_like) - np.max(log_like[:solved])
    if gained > recent[-1].points.shape[1]:  # on its way to a posterior far away
        return False
    moved = [each.record["posterior_shift_sigma"] for each in recent]
    if any(shift is None or shift > STILL for shift in moved):
        return False
    (hot, old), (cold, new) = least(before), least(recent)
    return cold >= hot and new > IMPROVEMENT * old
