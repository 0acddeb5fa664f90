"""The trainable activation of Alsing et al. 2020 (arXiv:1911.11778), as CONNECT uses it."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.learning.storage import storable


@storable
class AlsingActivation(eqx.Module):
    """f(x) = (gamma + (1 - gamma) / (1 + e^(-beta x))) x; every node trains its beta and gamma.

    Nygaard et al. 2022 (arXiv:2205.15726), equation 2.3.
    """

    beta: Float[Array, " width"]  # sharpness of the bend
    gamma: Float[Array, " width"]  # slope on the negative side

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        return (self.gamma + jax.nn.sigmoid(self.beta * x) * (1.0 - self.gamma)) * x


def initial_activation(width: int) -> AlsingActivation:
    """beta = 1, gamma = 0 (the swish function) in single precision, to be trained from there."""
    return AlsingActivation(jnp.ones(width, jnp.float32), jnp.zeros(width, jnp.float32))
