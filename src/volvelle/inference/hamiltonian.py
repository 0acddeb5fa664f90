"""What the Hamiltonian samplers share: a step size and a mass matrix learned in the warm-up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from blackjax.mcmc.hmc import HMCState
from jaxtyping import Array, Float

from volvelle.inference.adaptation import COVARIANCE, FIXED, LAST, WINDOW_END, Moments
from volvelle.inference.laplace import Laplace
from volvelle.inference.mass import Groups, Mass, groups_of, mask_of, within_blocks
from volvelle.inference.sampler import Info, Sampler

_HmcState: Any = HMCState
"""blackjax annotates arrays as floats."""
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


class HamiltonianTuning(eqx.Module):
    """Step size and inverse mass matrix, with what the adaptation remembers."""

    step: DualAveraging
    inverse_mass: Float[Array, "d d"]
    moments: Moments

    @classmethod
    def start(cls, dimension: int) -> HamiltonianTuning:
        """The unit matrix of the whitened coordinates, that is the posterior's own curvature."""
        step = DualAveraging.start(jnp.log(jnp.asarray(FIRST_STEP)))
        return cls(step, jnp.eye(dimension), Moments.empty(dimension))

    @property
    def step_size(self) -> Float[Array, ""]:
        """The step size of the next trajectory."""
        return jnp.exp(self.step.log_step)

    def adapted(
        self, phase: Array, position: Array, deficit: Array, groups: Groups
    ) -> HamiltonianTuning:
        """After a step of a phase that ended at ``position`` and missed its acceptance."""
        step = self.step.update(deficit)
        gathers = (phase == COVARIANCE) | (phase == WINDOW_END)
        moments = where(gathers, self.moments.add(position), self.moments)
        ends = phase == WINDOW_END
        learned = moments.covariance(self.inverse_mass)
        if groups:
            learned = jnp.where(mask_of(groups), learned, 0.0)
        inverse_mass = jnp.where(ends, learned, self.inverse_mass)
        moments = where(ends, Moments.empty(len(position)), moments)
        step = where(ends | (phase == LAST), DualAveraging.start(step.average), step)
        return where(phase == FIXED, self, HamiltonianTuning(step, inverse_mass, moments))


class HamiltonianSampler(Sampler):
    """What samplers have in common that follow trajectories; abstract."""

    warmup: eqx.AbstractVar[int]
    target_accept: eqx.AbstractVar[float]
    mass: eqx.AbstractVar[Mass]
    groups: eqx.AbstractVar[Groups]

    @property
    def warmup_steps(self) -> int:
        return self.warmup

    def bound(self, names: tuple[str, ...]) -> Self:
        return replace(self, groups=groups_of(self.mass, names))

    def whitened(self, laplace: Laplace) -> Laplace:
        return within_blocks(laplace, self.groups)

    def start(self, dimension: int) -> HamiltonianTuning:
        return HamiltonianTuning.start(dimension)

    def adapt(
        self, tuning: HamiltonianTuning, phase: Array, state: Any, info: Info
    ) -> HamiltonianTuning:
        deficit = self.target_accept - info.acceptance
        return tuning.adapted(phase, state.position, deficit, self.groups)

    def begin(self, z: Array, log_density: Array, gradient: Array) -> Any:
        return _HmcState(z, log_density, gradient)

    def position(self, state: Any) -> Array:
        return state.position

    def log_density(self, state: Any) -> Array:
        return state.logdensity


def where(condition: Array, yes: Any, no: Any) -> Any:
    """Of two trees the one or the other."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def random_steps(key: Array, length: Array, step_size: Array, most: int) -> Array:
    """Number of integration steps of a trajectory, uniform from 1 to about 2 length/step - 1.

    A fixed number resonates with the periods of the target; the random one has the mean
    ``length``/``step_size``, at least 1, and ``most`` is never exceeded.
    """
    upper = jnp.clip(jnp.round(2.0 * length / step_size - 1.0), 1, most)
    return jax.random.randint(key, (), 1, upper.astype(int) + 1)
