"""Profile likelihoods: L_p(theta) = max over all other parameters of L, nuisance ones included.

Delta chi2(theta) = -2 ln L_p(theta) / max L. Priors enter as bounds only, but for those that stand
for a measurement: by default the Gaussian priors of nuisance parameters (see ``PriorTerms``). The
maximum at each point of the grid is the best of many starts: samples of the chains near it, samples
moved onto it along the chains' correlations, random points, and the solutions of its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from volvelle.inference.confidence import Interval, Region, intervals, region
from volvelle.inference.errors import InferenceError
from volvelle.inference.optimum import AGREE, Objective, Optima, PriorTerms, maximise, reached_by
from volvelle.inference.posterior import Posterior

NEAR, MOVED, RANDOM = 4, 4, 4  # starts of each kind at every point
BEST_STARTS, FEW_STARTS = 32, 8  # for the global maximum; few where likelihoods project spectra
RANDOM_WIDTH = 4.0  # [sigma] half width of the box of random starts
SWEEPS = 8  # over the neighbours, at most; it ends when no point improves
LEVELS = {1: (1.0, 4.0), 2: (2.30, 6.18)}
"""Delta chi2 of 68.3% and 95.4% (1D: 95.45%) for one and two parameters, if Gaussian."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Profile:
    """A profile likelihood on a grid.

    ``names`` are of all parameters, ``profiled`` of the one or two on the ``axes`` of the grid;
    ``optima`` holds its points, the last axis running fastest; ``best`` is the global maximum.
    """

    names: tuple[str, ...]
    profiled: tuple[str, ...]
    axes: tuple[np.ndarray, ...]
    optima: Optima
    best: Optima
    bounds: tuple[tuple[float, float], ...]
    """Of the profiled parameters, by their priors."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def delta_chi2(self) -> np.ndarray:
        """2 (ln L_max - ln L_p) on the grid, in its shape."""
        difference = self.optima.minus_log_like - self.best.minus_log_like[0]
        return 2.0 * difference.reshape(self.shape)

    @property
    def flags(self) -> tuple[tuple[str, ...], ...]:
        """What speaks against each point, in the order of ``optima``."""
        return tuple(self.optima.flags(i) for i in range(len(self.optima.x)))

    def intervals(self, level: float) -> tuple[Interval, ...]:
        """Where Delta chi2 <= level, of one parameter; see ``confidence.intervals``."""
        return intervals(self.axes[0], self.delta_chi2, level, self.bounds[0])

    def region(self, level: float) -> Region:
        """Extent of Delta chi2 <= level, of two parameters; see ``confidence.region``."""
        return region(self.axes, self.delta_chi2, level, self.bounds)


def best_fit(
    posterior: Posterior,
    samples: np.ndarray,
    *,
    priors: PriorTerms = "nuisance",
    seed: int = 1,
    starts: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    differences: bool = False,
) -> Optima:
    """The global maximum of the likelihood, from many starts; one row.

    Args:
        samples: of about the posterior [n, d], for starts and scale;
        priors: which of them count as data; with 'all' it is the posterior's maximum (the MAP, in
            the parameters as they are sampled);
        starts: 32 unless given, or 8 where likelihoods project spectra or have no gradients;
        progress: called with (starts done, starts);
        differences: for a likelihood without gradients: the search makes them of its values.

    Raises:
        InferenceError: unusable samples, or no start with a finite likelihood.
    """
    objective = Objective.of(posterior, samples, priors, differences)
    search = _Search(objective, np.asarray(samples), (), seed)
    most = FEW_STARTS if posterior.projects or differences else BEST_STARTS
    return search.best(starts or most, progress=progress)


def profile(
    posterior: Posterior,
    names: Sequence[str],
    axes: Sequence[np.ndarray],
    samples: np.ndarray,
    *,
    priors: PriorTerms = "nuisance",
    seed: int = 1,
    starts: tuple[int, int, int] = (NEAR, MOVED, RANDOM),
    progress: Callable[[int, int], None] | None = None,
) -> Profile:
    """The profile likelihood of one or two parameters.

    Args:
        names: of the profiled parameters; axes: their values, rising;
        samples: of about the posterior [n, d], for starts and scale;
        priors: which of them count as data;
        starts: near samples, moved samples and random points per point of the grid.

    Raises:
        InferenceError: unknown names, a grid outside the priors, or unusable samples.
    """
    grids = tuple(np.asarray(axis, dtype=float) for axis in axes)
    columns = _columns(posterior, names, grids)
    search = _Search(Objective.of(posterior, samples, priors), np.asarray(samples), columns, seed)
    best = search.best(BEST_STARTS)
    points = np.stack([g.ravel() for g in np.meshgrid(*grids, indexing="ij")], axis=1)
    optima, ends = search.grid(points, starts, best, progress)
    optima = search.sweep(points, tuple(len(g) for g in grids), optima, ends)
    winner = int(np.argmin(optima.minus_log_like))
    if optima.minus_log_like[winner] < best.minus_log_like[0]:
        best = search.best(BEST_STARTS, optima.x[winner])
    low, high = posterior.bounds
    bounds = tuple((float(low[i]), float(high[i])) for i in columns)
    return Profile(posterior.names, tuple(names), grids, optima, best, bounds)


def _columns(
    posterior: Posterior, names: Sequence[str], axes: tuple[np.ndarray, ...]
) -> tuple[int, ...]:
    if len(names) not in LEVELS or len(names) != len(axes) or len(set(names)) != len(names):
        raise InferenceError(
            f"a profile of {', '.join(names) or 'nothing'} on {len(axes)} axes; expected one or "
            "two different parameters with one axis each"
        )
    unknown = [name for name in names if name not in posterior.names]
    if unknown:
        raise InferenceError(
            f"unknown parameter {', '.join(unknown)}; choose from {', '.join(posterior.names)}"
        )
    columns = tuple(posterior.names.index(name) for name in names)
    low, high = posterior.bounds
    for name, axis, i in zip(names, axes, columns, strict=True):
        if axis.ndim != 1 or len(axis) < 2 or np.any(np.diff(axis) <= 0):
            raise InferenceError(f"the grid of {name} must be two or more rising values")
        if axis[0] < low[i] or axis[-1] > high[i]:
            raise InferenceError(
                f"the grid of {name} runs from {axis[0]:g} to {axis[-1]:g}, beyond its prior; "
                "keep the grid inside (Posterior.bounds has the ends)"
            )
    return columns


class _Search:
    """Starts and searches of one profile; ``columns`` are those of the profiled parameters."""

    def __init__(
        self, objective: Objective, samples: np.ndarray, columns: tuple[int, ...], seed: int
    ) -> None:
        self.objective, self.samples, self.columns = objective, samples, list(columns)
        self.rng = np.random.default_rng(seed)
        self.fixed = np.isin(np.arange(samples.shape[1]), columns)
        self.low, self.high = objective.posterior.bounds
        self.centre, self.scale = samples.mean(axis=0), samples.std(axis=0)
        self.correlation = np.linalg.inv(np.asarray(objective.precision))

    def best(
        self,
        starts: int,
        known: np.ndarray | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Optima:
        """The global maximum, from samples and random points (a quarter), and a known point."""
        few = starts // 4
        points = [self._pick(starts - few), self._random(few)]
        if known is not None:
            points = [known[None], points[0][1:], points[1]]
        rows = np.concatenate(points)
        optima, _ = maximise(self.objective, rows[None], np.zeros_like(self.fixed), progress)
        if not np.isfinite(optima.minus_log_like[0]):
            raise InferenceError(
                "the likelihood is zero or undefined at every starting point; check the samples "
                "and the priors"
            )
        return optima

    def grid(
        self,
        points: np.ndarray,
        counts: tuple[int, int, int],
        best: Optima,
        progress: Callable[[int, int], None] | None,
    ) -> tuple[Optima, np.ndarray]:
        """The maxima at the points [n, k] and the ends of all starts [n, s]."""
        near, moved, random = counts
        rows = []
        for point in points:
            away = (self.samples[:, self.columns] - point) / self.scale[self.columns]
            order = np.argsort(np.sum(away**2, axis=1), kind="stable")
            closest = self.samples[order[:near]]
            along = [self._move(best.x, point), self._move(self._pick(moved), point)]
            rows.append(np.concatenate([*along, closest, self._random(random)]))
        starts = np.stack(rows)
        starts[:, :, self.columns] = points[:, None, :]
        return maximise(self.objective, starts, self.fixed, progress)

    def sweep(
        self, points: np.ndarray, shape: tuple[int, ...], optima: Optima, ends: np.ndarray
    ) -> Optima:
        """Start every point at its neighbours' solutions until none improves."""
        number = np.arange(len(points)).reshape(shape)
        for _ in range(SWEEPS):
            shifted = [
                np.take(number, np.clip(np.arange(n) + step, 0, n - 1), axis=axis).ravel()
                for axis, n in enumerate(shape)
                for step in (-1, 1)
            ]
            starts = optima.x[np.stack(shifted, axis=1)]
            starts[:, :, self.columns] = points[:, None, :]
            found, more = maximise(self.objective, starts, self.fixed)
            ends = np.concatenate([ends, more], axis=1)
            gained = 2.0 * (optima.minus_log_like - found.minus_log_like)
            optima = _better(optima, found, ends)
            if not np.any(gained > AGREE):
                break
        return optima

    def _pick(self, n: int) -> np.ndarray:
        return self.samples[self.rng.integers(0, len(self.samples), n)]

    def _random(self, n: int) -> np.ndarray:
        unit = self.rng.uniform(-RANDOM_WIDTH, RANDOM_WIDTH, (n, len(self.scale)))
        return np.clip(self.centre + unit * self.scale, self.low, self.high)

    def _move(self, rows: np.ndarray, point: np.ndarray) -> np.ndarray:
        """Rows [n, d] moved onto the slice through a point along the samples' regression."""
        among = self.correlation[np.ix_(self.columns, self.columns)]
        slopes = np.linalg.solve(among, self.correlation[self.columns])
        missing = (point - rows[:, self.columns]) / self.scale[self.columns]
        return np.clip(rows + (missing @ slopes) * self.scale, self.low, self.high)


def _better(old: Optima, new: Optima, ends: np.ndarray) -> Optima:
    """Of two searches the better at each point, with the count over all ends [n, s]."""
    take = new.minus_log_like < old.minus_log_like
    least = np.where(take, new.minus_log_like, old.minus_log_like)
    return replace(
        old,
        x=np.where(take[:, None], new.x, old.x),
        minus_log_like=least,
        gradient=np.where(take, new.gradient, old.gradient),
        distance=np.where(take, new.distance, old.distance),
        reached=reached_by(ends, least),
        starts=np.full(len(least), ends.shape[1]),
    )
