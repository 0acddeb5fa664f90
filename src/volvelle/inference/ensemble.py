"""Differential-evolution ensemble: robust, untuned exploration of a tempered posterior.

ter Braak & Vrugt 2008 (the snooker-free form): a walker moves along the difference of two walkers
of the other half of the ensemble, gamma = 2.38/sqrt(2 d), every tenth time with gamma = 1.
"""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.inference.batches import over
from volvelle.inference.posterior import Posterior

JITTER = 1e-4  # of the proposal, in units of the ensemble's own spread
LONG_JUMP = 0.1  # fraction of moves with gamma = 1


class Ensemble(eqx.Module):
    """Walkers in unbounded coordinates [w, d] and their ln density [w]."""

    u: Float[Array, "w d"]
    log_prob: Float[Array, " w"]


def _density(posterior: Posterior, u: Array, beta: Array, radius: Array) -> Array:
    """Tempered ln density, with a steep wall outside ``radius`` times the emulator's domain."""
    x = posterior.from_real(u)
    value = posterior.log_prob_real(u, beta)
    distance = getattr(posterior.theory, "distance", None)
    if distance is not None:
        excess = jnp.maximum(distance(x[: posterior.n_theory]) / radius - 1.0, 0.0)
        value = value - 0.5 * (excess / 0.05) ** 2
    return jnp.where(jnp.isnan(value), -jnp.inf, value)


@partial(eqx.filter_jit, donate="none")
def _run(
    posterior: Posterior, start: Array, beta: Array, radius: Array, key: Array, steps: int
) -> tuple[Array, Array]:
    """Walkers after ``steps`` moves, and the acceptance rate.

    The loop moves one half and swaps the halves, and its first two turns stay where they are to
    learn the density there: so the density, which is long to compile, stands in it once.
    """
    density = over(posterior, lambda u: _density(posterior, u, beta, radius))
    walkers, d = start.shape
    half = walkers // 2

    def move(moving: Ensemble, other: Array, key: Array, moves: Array) -> tuple[Ensemble, Array]:
        pick, jump, noise, accept = jax.random.split(key, 4)
        pairs = jax.random.randint(pick, (half, 2), 0, half)
        second = jnp.where(pairs[:, 0] == pairs[:, 1], (pairs[:, 1] + 1) % half, pairs[:, 1])
        gamma = jnp.where(
            jax.random.uniform(jump, (half, 1)) < LONG_JUMP, 1.0, 2.38 / jnp.sqrt(2.0 * d)
        )
        step = gamma * (other[pairs[:, 0]] - other[second])
        step = step + JITTER * jnp.std(other, axis=0) * jax.random.normal(noise, step.shape)
        u = jnp.where(moves, moving.u + step, moving.u)
        value = density(u)
        taken = jnp.log(jax.random.uniform(accept, (half,))) < value - moving.log_prob
        new = Ensemble(
            jnp.where(taken[:, None], u, moving.u), jnp.where(taken, value, moving.log_prob)
        )
        return new, jnp.mean(taken.astype(u.dtype))

    def one(carry: tuple[Ensemble, Ensemble], inputs: tuple[Array, Array]):
        moving, other = carry
        moved, rate = move(moving, other.u, *inputs)
        return (other, moved), rate

    unknown = jnp.full(half, -jnp.inf)
    halves = (Ensemble(start[:half], unknown), Ensemble(start[half : 2 * half], unknown))
    turns = 2 * (steps + 1)
    inputs = (jax.random.split(key, turns), jnp.arange(turns) >= 2)
    (first, second), rate = jax.lax.scan(one, halves, inputs)
    return jnp.concatenate([first.u, second.u]), jnp.mean(rate[2:])


def explore(
    posterior: Posterior,
    start: np.ndarray,
    *,
    temperature: float,
    steps: int,
    seed: int,
    reach: float,
) -> tuple[np.ndarray, float]:
    """Walkers after ``steps`` moves in the posterior at a temperature; and the acceptance rate.

    The coordinates bend only near the edges of the priors, by the spread of the walkers: over a
    wide prior's whole range they make funnels at its edges, and what lies there is not found.

    Args:
        start: parameters of the walkers [w, d], w even, spread over more than a point;
        reach: wall around the emulator's domain, in units of its edge.
    """
    spread = np.std(start, axis=0)
    posterior = posterior.softened(np.where(spread > 0.0, spread, 1.0))
    u0 = jax.vmap(posterior.to_real)(jnp.asarray(start))
    final, rate = _run(
        posterior,
        u0,
        jnp.asarray(1.0 / temperature),
        jnp.asarray(reach),
        jax.random.key(seed),
        steps,
    )
    x = jax.vmap(posterior.from_real)(final)
    return np.asarray(x), float(rate)
