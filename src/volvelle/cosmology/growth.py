"""Growth of linear perturbations of baryons and cold dark matter in the homogeneous background.

    d^2 D / dx^2 + (2 + dln H/dx) dD/dx = (3/2) Omega_cb(a) D,    x = ln a,

with radiation, curvature, dark energy and massive neutrinos in H, and baryons and cold dark matter
alone as source, as CLASS defines its background's growth factor. It starts as the growing mode of
matter among radiation, D = y + 2/3 with y the ratio of their densities (Meszaros 1974).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .background import Densities, densities, log_slope, squared_expansion
from .checking import checked_scale_factor
from .cosmology import Cosmology
from .interpolation import hermite

_FIRST = 1e-5
"""a at which the integration begins, from the analytic mode of the time before."""
_STEPS = 256

Scales = Float[Array, " *a"]


class GrowthTable(eqx.Module):
    """D, dD/dx and d^2D/dx^2 on equal steps of x = ln a from ``_FIRST`` to today, D(1) = 1."""

    growth: Float[Array, " n"]
    first: Float[Array, " n"]
    second: Float[Array, " n"]

    def __call__(self, a: Scales) -> tuple[Scales, Scales]:
        """D and dD/dx at a, by cubic Hermite interpolation of each."""
        step = -np.log(_FIRST) / _STEPS
        x = jnp.maximum(jnp.log(a) - np.log(_FIRST), 0.0) / step
        n = jnp.clip(jnp.floor(x).astype(int), 0, _STEPS - 1)
        t = x - n
        left, right, rise, fall = hermite(t)

        def between(values: Float[Array, " n"], slopes: Float[Array, " n"]) -> Scales:
            ends = left * values[n] + right * values[n + 1]
            return ends + step * (rise * slopes[n] + fall * slopes[n + 1])

        growth, slope = between(self.growth, self.first), between(self.first, self.second)
        y = a / _FIRST * (self.first[0] / self.growth[0]) / (1.0 - self.first[0] / self.growth[0])
        early = self.growth[0] - self.first[0]  # of D = early (1 + y), y = D' / (D - D')
        before = a < _FIRST
        return jnp.where(before, early * (1.0 + y), growth), jnp.where(before, early * y, slope)


def growth_table(found: Densities, clustering_neutrinos: bool = False) -> GrowthTable:
    """Solve the equation by the classical Runge-Kutta rule, as products of 2 x 2 matrices.

    ``clustering_neutrinos``: the energy that massive neutrinos have beyond that of massless ones
    is part of the source, as on scales far above their free streaming.
    """
    step = -np.log(_FIRST) / _STEPS
    a = jnp.asarray(_FIRST * np.exp(np.arange(2 * _STEPS + 1) * step / 2.0))
    friction = 2.0 + log_slope(found, a)
    sources = found.matter / a**3
    if clustering_neutrinos:
        sources = sources + found.non_relativistic(a)
    source = 1.5 * sources / squared_expansion(found, a)
    zero, one = jnp.zeros_like(a), jnp.ones_like(a)
    rate = jnp.stack([jnp.stack([zero, one], -1), jnp.stack([source, -friction], -1)], -2)
    r0, r1, r2 = rate[:-1:2], rate[1::2], rate[2::2]
    unit = jnp.eye(2)
    k1 = r0
    k2 = r1 @ (unit + step / 2.0 * k1)
    k3 = r1 @ (unit + step / 2.0 * k2)
    k4 = r2 @ (unit + step * k3)
    steps = unit + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)

    radiation = found.photons + found.massless + found.state * found.ratios.size
    y = found.matter / radiation * _FIRST
    start = jnp.stack([y + 2.0 / 3.0, y])

    def advance(state: Array, matrix: Array) -> tuple[Array, Array]:
        return matrix @ state, matrix @ state

    solution = jnp.concatenate([start[None], jax.lax.scan(advance, start, steps)[1]])
    growth, first = (solution / solution[-1, 0]).T
    second = source[::2] * growth - friction[::2] * first
    return GrowthTable(growth=growth, first=first, second=second)


def growth_factor(cosmology: Cosmology, a: Scales | float) -> Scales:
    """Linear growth factor D(a) of the background, D(1) = 1; see the module for its equation.

    Neutrinos slow it down through the expansion and as matter that does not cluster, at all
    scales alike.

    Args:
        a: scale factor, above 0 and at most 1.

    Raises ScaleFactorError for other times (NaN where a is traced), ParameterError without h,
    ExpansionError where H^2 <= 0 at any time before today.
    """
    return growth_table(densities(cosmology))(checked_scale_factor(a))[0]


def growth_rate(cosmology: Cosmology, a: Scales | float) -> Scales:
    """Linear growth rate f = dln D / dln a. Arguments and errors as ``growth_factor``."""
    growth, slope = growth_table(densities(cosmology))(checked_scale_factor(a))
    return slope / growth
