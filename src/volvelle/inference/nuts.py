"""The No-U-Turn sampler with windowed mass-matrix adaptation (Hoffman & Gelman 2014; blackjax)."""

from __future__ import annotations

from typing import Any

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.inference.adaptation import COVARIANCE, FIXED, LAST, WINDOW_END, Moments
from volvelle.inference.sampler import Info, LogDensity, Sampler

FIRST_STEP = 0.5  # in whitened coordinates
# Dual averaging with the constants of Hoffman & Gelman 2014, section 3.2.1
GAMMA, T0, KAPPA = 0.05, 10.0, 0.75


class DualAveraging(eqx.Module):
    """ln of the step size, its average, and the running mean of the missing acceptance."""

    log_step: Float[Array, ""]
    average: Float[Array, ""]
    deficit: Float[Array, ""]
    count: Float[Array, ""]
    centre: Float[Array, ""]

    @classmethod
    def start(cls, log_step: Float[Array, ""]) -> DualAveraging:
        """From a first guess; the search leans towards ten times it."""
        zero = jnp.zeros(())
        return cls(log_step, zero, zero, zero, log_step + jnp.log(10.0))

    def update(self, deficit: Float[Array, ""]) -> DualAveraging:
        """After a step whose acceptance fell short of the target by ``deficit``."""
        t = self.count + 1.0
        share = 1.0 / (t + T0)
        mean = (1.0 - share) * self.deficit + share * deficit
        log_step = self.centre - jnp.sqrt(t) / GAMMA * mean
        eta = t**-KAPPA
        average = eta * log_step + (1.0 - eta) * self.average
        return DualAveraging(log_step, average, mean, t, self.centre)


class NutsTuning(eqx.Module):
    """Step size and inverse mass matrix, with what the adaptation remembers."""

    step: DualAveraging
    inverse_mass: Float[Array, "d d"]
    moments: Moments


class NUTS(Sampler):
    """Hamiltonian trajectories that stop at a U-turn; a dense mass matrix adapted in the warm-up.

    The adaptation starts from the unit matrix of the whitened coordinates, that is from the
    posterior's own curvature, and is pulled towards it while samples are few.
    """

    warmup: int = eqx.field(static=True, default=300)
    target_accept: float = eqx.field(static=True, default=0.9)  # at 0.8 the tail of tau diverges
    max_depth: int = eqx.field(static=True, default=8)

    @property
    def warmup_steps(self) -> int:
        return self.warmup

    def start(self, dimension: int) -> NutsTuning:
        step = DualAveraging.start(jnp.log(jnp.asarray(FIRST_STEP)))
        return NutsTuning(step, jnp.eye(dimension), Moments.empty(dimension))

    def init(self, log_density: LogDensity, z: Array) -> Any:
        return blackjax.nuts.init(z, log_density)

    def step(
        self, log_density: LogDensity, tuning: NutsTuning, key: Array, state: Any
    ) -> tuple[Any, Info]:
        kernel = blackjax.nuts.build_kernel()
        new, info = kernel(
            key,
            state,
            log_density,
            jnp.exp(tuning.step.log_step),
            tuning.inverse_mass,
            max_num_doublings=self.max_depth,
        )
        return new, Info(info.acceptance_rate, info.is_divergent, info.num_integration_steps)

    def adapt(self, tuning: NutsTuning, phase: Array, state: Any, info: Info) -> NutsTuning:
        step = tuning.step.update(self.target_accept - info.acceptance)
        gathers = (phase == COVARIANCE) | (phase == WINDOW_END)
        moments = _where(gathers, tuning.moments.add(state.position), tuning.moments)
        ends = phase == WINDOW_END
        inverse_mass = jnp.where(ends, moments.covariance(tuning.inverse_mass), tuning.inverse_mass)
        moments = _where(ends, Moments.empty(len(state.position)), moments)
        step = _where(ends | (phase == LAST), DualAveraging.start(step.average), step)
        return _where(phase == FIXED, tuning, NutsTuning(step, inverse_mass, moments))

    def position(self, state: Any) -> Array:
        return state.position

    def log_density(self, state: Any) -> Array:
        return state.logdensity


def _where(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
