"""Marginal densities of chains in one and two dimensions, and the same after re-weighting.

The densities are GetDist's kernel estimates (Lewis, arXiv:1910.13970). A re-weighted sample of
about a hundred exact solutions is too small for contours of its own: its kernel estimate would be
wider than the truth for want of points alone. There the long emulator chain's density is multiplied
by the mean importance weight at each place,

    p_exact(x) = p_emulator(x) E[w | x],   E[w | x] = e^{a + b x} K(x; w e^{-(a + b x)}) / K(x; 1),

with the straight line a + b x fitted to the log-weights and K the Gaussian kernel sum over the
points. Weights that are all equal give the emulator's contours back exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import ReportError
from .record import Chain

if TYPE_CHECKING:
    from getdist import MCSamples

LEVELS = (0.683, 0.954)
# Effective samples from which a kernel estimate of two dimensions shows its own 95% contour.
ENOUGH_FOR_CONTOURS = 1500
# Different points, of all moves of a chain, below which draws are copies in no order.
RESAMPLED = 0.9
# Weight of the mean over all points in a kernel mean: far from every point it takes over.
KERNEL_FLOOR = 1e-4


@dataclass(frozen=True)
class Density:
    """A density on a grid, maximum one: `values` has the shape (n_x,) or (n_y, n_x)."""

    x: np.ndarray
    values: np.ndarray
    y: np.ndarray | None = None

    def levels(self, shares: Sequence[float] = LEVELS) -> list[float]:
        """The density at the contours that hold these rising shares, itself rising."""
        flat = np.sort(self.values.ravel())[::-1]
        mass = np.cumsum(flat) / flat.sum()
        return [float(flat[np.searchsorted(mass, share)]) for share in reversed(shares)]

    def support(self, threshold: float = 0.004) -> tuple[float, float]:
        """The range of x in which the density (of one dimension) exceeds a part of its maximum."""
        inside = self.x[self.values > threshold * self.values.max()]
        return float(inside[0]), float(inside[-1])


def getdist_samples(chain: Chain, names: tuple[str, ...]) -> MCSamples:
    """The chain as GetDist's MCSamples, with the prior bounds for its boundary correction."""
    import getdist.chains
    from getdist import MCSamples

    announce, getdist.chains.print_load_details = getdist.chains.print_load_details, False
    columns = [chain.names.index(name) for name in names]
    edges = np.cumsum((0, *chain.lengths))
    cuts = list(itertools.pairwise(edges))
    parts = [(chain.samples[a:b, columns], chain.weights[a:b]) for a, b in cuts]
    merged = _resampled(chain)
    if merged is not None:
        parts = [(merged[0][:, columns], merged[1])]
    try:
        return MCSamples(
            samples=[samples for samples, _ in parts],
            weights=[weights for _, weights in parts],
            names=list(names),
            labels=[chain.labels[name] for name in names],
            ranges={n: list(chain.ranges[n]) for n in names if n in chain.ranges},
            sampler="mcmc" if merged is None else "uncorrelated",
            settings={"ignore_rows": 0},
        )
    finally:
        getdist.chains.print_load_details = announce


def _resampled(chain: Chain) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows without repetition and their weights, where draws were resampled by weights; else None.

    The same point then comes again and again in no order, and GetDist would take the copies for
    independent points that are infinitely dense. A chain that stays where it is repeats a point in
    a row, which GetDist knows.
    """
    rows = chain.samples
    moves = 1 + int(np.sum(np.any(rows[1:] != rows[:-1], axis=1)))
    unique, place = np.unique(rows, axis=0, return_inverse=True)
    if len(unique) >= RESAMPLED * moves:
        return None
    return unique, np.bincount(place.ravel(), chain.weights)


class Marginals:
    """Marginal densities of one chain, optionally corrected by a re-weighted sample."""

    def __init__(self, chain: Chain, names: tuple[str, ...], correction: Chain | None = None):
        self.samples = getdist_samples(chain, names)
        self.correction = correction

    def one(self, name: str) -> Density:
        """The density of one parameter."""
        found = self.samples.get1DDensity(name)
        values = np.clip(found.P, 0.0, None)
        if self.correction is not None:
            values = values * mean_weight(self.correction, (name,), (found.x,))
        return Density(found.x, values / values.max())

    def two(self, x: str, y: str) -> Density:
        """The density of two parameters."""
        found = self.samples.get2DDensity(x, y)
        if found is None:
            raise ReportError(f"{x} and {y} vary too little in the chains for a density of both")
        values = np.clip(found.P, 0.0, None)
        if self.correction is not None:
            values = values * mean_weight(self.correction, (x, y), (found.x, found.y))
        return Density(found.x, values / values.max(), found.y)


def marginals(
    emulator: Chain, reweighted: Chain | None, names: tuple[str, ...]
) -> tuple[Marginals, Marginals | None]:
    """The densities of the emulator's chains and of the re-weighted ones, as well as they allow."""
    plain = Marginals(emulator, names)
    if reweighted is None or any(name not in reweighted.names for name in names):
        return plain, None
    if reweighted.effective_size() >= ENOUGH_FOR_CONTOURS:
        return plain, Marginals(reweighted, names)
    return plain, Marginals(emulator, names, correction=reweighted)


def mean_weight(points: Chain, names: tuple[str, ...], grid: tuple[np.ndarray, ...]) -> np.ndarray:
    """E[w | x] on a grid of one or two parameters; shape (n_x,) or (n_y, n_x)."""
    used = points.weights > 0
    weights = points.weights[used]
    columns = np.stack([points.column(name)[used] for name in names])
    centre, scale = columns.mean(axis=1), columns.std(axis=1)
    white = (columns - centre[:, None]) / scale[:, None]
    nodes = [(g - c) / s for g, c, s in zip(grid, centre, scale, strict=True)]
    design = np.vstack([np.ones(white.shape[1]), white]).T
    line = np.linalg.lstsq(design, np.log(weights), rcond=None)[0]
    rest = weights * np.exp(-design @ line)
    width = len(weights) ** (-1 / (len(names) + 4))
    kernels = [np.exp(-0.5 * ((n[:, None] - w) / width) ** 2) for n, w in
               zip(nodes, white, strict=True)]  # fmt: skip
    if len(names) == 1:
        above, below = kernels[0] @ rest, kernels[0].sum(axis=1)
        tilt = line[0] + line[1] * nodes[0]
    else:
        above, below = kernels[1] @ (rest[:, None] * kernels[0].T), kernels[1] @ kernels[0].T
        tilt = line[0] + line[1] * nodes[0][None, :] + line[2] * nodes[1][:, None]
    return np.exp(tilt) * (above + KERNEL_FLOOR * rest.mean()) / (below + KERNEL_FLOOR)
