"""The affine-invariant ensemble (Goodman & Weare 2010, as parallelised by Foreman-Mackey+ 2013)."""

from __future__ import annotations

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.inference.errors import InferenceError
from volvelle.inference.sampler import Info, LogDensity, Sampler

STRETCH = 2.0  # a of Goodman & Weare
FEWEST = 32  # walkers, where the dimension asks for no more


class Walkers(eqx.Module):
    """Positions [w, d] and their ln density [w]."""

    z: Float[Array, "w d"]
    log_density: Float[Array, " w"]


class Nothing(eqx.Module):
    """No tuning: the ensemble itself knows the shape."""

    unused: Float[Array, ""]


class AffineEnsemble(Sampler):
    """Walkers that stretch along lines to each other; needs no gradients and no tuning.

    Each half of the ensemble moves against the other half, all its walkers at once. One draw is
    ``thin`` moves of every walker. ``walkers``: by default 32, or four per parameter. A run has
    several independent ensembles; every walker counts as a chain.
    """

    warmup: int = eqx.field(static=True, default=4000)
    thin: int = eqx.field(static=True, default=20)
    walkers: int | None = eqx.field(static=True, default=None)

    @property
    def warmup_steps(self) -> int:
        return -(-self.warmup // self.thin)

    @property
    def together(self) -> int:
        if self.walkers is None:
            raise InferenceError("an ensemble knows its walkers once it is bound to parameters")
        return self.walkers

    def bound(self, names: tuple[str, ...]) -> AffineEnsemble:
        least = 2 * len(names)
        walkers = max(FEWEST, 4 * len(names)) if self.walkers is None else self.walkers
        if walkers < least or walkers % 2:
            raise InferenceError(
                f"an ensemble of {walkers} walkers in {len(names)} parameters; give an even number "
                f"of at least {least}, or all moves lie in a plane"
            )
        return replace(self, walkers=walkers)

    def start(self, dimension: int) -> Nothing:
        return Nothing(jnp.zeros(()))

    @property
    def differentiates(self) -> bool:
        return False

    def begin(self, z: Array, log_density: Array, gradient: Array) -> Walkers:
        return Walkers(z, log_density)

    def step(
        self, log_density: LogDensity, tuning: Nothing, key: Array, state: Walkers
    ) -> tuple[Walkers, Info]:
        walkers = len(state.z)
        half = walkers // 2

        def turn(carry: Walkers, k: Array) -> tuple[Walkers, Array]:
            """One half moves, and the halves change places: two turns move every walker."""
            moved, taken = _stretch(log_density, k, carry, half)
            order = jnp.roll(jnp.arange(walkers), half)
            return jax.tree.map(lambda a: a[order], moved), jnp.mean(taken.astype(carry.z.dtype))

        state, accepted = jax.lax.scan(turn, state, jax.random.split(key, 2 * self.thin))
        evaluations = jnp.asarray(self.thin * walkers)
        no = jnp.asarray(False)
        return state, Info(jnp.mean(accepted), no, evaluations, jnp.zeros_like(evaluations))

    def adapt(self, tuning: Nothing, phase: Array, state: Walkers, info: Info) -> Nothing:
        return tuning

    def position(self, state: Walkers) -> Array:
        return state.z

    def log_density(self, state: Walkers) -> Array:
        return state.log_density


def _stretch(
    log_density: LogDensity, key: Array, state: Walkers, half: int
) -> tuple[Walkers, Array]:
    """The first ``half`` walkers moved along lines to walkers of the rest; who did."""
    d = state.z.shape[1]
    pick, draw, accept = jax.random.split(key, 3)
    partners = state.z[half:][jax.random.randint(pick, (half,), 0, len(state.z) - half)]
    # density proportional to 1/sqrt(s) on [1/a, a]
    u = jax.random.uniform(draw, (half,))
    s = (1.0 + (STRETCH - 1.0) * u) ** 2 / STRETCH
    z = partners + s[:, None] * (state.z[:half] - partners)
    value = jax.vmap(log_density)(z)
    ratio = (d - 1) * jnp.log(s) + value - state.log_density[:half]
    taken = jnp.log(jax.random.uniform(accept, (half,))) < ratio
    new_z = jnp.where(taken[:, None], z, state.z[:half])
    new_value = jnp.where(taken, value, state.log_density[:half])
    moved = Walkers(
        jnp.concatenate([new_z, state.z[half:]]),
        jnp.concatenate([new_value, state.log_density[half:]]),
    )
    return moved, taken
