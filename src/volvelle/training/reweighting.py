"""Importance weights known at a hundred points of a chain, carried to all of it.

ln w = g + r: g, linear in the parameters, is fitted to the weights and known at every sample of
the chains; r is what it leaves at the points. The whole chain re-weighted by exp(g) gives the
larger part of a shift without the noise of a hundred points; the points, weighted by exp(g + r)
against exp(g), give the rest. The sum is consistent whatever g is (a control variate).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BOOTSTRAP = 1000
FINEST = 0.2  # of a limit: an error as small as that needs no more points, whatever the change
MARGIN = 0.8  # of the error at which a change is just within its limit: it moves with more points
SAMPLES = 2000  # of the chains, as many as carry the smooth part


@dataclass(frozen=True)
class ParameterShift:
    """Change of one parameter's posterior by exact re-weighting, in the emulator's sigma."""

    mean_shift_sigma: float
    mean_shift_error: float
    width_ratio: float
    width_ratio_error: float

    def within(self, limit: float, width_limit: float) -> bool:
        """|shift| + 2 errors within the limit, and the width within its own likewise."""
        return bool(
            abs(self.mean_shift_sigma) + 2.0 * self.mean_shift_error <= limit
            and abs(self.width_ratio - 1.0) + 2.0 * self.width_ratio_error <= width_limit
        )

    def excess(self, limit: float, width_limit: float) -> float:
        """The larger error over the one at which it would show whether the change is within its
        limit; at most 1 where more points are not needed, NaN where it is undefined."""
        return max(
            _excess(abs(self.mean_shift_sigma), self.mean_shift_error, limit),
            _excess(abs(self.width_ratio - 1.0), self.width_ratio_error, width_limit),
            key=lambda x: np.inf if np.isnan(x) else x,
        )

    def beyond(self, limit: float, width_limit: float) -> bool:
        """|shift| - 2 errors beyond the limit, or the width beyond its own likewise."""
        return bool(
            abs(self.mean_shift_sigma) - 2.0 * self.mean_shift_error > limit
            or abs(self.width_ratio - 1.0) - 2.0 * self.width_ratio_error > width_limit
        )


def _excess(change: float, error: float, limit: float) -> float:
    room = 0.5 * (limit - change)  # the error with which it is just within
    return error / max(FINEST * limit, room if error <= room else MARGIN * room)


@dataclass(frozen=True)
class Whitening:
    """Coordinates in which a chain has zero mean and unit covariance."""

    centre: np.ndarray
    matrix: np.ndarray

    @classmethod
    def of(cls, samples: np.ndarray) -> Whitening:
        """From the samples [n, d] of a chain."""
        centre, scale = samples.mean(axis=0), samples.std(axis=0)
        covariance = np.atleast_2d(np.cov((samples - centre) / scale, rowvar=False))
        values, vectors = np.linalg.eigh(covariance)
        return cls(centre, vectors / np.sqrt(np.maximum(values, 1e-10)) / scale[:, None])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Samples [n, d] in these coordinates."""
        return (x - self.centre) @ self.matrix


def slopes(z: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """d ln w / dz [d] by ridge regression; each slope has the scatter of ln w as its prior width.

    Points lighter than the median count by their weight over the median's: where the exact
    likelihood all but excludes a point (ln w = -100 beyond what was learned), it matters to no
    mean, and must not bend the line through the others. Weights of zero have no part in it.
    """
    finite = np.isfinite(log_weights)
    z, y = z[finite], log_weights[finite]
    if len(y) == 0 or not np.ptp(y) > 0.0:
        return np.zeros(z.shape[1])
    share = np.exp(np.minimum(y - np.median(y), 0.0))
    centred = z - np.average(z, axis=0, weights=share)
    gram = centred.T @ (share[:, None] * centred) + np.eye(z.shape[1])
    return np.linalg.solve(gram, centred.T @ (share * (y - np.average(y, weights=share))))


def shifts(
    samples: tuple[np.ndarray, np.ndarray],
    points: tuple[np.ndarray, np.ndarray, np.ndarray],
    log_weights: np.ndarray,
    sigma: np.ndarray,
    seed: int,
    independent: int | None = None,
) -> list[ParameterShift]:
    """Shift of the mean and ratio of the width of every quantity, with bootstrap errors.

    Args:
        samples: of the chains, their whitened parameters [m, d] and the quantities [m, p];
        points: some of the samples, their whitened parameters [n, d], the quantities as emulated
            [n, p] and as exact [n, p]; log_weights: of these points, exact over emulated [n];
        sigma: unit of the shifts [p]; independent: as how many independent samples those of the
        chains count, where they are fewer.

    The error covers the choice of the points, the fit of g and the chains' own sampling.
    """
    z_chain, v_chain = samples
    z, emulated, exact = points
    rng = np.random.default_rng(seed)
    m, n = len(v_chain), len(log_weights)
    drawn_samples = m if independent is None else min(m, independent)

    def estimate(chain: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope = slopes(z[index], log_weights[index])
        g_chain, g, full = z_chain[chain] @ slope, z[index] @ slope, log_weights[index]
        v = v_chain[chain]
        carried, width_carried = _moments(v, g_chain)
        before, width_before = _moments(emulated[index], g)
        after, width_after = _moments(exact[index], full)
        shift = (carried - v.mean(axis=0) + after - before) / sigma
        return shift, width_carried / v.std(axis=0) * width_after / width_before

    shift, ratio = estimate(np.arange(m), np.arange(n))
    drawn = [
        estimate(rng.integers(0, m, drawn_samples), rng.integers(0, n, n)) for _ in range(BOOTSTRAP)
    ]
    fitted = z.shape[1] + 1  # the fit follows each draw of the points, which hides some scatter
    inflation = float(np.sqrt(n / max(n - fitted, 1)))
    shift_error = inflation * np.std([s for s, _ in drawn], axis=0)
    ratio_error = inflation * np.std([r for _, r in drawn], axis=0)
    return [
        ParameterShift(float(a), float(b), float(c), float(d))
        for a, b, c, d in zip(shift, shift_error, ratio, ratio_error, strict=True)
    ]


def _moments(values: np.ndarray, log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column of ``values`` [n, p]."""
    w = np.exp(log_weights - np.max(log_weights))
    w = w / w.sum()
    mean = w @ values
    return mean, np.sqrt(w @ (values - mean) ** 2)
