"""Cubic interpolation between fixed nodes, with the slopes of a spline.

The slopes of the not-a-knot spline are linear in the values: one constant matrix per set of nodes,
made once, so that only a product is left to compute and to differentiate.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from scipy.interpolate import CubicSpline

_EVEN = 1e-9
"""Largest deviation of equally spaced nodes, in steps."""

_MOST_CELLS = 20_000
_BLOCK = 64
"""Rows of a block of slopes, about what lies on both sides of it that counts."""
_NOTHING = 1e-18
"""Of a row's largest element, what its product is not taken with."""

Points = Float[Array, " *x"]


def clamp(x: ArrayLike, low: ArrayLike, high: ArrayLike) -> Array:
    """x, no lower than ``low`` and no higher than ``high``, which broadcast to its shape.

    As ``jnp.clip``, but for a derivative that costs less: at either edge it is 0, not a half.
    """
    x = jnp.asarray(x)
    x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))
    low, high = (jnp.broadcast_to(jnp.asarray(end, x.dtype), x.shape) for end in (low, high))
    return jax.lax.clamp(low, x, high)


@dataclass(frozen=True)
class Nodes:
    """Increasing abscissae, at least two; compared by value, so that JAX may hold them static."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Nodes":
        """Nodes at these values; raises ValueError unless two or more that increase."""
        found = tuple(float(value) for value in values)
        if len(found) < 2 or not np.all(np.diff(found) > 0.0):
            raise ValueError(f"{len(found)} nodes; expected two or more, finite and increasing")
        return cls(found)

    @cached_property
    def array(self) -> np.ndarray:
        """The values."""
        return np.array(self.values)

    @cached_property
    def slopes(self) -> np.ndarray:
        """Matrix from values at the nodes to derivatives there."""
        return CubicSpline(self.array, np.eye(len(self.values)))(self.array, 1)

    @cached_property
    def _blocks(self) -> list[tuple[int, int, np.ndarray]]:
        """``slopes`` in blocks of rows: the columns from, the columns to, and the block transposed.

        What is left out is below rounding: with every node further away, a value changes the slope
        by a quarter as much.
        """
        count = -(-len(self.values) // _BLOCK)
        blocks = []
        for rows in np.array_split(self.slopes, count):
            size = np.abs(rows)
            used = np.flatnonzero(np.any(size > _NOTHING * size.max(axis=1, keepdims=True), axis=0))
            first, last = int(used[0]), int(used[-1]) + 1
            blocks.append((first, last, np.ascontiguousarray(rows[:, first:last].T)))
        return blocks

    def differentiate(self, values: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
        """Derivatives at the nodes of the splines through ``values``, for less than half
        the work of the product with ``slopes`` where there are hundreds."""
        parts = [values[..., first:last] @ block for first, last, block in self._blocks]
        return jnp.concatenate(parts, axis=-1)

    def matrix(self, x: np.ndarray) -> np.ndarray:
        """Matrix from values at the nodes to the spline at constant ``x``, shape (x, n)."""
        return CubicSpline(self.array, np.eye(len(self.values)))(x)

    @cached_property
    def _even(self) -> bool:
        steps = np.arange(len(self.values)) - (self.array - self.array[0]) / self._step
        return bool(np.max(np.abs(steps)) < _EVEN)

    @property
    def _step(self) -> float:
        return (self.values[-1] - self.values[0]) / (len(self.values) - 1)

    def locate(self, x: Points) -> tuple[Array, Points, Points]:
        """Index n of the interval of x, the fraction of it that lies below x, and its width."""
        last = len(self.values) - 2
        if self._even:
            at = (x - self.values[0]) / self._step
            n = jnp.clip(jnp.floor(at).astype(int), 0, last)
            return n, at - n, jnp.full_like(at, self._step)
        nodes = jnp.asarray(self.array)
        if self._cells is None:
            n = jnp.clip(jnp.searchsorted(nodes, x, side="right") - 1, 0, last)
        else:
            # A cell is narrower than any interval: it holds one node at most.
            first, size = self._cells
            cell = jnp.floor((x - self.values[0]) / size).astype(int)
            n = jnp.asarray(first)[jnp.clip(cell, 0, len(first) - 1)]
            n = jnp.clip(n + (x >= nodes[n + 1]), 0, last)
        width = nodes[n + 1] - nodes[n]
        return n, (x - nodes[n]) / width, width

    @cached_property
    def _cells(self) -> tuple[np.ndarray, float] | None:
        """The interval that holds the beginning of each of many equal cells, and their size; None
        where the smallest interval asks for too many."""
        size = 0.999 * float(np.min(np.diff(self.array)))
        number = int((self.values[-1] - self.values[0]) / size) + 1
        if number > _MOST_CELLS:
            return None
        begins = self.values[0] + size * np.arange(number)
        found = np.searchsorted(self.array, begins, side="right") - 1
        return np.clip(found, 0, len(self.values) - 2), size


def hermite(t: Points) -> tuple[Points, Points, Points, Points]:
    """Weights at a fraction t of (value, value, slope, slope) at an interval's two ends; the slopes
    are those times the width."""
    rest = 1.0 - t
    upper = t * t * (3.0 - 2.0 * t)
    return 1.0 - upper, upper, t * rest * rest, -t * t * rest


class Curve(eqx.Module):
    """Values on nodes with spline slopes: y(x), or several y at once in the last axes."""

    nodes: Nodes = eqx.field(static=True)
    values: Float[Array, "n *y"]
    slopes: Float[Array, "n *y"]

    @classmethod
    def through(cls, nodes: Nodes, values: Float[Array, "n *y"]) -> "Curve":
        """The spline through ``values``."""
        return cls(nodes, values, jnp.asarray(nodes.slopes) @ values)

    def __call__(self, x: Points) -> Array:
        """y at x, of shape (\\*x, \\*y); beyond the ends, the outermost cubic."""
        n, t, width = self.nodes.locate(x)
        w0, w1, s0, s1 = (
            jnp.reshape(w, (*w.shape, *(1,) * (self.values.ndim - 1)))
            for w in (*hermite(t)[:2], *(width * s for s in hermite(t)[2:]))
        )
        values = w0 * self.values[n] + w1 * self.values[n + 1]
        return values + s0 * self.slopes[n] + s1 * self.slopes[n + 1]
