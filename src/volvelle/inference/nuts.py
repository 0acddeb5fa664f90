"""The No-U-Turn sampler with windowed mass-matrix adaptation (Hoffman & Gelman 2014; blackjax)."""

from __future__ import annotations

from typing import Any

import blackjax
import equinox as eqx
from jaxtyping import Array

from volvelle.inference.hamiltonian import HamiltonianSampler, HamiltonianTuning
from volvelle.inference.mass import Groups, Mass
from volvelle.inference.sampler import Info, LogDensity


class NUTS(HamiltonianSampler):
    """Hamiltonian trajectories that stop at a U-turn; a mass matrix adapted in the warm-up.

    The adaptation starts from the unit matrix of the whitened coordinates, that is from the
    posterior's own curvature, and is pulled towards it while samples are few. ``mass`` says
    between which parameters correlations are learned (see ``mass``).
    """

    warmup: int = eqx.field(static=True, default=300)
    target_accept: float = eqx.field(static=True, default=0.9)  # at 0.8 the tail of tau diverges
    max_depth: int = eqx.field(static=True, default=8)
    mass: Mass = eqx.field(static=True, default="dense")
    groups: Groups = eqx.field(static=True, default=())

    @property
    def longest(self) -> int:
        return 2**self.max_depth - 1

    def step(
        self, log_density: LogDensity, tuning: HamiltonianTuning, key: Array, state: Any
    ) -> tuple[Any, Info]:
        kernel = blackjax.nuts.build_kernel()
        new, info = kernel(
            key,
            state,
            log_density,
            tuning.step_size,
            tuning.inverse_mass,
            max_num_doublings=self.max_depth,
        )
        steps = info.num_integration_steps
        return new, Info(info.acceptance_rate, info.is_divergent, steps, steps)
