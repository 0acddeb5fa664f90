"""Microcanonical Langevin Monte Carlo, unadjusted and adjusted (Robnik et al. 2023; blackjax).

Both move at unit speed in coordinates w, z = C w, where C C^T is the covariance learned in the
warm-up, and forget their direction over a length of about sqrt(d).
"""

from __future__ import annotations

from typing import Any

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc import adjusted_mclmc
from blackjax.mcmc.hmc import HMCState
from blackjax.mcmc.integrators import IntegratorState
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from volvelle.inference.adaptation import COVARIANCE, FIXED, WINDOW_END, Moments
from volvelle.inference.errors import InferenceError
from volvelle.inference.hamiltonian import HamiltonianTuning, random_steps, where
from volvelle.inference.sampler import Info, LogDensity, Sampler

# blackjax annotates arrays as floats
_HmcState: Any = HMCState
_IntegratorState: Any = IntegratorState

GRADIENTS = 2  # of one step of the minimal-norm integrator
FIRST_STEP = 0.25  # of sqrt(d)
MEMORY = 50.0  # draws over which the step size is averaged
TRUST = 1.5  # width of the weights of steps of other sizes, in ln of the energy error over 6
POWER = 6.0  # the variance of the energy goes as the step size to this power


class MclmcState(eqx.Module):
    """Position z, direction in w, ln density and its gradient in z; squared energy error."""

    z: Float[Array, " d"]
    direction: Float[Array, " d"]
    log_density: Float[Array, ""]
    gradient: Float[Array, " d"]
    energy_error: Float[Array, ""]


class MclmcTuning(eqx.Module):
    """Step size and factor C, with what the adaptation remembers."""

    step: Float[Array, ""]
    factor: Float[Array, "d d"]
    moments: Moments
    weight: Float[Array, ""]
    average: Float[Array, ""]


class MCLMC(Sampler):
    """Unadjusted: no step is ever rejected, and the step size leaves a bias that no length cures.

    ``energy_variance`` per parameter and step is what the step size is tuned to; the bias of a
    variance is of its order. One draw is ``thin`` steps; ``warmup`` counts draws.
    """

    warmup: int = eqx.field(static=True, default=500)
    thin: int = eqx.field(static=True, default=8)
    energy_variance: float = eqx.field(static=True, default=5e-4)
    length: float = eqx.field(static=True, default=1.0)

    @property
    def warmup_steps(self) -> int:
        return self.warmup

    def bound(self, names: tuple[str, ...]) -> MCLMC:
        _refuse_one(names)
        return self

    def start(self, dimension: int) -> MclmcTuning:
        step = jnp.asarray(FIRST_STEP * np.sqrt(dimension))
        zero = jnp.zeros(())
        return MclmcTuning(step, jnp.eye(dimension), Moments.empty(dimension), zero, zero)

    def begin(self, z: Array, log_density: Array, gradient: Array) -> MclmcState:
        # the starting points are random, and so are their directions; the warm-up forgets them
        direction = z / jnp.linalg.norm(z)
        return MclmcState(z, direction, log_density, gradient, jnp.zeros(()))

    def step(
        self, log_density: LogDensity, tuning: MclmcTuning, key: Array, state: MclmcState
    ) -> tuple[MclmcState, Info]:
        d = len(state.z)
        c = tuning.factor
        kernel: Any = blackjax.mcmc.mclmc.build_kernel()
        start = _IntegratorState(
            solve_triangular(c, state.z, lower=True),
            state.direction,
            state.log_density,
            c.T @ state.gradient,
        )

        def one(carry: Any, k: Array) -> tuple[Any, tuple[Array, Array]]:
            new, info = kernel(
                k,
                carry,
                lambda w: log_density(c @ w),
                jnp.ones(d),
                jnp.asarray(self.length * np.sqrt(d)),
                tuning.step,
            )
            return new, (info.energy_change, info.nonans)

        end, (energy, fine) = jax.lax.scan(one, start, jax.random.split(key, self.thin))
        # a step that ended in the undefined was undone: as large an error as need be
        error = jnp.where(fine, energy**2 / (d * self.energy_variance), 1e6)
        gradient = solve_triangular(c, end.logdensity_grad, lower=True, trans=1)
        new = MclmcState(c @ end.position, end.momentum, end.logdensity, gradient, jnp.mean(error))
        number = jnp.asarray(GRADIENTS * self.thin)
        return new, Info(jnp.mean(fine.astype(c.dtype)), ~jnp.all(fine), number, number)

    def adapt(
        self, tuning: MclmcTuning, phase: Array, state: MclmcState, info: Info
    ) -> MclmcTuning:
        xi = state.energy_error + 1e-8
        weight = jnp.exp(-0.5 * (jnp.log(xi) / (POWER * TRUST)) ** 2)
        decay = 1.0 - 1.0 / MEMORY
        average = decay * tuning.average + weight * xi / tuning.step**POWER
        total = decay * tuning.weight + weight
        step = (average / total) ** (-1.0 / POWER)
        gathers, ends = (phase == COVARIANCE) | (phase == WINDOW_END), phase == WINDOW_END
        moments = where(gathers, tuning.moments.add(state.z), tuning.moments)
        previous = tuning.factor @ tuning.factor.T
        learned = jnp.linalg.cholesky(moments.covariance(previous))
        factor = jnp.where(ends, learned, tuning.factor)
        moments = where(ends, Moments.empty(len(state.z)), moments)
        # in other coordinates the errors of old steps say nothing
        average, total = (jnp.where(ends, 0.0, v) for v in (average, total))
        adapted = MclmcTuning(step, factor, moments, total, average)
        return where(phase == FIXED, tuning, adapted)

    def position(self, state: MclmcState) -> Array:
        return state.z

    def log_density(self, state: MclmcState) -> Array:
        return state.log_density


