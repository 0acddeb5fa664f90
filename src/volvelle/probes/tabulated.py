"""Redshift distributions n(z) given by numbers: histograms, and tables joined by straight lines.

Where their values are known, all that follows from them is computed by NumPy, outside of any
program.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.cosmology.interpolation import Nodes
from volvelle.cosmology.neutrinos import is_traced

from .errors import DistributionError
from .redshift import Distribution, Redshifts, not_negative, numbers

_STEP_OF_JUMPS = 0.0025  # in units of a single bin
_PER_STEP = 2.5  # samples of a table
_KINKS = 2e-3  # of changes of slope times the square of the step


class Histogram(Distribution):
    """Counts in bins, constant within each.

    Args:
        edges: [n + 1] increasing redshifts, known numbers.
        counts: [n] objects per bin (not per unit of z).
    """

    steps: Nodes = eqx.field(static=True)
    """The edges."""
    counts: Float[Array, " n"] | np.ndarray
    z_min: float = eqx.field(static=True)
    z_max: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __init__(self, edges: ArrayLike, counts: ArrayLike, scale: float | None = None) -> None:
        self.steps = _increasing(edges, "edges")
        self.counts = numbers(counts)
        bins = self.edges.size - 1
        if self.counts.shape != (bins,):
            raise DistributionError(
                f"{self.edges.size} edges with counts of shape {self.counts.shape}; "
                f"expected ({bins},)"
            )
        self.counts = not_negative(self.counts, "counts")
        self.z_min, self.z_max = float(self.edges[0]), float(self.edges[-1])
        # A node's cell that holds a jump errs by a sixth of the cell's width in the square of n;
        # of many bins every jump is small.
        finest = float(np.diff(self.edges).min())
        self.scale = scale or finest * min(0.5, _STEP_OF_JUMPS * bins)

    @property
    def edges(self) -> np.ndarray:
        """[n + 1] redshifts."""
        return self.steps.array

    @property
    def order(self) -> int:
        return 1

    def density(self, z: Redshifts) -> Redshifts:
        return _at(self.counts / np.diff(self.edges), _interval(self.edges, z))

    def mass(self, z: Redshifts) -> Redshifts:
        n = _interval(self.edges, z)
        share = (z - _at(self.edges, n)) / _at(np.diff(self.edges), n)
        return _at(_sums(self.counts), n) + _at(self.counts, n) * share


class Table(Distribution):
    """Values at redshifts, joined by straight lines, zero beyond them.

    Zeros at either end are dropped, unless the values are traced.

    Args:
        z: [n] increasing redshifts, known numbers.
        values: [n] densities, up to a factor.
        scale: step that samples it; 0.4 of the steps of z unless given, finer where n(z) ends with
            a jump. Of uneven steps it is what the kinks ask for, between the smallest and the mean
            one; the smallest where the values are traced.
    """

    nodes: Nodes = eqx.field(static=True)
    """The redshifts of the values."""
    values: Float[Array, " n"] | np.ndarray
    z_min: float = eqx.field(static=True)
    z_max: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    jumps: bool = eqx.field(static=True)
    """Whether it ends with a jump that matters."""

    def __init__(self, z: ArrayLike, values: ArrayLike, scale: float | None = None) -> None:
        self.nodes = _increasing(z, "z")
        self.values = numbers(values)
        if self.values.shape != self.z.shape:
            raise DistributionError(
                f"{self.z.size} redshifts with values of shape {self.values.shape}; expected "
                f"({self.z.size},)"
            )
        self.values = not_negative(self.values, "values")
        if not is_traced(self.values) and np.any(self.values):
            positive = np.flatnonzero(np.asarray(self.values))
            kept = slice(max(positive[0] - 1, 0), positive[-1] + 2)
            self.nodes, self.values = Nodes.of(self.z[kept]), self.values[kept]
        self.z_min, self.z_max = float(self.z[0]), float(self.z[-1])
        self.jumps, self.scale = False, float(np.diff(self.z).min()) / 2.5
        if not is_traced(self.values) and 0.0 < np.max(self.values) < np.inf:
            self.jumps, self.scale = _jumps_and_step(self.z, np.asarray(self.values))
        self.scale = scale or self.scale

    @property
    def z(self) -> np.ndarray:
        """[n] redshifts."""
        return self.nodes.array

    @property
    def order(self) -> int:
        return 1 if self.jumps else 2

    def density(self, z: Redshifts) -> Redshifts:
        n = _interval(self.z, z)
        low, slope = self._line(n)
        return low + slope * (z - _at(self.z, n))

    def mass(self, z: Redshifts) -> Redshifts:
        n = _interval(self.z, z)
        low, slope = self._line(n)
        step = z - _at(self.z, n)
        below = _sums(0.5 * (self.values[1:] + self.values[:-1]) * np.diff(self.z))
        return _at(below, n) + step * (low + 0.5 * slope * step)

    def _line(self, n: np.ndarray | Array) -> tuple[Redshifts, Redshifts]:
        slope = (self.values[1:] - self.values[:-1]) / np.diff(self.z)
        return _at(self.values, n), _at(slope, n)


def _jumps_and_step(z: np.ndarray, values: np.ndarray) -> tuple[bool, float]:
    """``jumps`` and ``scale`` of straight lines between values, one of which is above 0."""
    steps = np.diff(z)
    n = values / np.sum(0.5 * (values[1:] + values[:-1]) * steps)
    slopes = np.concatenate([[0.0], np.diff(n) / steps, [0.0]])
    wanted = np.sqrt(_KINKS / max(np.sum(np.abs(np.diff(slopes))), _KINKS))
    step = float(np.clip(wanted, steps.min() / _PER_STEP, steps.mean() / _PER_STEP))
    ends = float(n[0] ** 2 + n[-1] ** 2)
    square = float(np.sum(steps * (n[1:] ** 2 + n[1:] * n[:-1] + n[:-1] ** 2))) / 3.0
    if ends * step <= 2.0 * _STEP_OF_JUMPS * square:
        return False, step
    return True, 2.0 * _STEP_OF_JUMPS * square / ends


def _interval(nodes: np.ndarray | Array, z: ArrayLike) -> np.ndarray | Array:
    """Number of the interval of ``nodes`` that holds z; by NumPy where both are known."""
    if isinstance(nodes, np.ndarray) and isinstance(z, np.ndarray):
        return np.clip(np.searchsorted(nodes, z, side="right") - 1, 0, nodes.size - 2)
    if isinstance(nodes, np.ndarray):
        steps = np.diff(nodes)
        if np.allclose(steps, steps[0], rtol=1e-9, atol=0.0):
            found = jnp.floor((z - nodes[0]) / steps[0]).astype(int)
            return jnp.clip(found, 0, nodes.size - 2)
    found = jnp.searchsorted(jnp.asarray(nodes), jnp.asarray(z), side="right") - 1
    return jnp.clip(found, 0, nodes.shape[0] - 2)


def _at(values: np.ndarray | Array, n: np.ndarray | Array) -> np.ndarray | Array:
    """values[n]; of NumPy where both are."""
    known = isinstance(n, (np.ndarray, np.integer))
    return values[n] if known else jnp.asarray(values)[n]


def _sums(pieces: Array | np.ndarray) -> Array | np.ndarray:
    """0 and all partial sums."""
    if isinstance(pieces, np.ndarray):
        return np.concatenate([[0.0], np.cumsum(pieces)])
    return jnp.concatenate([jnp.zeros(1), jnp.cumsum(pieces)])


def _increasing(values: ArrayLike, name: str) -> Nodes:
    if is_traced(values):
        raise DistributionError(
            f"{name} is traced; expected known redshifts, as they set the nodes of projections: "
            "move a distribution by Shifted or Stretched"
        )
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or found.size < 2 or not np.all(np.diff(found) > 0.0):
        raise DistributionError(
            f"{name} of shape {found.shape} does not increase; expected two or more increasing "
            "redshifts"
        )
    return Nodes.of(found)
