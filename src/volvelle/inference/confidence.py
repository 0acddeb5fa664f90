"""Confidence intervals and regions from Delta chi2 on a grid (Wilks).

Delta chi2 <= 1 and 4 hold the truth in 68.3% and 95.4% of cases where ln L is nearly quadratic and
no bound is near. Where an interval ends at a bound, the number quoted is still where Delta chi2 is
below the level; its coverage is then not exact, and the construction of Feldman & Cousins 1998
(physics/9711021), which needs simulated data, is not done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.interpolate import Akima1DInterpolator, CloughTocher2DInterpolator

from volvelle.inference.errors import InferenceError

End = Literal["crossing", "bound", "grid"]
"""Delta chi2 crosses the level; the prior ends there; or only the grid does (widen it)."""

FEWEST = 4  # points of a curve with curvature at both sides
FINE = 200  # points per axis that a region is measured on


@dataclass(frozen=True)
class Interval:
    """One stretch on which Delta chi2 is below the level, and what ends it."""

    low: float
    high: float
    low_end: End
    high_end: End


@dataclass(frozen=True)
class Region:
    """The box around Delta chi2 <= level in two parameters, and what ends it [2] each."""

    low: tuple[float, float]
    high: tuple[float, float]
    low_end: tuple[End, End]
    high_end: tuple[End, End]


def curve(x: np.ndarray, delta_chi2: np.ndarray) -> Akima1DInterpolator:
    """Delta chi2 between the points that have one.

    Akima's curve: exact for a parabola on an even grid, and no overshoot where two maxima meet.

    Raises:
        InferenceError: fewer than four points with a value.
    """
    known = np.isfinite(delta_chi2)
    if known.sum() < FEWEST:
        raise InferenceError(
            f"{known.sum()} of {len(x)} points have a Delta chi2; an interval needs {FEWEST}"
        )
    return Akima1DInterpolator(x[known], delta_chi2[known])


def intervals(
    x: np.ndarray, delta_chi2: np.ndarray, level: float, bounds: tuple[float, float]
) -> tuple[Interval, ...]:
    """Where Delta chi2 <= level, in order; several where there are several maxima.

    Args:
        x: values of the parameter, rising [n]; delta_chi2: at them, NaN where unknown [n];
        bounds: of the parameter's prior.
    """
    smooth = curve(x, delta_chi2)
    first, last = smooth.x[0], smooth.x[-1]
    roots = np.asarray(smooth.solve(level, extrapolate=False))
    inner = np.unique(roots[np.isfinite(roots) & (roots > first) & (roots < last)])
    edges = np.array([first, *inner, last])
    below = smooth(0.5 * (edges[1:] + edges[:-1])) <= level
    found: list[Interval] = []
    start = 0
    while start < len(below):
        stop = start
        while stop < len(below) and below[stop]:
            stop += 1
        if stop > start:
            low, high = float(edges[start]), float(edges[stop])
            grid = float(first), float(last)
            found.append(Interval(low, high, _end(low, grid, bounds), _end(high, grid, bounds)))
        start = stop + 1
    return tuple(found)


def region(
    axes: Sequence[np.ndarray],
    delta_chi2: np.ndarray,
    level: float,
    bounds: Sequence[tuple[float, float]],
) -> Region:
    """The box around Delta chi2 <= level of two parameters.

    Args:
        axes: their values, rising; delta_chi2: on the grid [n, m], NaN where unknown;
        bounds: of their priors.

    Raises:
        InferenceError: no point of the grid lies below the level.
    """
    fine, values = surface(axes, delta_chi2)
    below = values <= level
    if not below.any():
        raise InferenceError(f"Delta chi2 exceeds {level:g} all over the grid; widen or refine it")
    sides = [axis[below.any(axis=1 - i)] for i, axis in enumerate(fine)]
    ends = [(axis[0], axis[-1]) for axis in fine]
    low = [float(side[0]) for side in sides]
    high = [float(side[-1]) for side in sides]

    def kinds(side: list[float]) -> tuple[End, End]:
        return _end(side[0], ends[0], bounds[0]), _end(side[1], ends[1], bounds[1])

    return Region((low[0], low[1]), (high[0], high[1]), kinds(low), kinds(high))


def surface(
    axes: Sequence[np.ndarray], delta_chi2: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Delta chi2 on a finer grid [FINE, FINE] through the points that have one, and its axes.

    Raises:
        InferenceError: fewer than nine points with a value.
    """
    known = np.isfinite(delta_chi2)
    if known.sum() < 9:
        raise InferenceError(f"{known.sum()} points have a Delta chi2; a region needs nine")
    # in units of the grid, whose axes may differ by orders of magnitude
    places = [(axis - axis[0]) / (axis[-1] - axis[0]) for axis in axes]
    x, y = np.meshgrid(*places, indexing="ij")
    smooth = CloughTocher2DInterpolator(
        np.column_stack([x[known], y[known]]), delta_chi2[known], tol=1e-9
    )
    unit = np.linspace(0.0, 1.0, FINE)
    values = smooth(*np.meshgrid(unit, unit, indexing="ij"))
    first, second = (axis[0] + unit * (axis[-1] - axis[0]) for axis in axes)
    return (first, second), values


def _end(value: float, grid: tuple[float, float], bounds: tuple[float, float]) -> End:
    if value in bounds:
        return "bound"
    return "grid" if value in grid else "crossing"