class AdjustedMCLMC(Sampler):
    """Microcanonical trajectories of random length with a Metropolis step at the end: exact.

    ``length``: of a trajectory, in sqrt(d); the direction is drawn anew for each.
    """

    warmup: int = eqx.field(static=True, default=500)
    target_accept: float = eqx.field(static=True, default=0.9)
    length: float = eqx.field(static=True, default=np.pi / 2)
    max_steps: int = eqx.field(static=True, default=256)

    @property
    def warmup_steps(self) -> int:
        return self.warmup

    def bound(self, names: tuple[str, ...]) -> AdjustedMCLMC:
        _refuse_one(names)
        return self

    def start(self, dimension: int) -> HamiltonianTuning:
        return HamiltonianTuning.start(dimension)

    def begin(self, z: Array, log_density: Array, gradient: Array) -> Any:
        return _HmcState(z, log_density, gradient)

    def step(
        self, log_density: LogDensity, tuning: HamiltonianTuning, key: Array, state: Any
    ) -> tuple[Any, Info]:
        d = len(state.position)
        c = jnp.linalg.cholesky(tuning.inverse_mass)
        number, move = jax.random.split(key)
        length = jnp.asarray(self.length * np.sqrt(d))
        steps = random_steps(number, length, tuning.step_size, self.max_steps)
        start = _HmcState(
            solve_triangular(c, state.position, lower=True),
            state.logdensity,
            c.T @ state.logdensity_grad,
        )
        kernel: Any = adjusted_mclmc.build_kernel()
        end, info = kernel(
            move,
            start,
            lambda w: log_density(c @ w),
            tuning.step_size,
            integration_steps_params=(steps,),
            inverse_mass_matrix=jnp.ones(d),
        )
        gradient = solve_triangular(c, end.logdensity_grad, lower=True, trans=1)
        # a move that was rejected ends where it began, to the last digit
        moved = info.is_accepted
        new = _HmcState(
            jnp.where(moved, c @ end.position, state.position),
            jnp.where(moved, end.logdensity, state.logdensity),
            jnp.where(moved, gradient, state.logdensity_grad),
        )
        evaluations = GRADIENTS * steps
        return new, Info(info.acceptance_rate, info.is_divergent, evaluations, evaluations)

    def adapt(
        self, tuning: HamiltonianTuning, phase: Array, state: Any, info: Info
    ) -> HamiltonianTuning:
        return tuning.adapted(phase, state.position, self.target_accept - info.acceptance, ())

    def position(self, state: Any) -> Array:
        return state.position

    def log_density(self, state: Any) -> Array:
        return state.logdensity


def _refuse_one(names: tuple[str, ...]) -> None:
    if len(names) < 2:
        raise InferenceError(
            "microcanonical sampling of one parameter: a direction on a line cannot turn; choose "
            "nuts or metropolis"
        )
