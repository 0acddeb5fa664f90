"""Activations of a network, by name: the paper's trainable one, common ones, a user's own.

Nygaard et al. 2022 (arXiv:2205.15726), section 2.3.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.compute import PluginError, load_named
from volvelle.learning.checking import Validated, require
from volvelle.learning.errors import LearningError
from volvelle.learning.storage import storable
from volvelle.learning.user_function import PROBE, UserFunction

ALSING = "alsing"
FIXED: dict[str, Callable[[Array], Array]] = {
    "elu": jax.nn.elu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}
"""Activations without anything to train; GELU is x times the Gaussian's cumulative function."""
ACTIVATIONS = (ALSING, *FIXED)
GROUP = "volvelle.activations"
"""Of the entry points by which packages add others."""


class Activation(Validated):
    """What a node does to its input."""

    def suits(self, width: int) -> bool:
        """Whether it is for a layer of so many nodes."""
        return True

    @abstractmethod
    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """Outputs of a layer's nodes, of their inputs."""


@storable
class AlsingActivation(Activation):
    """f(x) = (gamma + (1 - gamma) / (1 + e^(-beta x))) x; every node trains its beta and gamma.

    Nygaard et al. 2022 (arXiv:2205.15726), equation 2.3, after Alsing et al. 2020
    (arXiv:1911.11778).
    """

    beta: Float[Array, " width"]  # sharpness of the bend
    gamma: Float[Array, " width"]  # slope on the negative side

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        return (self.gamma + jax.nn.sigmoid(self.beta * x) * (1.0 - self.gamma)) * x

    def suits(self, width: int) -> bool:
        return self.beta.shape == (width,)


@storable
class FixedActivation(Activation):
    """One of ``FIXED``, the same for every node."""

    name: str = eqx.field(static=True)

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        return FIXED[self.name](x)

    def validate(self) -> None:
        require(
            self.name in FIXED,
            f"the model's activation {self.name!r} is none of {', '.join(FIXED)}; read it with "
            "the version that wrote it",
        )


@storable
class UserActivation(Activation):
    """A function of the user's, of the inputs of a layer."""

    function: UserFunction = eqx.field(static=True)

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        return self.function(x)


def initial_activation(width: int) -> AlsingActivation:
    """beta = 1, gamma = 0 (the swish function) in single precision, to be trained from there."""
    return AlsingActivation(jnp.ones(width, jnp.float32), jnp.zeros(width, jnp.float32))


def make_activations(name: str, depth: int, width: int) -> tuple[Activation, ...]:
    """One activation per hidden layer.

    Args:
        name: of ``ACTIVATIONS``, or a user's: ``package.module:function``,
            ``path/file.py:function`` or an entry point of ``GROUP``.

    Raises:
        LearningError: an unknown name, or a user's function that cannot be imported or trained.
    """
    function = user_activation(name)
    if function is not None:
        return (UserActivation(function),) * depth
    if name == ALSING:
        return tuple(initial_activation(width) for _ in range(depth))
    return (FixedActivation(name),) * depth


def check_activation(name: str) -> None:
    """Raise LearningError unless ``make_activations`` would take the name."""
    make_activations(name, 1, 1)


def user_activation(python: str) -> UserFunction | None:
    """A user's activation, imported and tried out; None for one of ``ACTIVATIONS``.

    Raises:
        LearningError: an unknown name, or one that cannot be imported or is no differentiable
            function of an array that keeps the array's shape.
    """
    try:
        found = load_named("activation", GROUP, python, ACTIVATIONS)
    except PluginError as error:
        raise LearningError(f"activation: {error}") from error
    if found is None:
        return None
    function = UserFunction(python, found)
    x = jnp.asarray(PROBE, jnp.float32)
    try:
        value, back = jax.vjp(function, x)
        (slope,) = back(jnp.ones_like(value))
    except Exception as error:
        raise LearningError(
            f"activation: {python} does not work on a JAX array ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); write it with jax.numpy"
        ) from error
    if np.shape(value) != x.shape:
        raise LearningError(
            f"activation: {python} gives shape {np.shape(value)} for {x.shape}; it has to keep it"
        )
    if not (np.all(np.isfinite(value)) and np.all(np.isfinite(slope))):
        raise LearningError(
            f"activation: {python} or its slope is not finite between {PROBE[0]:g} and "
            f"{PROBE[-1]:g}; networks cannot be trained with it"
        )
    return function
