"""The sums of painting as operations of JAX: linear, with their transposes and derivatives.

Each is a primitive that is linear in its last operand. Its transpose is another of them, and so is
its change with the positions: forward and reverse mode are made of the same five sums. Plain JAX
takes over beyond the first derivative. On CPUs the compiled kernel runs them where it is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from . import painting_jax as plain
from .painting_jax import Sums


class LinearSum:
    """A sum that is linear in its last operand; operands may share leading batch axes.

    Args:
        name: of the primitive.
        target: the function of the kernel that computes it.
        order: of the operands in that function.
        evaluate: the sum in plain JAX, without batch axes, of the operands in that order.
        shape: of the result, from the mesh and the operands' shapes without batch axes.
    """

    transposed: LinearSum
    moved: LinearSum | None = None
    """The change with the positions, linear in their tangent as last operand."""

    def __init__(
        self,
        name: str,
        target: str,
        order: tuple[int, ...],
        evaluate: Callable[..., Array],
        shape: Callable[..., tuple[int, ...]],
    ) -> None:
        self.target, self.order, self.evaluate, self.shape = target, order, evaluate, shape
        self.primitive = Primitive(f"volvelle_{name}")
        self.primitive.def_impl(self._run)
        self.primitive.def_abstract_eval(self._abstract)
        ad.primitive_jvps[self.primitive] = self._jvp
        ad.primitive_transposes[self.primitive] = self._transpose
        batching.primitive_batchers[self.primitive] = self._batched
        for platform, function in ((None, self._plain), ("cpu", self._on_cpu)):
            lowering = mlir.lower_fun(function, multiple_results=False)
            mlir.register_lowering(self.primitive, lowering, platform=platform)

    def __call__(self, on: Sums, *operands: Array, batch: int = 0) -> Array:
        return self.primitive.bind(*operands, on=on, batch=batch)

    def _run(self, *operands: Array, **how: Any) -> Array:
        return jax.jit(partial(self.primitive.bind, **how))(*operands)

    def _abstract(self, *operands: Any, on: Sums, batch: int) -> ShapedArray:
        first = operands[0]
        shape = self.shape(on, *(each.shape[batch:] for each in operands))
        return ShapedArray((*first.shape[:batch], *shape), first.dtype)

    def _plain(self, *operands: Array, on: Sums, batch: int) -> Array:
        function = partial(self.evaluate, on)
        for _ in range(batch):
            function = jax.vmap(function)
        return function(*(operands[i] for i in self.order))

    def _on_cpu(self, *operands: Array, on: Sums, batch: int) -> Array:
        if not on.threads:
            return self._plain(*operands, on=on, batch=batch)
        made = self._abstract(*operands, on=on, batch=batch)
        call = jax.ffi.ffi_call(
            f"volvelle_{self.target}", jax.ShapeDtypeStruct(made.shape, made.dtype)
        )
        chosen = (operands[i] for i in self.order)
        return call(*chosen, **{**on._asdict(), "box_size": float(on.box_size)})

    def _jvp(
        self, operands: Sequence[Array], tangents: Sequence[Any], *, on: Sums, batch: int
    ) -> tuple[Array, Any]:
        value = self(on, *operands, batch=batch)
        changes = []
        if not isinstance(tangents[-1], ad.Zero):
            changes.append(self(on, *operands[:-1], tangents[-1], batch=batch))
        moving = [i for i, t in enumerate(tangents[:-1]) if not isinstance(t, ad.Zero)]
        if moving == [0] and self.moved is not None:
            changes.append(self.moved(on, *operands, tangents[0], batch=batch))
        elif moving:

            def of_moving(*given: Array) -> Array:
                every = list(operands)
                for i, each in zip(moving, given, strict=True):
                    every[i] = each
                return self._plain(*every, on=on, batch=batch)

            primals = [operands[i] for i in moving]
            changes.append(jax.jvp(of_moving, primals, [tangents[i] for i in moving])[1])
        if not changes:
            return value, ad.Zero(ShapedArray(value.shape, value.dtype))
        return value, sum(changes[1:], start=changes[0])

    def _transpose(self, cotangent: Any, *operands: Any, on: Sums, batch: int) -> list[Any]:
        linear, rest = operands[-1], operands[:-1]
        if any(ad.is_undefined_primal(each) for each in rest):
            raise NotImplementedError(f"{self.primitive} is linear in its last operand only")
        if isinstance(cotangent, ad.Zero):
            return [None] * len(rest) + [ad.Zero(linear.aval)]
        return [None] * len(rest) + [self.transposed(on, *rest, cotangent, batch=batch)]

    def _batched(
        self, operands: Sequence[Array], axes: Sequence[Any], *, on: Sums, batch: int
    ) -> tuple[Array, int]:
        size = next(
            each.shape[axis]
            for each, axis in zip(operands, axes, strict=True)
            if axis is not batching.not_mapped
        )
        moved = [
            jnp.broadcast_to(each, (size, *each.shape))
            if axis is batching.not_mapped
            else jnp.moveaxis(each, axis, 0)
            for each, axis in zip(operands, axes, strict=True)
        ]
        return self(on, *moved, batch=batch + 1), 0


def _onto_mesh(on: Sums, x: tuple[int, ...], w: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    return (w[1], on.cells, on.cells, on.cells)


def _at_particles(on: Sums, x: tuple[int, ...], f: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    return (x[0], f[0])


def _like_positions(on: Sums, x: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    return x


spread = LinearSum("spread", "spread", (0, 1), plain.spread, _onto_mesh)
"""Of positions and weights [N, C]; linear in the weights."""
gather = LinearSum("gather", "gather", (0, 1), plain.gather, _at_particles)
"""Of positions and fields [C, n, n, n]; linear in the fields."""
_spread_slope = LinearSum("spread_slope", "spread_slope", (0, 1, 2), plain.spread_slope, _onto_mesh)
_slope_of_fields = LinearSum("slope_of_fields", "slope", (0, 2, 1), plain.slope, _like_positions)
_gather_slope = LinearSum(
    "gather_slope", "gather_slope", (0, 1, 2), plain.gather_slope, _at_particles
)
_slope_of_weights = LinearSum("slope_of_weights", "slope", (0, 1, 2), plain.slope, _like_positions)
for one, other in (
    (spread, gather),
    (_spread_slope, _slope_of_fields),  # at fixed weights
    (_gather_slope, _slope_of_weights),  # at fixed fields
):
    one.transposed, other.transposed = other, one
spread.moved, gather.moved = _spread_slope, _gather_slope
