"""Mean, scatter and covariance of measurements of many realisations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .errors import StatisticsError


@dataclass(frozen=True)
class Measured:
    """One statistic of one realisation: ``values`` [n] at ``at`` [n].

    ``axis`` is the name of what ``at`` is, with its unit in ``axis_unit``; ``unit`` that of values.
    ``noise`` [n] is the shot noise that was taken from them, 0 where there is none.
    """

    name: str
    axis: str
    axis_unit: str
    unit: str
    at: np.ndarray
    values: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class Ensemble:
    """What many realisations say of the same statistics, one after the other in one vector.

    ``blocks`` are the statistics of the first realisation, with their places ``slices`` in the
    vector; ``values`` [realisations, n]; ``mean`` [n]; ``scatter`` [n] is the standard deviation of
    one realisation, that of the mean is smaller by the root of their number; ``covariance`` [n, n]
    is that of one realisation, divided by their number less one. Scatter and covariance are None
    for a single realisation, which has none.
    """

    blocks: tuple[Measured, ...]
    slices: tuple[slice, ...]
    values: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray | None
    covariance: np.ndarray | None

    @property
    def count(self) -> int:
        """Realisations."""
        return len(self.values)

    @property
    def invertible(self) -> bool:
        """Whether there are more realisations than numbers, without which a covariance has no
        inverse (Hartlap et al. 2007 ask for two more)."""
        return self.count > self.values.shape[1] + 2


def ensemble(realisations: Sequence[Sequence[Measured]]) -> Ensemble:
    """Put realisations together.

    Raises StatisticsError where there is none, or they do not hold the same statistics at the same
    places.
    """
    if not realisations or not realisations[0]:
        raise StatisticsError("no realisation to take a mean of")
    first = tuple(realisations[0])
    for number, each in enumerate(realisations):
        names = [block.name for block in each]
        if names != [block.name for block in first]:
            raise StatisticsError(
                f"realisation {number} holds {', '.join(names) or 'nothing'}; the first one "
                f"{', '.join(block.name for block in first)}"
            )
        for block, reference in zip(each, first, strict=True):
            if block.at.shape != reference.at.shape or not np.allclose(
                block.at, reference.at, rtol=1e-9, equal_nan=True
            ):
                raise StatisticsError(
                    f"{block.name} of realisation {number} has other bins than that of the first"
                )
    ends = np.cumsum([0, *(len(block.at) for block in first)])
    values = np.array([np.concatenate([block.values for block in each]) for each in realisations])
    several = len(values) > 1
    off = values - values.mean(axis=0)
    return Ensemble(
        blocks=first,
        slices=tuple(slice(int(a), int(b)) for a, b in pairwise(ends)),
        values=values,
        mean=values.mean(axis=0),
        scatter=values.std(axis=0, ddof=1) if several else None,
        covariance=off.T @ off / (len(values) - 1) if several else None,
    )
