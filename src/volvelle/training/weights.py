"""Weights of solutions by their likelihood, tempered."""

from __future__ import annotations

import numpy as np


def weights_at(log_like: np.ndarray, temperature: float) -> np.ndarray:
    """L^(1/T), normalised to a maximum of one; -inf gets none."""
    finite = np.isfinite(log_like)
    if not np.any(finite):
        return np.ones_like(log_like)
    shifted = np.where(finite, log_like - np.max(log_like[finite]), -np.inf)
    return np.exp(shifted / temperature)


def effective_number(weights: np.ndarray) -> float:
    """Kish's (sum w)^2 / sum w^2."""
    return float(np.sum(weights) ** 2 / np.sum(weights**2))


def tempered_weights(log_like: np.ndarray, minimum: float) -> np.ndarray:
    """Weights at the lowest temperature (from 1) that leaves ``minimum`` effective solutions."""
    temperature = 1.0
    reachable = min(minimum, 0.99 * float(np.sum(np.isfinite(log_like))))
    while effective_number(weights_at(log_like, temperature)) < reachable and temperature < 1e12:
        temperature *= 1.25
    return weights_at(log_like, temperature)


def robust_scatter(values: np.ndarray, weights: np.ndarray) -> float:
    """Distance from the median within which 68% of the weight lies; outliers do not count.

    Infinite values are as far as can be: the result is infinite if a third of the weight is.
    """
    centre = _quantile(values, weights, 0.5)
    if not np.isfinite(centre):
        return float("inf")
    return _quantile(np.abs(values - centre), weights, 0.68)


def _quantile(values: np.ndarray, weights: np.ndarray, p: float) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / np.sum(weights)
    return float(values[order][min(int(np.searchsorted(share, p)), len(values) - 1)])


def weighted_std(values: np.ndarray, weights: np.ndarray) -> float:
    """Standard deviation under weights."""
    mean = np.average(values, weights=weights)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
