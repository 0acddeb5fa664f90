"""The coordinates z that chains run in, and the density of the posterior in them."""

from __future__ import annotations

from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.inference.laplace import Laplace
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


@eqx.filter_jit
def _from_z(target: Target, z: Array) -> tuple[Array, Array]:
    def one(point: Array) -> tuple[Array, Array]:
        u, extra = target.real(point)
        return target.posterior.from_real(u), extra + target.posterior.log_jacobian(u)

    return jax.vmap(one)(z)


def parameters_of(
    target: Target, z: np.ndarray, log_density: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters [..., d] and ln posterior [...] of positions [..., d] and their ln density."""
    x, beyond = _from_z(target, jnp.asarray(z.reshape(-1, z.shape[-1])))
    return np.array(x).reshape(z.shape), log_density - np.asarray(beyond).reshape(z.shape[:-1])
