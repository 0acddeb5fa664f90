"""Hamiltonian Monte Carlo with trajectories of random length (Duane et al. 1987; blackjax)."""

from __future__ import annotations

from typing import Any

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from volvelle.inference.hamiltonian import HamiltonianSampler, HamiltonianTuning, random_steps
from volvelle.inference.mass import Groups, Mass
from volvelle.inference.sampler import Info, LogDensity

QUARTER = np.pi / 2  # of a turn of a Gaussian of unit width


class HMC(HamiltonianSampler):
    """Trajectories of mean ``length``, a quarter of a turn of a whitened Gaussian at first.

    Step size and mass matrix are learned in the warm-up, as those of NUTS; ``max_steps`` bounds
    the steps of a quarter of a turn while the step size is still small, and those of longer
    trajectories in proportion.
    """

    warmup: int = eqx.field(static=True, default=500)
    target_accept: float = eqx.field(static=True, default=0.9)
    length: float = eqx.field(static=True, default=QUARTER)
    max_steps: int = eqx.field(static=True, default=256)
    mass: Mass = eqx.field(static=True, default="dense")
    groups: Groups = eqx.field(static=True, default=())

    def step(
        self, log_density: LogDensity, tuning: HamiltonianTuning, key: Array, state: Any
    ) -> tuple[Any, Info]:
        number, move = jax.random.split(key)
        length = jnp.asarray(self.length)
        most = int(self.max_steps * max(self.length / QUARTER, 1.0))
        steps = random_steps(number, length, tuning.step_size, most)
        kernel = blackjax.hmc.build_kernel()
        new, info = kernel(move, state, log_density, tuning.step_size, tuning.inverse_mass, steps)
        return new, Info(info.acceptance_rate, info.is_divergent, steps, steps)
