"""The coordinates z that chains run in, and the density of the posterior in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.inference.batches import log_probs_real_at
from volvelle.inference.laplace import Laplace, value_and_gradient
from volvelle.inference.posterior import Posterior


class Target(Protocol):
    """ln density of z, up to a constant, and the way back to the unbounded coordinates."""

    @property
    def posterior(self) -> Posterior: ...

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, ""]: ...

    def real(self, z: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """The unbounded coordinates u, and what ``self(z)`` has beyond their ln density."""
        ...


class Whitened(eqx.Module):
    """ln density of z, with u = mode + L z; the constant ln |L| is left out."""

    posterior: Posterior
    mode: Float[Array, " d"]
    factor: Float[Array, "d d"]

    @classmethod
    def of(cls, posterior: Posterior, laplace: Laplace) -> Whitened:
        """In units of the Laplace approximation."""
        return cls(posterior, jnp.asarray(laplace.u), jnp.asarray(laplace.factor))

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        return self.posterior.log_prob_real(self.mode + self.factor @ z)

    def real(self, z: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        return self.mode + self.factor @ z, jnp.zeros(())

    @property
    def log_volume(self) -> float:
        """ln |du/dz|."""
        return float(np.linalg.slogdet(np.asarray(self.factor))[1])


def traced_once(target: Target) -> Callable[[Float[Array, " d"]], Float[Array, ""]]:
    """The same ln density, which is traced once however often a program differentiates it.

    Where it is differentiated, once and backwards, its gradient is found together with it: a loop
    over points then keeps a gradient of each, not all that leads to one.
    """
    arrays, rest = eqx.partition(target, eqx.is_array)
    density = jax.jit(lambda given, z: eqx.combine(given, rest)(z))

    @jax.custom_vjp
    def value(z: Array) -> Array:
        return density(arrays, z)

    def with_gradient(z: Array) -> tuple[Array, Array]:
        return jax.value_and_grad(density, argnums=1)(arrays, z)

    value.defvjp(with_gradient, lambda gradient, of_value: (of_value * gradient,))
    return value


@eqx.filter_jit
def _from_z(target: Target, z: Array) -> tuple[Array, Array]:
    def one(point: Array) -> tuple[Array, Array]:
        u, extra = target.real(point)
        return target.posterior.from_real(u), extra + target.posterior.log_jacobian(u)

    return jax.vmap(one)(z)


@eqx.filter_jit
def _real(target: Target, z: Array) -> tuple[Array, Array]:
    return jax.vmap(target.real)(z)


@eqx.filter_jit
def _pulled_back(target: Target, z: Array, gradient: Array) -> Array:
    def one(point: Array, of_u: Array) -> Array:
        (_, extra), pull = jax.vjp(target.real, point)
        return pull((of_u, jnp.ones_like(extra)))[0]

    return jax.vmap(one)(z, gradient)


def parameters_of(
    target: Target, z: np.ndarray, log_density: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters [..., d] and ln posterior [...] of positions [..., d] and their ln density."""
    x, beyond = _from_z(target, jnp.asarray(z.reshape(-1, z.shape[-1])))
    return np.array(x).reshape(z.shape), log_density - np.asarray(beyond).reshape(z.shape[:-1])


def densities_at(target: Target, z: Float[Array, "n d"] | np.ndarray) -> np.ndarray:
    """ln density [n] of positions, by the program that all share (see ``batches``)."""
    u, extra = map(np.asarray, _real(target, jnp.asarray(z)))
    return log_probs_real_at(target.posterior, u) + extra


def gradients_at(target: Target, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Gradient of the ln density at a few positions, by the program that finds the maximum."""
    one = jnp.asarray(1.0)
    u, _ = _real(target, z)
    gradients = [-value_and_gradient(target.posterior, row, one)[1] for row in u]
    return _pulled_back(target, z, jnp.stack(gradients))
