"""Samples at which an emulator doubts itself, and whether they matter; tails without solutions.

The left-out errors of a training do not show them: they are where no solution is. Where a few
per cent of the samples make most of a variance, as of a rate whose logarithm is sampled, an error
that is the same all over this corner is the width's, however small the emulator expects it to be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volvelle.emulator import Emulator
from volvelle.inference import log_likelihoods_at
from volvelle.training.problem import Problem

DOUBT = 1.0  # expected Delta chi2 from which a sample is doubtful
DOUBTED_VARIANCE = 0.02  # of a variance; a width would change by half of it
MOST_DOUBTED = 0.5  # of the samples; beyond, it is no matter of tails
SEEN = 20_000  # samples that are looked at
HEAVY = 0.1  # effective share of the samples that make a variance; of normal ones it is a third
TAIL = 0.5  # of a variance: the farthest samples that make so much of it are its tail
ALLOWED = 3.0  # of ln L: by so much less likely than the tail, a solution still counts as one of it
JUDGED = 200  # samples of a tail that its likelihood is taken from


@dataclass(frozen=True)
class Doubted:
    """Samples [n, d] with an expected error that the data would see.

    ``share`` of all; ``variance``: the largest share that they make up of one, of parameters that
    follow from the sampled ones too, as a rate from its logarithm.
    """

    samples: np.ndarray
    share: float
    variance: float

    def matter(self, accuracy: float, most: float = DOUBTED_VARIANCE) -> bool:
        """Whether they may move a result; ``most``: the share of a variance that they may make up.

        They may when their share, which could move a mean by a few times as many sigma, exceeds
        a tenth of the accuracy, or when they make up more than ``most`` of a variance: a few
        samples far out in a long tail decide over its width. An emulator that doubts itself at
        most samples has no such tail: it is poor everywhere, and the certificate says how poor.
        """
        many = self.share > 0.1 * accuracy or self.variance > most
        return many and self.share <= MOST_DOUBTED

    def __str__(self) -> str:
        return (
            f"the emulator doubts itself at {self.share:.1%} of the samples (expected Delta chi2 "
            f"above {DOUBT:g}), {self.variance:.1%} of a variance"
        )


def doubted(
    problem: Problem, emulator: Emulator, samples: np.ndarray, weights: np.ndarray | None = None
) -> Doubted:
    """Those of samples [n, d], with weights [n] if they have any."""
    seen, weight = _seen(samples, weights)
    expected = emulator.expected(seen[:, : problem.n_emulated])
    far = ~(expected <= DOUBT) & (weight > 0.0)
    _, squares = _squares(problem, seen, weight)
    variance = float(np.max(weight[far] @ squares[far]))
    return Doubted(seen[far], float(np.sum(weight[far])), variance)


@dataclass(frozen=True)
class Tail:
    """The samples [n, d] that make half of a quantity's variance, and how many exact solutions
    there are among them."""

    name: str
    samples: np.ndarray
    solved: int

    def __str__(self) -> str:
        return f"half of the variance of {self.name} has {self.solved} exact solutions"


def thin_tail(
    problem: Problem,
    emulator: Emulator,
    solved: tuple[np.ndarray, np.ndarray],
    samples: np.ndarray,
    weights: np.ndarray | None = None,
) -> Tail | None:
    """The heavy tail of a sampled or defined parameter with the fewest solutions; None without one.

    ``solved``: points [m, d] with their ln L [m]. One counts where it lies as far out as the tail
    does and is not much less likely than its samples.
    """
    seen, weight = _seen(samples, weights)
    middle, squares = _squares(problem, seen, weight)
    effective = 1.0 / np.maximum(weight @ squares**2, np.finfo(float).tiny)
    heavy = np.flatnonzero((effective < HEAVY) & (np.max(squares, axis=0) > 0.0))
    if not heavy.size:
        return None
    x, log_like = solved
    scale = weight @ (_certified(problem, seen) - middle) ** 2
    distance = (_certified(problem, x) - middle) ** 2
    posterior = problem.posterior(emulator)
    found = []
    for q in heavy:
        order = np.argsort(-squares[:, q])
        made = np.cumsum(weight[order] * squares[order, q])
        inside = order[: int(np.searchsorted(made, TAIL)) + 1]
        inside = inside[weight[inside] > 0.0]
        some = inside[:: max(1, len(inside) // JUDGED)]
        least = np.nanmin(log_likelihoods_at(posterior, seen[some])) - ALLOWED
        there = distance[:, q] >= np.min(squares[inside, q]) * scale[q]
        number = int(np.sum(there & (log_like >= least)))
        name = [*problem.names, *problem.defined(seen[:1])][q]
        found.append(Tail(name, seen[inside], number))
    return min(found, key=lambda tail: tail.solved)


def _seen(samples: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The samples that are looked at, and their weights, of sum one."""
    each = slice(None, None, max(1, len(samples) // SEEN))
    seen = samples[each]
    weight = np.ones(len(seen)) if weights is None else weights[each]
    return seen, weight / np.sum(weight)


def _certified(problem: Problem, x: np.ndarray) -> np.ndarray:
    """The sampled parameters and those that follow from them, at points [n, d]."""
    return np.column_stack([x, *problem.defined(x).values()])


def _squares(
    problem: Problem, seen: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means [p], and squared distances from these in units of the variances [n, p]."""
    certified = _certified(problem, seen)
    middle = weight @ certified
    squares = (certified - middle) ** 2
    # 0 of what does not vary
    return middle, squares / np.maximum(weight @ squares, np.finfo(float).tiny)
