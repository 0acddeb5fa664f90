"""Hamiltonian Monte Carlo with trajectories of random length (Duane et al. 1987; blackjax)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from volvelle.inference.hamiltonian import HamiltonianTuning, random_steps
from volvelle.inference.laplace import Laplace
from volvelle.inference.mass import Groups, Mass, groups_of, within_blocks
from volvelle.inference.sampler import Info, LogDensity, Sampler


class HMC(Sampler):
    """Trajectories of mean ``length``, a quarter of a turn of a whitened Gaussian at first.

    Step size and mass matrix are learned in the warm-up, as those of NUTS; ``max_steps`` bounds
    the steps of a trajectory while the step size is still small.
    """

    warmup: int = eqx.field(static=True, default=500)
    target_accept: float = eqx.field(static=True, default=0.9)
    length: float = eqx.field(static=True, default=np.pi / 2)
    max_steps: int = eqx.field(static=True, default=256)
    mass: Mass = eqx.field(static=True, default="dense")
    groups: Groups = eqx.field(static=True, default=())

    @property
    def warmup_steps(self) -> int:
        return self.warmup

    def bound(self, names: tuple[str, ...]) -> HMC:
        return replace(self, groups=groups_of(self.mass, names))

    def whitened(self, laplace: Laplace) -> Laplace:
        return within_blocks(laplace, self.groups)

    def start(self, dimension: int) -> HamiltonianTuning:
        return HamiltonianTuning.start(dimension)

    def init(self, log_density: LogDensity, z: Array) -> Any:
        return blackjax.hmc.init(z, log_density)

    def step(
        self, log_density: LogDensity, tuning: HamiltonianTuning, key: Array, state: Any
    ) -> tuple[Any, Info]:
        number, move = jax.random.split(key)
        length = jnp.asarray(self.length)
        steps = random_steps(number, length, tuning.step_size, self.max_steps)
        kernel = blackjax.hmc.build_kernel()
        new, info = kernel(move, state, log_density, tuning.step_size, tuning.inverse_mass, steps)
        return new, Info(info.acceptance_rate, info.is_divergent, steps, steps)

    def adapt(
        self, tuning: HamiltonianTuning, phase: Array, state: Any, info: Info
    ) -> HamiltonianTuning:
        deficit = self.target_accept - info.acceptance
        return tuning.adapted(phase, state.position, deficit, self.groups)

    def position(self, state: Any) -> Array:
        return state.position

    def log_density(self, state: Any) -> Array:
        return state.logdensity
