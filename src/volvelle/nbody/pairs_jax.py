"""Short-range forces of pairs in plain JAX: for any device, and without a compiler.

With d = x_j - x_i (the nearest image), s = |d|/cutoff and t = 1 - s^2, the sum

    pull_i = sum_j f(d^2) d,   f = c(d^2) - h(t)/cutoff^3  within the cutoff

has Newton's c = 1/|d|^3, softened below a radius b as within a ball of density (1 - d^2/b^2)^2:
c = (35 - 42 u^2 + 15 u^4)/(8 b^3), u = |d|/b (the sphere of Ferrers, n = 2; Dehnen 2001,
astro-ph/0011568), which is continuous to the second derivative. ``pull_slope`` is the change of the
pull where the particles move by v; it is its own transpose, as every pull is minus a gradient.

Particles are sorted into cells of at least the cutoff. Chunks of them look through the 27 cells
around each, as many particles at a time as the fullest of these cells needs: no capacity to set,
nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

CHUNK, AT_ONCE = 2048, 8
"""Particles that look around together, and neighbours that each of them takes in one step."""


class Pairs(NamedTuple):
    """Which pairs and which force: a static argument of programs."""

    box_size: float
    cutoff: float
    """[Mpc/h], at most 0.4 box_size."""
    softening: float
    """Radius b of the softened point [Mpc/h]."""
    short: tuple[float, ...]
    """h in powers of t."""
    threads: int = 0
    """Of the compiled kernel; 0 for plain JAX."""

    def attributes(self) -> dict[str, Any]:
        """For the kernel."""
        return {**self._asdict(), "short": np.array(self.short)}


def pull(on: Pairs, x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """The sum of pair forces on every particle."""
    if len(x) == 0:
        return x

    def term(d: Array, force: Array, slope: Array, mine: Array, theirs: Array) -> Array:
        return force[..., None] * d

    return _over_pairs(on, x, None, term)


def pull_slope(on: Pairs, x: Float[Array, "n 3"], v: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """sum_j f w + 2 f' (d . w) d with w = v_j - v_i, and f' the derivative by d^2."""
    if len(x) == 0:
        return x

    def term(d: Array, force: Array, slope: Array, mine: Array, theirs: Array) -> Array:
        apart = theirs - mine
        along = 2.0 * slope * jnp.sum(d * apart, axis=-1)
        return force[..., None] * apart + along[..., None] * d

    return _over_pairs(on, x, v, term)


def _force(on: Pairs, d2: Array) -> tuple[Array, Array]:
    """f and its derivative by d^2."""
    t = 1.0 - d2 / on.cutoff**2
    h, slope = jnp.zeros_like(d2), jnp.zeros_like(d2)
    for each in reversed(on.short):
        slope = slope * t + h
        h = h * t + each
    u2 = d2 / on.softening**2
    soft = (35.0 - u2 * (42.0 - 15.0 * u2)) / (8.0 * on.softening**3)
    soft_slope = (30.0 * u2 - 42.0) / (8.0 * on.softening**5)
    apart = jnp.where(u2 < 1.0, on.softening**2, d2)
    newton = 1.0 / (apart * jnp.sqrt(apart))
    core = jnp.where(u2 < 1.0, soft, newton)
    core_slope = jnp.where(u2 < 1.0, soft_slope, -1.5 * newton / apart)
    inside = t > 0.0
    force = jnp.where(inside, core - h / on.cutoff**3, 0.0)
    return force, jnp.where(inside, core_slope + slope / on.cutoff**5, 0.0)


def _over_pairs(
    on: Pairs, x: Array, v: Array | None, term: Callable[..., Array]
) -> Float[Array, "n 3"]:
    side = max(int(on.box_size / on.cutoff), 1)
    wide = side >= 3
    """Otherwise the cells are the box, and every particle looks at all."""
    side = side if wide else 1
    around = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    around = around if wide else np.zeros((1, 3), int)
    place = jnp.mod(x, on.box_size)
    cell = jnp.clip((place * (side / on.box_size)).astype(jnp.int32), 0, side - 1)
    number = (cell[:, 0] * side + cell[:, 1]) * side + cell[:, 2]
    order = jnp.argsort(number)
    starts = jnp.searchsorted(number[order], jnp.arange(side**3 + 1, dtype=jnp.int32))
    place, cell = place[order], cell[order]
    moving = jnp.zeros_like(place) if v is None else v[order]
    size = min(CHUNK, len(x))
    padding = -len(x) % size

    def chunked(array: Array) -> Array:
        return jnp.pad(array, ((0, padding), (0, 0))).reshape(-1, size, array.shape[1])

    def look(given: tuple[Array, Array, Array]) -> Array:
        here, mine, at = given

        def into(offset: Array, total: Array) -> Array:
            there = (at + jnp.asarray(around, jnp.int32)[offset]) % side
            cell = (there[:, 0] * side + there[:, 1]) * side + there[:, 2]
            first, last = starts[cell], starts[cell + 1]

            def some(carry: tuple[Array, Array]) -> tuple[Array, Array]:
                step, total = carry
                j = first[:, None] + step * AT_ONCE + jnp.arange(AT_ONCE)
                there = j < last[:, None]
                j = jnp.where(there, j, 0)
                d = place[j] - here[:, None]
                d = d - on.box_size * jnp.round(d / on.box_size)
                force, slope = _force(on, jnp.sum(d**2, axis=-1))
                force, slope = jnp.where(there, force, 0.0), jnp.where(there, slope, 0.0)
                added = term(d, force, slope, mine[:, None], moving[j])
                return step + 1, total + jnp.sum(added, axis=1)

            most = jnp.max(last - first)
            return jax.lax.while_loop(lambda c: c[0] * AT_ONCE < most, some, (jnp.int32(0), total))[
                1
            ]

        return jax.lax.fori_loop(0, len(around), into, jnp.zeros_like(here))

    found = jax.lax.map(look, (chunked(place), chunked(moving), chunked(cell)))
    found = found.reshape(-1, 3)[: len(x)]
    return jnp.zeros_like(x).at[order].set(found)
