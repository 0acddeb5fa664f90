"""Sums over particles as operations of JAX, by the compiled kernel on CPUs or in plain JAX.

A sum that is linear in its last operand is a primitive with a transpose, so that forward and
reverse mode are made of the same few sums; plain JAX takes over beyond the first derivative.
Operands may share leading batch axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import jaxlib.version
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from .errors import KernelError

SCATTERS = ("spread", "spread_slope")
"""Functions of the kernel whose form in plain JAX adds to an array at given places."""
SLOW = ((0, 10, 2), (0, 11, 0))
"""First and last version of jaxlib that compiles such additions badly on GPUs."""


class Settings(Protocol):
    """What a sum depends on beside its operands: hashable."""

    @property
    def threads(self) -> int:
        """Of the compiled kernel; 0 for plain JAX."""
        ...

    def attributes(self) -> dict[str, Any]:
        """For the kernel."""
        ...


class Operation:
    """A primitive of JAX that a function of the kernel or plain JAX evaluates.

    Args:
        name: of the primitive.
        target: the function of the kernel that computes it.
        order: of the operands in that function.
        evaluate: the sum in plain JAX, without batch axes, of the operands in that order.
        shape: of the result, from the settings and the operands' shapes without batch axes.
        in_turn: the same as ``evaluate`` for CPUs, where another form is faster.
    """

    def __init__(
        self,
        name: str,
        target: str,
        order: tuple[int, ...],
        evaluate: Callable[..., Array],
        shape: Callable[..., tuple[int, ...]],
        in_turn: Callable[..., Array] | None = None,
    ) -> None:
        self.target, self.order, self.evaluate, self.shape = target, order, evaluate, shape
        self.in_turn, self.scatters = in_turn or evaluate, target in SCATTERS
        self.primitive = Primitive(f"volvelle_{name}")
        self.primitive.def_impl(self._run)
        self.primitive.def_abstract_eval(self._abstract)
        batching.primitive_batchers[self.primitive] = self._batched
        for platform, function in ((None, self._elsewhere), ("cpu", self._on_cpu)):
            lowering = mlir.lower_fun(function, multiple_results=False)
            mlir.register_lowering(self.primitive, lowering, platform=platform)

    def __call__(self, on: Settings, *operands: Array, batch: int = 0) -> Array:
        return self.primitive.bind(*operands, on=on, batch=batch)

    def _run(self, *operands: Array, **how: Any) -> Array:
        return jax.jit(partial(self.primitive.bind, **how))(*operands)

    def _abstract(self, *operands: Any, on: Settings, batch: int) -> ShapedArray:
        first = operands[0]
        shape = self.shape(on, *(each.shape[batch:] for each in operands))
        return ShapedArray((*first.shape[:batch], *shape), first.dtype)

    def _plain(self, *operands: Array, on: Settings, batch: int) -> Array:
        return self._over_batch(self.evaluate, *operands, on=on, batch=batch)

    def _over_batch(
        self, evaluate: Callable[..., Array], *operands: Array, on: Settings, batch: int
    ) -> Array:
        function = partial(evaluate, on)
        for _ in range(batch):
            function = jax.vmap(function)
        return function(*(operands[i] for i in self.order))

    def _elsewhere(self, *operands: Array, on: Settings, batch: int) -> Array:
        version = tuple(int(each) for each in jaxlib.version.__version__.split(".")[:3])
        if self.scatters and SLOW[0] <= version <= SLOW[1]:
            raise KernelError(
                f"jaxlib {jaxlib.version.__version__} compiles sums onto a mesh into a loop that "
                "is hundreds of times slower on GPUs; install one before 0.10.2 or after 0.11.0"
            )
        return self._plain(*operands, on=on, batch=batch)

    def _on_cpu(self, *operands: Array, on: Settings, batch: int) -> Array:
        if not on.threads:
            return self._over_batch(self.in_turn, *operands, on=on, batch=batch)
        made = self._abstract(*operands, on=on, batch=batch)
        call = jax.ffi.ffi_call(
            f"volvelle_{self.target}", jax.ShapeDtypeStruct(made.shape, made.dtype)
        )
        return call(*(operands[i] for i in self.order), **on.attributes())

    def _batched(
        self, operands: Sequence[Array], axes: Sequence[Any], *, on: Settings, batch: int
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


class LinearSum(Operation):
    """A sum that is linear in its last operand."""

    transposed: LinearSum
    """With the result in place of the last operand."""
    moved: LinearSum | None = None
    """The change with the positions, linear in their tangent as last operand."""

    def __init__(
        self,
        name: str,
        target: str,
        order: tuple[int, ...],
        evaluate: Callable[..., Array],
        shape: Callable[..., tuple[int, ...]],
        in_turn: Callable[..., Array] | None = None,
    ) -> None:
        super().__init__(name, target, order, evaluate, shape, in_turn)
        ad.primitive_jvps[self.primitive] = self._jvp
        ad.primitive_transposes[self.primitive] = self._transpose

    def _jvp(
        self, operands: Sequence[Array], tangents: Sequence[Any], *, on: Settings, batch: int
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

    def _transpose(self, cotangent: Any, *operands: Any, on: Settings, batch: int) -> list[Any]:
        linear, rest = operands[-1], operands[:-1]
        if any(ad.is_undefined_primal(each) for each in rest):
            raise NotImplementedError(f"{self.primitive} is linear in its last operand only")
        if isinstance(cotangent, ad.Zero):
            return [None] * len(rest) + [ad.Zero(linear.aval)]
        return [None] * len(rest) + [self.transposed(on, *rest, cotangent, batch=batch)]
