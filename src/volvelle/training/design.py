"""Where the first exact solutions are placed, and how later ones are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import qmc

from volvelle.learning import least_solutions
from volvelle.training.errors import TrainingError
from volvelle.training.problem import Problem

ATTEMPTS = 64
FLAT = 1e-12  # of the largest variance: a direction below it has no spread


def initial_design(problem: Problem, n: int, width: float, seed: int) -> np.ndarray:
    """Points [n, d]: a scrambled Sobol sequence in the reference box, inside the priors.

    The box is ref.loc +- width ref.scale in every input of the emulator; nuisance parameters that
    are none stay at their reference. Where the box leaves the prior, its part inside is filled.

    Raises:
        TrainingError: box and prior do not overlap.
    """
    k = problem.n_emulated
    lower, upper = _box(problem, width)
    sequence = qmc.Sobol(k, scramble=True, rng=np.random.default_rng(seed))
    unit = sequence.random(2 ** int(np.ceil(np.log2(n))))[:n]
    x = np.tile(problem.ref_loc, (n, 1))
    x[:, :k] = lower + (upper - lower) * unit
    return x


def latin_hypercube(problem: Problem, n: int, width: float, seed: int) -> np.ndarray:
    """Points [n, d] of a Latin hypercube in the reference box (Nygaard et al. 2022, section 3)."""
    k = problem.n_emulated
    lower, upper = _box(problem, width)
    unit = qmc.LatinHypercube(k, rng=np.random.default_rng(seed)).random(n)
    x = np.tile(problem.ref_loc, (n, 1))
    x[:, :k] = lower + (upper - lower) * unit
    return x


def hypersphere(problem: Problem, n: int, width: float, seed: int) -> np.ndarray:
    """Points [n, d], uniform inside the ellipsoid inscribed in the reference box.

    The box's corners, most of its volume in many dimensions (Nygaard et al. 2022, equation 3.1),
    stay empty. Where the box leaves the prior, the ellipsoid is that of its part inside.
    """
    k = problem.n_emulated
    lower, upper = _box(problem, width)
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(n, k))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = rng.uniform(size=(n, 1)) ** (1.0 / k)  # the volume inside grows as radius^k
    x = np.tile(problem.ref_loc, (n, 1))
    x[:, :k] = 0.5 * (lower + upper) + 0.5 * (upper - lower) * radius * direction
    return x


SPACE_FILLING: dict[str, Callable[[Problem, int, float, int], np.ndarray]] = {
    "latin_hypercube": latin_hypercube,
    "hypersphere": hypersphere,
}
"""Designs without any solution to go by, as ``f(problem, n, width, seed)``."""


MORE_THAN_PARAMETERS = {"network": 1, "gaussian_process": 4}
"""Points that a kind of surrogate needs above the number of parameters; others need two, for a
constant and for the degree of freedom without which nothing can be left out."""


def least_points(parameters: int, folds: int | None = None, kind: str = "auto") -> int:
    """The fewest points that a kind of surrogate can be fitted to; arguments as of `check_size`."""
    least = parameters + MORE_THAN_PARAMETERS.get(kind, 2)
    return least if folds is None else max(least, least_solutions(folds))


def suffices(
    warm: np.ndarray, parameters: int, folds: int | None = None, kind: str = "auto"
) -> bool:
    """Whether an emulator can be fitted to the points of a warm start alone [n, d], of which the
    first ``parameters`` columns count; other arguments as of `check_size`."""
    enough = len(warm) >= least_points(parameters, folds, kind)
    return enough and bool(np.all(np.ptp(warm[:, :parameters], axis=0) > 0))


def check_size(
    points: int, parameters: int, what: str, folds: int | None = None, kind: str = "auto"
) -> None:
    """Refuse a design that leaves the surrogate undetermined.

    Args:
        what: names the number of points; folds: of a network's cross-validation, None for another
            kind of surrogate; kind: of surrogate.

    Raises:
        TrainingError: fewer points than a fit with linear terms needs, or than a network in folds.
    """
    least = least_points(parameters, kind=kind)
    if points < least:
        raise TrainingError(
            f"{what} is {points} points for {parameters} sampled parameters of the theory; give "
            f"at least {least} ({default_start(parameters)} are enough for a quadratic)"
        )
    if folds is not None and points < least_solutions(folds):
        raise TrainingError(
            f"{what} is {points} points for a network with folds: {folds}; give at least "
            f"{least_solutions(folds)} points" + (", or fewer folds" if folds > 2 else "")
        )


def default_start(parameters: int, folds: int | None = None) -> int:
    """Points of a start that nobody chose: a quadratic's and four more, or a network's least."""
    least = 0 if folds is None else least_solutions(folds)
    return max((parameters + 1) * (parameters + 2) // 2 + 4, least)


def check_budget(points: int, max_training: int, what: str) -> None:
    """Refuse a start that may not be solved as a whole.

    Raises:
        TrainingError: more points than ``max_training``; ``what`` names their number.
    """
    if points > max_training:
        raise TrainingError(
            f"{what} is {points}, more than max_training, which is {max_training}; lower the one "
            "or raise the other"
        )


def _box(problem: Problem, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the part of the reference box that lies inside the priors, of emulated parameters."""
    k = problem.n_emulated
    bounds = np.array([prior.bounds for prior in problem.priors])[:k]
    lower = np.maximum(problem.ref_loc[:k] - width * problem.ref_scale[:k], bounds[:, 0])
    upper = np.minimum(problem.ref_loc[:k] + width * problem.ref_scale[:k], bounds[:, 1])
    empty = [problem.names[i] for i in np.where(~(lower < upper))[0]]
    if empty:
        raise TrainingError(
            f"the reference box of {', '.join(empty)} lies outside the prior; move ref or widen it"
        )
    return lower, upper


