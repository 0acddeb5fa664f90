"""Pareto-smoothed importance weights (Vehtari et al. 2024, arXiv:1507.02646)."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

SMALLEST_TAIL = 5  # weights; fewer say nothing of the tail


def generalised_pareto(excess: np.ndarray) -> tuple[float, float]:
    """Shape k and scale sigma of positive excesses (Zhang & Stephens 2009, k regularised)."""
    x = np.sort(excess)
    n = len(x)
    size = 30 + int(np.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    grid = 1.0 / x[-1] + (1.0 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))) / (3.0 * quartile)
    shapes = np.mean(np.log1p(-grid[:, None] * x[None]), axis=1)
    likelihood = n * (np.log(-grid / shapes) - shapes - 1.0)
    theta = float(np.sum(grid * softmax(likelihood)))
    k = float(np.mean(np.log1p(-theta * x)))
    sigma = -k / theta
    return (n * k + 10 * 0.5) / (n + 10), sigma


def pareto_smooth(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Log-weights with their largest replaced by Pareto quantiles, and the shape k of the tail.

    k below 0.5: the weights' variance is finite; above 0.7: the estimates cannot be relied on.
    Too few or equal weights have no tail: they are returned unchanged with k = nan.
    """
    n = len(log_weights)
    tail = int(np.ceil(min(0.2 * n, 3.0 * np.sqrt(n))))
    shifted = log_weights - np.max(log_weights)
    order = np.argsort(shifted)
    if tail < SMALLEST_TAIL or np.ptp(shifted[order[-tail - 1 :]]) < 1e-12:
        return log_weights, float("nan")
    cutoff = shifted[order[-tail - 1]]
    largest = order[-tail:]
    excess = np.exp(shifted[largest]) - np.exp(cutoff)
    if np.min(excess) <= 0.0:
        return log_weights, float("nan")
    k, sigma = generalised_pareto(excess)
    p = (np.arange(1, tail + 1) - 0.5) / tail
    quantiles = sigma * np.expm1(-k * np.log1p(-p)) / k if abs(k) > 1e-12 else -sigma * np.log1p(-p)
    smooth = shifted.copy()
    smooth[largest] = np.minimum(np.log(np.exp(cutoff) + quantiles), 0.0)
    return smooth + np.max(log_weights), k
