"""Tomographic bins of a sample by redshifts that are not exact."""

from __future__ import annotations

from itertools import pairwise

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array, Float

from volvelle.cosmology.neutrinos import is_traced
from volvelle.cosmology.quadrature import gauss_legendre

from .errors import DistributionError
from .redshift import Delta, Distribution, Redshifts, Scalar

_TAIL = 6.0  # standard deviations beyond an edge that are kept
_RULE, _PANEL = 8, 2.0  # Gauss nodes per panel of the integrals, and its width in ``scale``
_LEAST = 1e-3  # of ``scatter``: less is an edge, which no nodes resolve


class PhotometricBin(Distribution):
    """The part of a sample whose measured redshift lies between two edges.

        n_i(z) = n(z) [erf((high - z) / s) - erf((low - z) / s)] / 2,   s = sqrt(2) scatter (1 + z)

    for Gaussian errors of the measured redshift (Ma, Hu & Huterer 2006, astro-ph/0506614).
    Differentiable in the edges, the scatter and the sample.

    Args:
        parent: n(z) of the whole sample.
        low, high: edges in measured redshift.
        scatter: standard deviation of the measured redshift, over 1 + z.
        resolved: a number for ``scatter`` where it is traced; it sets the nodes.

    Raises DistributionError for edges that do not increase, a scatter below 0.001, and a parent at
    one redshift.
    """

    parent: Distribution
    low: Scalar
    high: Scalar
    scatter: Scalar
    z_min: float = eqx.field(static=True)
    z_max: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __init__(
        self,
        parent: Distribution,
        low: Scalar,
        high: Scalar,
        scatter: Scalar,
        resolved: float | None = None,
    ) -> None:
        if isinstance(parent, Delta):
            raise DistributionError("bins of a Delta; expected a sample with a density n(z)")
        self.parent, self.low, self.high, self.scatter = parent, low, high, scatter
        if is_traced(scatter) and resolved is None:
            raise DistributionError("scatter is traced: give resolved as a number")
        width = float(resolved if resolved is not None else scatter)
        if not width >= _LEAST or (not is_traced(scatter) and not float(scatter) >= _LEAST):
            raise DistributionError(f"scatter is {scatter}; expected {_LEAST} or more")
        known = not is_traced(low) and not is_traced(high)
        if known and not float(low) < float(high):
            raise DistributionError(f"a bin from {low} to {high}; expected low < high")
        first, last = parent.z_min, parent.z_max
        if known:  # z - low = -6 scatter (1 + z)
            first = max(first, (float(low) - _TAIL * width) / (1.0 + _TAIL * width))
            if _TAIL * width < 1.0:
                last = min(last, (float(high) + _TAIL * width) / (1.0 - _TAIL * width))
        if not first < last:
            raise DistributionError(
                f"a bin from {low} to {high} of a sample from z = {parent.z_min:g} to "
                f"{parent.z_max:g}; expected edges inside of it"
            )
        self.z_min, self.z_max = float(first), float(last)
        self.scale = min(parent.scale, width * (1.0 + self.z_min))

    @property
    def order(self) -> int:
        return self.parent.order

    def density(self, z: Redshifts) -> Redshifts:
        width = np.sqrt(2.0) * self.scatter * (1.0 + z)
        share = 0.5 * (erf((self.high - z) / width) - erf((self.low - z) / width))
        return self.parent(z) * share

    def mass(self, z: Redshifts) -> Redshifts:
        number = int(np.ceil((self.z_max - self.z_min) / (_PANEL * self.scale)))
        width = (self.z_max - self.z_min) / number
        nodes, weights = gauss_legendre(_RULE)
        starts = self.z_min + width * np.arange(number)
        panels = width * (self.density(jnp.asarray(starts[:, None] + width * nodes)) @ weights)
        below = jnp.concatenate([jnp.zeros(1), jnp.cumsum(panels)])
        z = jnp.asarray(z)
        n = jnp.clip(jnp.floor((z - self.z_min) / width).astype(int), 0, number - 1)
        start = jnp.asarray(starts)[n]
        inside = self.density(start[..., None] + (z - start)[..., None] * nodes) @ weights
        return below[n] + (z - start) * inside

    @property
    def share(self) -> Float[Array, ""]:
        """The fraction of the sample that is in this bin."""
        return self.norm


def photometric_bins(
    parent: Distribution, edges: Array | np.ndarray, scatter: Scalar
) -> tuple[PhotometricBin, ...]:
    """The bins between edges [n + 1] that increase. Raises DistributionError."""
    values = jnp.asarray(edges, dtype=float)
    if values.ndim != 1 or values.size < 2:
        raise DistributionError(f"edges of shape {values.shape}; expected two or more")
    listed = list(values) if is_traced(values) else [float(edge) for edge in values]
    return tuple(PhotometricBin(parent, low, high, scatter) for low, high in pairwise(listed))


def equal_counts(parent: Distribution, number: int, low: float, high: float) -> np.ndarray:
    """Edges [number + 1] of bins with as many objects each, by true redshift, from low to high.

    Raises DistributionError unless ``parent`` holds objects there.
    """
    z = np.linspace(max(low, parent.z_min), min(high, parent.z_max), 2001)
    share = np.asarray(parent.cumulative(z))
    if not share[-1] > share[0]:
        raise DistributionError(f"no objects between z = {low:g} and {high:g}")
    wanted = np.linspace(share[0], share[-1], number + 1)
    rising = np.concatenate([[True], np.diff(share) > 0.0])
    edges = np.interp(wanted, share[rising], z[rising])
    edges[0], edges[-1] = low, high
    return edges
