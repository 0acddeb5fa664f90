"""The surrogate is chosen by leave-one-out error, not by taste."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volvelle.learning.errors import LearningError
from volvelle.learning.gaussian_process import fit_gaussian_process
from volvelle.learning.polynomial import fit_polynomial
from volvelle.learning.regressor import Regressor

KINDS = ("polynomial", "gaussian_process")


@dataclass(frozen=True)
class Selected:
    """The regressor that won, its leave-one-out residuals [n, m], and every candidate's score."""

    regressor: Regressor
    left_out: np.ndarray
    name: str
    scores: dict[str, float]


def candidates(kind: str) -> list[tuple[str, int]]:
    """(kind, degree) of the surrogates that ``kind`` ('auto' for all) admits."""
    polynomial = [("polynomial", degree) for degree in (1, 2, 3)]
    process = [("gaussian_process", degree) for degree in (1, 2)]
    if kind == "auto":
        return polynomial + process
    if kind == "polynomial":
        return polynomial
    if kind == "gaussian_process":
        return process
    raise LearningError(f"unknown surrogate {kind!r}; choose auto, {', '.join(KINDS)}")


def score(left_out: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean of the squared leave-one-out distance, in the coefficients' unit squared."""
    return float(np.sum(weights * np.sum(left_out**2, axis=1)) / np.sum(weights))


def select(
    x: np.ndarray,
    s: np.ndarray,
    weights: np.ndarray,
    kind: str = "auto",
    tolerance: float = 0.0,
) -> Selected:
    """Fit every admissible surrogate and keep the one with the least leave-one-out error.

    Args:
        x: features [n, d]; s: coefficients [n, m], in units in which an error of one is as bad in
            any of them; weights: how much an error at each solution matters [n];
        kind: 'auto', 'polynomial' or 'gaussian_process'; tolerance: see ``fit_gaussian_process``.

    Raises:
        LearningError: no candidate can be fitted to so few solutions.
    """
    fits: list[Selected] = []
    scores: dict[str, float] = {}
    refusals: list[str] = []
    for family, degree in candidates(kind):
        name = f"{family} (degree {degree})"
        try:
            if family == "polynomial":
                regressor, left_out = fit_polynomial(x, s, degree)
            else:
                regressor, left_out = fit_gaussian_process(x, s, degree, tolerance)
        except LearningError as error:
            refusals.append(str(error))
            continue
        scores[name] = score(left_out, weights)
        fits.append(Selected(regressor, left_out, name, scores))
    if not fits:
        raise LearningError(f"no surrogate can be fitted to {len(x)} solutions: {refusals[0]}")
    return min(fits, key=lambda fit: scores[fit.name])
