"""Random-walk Metropolis with a learned proposal: the baseline (Metropolis et al. 1953)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.inference.adaptation import COVARIANCE, FIXED, WINDOW_END, Moments
from volvelle.inference.sampler import Info, LogDensity, Sampler

TARGET_ACCEPTANCE = 0.25
LEARNING_POWER = -0.6  # of the step number, in the adaptation of the scale (Robbins & Monro 1951)


class MetropolisState(eqx.Module):
    """Position and its ln density."""

    z: Float[Array, " d"]
    log_density: Float[Array, ""]


class MetropolisTuning(eqx.Module):
    """Scale and covariance of the proposal, with what the adaptation remembers."""

    log_scale: Float[Array, ""]
    covariance: Float[Array, "d d"]
    moments: Moments
    count: Float[Array, ""]


class Metropolis(Sampler):
    """Gaussian proposals of covariance s^2 S, at first (2.38^2/d) 1; s and S are learned in the
    warm-up.

    One draw is ``thin`` proposals, so that draws of different samplers are of like worth;
    ``warmup`` counts proposals.
    """

    warmup: int = eqx.field(static=True, default=6000)
    thin: int = eqx.field(static=True, default=20)

    @property
    def warmup_steps(self) -> int:
        return -(-self.warmup // self.thin)

    def start(self, dimension: int) -> MetropolisTuning:
        return MetropolisTuning(
            jnp.log(2.38 / jnp.sqrt(jnp.asarray(float(dimension)))),
            jnp.eye(dimension),
            Moments.empty(dimension),
            jnp.zeros(()),
        )

    @property
    def differentiates(self) -> bool:
        return False

    def begin(self, z: Array, log_density: Array, gradient: Array) -> MetropolisState:
        return MetropolisState(z, log_density)

    def step(
        self,
        log_density: LogDensity,
        tuning: MetropolisTuning,
        key: Array,
        state: MetropolisState,
    ) -> tuple[MetropolisState, Info]:
        factor = jnp.exp(tuning.log_scale) * jnp.linalg.cholesky(tuning.covariance)

        def one(carry: MetropolisState, k: Array) -> tuple[MetropolisState, Array]:
            return _move(log_density, factor, k, carry)

        state, accepted = jax.lax.scan(one, state, jax.random.split(key, self.thin))
        evaluations = jnp.asarray(self.thin)
        no = jnp.asarray(False)
        return state, Info(jnp.mean(accepted), no, evaluations, jnp.zeros_like(evaluations))

    def adapt(
        self, tuning: MetropolisTuning, phase: Array, state: MetropolisState, info: Info
    ) -> MetropolisTuning:
        adapts = phase != FIXED
        rate = jnp.where(adapts, (tuning.count + 1.0) ** LEARNING_POWER, 0.0)
        log_scale = tuning.log_scale + rate * (info.acceptance - TARGET_ACCEPTANCE)
        gathers, ends = (phase == COVARIANCE) | (phase == WINDOW_END), phase == WINDOW_END
        gathered = tuning.moments.add(state.z)
        covariance = jnp.where(ends, gathered.covariance(tuning.covariance), tuning.covariance)
        moments = jax.tree.map(
            lambda old, new: jnp.where(ends, 0.0, jnp.where(gathers, new, old)),
            tuning.moments,
            gathered,
        )
        return MetropolisTuning(log_scale, covariance, moments, tuning.count + adapts)

    def position(self, state: MetropolisState) -> Array:
        return state.z

    def log_density(self, state: MetropolisState) -> Array:
        return state.log_density


def _move(
    log_density: LogDensity, factor: Array, key: Array, state: MetropolisState
) -> tuple[MetropolisState, Array]:
    walk, accept = jax.random.split(key)
    z = state.z + factor @ jax.random.normal(walk, state.z.shape)
    value = log_density(z)
    accepted = jnp.log(jax.random.uniform(accept)) < value - state.log_density
    new = MetropolisState(
        jnp.where(accepted, z, state.z), jnp.where(accepted, value, state.log_density)
    )
    return new, accepted.astype(z.dtype)