def nearest_neighbour_filter(
    new: np.ndarray, old: np.ndarray, neighbours: int = 5, tolerance: float = 2.0
) -> np.ndarray:
    """Which new points are not in regions that are sampled already.

    Nygaard et al. 2022, section 3.2: with x the old point nearest to p, p is kept if it is farther
    from x than x is from its own neighbours (mean + ``tolerance`` standard deviations), or if new
    points crowd around p more closely than old ones around x (mean - ``tolerance`` ...).

    Args:
        new: whitened points [n, d]; old: whitened points [m, d]; neighbours: n of the paper.
    """
    if len(new) == 0:
        return np.zeros(0, dtype=bool)
    closest, nearest = KDTree(old).query(new)
    mean_old, spread_old = _neighbour_distances(old, neighbours)
    mean_new, _ = _neighbour_distances(new, neighbours)
    sparse = closest > mean_old[nearest] + tolerance * spread_old[nearest]
    crowded = mean_new < mean_old[nearest] - tolerance * spread_old[nearest]
    return sparse | crowded


def _neighbour_distances(points: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    k = min(neighbours, len(points) - 1)
    if k < 1:
        return np.zeros(len(points)), np.zeros(len(points))
    # the nearest of all is the point itself, or one that coincides with it
    near = np.asarray(KDTree(points).query(points, k + 1)[0])[:, 1:]
    return near.mean(axis=1), near.std(axis=1)


@dataclass(frozen=True)
class Filter:
    """The nearest-neighbour filter with its numbers; the paper does not give its n.

    ``metric`` in which distances are taken: 'scaled' by the known points' standard deviations, or
    'whitened' by their covariance, in which a narrow ridge has no narrow side.
    """

    neighbours: int = 5
    tolerance: float = 2.0
    metric: Literal["scaled", "whitened"] = "scaled"

    def new(self, points: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Which of the points [n, d] are new to the known ones [m, d]."""
        centre, spread = known.mean(axis=0), known.std(axis=0)
        factor = np.diag(1.0 / np.where(spread > 0, spread, 1.0))
        if self.metric == "whitened":
            scaled = (known - centre) @ factor
            values, vectors = np.linalg.eigh(scaled.T @ scaled / len(known))
            flat = values <= FLAT * values.max()
            factor = factor @ (vectors / np.sqrt(np.where(flat, 1.0, values)))
        return nearest_neighbour_filter(
            (points - centre) @ factor, (known - centre) @ factor, self.neighbours, self.tolerance
        )


def spread_out(candidates: np.ndarray, old: np.ndarray, n: int) -> list[int]:
    """Indices of ``n`` candidates, each the farthest from ``old`` and all chosen before it.

    Args:
        candidates: whitened points [c, d]; old: whitened points [m, d].
    """
    distance = np.min(np.linalg.norm(candidates[:, None] - old[None], axis=-1), axis=1)
    chosen: list[int] = []
    for _ in range(min(n, len(candidates))):
        best = int(np.argmax(distance))
        if distance[best] <= 0.0:
            break
        chosen.append(best)
        distance = np.minimum(distance, np.linalg.norm(candidates - candidates[best], axis=1))
    return chosen


def gaussian_start(
    centre: np.ndarray, scatter: np.ndarray, problem: Problem, walkers: int, seed: int
) -> np.ndarray:
    """Walkers [w, d] of a Gaussian of covariance ``scatter``, inside the priors.

    Raises:
        TrainingError: hardly any point of the Gaussian lies inside the priors.
    """
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(scatter)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    kept: list[np.ndarray] = []
    for attempt in count():
        x = centre + rng.normal(size=(4 * walkers, len(centre))) @ factor.T
        kept.extend(x[problem.in_prior(x)])
        if len(kept) >= walkers:
            return np.array(kept[:walkers])
        if attempt >= ATTEMPTS:
            raise TrainingError(
                "the best solutions lie so close to a prior's edge that no start was found; "
                "widen the prior or move ref inside"
            )
    raise AssertionError("unreachable")
