"""Networks of the user's own making, in the place of the paper's perceptron.

The structure is the user's code and is never stored; its arrays are, and are put back into it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.compute import PluginError, load_named
from volvelle.learning.checking import require
from volvelle.learning.errors import LearningError, StorageError
from volvelle.learning.storage import storable
from volvelle.learning.user_function import Probed, UserBuilder, check_values

PERCEPTRON = "perceptron"
ARCHITECTURES = (PERCEPTRON,)
GROUP = "volvelle.architectures"
"""Of the entry points by which packages add others."""
CALL = "function(key, inputs, outputs, depth, width)"
SIZES = (3, 2)  # inputs and outputs of the network that tries an architecture out
LARGEST = 2**16  # of the sizes of a stored one
SHAKE = 0.1  # of the weights, to tell two codes apart where the initial weights are zero


@storable
class UserNetwork(Probed):
    """A network that a user's function makes; ``arrays`` are its leaves in the tree's order.

    Real arrays are trained and held in single precision; whole numbers and truth values are kept
    as they are made.
    """

    function: UserBuilder = eqx.field(static=True)
    inputs: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    arrays: tuple[Array, ...]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        leaves, structure = self._skeleton()
        arrays = iter(self.arrays)
        filled = [next(arrays) if _is_shape(leaf) else leaf for leaf in leaves]
        return jax.tree.unflatten(structure, filled)(x).astype(x.dtype)

    def maps(self, inputs: int, outputs: int) -> bool:
        """See ``Regressor``."""
        return (self.inputs, self.outputs) == (inputs, outputs)

    def validate(self) -> None:
        sizes = (self.inputs, self.outputs, self.depth, self.width)
        require(all(1 <= n <= LARGEST for n in sizes), f"sizes {sizes} are not possible")

    def values(self) -> list[float]:
        """The outputs at three points, in full single precision on any device."""
        grid = np.cos(np.outer(np.arange(1.0, 4.0), np.arange(1.0, self.inputs + 1.0)))
        with jax.default_matmul_precision("highest"):
            values = jax.vmap(self)(jnp.asarray(grid, jnp.float32))
        return np.asarray(values, dtype=float).ravel().tolist()

    def check(self, stored: list[float]) -> None:
        """See ``Probed``: number, shapes and types of the arrays, then the values."""
        name = self.function.name
        try:
            leaves, _ = self._skeleton()
            wanted = [_kept(leaf) for leaf in leaves if _is_shape(leaf)]
            found = [(tuple(a.shape), str(a.dtype)) for a in self.arrays]
            values = self.values() if wanted == found else []
        except Exception as error:
            raise StorageError(
                f"the function given for {name!r} does not make the stored network "
                f"({_words(error)}); it is called as {CALL}; give the one of the training"
            ) from error
        if wanted != found:
            other = [pair for pair in zip(wanted, found, strict=False) if pair[0] != pair[1]]
            differs = f"; the first that differs is {other[0][0]}, not {other[0][1]}"
            raise StorageError(
                f"the function given for {name!r} makes a network of {len(wanted)} arrays and the "
                f"stored one has {len(found)}{differs if other else ''}; give the function that "
                "the stored model was trained with"
            )
        check_values(name, values, stored)

    def fingerprint(self) -> list[float]:
        """Values that tell codes apart, whatever the weights start from."""
        shaken = [
            a + SHAKE * jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape)
            if jnp.issubdtype(a.dtype, jnp.floating)
            else a
            for a in self.arrays
        ]
        other = eqx.tree_at(lambda network: network.arrays, self, tuple(shaken))
        return [*self.values(), *other.values()]

    def _skeleton(self) -> tuple[list[Any], Any]:
        sizes = (self.inputs, self.outputs, self.depth, self.width)
        return _skeleton(self.function, *sizes)


@lru_cache(maxsize=16)
def _skeleton(
    function: UserBuilder, inputs: int, outputs: int, depth: int, width: int
) -> tuple[list[Any], Any]:
    """Leaves of the tree, shapes in the place of arrays, and its structure."""
    tree = eqx.filter_eval_shape(
        function.function, jax.random.key(0), inputs, outputs, depth, width
    )
    return jax.tree.flatten(tree)


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _kept(leaf: Any) -> tuple[tuple[int, ...], str]:
    """Shape and type in which an array is held."""
    real = jnp.issubdtype(leaf.dtype, jnp.floating)
    return tuple(leaf.shape), "float32" if real else str(leaf.dtype)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def user_architecture(name: str) -> UserBuilder | None:
    """The function behind a user's architecture; None for one of ``ARCHITECTURES``.

    Raises:
        LearningError: an unknown name, or one that cannot be imported.
    """
    try:
        found = load_named("architecture", GROUP, name, ARCHITECTURES)
    except PluginError as error:
        raise LearningError(f"architecture: {error}") from error
    return None if found is None else UserBuilder(name, found)


def make_user_network(
    name: str, inputs: int, outputs: int, depth: int, width: int, seed: int
) -> UserNetwork | None:
    """The untrained network of a user's architecture; None for one of ``ARCHITECTURES``.

    Args:
        name: of ``ARCHITECTURES``, or ``package.module:function``, ``path/file.py:function`` or an
            entry point of ``GROUP``. The function is called as
            ``function(key, inputs, outputs, depth, width)`` and returns a callable tree of arrays
            (such as an ``equinox.Module``) from a vector [inputs] to a vector [outputs].

    Raises:
        LearningError: an unknown name, or one that cannot be imported or makes no such network.
    """
    build = user_architecture(name)
    if build is None:
        return None
    try:
        tree = build.function(jax.random.key(seed), inputs, outputs, depth, width)
    except Exception as error:
        raise LearningError(
            f"architecture: {name} raises {_words(error)}; it is called as {CALL}, here with "
            f"inputs {inputs}, outputs {outputs}, depth {depth}, width {width}"
        ) from error
    leaves = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
    if not callable(tree) or not any(jnp.issubdtype(a.dtype, jnp.floating) for a in leaves):
        raise LearningError(
            f"architecture: {name} returns a {type(tree).__name__} that is not callable or holds "
            "no real arrays to train; return an equinox.Module with a __call__, or another "
            "callable tree of arrays"
        )
    for leaf in leaves:
        kinds = (jnp.floating, jnp.integer, jnp.bool_)
        if not any(jnp.issubdtype(leaf.dtype, kind) for kind in kinds):
            raise LearningError(
                f"architecture: {name} holds an array of type {leaf.dtype}; real numbers are "
                "trained, whole numbers and truth values kept, others are not taken"
            )
    arrays = tuple(jnp.array(leaf, dtype=_kept(leaf)[1]) for leaf in leaves)
    return UserNetwork(build, inputs, outputs, depth, width, arrays)


def check_architecture(name: str, depth: int, width: int) -> None:
    """Try an architecture out on a few inputs and outputs.

    Raises:
        LearningError: an unknown name, or no differentiable function of a vector [inputs] that
            gives a vector [outputs].
    """
    network = make_user_network(name, *SIZES, depth, width, 0)
    if network is None:
        return
    x = jnp.linspace(-1.0, 1.0, SIZES[0], dtype=jnp.float32)
    trained, rest = eqx.partition(network, eqx.is_inexact_array)
    try:
        value, back = jax.vjp(lambda t, x: eqx.combine(t, rest)(x), trained, x)
        slopes = jax.tree.leaves(back(jnp.ones_like(value)))
    except Exception as error:
        raise LearningError(
            f"architecture: the network of {name} does not work on a JAX vector of {SIZES[0]} "
            f"inputs ({_words(error)}); write it with jax.numpy, without states and without keys "
            "in its call"
        ) from error
    if np.shape(value) != SIZES[1:]:
        raise LearningError(
            f"architecture: the network of {name} gives shape {np.shape(value)} for "
            f"{SIZES[1]} outputs; expected {SIZES[1:]}"
        )
    if not all(np.all(np.isfinite(a)) for a in (value, *slopes)):
        raise LearningError(
            f"architecture: the network of {name} or its slope is not finite for inputs between "
            "-1 and 1; it cannot be trained"
        )
    if not any(np.any(np.asarray(slope) != 0.0) for slope in slopes[:-1]):
        raise LearningError(
            f"architecture: the output of {name}'s network does not depend on its arrays; it "
            "cannot be trained"
        )
