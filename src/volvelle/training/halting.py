"""When the iteration of Nygaard et al. 2022 ends (section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from volvelle.training.errors import TrainingError

PATIENCE = 3  # iterations without a smaller R - 1 after which it is not going to fall


@dataclass(frozen=True)
class Halt:
    """The criteria, of which either or both are to be met; None takes one away.

    ``r_minus_1``: of the chains' points of two consecutive iterations, below which they agree;
    ``new_points``: fraction of an iteration's points that pass the filter, below which almost none
    is new.

    Raises:
        TrainingError: no criterion is left.
    """

    r_minus_1: float | None = 0.01
    new_points: float | None = None
    when: Literal["either", "both"] = "either"

    def __post_init__(self) -> None:
        if self.r_minus_1 is None and self.new_points is None:
            raise TrainingError(
                "halt has neither r_minus_1 nor new_points; give a number for at least one"
            )

    def met(self, distance: float | None, fraction: float | None) -> bool:
        """Whether to end, given R - 1 and the fraction of new points (None: not known yet)."""
        given = ((self.r_minus_1, distance), (self.new_points, fraction))
        below = [v is not None and v < limit for limit, v in given if limit is not None]
        return all(below) if self.when == "both" else any(below)

    def stalled(self, distances: Sequence[float]) -> bool:
        """Whether R - 1, one value per iteration, is to fall and has not for three iterations."""
        if self.r_minus_1 is None or len(distances) <= PATIENCE:
            return False
        no_better = min(distances[-PATIENCE:]) >= min(distances[:-PATIENCE])
        return no_better and distances[-1] >= self.r_minus_1


def r_minus_1(first: np.ndarray, second: np.ndarray) -> float:
    """Gelman and Rubin's R - 1 of two sets of points [n, d], the worst parameter's.

    The variance of the means over the mean of the variances, as MontePython has it, with which the
    paper's chains were run; sqrt(R) - 1, which others give, is half of it.
    """
    means = np.stack([first.mean(axis=0), second.mean(axis=0)])
    within = 0.5 * (first.var(axis=0, ddof=1) + second.var(axis=0, ddof=1))
    return float(np.max(means.var(axis=0, ddof=1) / within))
