"""The fully connected network of CONNECT: the surrogate for thousands of solutions.

Nygaard et al. 2022 (arXiv:2205.15726), section 2: six hidden layers of 512 nodes, the trainable
activation of equation 2.3 (or another, by name), standardised inputs and outputs.

Weights are in single precision, which is what the training can use and half the memory; inputs
are standardised before and outputs widened after, so that the boundary keeps the caller's
precision. Rounding then adds about 1e-7 of the training set's scatter to each coefficient.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.learning.activation import ALSING, Activation, make_activations
from volvelle.learning.architecture import UserNetwork
from volvelle.learning.checking import Validated, require
from volvelle.learning.regressor import Regressor
from volvelle.learning.storage import storable


@storable
class Dense(eqx.Module):
    """x W + b."""

    weight: Float[Array, "n m"]
    bias: Float[Array, " m"]

    def __call__(self, x: Float[Array, " n"]) -> Float[Array, " m"]:
        return x @ self.weight + self.bias


@storable
class Perceptron(Validated):
    """Hidden layers, each with an activation of its own, and a linear last layer."""

    layers: tuple[Dense, ...]
    activations: tuple[Activation, ...]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        for layer, activation in zip(self.layers[:-1], self.activations, strict=True):
            x = activation(layer(x))
        return self.layers[-1](x)

    def maps(self, inputs: int, outputs: int) -> bool:
        """See ``Regressor``."""
        return (self.layers[0].weight.shape[0], self.layers[-1].weight.shape[1]) == (
            inputs,
            outputs,
        )

    def validate(self) -> None:
        layers, activations = self.layers, self.activations
        require(
            len(layers) == len(activations) + 1,
            f"{len(layers)} layers with {len(activations)} activations between them",
        )
        for layer, following, activation in zip(layers, layers[1:], activations, strict=False):
            width = layer.weight.shape[1]
            fits = following.weight.shape[0] == width and activation.suits(width)
            require(fits, f"what follows a layer of {width} nodes is for another number of them")


@storable
class Network(Regressor):
    """A trained perceptron, or a user's network, between standardised features and coefficients.

    ``residual``: mean square of the error on solutions that were held out of the training; it
    is the same everywhere, as a network does not know where it was trained.
    """

    centre: Float[Array, " d"]
    scale: Float[Array, " d"]
    perceptron: Perceptron | UserNetwork
    residual: Float[Array, " m"]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        z = ((x - self.centre) / self.scale).astype(jnp.float32)
        return self.perceptron(z).astype(x.dtype)

    def variance(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        return self.residual

    def maps(self, inputs: int, outputs: int) -> bool:
        return (self.centre.shape, self.residual.shape) == ((inputs,), (outputs,))

    def validate(self) -> None:
        sizes = self.centre.shape[0], self.residual.shape[0]
        require(self.perceptron.maps(*sizes), f"its network does not map {sizes[0]} to {sizes[1]}")


def initial_perceptron(
    inputs: int, outputs: int, depth: int, width: int, seed: int, activation: str = ALSING
) -> Perceptron:
    """Untrained layers: weights uniform of variance 2/(n + m) (Glorot & Bengio 2010), no bias.

    Raises:
        LearningError: an unknown activation, or a user's that does not work.
    """
    sizes = [inputs, *[width] * depth, outputs]
    layers = []
    keys = jax.random.split(jax.random.key(seed), depth + 1)
    for key, n, m in zip(keys, sizes[:-1], sizes[1:], strict=True):
        limit = float(np.sqrt(6.0 / (n + m)))
        weight = jax.random.uniform(key, (n, m), jnp.float32, -limit, limit)
        layers.append(Dense(weight, jnp.zeros(m, jnp.float32)))
    return Perceptron(tuple(layers), make_activations(activation, depth, width))
