"""Markov chains in whitened coordinates: one loop for every sampler.

A sampler has a ``State`` and an ``Info`` of its own and two functions, ``init`` and ``step``.
Chains run in z, with u = mode + L z the posterior's unbounded coordinates and L L^T its Laplace
covariance, so that a good emulator starts every sampler at unit scale.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.inference.errors import InferenceError
from volvelle.inference.laplace import Laplace
from volvelle.inference.posterior import Posterior

State = TypeVar("State")
LogDensity = Callable[[Float[Array, " d"]], Float[Array, ""]]
Progress = Callable[[int, int], None]

OVERDISPERSION = 1.5  # of the chains' starting points, in Laplace standard deviations
CHUNK = 100  # steps between two reports of progress


class Info(eqx.Module):
    """What every step tells: acceptance, divergence, evaluations of the density."""

    acceptance: Float[Array, ""]
    divergent: Array
    evaluations: Array


class Sampler(eqx.Module, Generic[State]):
    """A Markov kernel with tuning: subclasses are final."""

    @abstractmethod
    def tune(self, log_density: LogDensity, z: Array, key: Array) -> tuple[Any, Array]:
        """Tuned parameters (a pytree of arrays) and the position after the warm-up, from ``z``."""

    @abstractmethod
    def init(self, log_density: LogDensity, z: Array) -> Any:
        """The state at a position."""

    @abstractmethod
    def step(self, log_density: LogDensity, tuned: Any, key: Array, state: Any) -> tuple[Any, Info]:
        """One transition."""

    @abstractmethod
    def position(self, state: Any) -> Array:
        """The position of a state."""


@dataclass(frozen=True)
class Chains:
    """Samples of the parameters [c, n, d] with their ln posterior [c, n]."""

    names: tuple[str, ...]
    samples: np.ndarray
    log_prob: np.ndarray
    acceptance: float
    divergences: int
    evaluations: int

    @property
    def flat(self) -> np.ndarray:
        """All samples [c n, d]."""
        return self.samples.reshape(-1, self.samples.shape[2])


def whitened(posterior: Posterior, laplace: Laplace) -> Callable[[Array, Posterior], Array]:
    """ln density of z; the posterior is an argument, so that equal shapes compile once."""
    mode, factor = jnp.asarray(laplace.u), jnp.asarray(laplace.factor)

    def log_density(z: Array, target: Posterior) -> Array:
        return target.log_prob_real(mode + factor @ z)

    return log_density


def run_chains(
    posterior: Posterior,
    laplace: Laplace,
    sampler: Sampler,
    *,
    chains: int,
    draws: int,
    seed: int,
    progress: Progress | None = None,
) -> Chains:
    """Tune and run independent chains from over-dispersed starts.

    Args:
        laplace: where the chains start and the scale of z; draws: kept per chain;
        progress: called with (draws done, draws) about every hundred draws.

    Raises:
        InferenceError: fewer than two chains, no draws, or no finite starting point.
    """
    if chains < 2 or draws < 10:
        raise InferenceError(
            f"{chains} chains of {draws} draws; give at least 2 chains of 10 draws"
        )
    density = whitened(posterior, laplace)
    key, start_key, tune_key = jax.random.split(jax.random.key(seed), 3)
    starts = _starting_points(posterior, density, start_key, chains, len(posterior.names))

    @eqx.filter_jit
    def warm_up(target: Posterior, keys: Array, z: Array) -> Any:
        return jax.vmap(lambda k, p: sampler.tune(lambda q: density(q, target), p, k))(keys, z)

    @eqx.filter_jit
    def advance(target: Posterior, tuned: Any, keys: Array, states: Any) -> Any:
        def function(q: Array) -> Array:
            return density(q, target)

        def one(carry: Any, k: Array) -> Any:
            def single(kk: Array, state: Any, parameters: Any) -> Any:
                return sampler.step(function, parameters, kk, state)

            new, info = jax.vmap(single)(jax.random.split(k, chains), carry, tuned)
            z = jax.vmap(sampler.position)(new)
            return new, (z, info)

        return jax.lax.scan(one, states, keys)

    tuned, z = warm_up(posterior, jax.random.split(tune_key, chains), starts)
    states = jax.vmap(lambda p: sampler.init(lambda q: density(q, posterior), p))(z)
    positions, infos = [], []
    done = 0
    while done < draws:
        size = min(CHUNK, draws - done)
        key, chunk_key = jax.random.split(key)
        states, (z, info) = advance(posterior, tuned, jax.random.split(chunk_key, size), states)
        positions.append(np.asarray(z))
        infos.append(jax.tree.map(np.asarray, info))
        done += size
        if progress is not None:
            progress(done, draws)
    return _collect(posterior, laplace, np.concatenate(positions), infos)


def _starting_points(
    posterior: Posterior, density: Callable, key: Array, chains: int, d: int
) -> Array:
    candidates = OVERDISPERSION * jax.random.normal(key, (20 * chains, d))
    values = np.asarray(jax.jit(jax.vmap(lambda z: density(z, posterior)))(candidates))
    finite = np.where(np.isfinite(values))[0]
    if len(finite) < chains:
        raise InferenceError(
            f"only {len(finite)} of {20 * chains} starting points around the maximum have a finite "
            "posterior; check the priors near the maximum"
        )
    return candidates[finite[:chains]]


def _collect(posterior: Posterior, laplace: Laplace, z: np.ndarray, infos: list[Info]) -> Chains:
    z = np.swapaxes(z, 0, 1)
    u = laplace.u + z @ laplace.factor.T
    flat = jnp.asarray(u.reshape(-1, u.shape[2]))

    @eqx.filter_jit
    def both(target: Posterior, points: Array) -> tuple[Array, Array]:
        x = jax.vmap(target.from_real)(points)
        return x, jax.vmap(target.log_prob)(x)

    parts = [both(posterior, part) for part in jnp.array_split(flat, max(1, len(flat) // 1000))]
    x = np.concatenate([np.asarray(p[0]) for p in parts])
    log_prob = np.concatenate([np.asarray(p[1]) for p in parts])
    return Chains(
        posterior.names,
        x.reshape(u.shape),
        log_prob.reshape(u.shape[:2]),
        float(np.mean(np.concatenate([i.acceptance for i in infos]))),
        int(sum(np.sum(i.divergent) for i in infos)),
        int(sum(np.sum(i.evaluations) for i in infos)),
    )
