"""Random-walk Metropolis with a learned proposal: the baseline (Metropolis et al. 1953)."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.inference.sampler import Info, LogDensity, Sampler

TARGET_ACCEPTANCE = 0.25
REGULARISATION = 20.0  # unit-matrix samples mixed into the learned covariance


class MetropolisState(eqx.Module):
    """Position and its ln density."""

    z: Float[Array, " d"]
    log_density: Float[Array, ""]


class Metropolis(Sampler):
    """Gaussian proposals of covariance (2.38^2/d) S; scale and S are learned in the warm-up.

    One draw is ``thin`` proposals, so that draws of different samplers are of like worth.
    """

    warmup: int = eqx.field(static=True, default=2000)
    thin: int = eqx.field(static=True, default=20)

    def tune(self, log_density: LogDensity, z: Array, key: Array) -> tuple[Any, Array]:
        d = z.shape[0]

        def one(carry: Any, inputs: Any) -> Any:
            state, log_scale, mean, scatter = carry
            k, i = inputs
            covariance = (scatter + REGULARISATION * jnp.eye(d)) / (i + REGULARISATION)
            factor = jnp.exp(log_scale) * jnp.linalg.cholesky(covariance)
            state, accepted = self._move(log_density, factor, k, state)
            rate = (i + 1.0) ** -0.6
            log_scale = log_scale + rate * (accepted - TARGET_ACCEPTANCE)
            delta = state.z - mean
            mean = mean + delta / (i + 1.0)
            scatter = scatter + jnp.outer(delta, state.z - mean)
            return (state, log_scale, mean, scatter), None

        start = (self.init(log_density, z), jnp.log(2.38 / jnp.sqrt(d)), z, jnp.zeros((d, d)))
        steps = (jax.random.split(key, self.warmup), jnp.arange(self.warmup, dtype=z.dtype))
        (state, log_scale, _, scatter), _ = jax.lax.scan(one, start, steps)
        covariance = (scatter + REGULARISATION * jnp.eye(d)) / (self.warmup + REGULARISATION)
        return jnp.exp(log_scale) * jnp.linalg.cholesky(covariance), state.z

    def _move(
        self, log_density: LogDensity, factor: Array, key: Array, state: MetropolisState
    ) -> tuple[MetropolisState, Array]:
        walk, accept = jax.random.split(key)
        z = state.z + factor @ jax.random.normal(walk, state.z.shape)
        value = log_density(z)
        accepted = jnp.log(jax.random.uniform(accept)) < value - state.log_density
        new = MetropolisState(
            jnp.where(accepted, z, state.z), jnp.where(accepted, value, state.log_density)
        )
        return new, accepted.astype(z.dtype)

    def init(self, log_density: LogDensity, z: Array) -> MetropolisState:
        return MetropolisState(z, log_density(z))

    def step(
        self, log_density: LogDensity, tuned: Any, key: Array, state: MetropolisState
    ) -> tuple[MetropolisState, Info]:
        def one(carry: MetropolisState, k: Array) -> tuple[MetropolisState, Array]:
            return self._move(log_density, tuned, k, carry)

        state, accepted = jax.lax.scan(one, state, jax.random.split(key, self.thin))
        return state, Info(jnp.mean(accepted), jnp.asarray(False), jnp.asarray(self.thin))

    def position(self, state: MetropolisState) -> Array:
        return state.z
