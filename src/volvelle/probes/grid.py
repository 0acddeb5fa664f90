"""Nodes in redshift of a projection, and the background on them, tabulated once per cosmology."""

from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import Densities, densities, expansion
from volvelle.cosmology.constants import HUBBLE_DISTANCE
from volvelle.cosmology.distances import curved_distance
from volvelle.cosmology.growth import growth_table
from volvelle.cosmology.interpolation import hermite
from volvelle.cosmology.quadrature import gauss_legendre

from .errors import TracerError
from .redshift import Distribution

_FIRST = 1e-3
"""Lowest node, at 4 Mpc; nearer there is less than 1e-3 of any projection, unless n(z) is not 0 at
z = 0: what is left out is said to be missing."""
NEAR = 100.0
"""Distance below which steps are equal [Mpc]."""
_STEP = 0.07  # in ln(chi + NEAR), at a tolerance of 1e-3
SLOW = 0.3
"""Weight of ln(1 + z) beside ln(chi): far away distances hardly grow."""
_REFERENCE = 1e-3
_GROWTH = 0.25  # of steps, per step: rules on very uneven nodes have negative weights
_INNER = 3  # Gauss nodes per interval, of the distance
_MOST = 100_000  # nodes: a projection of a hundred multipoles is then 80 MB


class Demand(NamedTuple):
    """What one tracer needs: nodes up to z_max, and up to z_fine a certain step.

    The step makes an error of 1e-3, which falls with its power ``order``.
    """

    z_max: float
    z_fine: float
    step: float
    order: int = 4


def fiducial_slope(z: np.ndarray) -> np.ndarray:
    """dchi / dz [Mpc] of a fixed universe, close to any: nodes are placed by it."""
    return HUBBLE_DISTANCE / 0.7 / np.sqrt(0.3 * (1.0 + z) ** 3 + 0.7)


@lru_cache(maxsize=64)
def fiducial_distances(last: float) -> tuple[np.ndarray, np.ndarray]:
    """Redshifts from 0 to ``last``, finely spaced, and distances chi [Mpc] in that universe."""
    z = np.expm1(np.linspace(0.0, np.log1p(last), 20000))
    slope = fiducial_slope(z)
    return z, np.concatenate([[0.0], np.cumsum(np.diff(z) * (slope[1:] + slope[:-1]) / 2.0)])


def fiducial_redshift(chi: np.ndarray) -> np.ndarray:
    """z of distances [Mpc] in that universe."""
    last = 1.0
    while fiducial_distances(last)[1][-1] < chi[-1]:
        last *= 2.0
    z, distances = fiducial_distances(last)
    return np.interp(chi, distances, z)


@lru_cache(maxsize=64)
def redshift_nodes(demands: tuple[Demand, ...], tolerance: float) -> np.ndarray:
    """Increasing redshifts that project all tracers to a relative ``tolerance``.

    Steps are equal in a mixture of ln(chi) of a fiducial universe and ln(1 + z), and short enough
    for the finest structure of every distribution below its end. Raises TracerError for too many.
    """
    last = max(demand.z_max for demand in demands)
    smooth = _STEP * (tolerance / _REFERENCE) ** 0.25
    table, chi = fiducial_distances(last)
    slope = fiducial_slope(table)
    step = smooth / (slope / (chi + NEAR) + SLOW / (1.0 + table))
    for demand in demands:
        finest = demand.step * (tolerance / _REFERENCE) ** (1.0 / demand.order)
        step = np.where(table <= demand.z_fine, np.minimum(step, finest), step)
    step = np.minimum.accumulate(step - _GROWTH * table) + _GROWTH * table
    # As many nodes as the steps ask for, spread so that they end at ``last`` exactly.
    count = np.concatenate([[0.0], np.cumsum(np.diff(table) * (1 / step[1:] + 1 / step[:-1]) / 2)])
    first = np.interp(_FIRST, table, count)
    number = max(int(np.ceil(count[-1] - first)), 8)
    if number > _MOST:
        finest = min(demands, key=lambda demand: demand.step)
        raise TracerError(
            f"a projection at {number} redshifts, as a sample has structure of {finest.step:.2g} "
            f"in z; expected at most {_MOST}: give n(z) at fewer redshifts, its scale, or a larger "
            "tolerance"
        )
    return np.interp(np.linspace(first, count[-1], number + 1), count, table)


