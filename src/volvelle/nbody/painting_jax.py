"""Sums over the mesh points around particles, in plain JAX: for any device, and without a compiler.

W(x) is the product of the assignment's weights along the axes. With positions x [N, 3], weights w
[N, C], C fields f and velocities v [N, 3] (any tangent of the positions), the five sums are

    spread        sum_p w_pc W(x_p)                 onto C fields
    gather        sum_m f_cm W(x_p)                 at N particles
    spread_slope  sum_p w_pc v_p . grad W(x_p)      the change of the first with the positions
    gather_slope  sum_m f_cm v_p . grad W(x_p)      the change of the second
    slope         sum_mc f_cm w_pc grad W(x_p)      [N, 3], the transpose of both changes

Scatters and gathers go by one flat index at a time: an [N, 8] index is several times slower on
CPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .assignment import spline

FLAT_LIMIT = 2**31
"""Mesh points that a 32-bit index reaches; beyond, rows and columns are indexed apart."""
IN_TURN = 3
INSIDE = "promise_in_bounds"
"""Of indices: they are taken modulo the mesh, NaN too."""
UNROLLED = 2
"""Largest order whose mesh points are visited in straight code: a loop compiles faster."""


class Sums(NamedTuple):
    """On which mesh, with which assignment, and by what: a static argument of programs."""

    cells: int
    box_size: float
    order: int
    threads: int = 0
    """Of the compiled kernel; 0 for plain JAX."""

    def attributes(self) -> dict[str, Any]:
        """For the kernel."""
        return self._asdict()


class Support(NamedTuple):
    """Mesh points and weights around particles along one axis, [order, N] each."""

    index: Int[Array, "o n"]
    weight: Float[Array, "o n"]
    slope: Float[Array, "o n"]
    """d(weight)/dx [h/Mpc]."""


class Row(NamedTuple):
    """The mesh points around particles that share x and y: weights of them, and along z."""

    start: Int[Array, " n"]
    """x cells + y."""
    x: tuple[Array, Array]
    """Weight and slope."""
    y: tuple[Array, Array]
    z: Support


def spread(on: Sums, x: Float[Array, "n 3"], w: Float[Array, "n c"]) -> Float[Array, "c k k k"]:
    """Fields that the particles add up to."""

    def add(fields: Array, row: Row) -> Array:
        return _put(on, fields, row, w, row.x[0] * row.y[0] * row.z.weight)

    return _fields(on, _visit(on, add, _empty(on, x, w.shape[1]), x))


def spread_in_turn(
    on: Sums, x: Float[Array, "n 3"], w: Float[Array, "n c"]
) -> Float[Array, "c k k k"]:
    """``spread``, one particle after the other: nearly as fast as C on one core of a CPU.

    For cubic splines the programs that XLA makes of it are slow, and ``spread`` takes over.
    """
    if on.order > IN_TURN:
        return spread(on, x, w)
    columns = [jnp.int32(c) for c in range(w.shape[1])]

    def add(p: Array, fields: Array) -> Array:
        mine = jax.lax.dynamic_slice_in_dim(w, p, 1)[0]
        along = [_support(on, u) for u in jax.lax.dynamic_slice_in_dim(x, p, 1)[0]]
        for i, j, k in np.ndindex(*[on.order] * 3):
            row = along[0].index[i] * on.cells + along[1].index[j]
            z, weight = along[2].index[k], along[0].weight[i] * along[1].weight[j]
            at = (row * on.cells + z,) if fields.ndim == 2 else (row, z)
            for c in columns:
                held = jax.lax.dynamic_slice(fields, (c, *at), (1,) * fields.ndim)
                added = held + weight * along[2].weight[k] * mine[c]
                fields = jax.lax.dynamic_update_slice(fields, added, (c, *at))
        return fields

    return _fields(on, jax.lax.fori_loop(0, len(x), add, _empty(on, x, len(columns))))


def gather(on: Sums, x: Float[Array, "n 3"], f: Float[Array, "c k k k"]) -> Float[Array, "n c"]:
    """Values of the fields at the particles."""
    flat = _flat(on, f)

    def add(values: Array, row: Row) -> Array:
        return values + _take(on, flat, row, row.x[0] * row.y[0] * row.z.weight)

    start = jnp.zeros((f.shape[0], x.shape[0]), x.dtype)
    return _visit(on, add, start, x, unrolled=3).T


def spread_slope(
    on: Sums, x: Float[Array, "n 3"], w: Float[Array, "n c"], v: Float[Array, "n 3"]
) -> Float[Array, "c k k k"]:
    """The change of the fields of ``spread`` where the particles move by v."""

    def add(fields: Array, row: Row) -> Array:
        return _put(on, fields, row, w, _along(row, v))

    return _fields(on, _visit(on, add, _empty(on, x, w.shape[1]), x))


def gather_slope(
    on: Sums, x: Float[Array, "n 3"], f: Float[Array, "c k k k"], v: Float[Array, "n 3"]
) -> Float[Array, "n c"]:
    """The change of the values of ``gather`` where the particles move by v."""
    flat = _flat(on, f)

    def add(values: Array, row: Row) -> Array:
        return values + _take(on, flat, row, _along(row, v))

    return _visit(on, add, jnp.zeros((f.shape[0], x.shape[0]), x.dtype), x).T


def slope(
    on: Sums, x: Float[Array, "n 3"], f: Float[Array, "c k k k"], w: Float[Array, "n c"]
) -> Float[Array, "n 3"]:
    """The gradient of the sum over c of w_c times the fields at the particles."""
    flat = _flat(on, f)

    def add(total: Array, row: Row) -> Array:
        (wx, sx), (wy, sy) = row.x, row.y
        value = jnp.sum(_take(on, flat, row, row.z.weight) * w.T, axis=0)
        change = jnp.sum(_take(on, flat, row, row.z.slope) * w.T, axis=0)
        return total + jnp.stack([sx * wy * value, wx * sy * value, wx * wy * change])

    return _visit(on, add, jnp.zeros((3, x.shape[0]), x.dtype), x).T


def _visit(
    on: Sums,
    add: Callable[[Array, Row], Array],
    start: Array,
    x: Array,
    unrolled: int = UNROLLED,
) -> Array:
    """Go through the rows of mesh points around the particles."""
    along = [_support(on, x[:, axis]) for axis in range(3)]

    def row(first: int | Array, second: int | Array) -> Row:
        (ix, wx, sx), (iy, wy, sy), z = along
        one, two = (wx[first], sx[first]), (wy[second], sy[second])
        return Row(ix[first] * on.cells + iy[second], one, two, z)

    if on.order <= unrolled:
        for number in range(on.order**2):
            start = add(start, row(*divmod(number, on.order)))
        return start
    return jax.lax.fori_loop(
        0, on.order**2, lambda i, carry: add(carry, row(i // on.order, i % on.order)), start
    )


def _support(on: Sums, x: Float[Array, "*n"]) -> Support:
    scale = on.cells / on.box_size
    base, weights, slopes = spline(on.order, x * scale)
    first = (base - on.cells * jnp.floor(base / on.cells)).astype(jnp.int32)
    index = jnp.stack([(first + k) % on.cells for k in range(on.order)])
    return Support(index, jnp.stack(weights), scale * jnp.stack(slopes))


def _along(row: Row, v: Float[Array, "n 3"]) -> Float[Array, "o n"]:
    """v . grad W of the points of a row."""
    (wx, sx), (wy, sy) = row.x, row.y
    across = sx * wy * v[:, 0] + wx * sy * v[:, 1]
    return across * row.z.weight + wx * wy * v[:, 2] * row.z.slope


def _put(on: Sums, fields: Array, row: Row, w: Array, weight: Float[Array, "o n"]) -> Array:
    for z in range(on.order):
        at = _at(on, row, z)
        for c in range(w.shape[1]):
            fields = fields.at[(c, *at)].add(weight[z] * w[:, c], mode=INSIDE)
    return fields


def _take(on: Sums, fields: Array, row: Row, weight: Float[Array, "o n"]) -> Float[Array, "c n"]:
    def of(field: Array) -> Array:
        terms = [field.at[_at(on, row, z)].get(mode=INSIDE) * weight[z] for z in range(on.order)]
        return sum(terms[1:], start=terms[0])

    return jnp.stack([of(field) for field in fields])


def _at(on: Sums, row: Row, z: int) -> tuple[Int[Array, " n"], ...]:
    if on.cells**3 <= FLAT_LIMIT:
        return (row.start * on.cells + row.z.index[z],)
    return row.start, row.z.index[z]


def _flat_shape(on: Sums) -> tuple[int, ...]:
    return (on.cells**3,) if on.cells**3 <= FLAT_LIMIT else (on.cells**2, on.cells)


def _flat(on: Sums, fields: Float[Array, "c k k k"]) -> Array:
    return fields.reshape(fields.shape[0], *_flat_shape(on))


def _empty(on: Sums, x: Array, number: int) -> Array:
    return jnp.zeros((number, *_flat_shape(on)), x.dtype)


def _fields(on: Sums, flat: Array) -> Float[Array, "c k k k"]:
    return flat.reshape(flat.shape[0], *(on.cells,) * 3)
