"""The No-U-Turn sampler with windowed mass-matrix adaptation (Hoffman & Gelman 2014; blackjax)."""

from __future__ import annotations

from typing import Any

import blackjax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from volvelle.inference.sampler import Info, LogDensity, Sampler


class NUTS(Sampler):
    """Hamiltonian trajectories that stop at a U-turn; a dense mass matrix adapted in the warm-up.

    The adaptation starts from the unit matrix of the whitened coordinates, that is from the
    posterior's own curvature, and is pulled towards it while samples are few.
    """

    warmup: int = eqx.field(static=True, default=300)
    target_accept: float = eqx.field(static=True, default=0.8)
    max_depth: int = eqx.field(static=True, default=8)

    def tune(self, log_density: LogDensity, z: Array, key: Array) -> tuple[Any, Array]:
        adaptation = blackjax.window_adaptation(
            blackjax.nuts,
            log_density,
            is_mass_matrix_diagonal=False,
            initial_inverse_mass_matrix=jnp.eye(z.shape[0]),
            imm_shrinkage_to_previous=20.0,
            initial_step_size=0.5,
            target_acceptance_rate=self.target_accept,
            max_num_doublings=self.max_depth,
        )
        result, _ = adaptation.run(key, z, num_steps=self.warmup)
        parameters = result.parameters
        tuned = (parameters["step_size"], parameters["inverse_mass_matrix"])
        return tuned, result.state.position

    def init(self, log_density: LogDensity, z: Array) -> Any:
        return blackjax.nuts.init(z, log_density)

    def step(self, log_density: LogDensity, tuned: Any, key: Array, state: Any) -> tuple[Any, Info]:
        step_size, inverse_mass = tuned
        kernel = blackjax.nuts.build_kernel()
        new, info = kernel(
            key, state, log_density, step_size, inverse_mass, max_num_doublings=self.max_depth
        )
        return new, Info(info.acceptance_rate, info.is_divergent, info.num_integration_steps)

    def position(self, state: Any) -> Array:
        return state.position