@lru_cache(maxsize=64)
def _interval_rule(nodes: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Per interval: indices [m, 4] of the nearest nodes and weights [m, 4] of the integral.

    Exact for cubics on any nodes.
    """
    z = np.asarray(nodes)
    start = np.clip(np.arange(z.size - 1) - 1, 0, z.size - 4)
    index = start[:, None] + np.arange(4)
    low, width = z[:-1, None], np.diff(z)[:, None]
    x = (z[index] - low) / width  # the interval is [0, 1]
    powers = x[:, None, :] ** np.arange(4)[:, None]
    target = np.broadcast_to(1.0 / np.arange(1, 5), (z.size - 1, 4))
    return index, np.linalg.solve(powers, target[..., None])[..., 0] * width


class Grid(eqx.Module):
    """The background at the nodes; all of shape [n]."""

    nodes: np.ndarray
    """What the rules of integration stand on: z, or distances in a fiducial universe."""
    slope: Float[Array, " n"] | None
    """dz / dnode, or None where the nodes are z."""
    z: np.ndarray | Float[Array, " n"]
    a: np.ndarray | Float[Array, " n"]
    chi: Float[Array, " n"]
    """Radial comoving distance [Mpc]."""
    transverse: Float[Array, " n"]
    """f_K(chi) [Mpc]."""
    cosine: Float[Array, " n"]
    """f_K'(chi), the cosine of curved space; 1 in a flat universe."""
    hubble: Float[Array, " n"]
    """H / c [1/Mpc], which is dz / dchi."""
    growth: Float[Array, " n"] | None
    """D and its rate f, or None where no tracer needs them."""
    rate: Float[Array, " n"] | None
    found: Densities

    def integral(self, values: Float[Array, "*b n"]) -> Float[Array, "*b"]:
        """Over z, from the first node to the last."""
        return self._measured(values) @ self.weights

    @property
    def weights(self) -> np.ndarray:
        """[n] of the integral over the nodes."""
        index, rule = _interval_rule(tuple(self.nodes))
        weights = np.zeros(self.nodes.size)
        np.add.at(weights, index, rule)
        return weights

    def _measured(self, values: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
        return values if self.slope is None else values * self.slope

    def sample(self, distribution: Distribution) -> Float[Array, " n"]:
        """n(z) at the nodes; of means over every node's cell where n(z) jumps or has kinks.

        Values at nodes would be as good where it has kinks, but wave a little as these move over
        the nodes, which the derivative by a shift, small itself, would take for the spectrum's.
        There the means are made values again, of the parabola through three of them: they would
        smooth n(z) where the nodes are as far apart as a projection allows.
        """
        if distribution.order > 2:
            return distribution(self.z)
        middle = (self.z[1:] + self.z[:-1]) / 2.0
        if isinstance(self.z, np.ndarray):
            ends = np.concatenate([self.z[:1], middle, self.z[-1:]])
            means = jnp.diff(distribution.cumulative(ends)) / np.diff(ends)
        else:
            ends = jnp.concatenate([self.z[:1], middle, self.z[-1:]])
            means = jnp.diff(distribution.cumulative(ends)) / jnp.diff(ends)
        return means if distribution.order == 1 else _unsmoothed(means, self.z)

    def share(self, distribution: Distribution) -> Float[Array, " n"]:
        """n(z) at the nodes, of an integral that is the fraction of the sample beyond the first."""
        n = self.sample(distribution)
        return n * (1.0 - distribution.cumulative(self.z[0])) / self.integral(n)

    def beyond(self, values: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
        """Integral over z from every node to the last one."""
        index, rule = _interval_rule(tuple(self.nodes))
        pieces = jnp.sum(self._measured(values)[..., index] * rule, axis=-1)
        sums = partial_sums(pieces[..., ::-1])[..., ::-1]
        return jnp.concatenate([sums, jnp.zeros_like(sums[..., :1])], axis=-1)

    def distance(self, z: float) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """f_K and f_K' at one redshift, exactly."""
        nodes, weights = gauss_legendre(32)
        u = 1.0 - (1.0 - (1.0 + z) ** -0.5) * nodes  # a = u^2, as in ``cosmology.distances``
        width = 1.0 - (1.0 + z) ** -0.5
        integrand = 2.0 / (u**3 * expansion(self.found, jnp.asarray(u**2)))
        chi = HUBBLE_DISTANCE * width * jnp.sum(integrand * weights)
        return curved_distance(chi, self.found), curved_cosine(chi, self.found)


def partial_sums(values: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
    """All partial sums, by two small products of matrices: fewer operations than a scan."""
    *batch, number = values.shape
    side = int(np.ceil(np.sqrt(number)))
    padding = [(0, 0)] * len(batch) + [(0, side**2 - number)]
    square = jnp.pad(values, padding).reshape(*batch, side, side)
    rows = square @ np.triu(np.ones((side, side)))
    before = rows[..., -1] @ np.triu(np.ones((side, side)), 1)
    return (rows + before[..., None]).reshape(*batch, side**2)[..., :number]


def curved_cosine(chi: Float[Array, " *a"], found: Densities) -> Float[Array, " *a"]:
    """d f_K / d chi = 1 - 2 K f_K(chi / 2)^2, for every sign of the curvature K."""
    half = curved_distance(chi / 2.0, found) / HUBBLE_DISTANCE
    return 1.0 + 2.0 * found.curvature * half**2


def make_grid(cosmology: Cosmology, z: np.ndarray, growth: bool = True) -> Grid:
    """Tabulate the background at increasing redshifts above 0, with its growth if asked.

    Raises ParameterError without h.
    """
    found = densities(cosmology)
    nodes, weights = gauss_legendre(_INNER)
    low = np.concatenate([[0.0], z[:-1]])
    width = z - low
    inner = low[:, None] + width[:, None] * nodes
    everywhere = np.concatenate([inner.ravel(), z])
    rate = expansion(found, jnp.asarray(1.0 / (1.0 + everywhere))) / HUBBLE_DISTANCE
    pieces = (1.0 / rate[: inner.size]).reshape(inner.shape) @ weights * width
    chi = partial_sums(pieces)
    a = 1.0 / (1.0 + z)
    factor, slope = growth_table(found)(jnp.asarray(a)) if growth else (None, None)
    return Grid(
        nodes=z,
        slope=None,
        z=z,
        a=a,
        chi=chi,
        transverse=curved_distance(chi, found),
        cosine=curved_cosine(chi, found),
        hubble=rate[inner.size :],
        growth=factor,
        rate=None if factor is None or slope is None else slope / factor,
        found=found,
    )


def stretched_grid(
    cosmology: Cosmology, z: np.ndarray, nodes: np.ndarray, growth: bool = True
) -> tuple[Grid, Array]:
    """Tabulate at distances of fixed ratios, those of ``nodes``.

    Args:
        z: [n] increasing redshifts above 0, close to those of the nodes in any universe. The last
            node is at the last of them, in every universe.
        nodes: [n] distances in a fiducial universe [Mpc].

    Returns the grid, and by how much the distances are stretched [].
    """
    plain = make_grid(cosmology, z, growth=False)
    found = plain.found
    stretch = plain.chi[-1] / nodes[-1]
    chi = stretch * nodes
    today = expansion(found, jnp.ones(1)) / HUBBLE_DISTANCE
    at = jnp.concatenate([jnp.zeros(1), plain.chi])
    values = np.concatenate([[0.0], z])
    slopes = jnp.concatenate([today, plain.hubble])
    n = jnp.clip(jnp.searchsorted(at, chi, side="right") - 1, 0, z.size - 1)
    width = at[n + 1] - at[n]
    low, high, rise, end = hermite((chi - at[n]) / width)
    values = jnp.asarray(values)
    moved = (
        low * values[n] + high * values[n + 1] + width * (rise * slopes[n] + end * slopes[n + 1])
    )
    moved = jnp.concatenate([moved[:-1], jnp.asarray(z[-1:])])
    a = 1.0 / (1.0 + moved)
    hubble = expansion(found, a) / HUBBLE_DISTANCE
    factor, slope = growth_table(found)(a) if growth else (None, None)
    grid = Grid(
        nodes=nodes,
        slope=hubble * stretch,
        z=moved,
        a=a,
        chi=chi,
        transverse=curved_distance(chi, found),
        cosine=curved_cosine(chi, found),
        hubble=hubble,
        growth=factor,
        rate=None if factor is None or slope is None else slope / factor,
        found=found,
    )
    return grid, stretch


def _unsmoothed(means: Float[Array, " n"], z: Array | np.ndarray) -> Float[Array, " n"]:
    """Values at nodes, of means over their cells, which reach half way to the next nodes: those of
    the parabola that has the slope and the curvature of the means [n]."""
    before, after = z[1:-1] - z[:-2], z[2:] - z[1:-1]
    offset = (after - before) / 4.0
    square = (after**3 + before**3) / (12.0 * (after + before))  # mean of (z - node)^2
    # Numbers of the nodes alone times differences, as the program does the latter at every call.
    lower = (square - offset * after) / ((after + before) * before)
    upper = (square + offset * before) / ((after + before) * after)
    steps = jnp.diff(means)
    return means.at[1:-1].add(lower * steps[:-1] - upper * steps[1:])
