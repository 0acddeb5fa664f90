"""Convergence of chains: rank-normalised split R-hat and effective sample size.

Vehtari, Gelman, Simpson, Carpenter, Buerkner 2021 (arXiv:1903.08008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata


def _split(chains: np.ndarray) -> np.ndarray:
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]], axis=0)


def _rank_normalise(chains: np.ndarray) -> np.ndarray:
    ranks = rankdata(chains, method="average").reshape(chains.shape)
    return ndtri((ranks - 0.375) / (chains.size + 0.25))


def _r_hat(chains: np.ndarray) -> float:
    n = chains.shape[1]
    within = np.mean(np.var(chains, axis=1, ddof=1))
    between = np.var(np.mean(chains, axis=1), ddof=1)
    if within == 0.0:
        return float("inf") if between > 0 else 1.0
    return float(np.sqrt((n - 1) / n + between / within))


def split_r_hat(chains: np.ndarray) -> float:
    """Larger of the rank-normalised split R-hat of x and of |x - median|; chains [c, n]."""
    split = _split(np.asarray(chains, dtype=float))
    folded = np.abs(split - np.median(split))
    return max(_r_hat(_rank_normalise(split)), _r_hat(_rank_normalise(folded)))


def _autocovariance(chains: np.ndarray) -> np.ndarray:
    n = chains.shape[1]
    size = 2 ** int(np.ceil(np.log2(2 * n)))
    centred = chains - chains.mean(axis=1, keepdims=True)
    transform = np.fft.rfft(centred, size, axis=1)
    return np.fft.irfft(np.abs(transform) ** 2, size, axis=1)[:, :n] / n


def effective_sample_size(chains: np.ndarray, rank_normalise: bool = True) -> float:
    """Bulk effective sample size by Geyer's initial monotone sequence; chains [c, n]."""
    split = _split(np.asarray(chains, dtype=float))
    if np.ptp(split) == 0.0:
        return float("nan")
    if rank_normalise:
        split = _rank_normalise(split)
    m, n = split.shape
    covariance = np.mean(_autocovariance(split), axis=0)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + np.var(split.mean(axis=1), ddof=1)
    rho = 1.0 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: n - n % 2].reshape(-1, 2).sum(axis=1)[: (n - 3) // 2 + 1]
    negative = np.where(pairs <= 0)[0]
    last = int(negative[0]) if len(negative) else len(pairs) - 1
    # twice the pairs before the last one, once the even term of the last, as Stan and ArviZ do
    time = -1.0 + 2.0 * np.sum(np.minimum.accumulate(pairs[:last])) + max(rho[2 * last], 0.0)
    return float(m * n / max(time, 1.0 / np.log10(m * n)))


@dataclass(frozen=True)
class Diagnostics:
    """R-hat and effective sample size of every parameter."""

    names: tuple[str, ...]
    r_hat: np.ndarray
    ess: np.ndarray

    @property
    def r_hat_max(self) -> float:
        """The worst R-hat."""
        return float(np.max(self.r_hat))

    @property
    def ess_min(self) -> float:
        """The worst effective sample size."""
        return float(np.min(self.ess))

    def converged(self, r_hat: float, ess: float) -> bool:
        """Whether the worst parameter meets both limits."""
        return bool(self.r_hat_max <= r_hat and self.ess_min >= ess)


def diagnose(names: tuple[str, ...], chains: np.ndarray) -> Diagnostics:
    """Diagnostics of chains [c, n, d]."""
    columns = [chains[:, :, i] for i in range(chains.shape[2])]
    return Diagnostics(
        names,
        np.array([split_r_hat(c) for c in columns]),
        np.array([effective_sample_size(c) for c in columns]),
    )
