"""The short-range forces of pairs as operations: the pull, and its change, its own transpose."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jaxtyping import Array, Float

from . import pairs_jax as plain
from .operations import LinearSum, Operation
from .pairs_jax import Pairs


def _like_positions(on: Pairs, x: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    return x


_pull = Operation("pull", "pull", (0,), plain.pull, _like_positions)
_pull_slope = LinearSum("pull_slope", "pull_slope", (0, 1), plain.pull_slope, _like_positions)
_pull_slope.transposed = _pull_slope


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def pull(on: Pairs, x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """The sum of pair forces of ``pairs_jax`` on every particle, differentiable."""
    return _pull(on, x)


@pull.defjvp
def _change(on: Pairs, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (v,) = primals, tangents
    return pull(on, x), _pull_slope(on, x, v)
