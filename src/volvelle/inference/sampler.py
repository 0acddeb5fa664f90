"""Markov chains in whitened coordinates: one loop for every sampler.

A sampler has a ``State``, a tuning and three functions, ``init``, ``step`` and ``adapt``; warm-up
and sampling are the same compiled loop, as compiling costs more than the steps.
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

from volvelle.inference.adaptation import FIXED, schedule
from volvelle.inference.errors import InferenceError
from volvelle.inference.laplace import Laplace
from volvelle.inference.posterior import Posterior

State = TypeVar("State")
Tuning = TypeVar("Tuning")
LogDensity = Callable[[Float[Array, " d"]], Float[Array, ""]]
Progress = Callable[[int, int], None]

OVERDISPERSION = 1.5  # of the chains' starting points, in Laplace standard deviations
CANDIDATES = 20  # starting points tried per chain
CHUNK = 50  # steps between two reports of progress; the last chunk may run past the last draw


class Info(eqx.Module):
    """What every step tells: acceptance, divergence, evaluations of the density."""

    acceptance: Float[Array, ""]
    divergent: Array
    evaluations: Array


class Sampler(eqx.Module, Generic[State, Tuning]):
    """A Markov kernel with tuning: subclasses are final."""

    @property
    @abstractmethod
    def warmup_steps(self) -> int:
        """Steps of the warm-up."""

    @abstractmethod
    def start(self, dimension: int) -> Tuning:
        """The tuning before the warm-up, a pytree of arrays."""

    @abstractmethod
    def init(self, log_density: LogDensity, z: Array) -> State:
        """The state at a position."""

    @abstractmethod
    def step(
        self, log_density: LogDensity, tuning: Tuning, key: Array, state: State
    ) -> tuple[State, Info]:
        """One transition."""

    @abstractmethod
    def adapt(self, tuning: Tuning, phase: Array, state: State, info: Info) -> Tuning:
        """The tuning after a step of a phase (see ``adaptation``); unchanged in phase FIXED."""

    @abstractmethod
    def position(self, state: State) -> Array:
        """The position of a state."""

    @abstractmethod
    def log_density(self, state: State) -> Array:
        """ln density of a state, in the coordinates of its position."""


@dataclass(frozen=True)
class Chains:
    """Samples of the parameters [c, n, d] with their ln posterior [c, n].

    ``acceptance`` and ``divergences`` are of the draws; ``evaluations`` counts the warm-up too.
    """

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

    @property
    def divergent(self) -> float:
        """Share of the draws whose trajectory diverged: where it did, samples are missing."""
        return self.divergences / len(self.flat)


class Whitened(eqx.Module):
    """ln density of z, with u = mode + L z."""

    posterior: Posterior
    mode: Float[Array, " d"]
    factor: Float[Array, "d d"]

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        return self.posterior.log_prob_real(self.mode + self.factor @ z)


@eqx.filter_jit
def _init(target: Whitened, sampler: Sampler, z: Array) -> tuple[Any, Array]:
    states = jax.vmap(lambda p: sampler.init(target, p))(z)
    return states, jax.vmap(sampler.log_density)(states)


@eqx.filter_jit
def _advance(
    target: Whitened, sampler: Sampler, carry: Any, key: Array, first: Array, phases: Array
) -> Any:
    """Steps ``first``, ``first + 1``, ... of all chains, one per phase."""

    def one(carry: Any, inputs: Any) -> Any:
        index, phase = inputs

        def single(k: Array, tuning: Any, state: Any) -> Any:
            state, info = sampler.step(target, tuning, k, state)
            return (sampler.adapt(tuning, phase, state, info), state), info

        chains = jax.tree.leaves(carry)[0].shape[0]
        keys = jax.random.split(jax.random.fold_in(key, index), chains)
        (tuning, states), info = jax.vmap(single)(keys, *carry)
        z = jax.vmap(sampler.position)(states)
        return (tuning, states), (z, jax.vmap(sampler.log_density)(states), info)

    return jax.lax.scan(one, carry, (first + jnp.arange(len(phases)), phases))


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
        progress: called with (draws done, draws) about every fifty steps, first with 0.

    Raises:
        InferenceError: fewer than two chains, no draws, or no finite starting point.
    """
    if chains < 2 or draws < 10:
        raise InferenceError(
            f"{chains} chains of {draws} draws; give at least 2 chains of 10 draws"
        )
    target = Whitened(posterior, jnp.asarray(laplace.u), jnp.asarray(laplace.factor))
    key, start_key = jax.random.split(jax.random.key(seed))
    states = _starting_states(target, sampler, start_key, chains)
    d = len(posterior.names)
    # an explicit dtype: a weakly typed array would compile the loop twice
    tuning = jax.tree.map(
        lambda a: jnp.full((chains, *a.shape), a, dtype=a.dtype), sampler.start(d)
    )
    warm = sampler.warmup_steps
    phases = np.full(-(-(warm + draws) // CHUNK) * CHUNK, FIXED)
    phases[:warm] = schedule(warm)
    carry = (tuning, states)
    parts: list[Any] = []
    for first in range(0, len(phases), CHUNK):
        part = jnp.asarray(phases[first : first + CHUNK])
        carry, traced = _advance(target, sampler, carry, key, jnp.asarray(first), part)
        parts.append(jax.tree.map(np.asarray, traced))
        if progress is not None:
            progress(min(max(first + CHUNK - warm, 0), draws), draws)
    z, log_density, info = jax.tree.map(lambda *a: np.concatenate(a), *parts)
    kept = slice(warm, warm + draws)
    samples, log_prob = _parameters(posterior, laplace, z[kept], log_density[kept])
    return Chains(
        posterior.names,
        samples,
        log_prob,
        float(np.mean(info.acceptance[kept])),
        int(np.sum(info.divergent[kept])),
        int(np.sum(info.evaluations[: warm + draws])),
    )


def _starting_states(target: Whitened, sampler: Sampler, key: Array, chains: int) -> Any:
    """States at the first ``chains`` of many over-dispersed points that the posterior allows."""
    shape = (CANDIDATES * chains, len(target.mode))
    states, values = _init(target, sampler, OVERDISPERSION * jax.random.normal(key, shape))
    finite = np.where(np.isfinite(np.asarray(values)))[0]
    if len(finite) < chains:
        raise InferenceError(
            f"only {len(finite)} of {shape[0]} starting points around the maximum have a finite "
            "posterior; check the priors near the maximum"
        )
    return jax.tree.map(lambda a: a[finite[:chains]], states)


@eqx.filter_jit
def _from_real(posterior: Posterior, u: Array) -> tuple[Array, Array]:
    return jax.vmap(posterior.from_real)(u), jax.vmap(posterior.log_jacobian)(u)


def _parameters(
    posterior: Posterior, laplace: Laplace, z: np.ndarray, log_density: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters [c, n, d] and ln posterior [c, n] of positions [n, c, d] and their ln density."""
    u = laplace.u + np.swapaxes(z, 0, 1) @ laplace.factor.T
    x, log_jacobian = _from_real(posterior, jnp.asarray(u.reshape(-1, u.shape[2])))
    log_prob = log_density.T - np.asarray(log_jacobian).reshape(u.shape[:2])
    return np.array(x).reshape(u.shape), log_prob
