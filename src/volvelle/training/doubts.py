"""Samples at which an emulator doubts itself, and whether they matter.

The left-out errors of a training do not show them: they are where no solution is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volvelle.emulator import Emulator
from volvelle.training.problem import Problem

DOUBT = 1.0  # expected Delta chi2 from which a sample is doubtful
DOUBTED_VARIANCE = 0.02  # of a variance; a width would change by half of it
MOST_DOUBTED = 0.5  # of the samples; beyond, it is no matter of tails
SEEN = 20_000  # samples that are looked at


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
    each = slice(None, None, max(1, len(samples) // SEEN))
    seen = samples[each]
    weight = np.ones(len(seen)) if weights is None else weights[each]
    weight = weight / np.sum(weight)
    expected = emulator.expected(seen[:, : problem.n_emulated])
    far = ~(expected <= DOUBT) & (weight > 0.0)
    certified = np.column_stack([seen, *problem.defined(seen).values()])
    squares = (certified - weight @ certified) ** 2
    whole = np.maximum(weight @ squares, np.finfo(float).tiny)  # 0 of what does not vary
    variance = float(np.max(weight[far] @ squares[far] / whole))
    return Doubted(seen[far], float(np.sum(weight[far])), variance)
