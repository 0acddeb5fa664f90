"""Markov chains in whitened coordinates: one loop for every sampler.

A sampler has a ``State``, a tuning and three functions, ``begin``, ``step`` and ``adapt``; warm-up
and sampling are the same compiled loop, as compiling costs more than the steps.
Chains run in z, with u = mode + L z the posterior's unbounded coordinates and L L^T its Laplace
covariance, so that a good emulator starts every sampler at unit scale.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from volvelle.inference.adaptation import FIXED, schedule
from volvelle.inference.batches import over
from volvelle.inference.checkpoint import Checkpoint, fingerprint
from volvelle.inference.coordinates import (
    Target,
    Whitened,
    densities_at,
    gradients_at,
    parameters_of,
    traced_once,
)
from volvelle.inference.devices import AXIS, mesh_for, placed
from volvelle.inference.diagnostics import Diagnostics, diagnose
from volvelle.inference.drawn import Chains
from volvelle.inference.errors import InferenceError
from volvelle.inference.laplace import Laplace
from volvelle.inference.posterior import Posterior

State = TypeVar("State")
Tuning = TypeVar("Tuning")
LogDensity = Callable[[Float[Array, " d"]], Float[Array, ""]]
Progress = Callable[[int, int], None]
Watch = Callable[[int, Diagnostics], None]

OVERDISPERSION = 1.5  # of the chains' starting points, in Laplace standard deviations
CANDIDATES = 20  # starting points tried per chain
CHUNK = 50  # steps between two reports of progress; the last chunk may run past the last draw
FIRST_LOOK = 100  # draws before which R-hat says nothing


class Info(eqx.Module):
    """What every step tells: acceptance, divergence, evaluations of the density.

    ``gradients``: those of the evaluations that came with a gradient.
    """

    acceptance: Float[Array, ""]
    divergent: Array
    evaluations: Array
    gradients: Array


class Sampler(eqx.Module, Generic[State, Tuning]):
    """A Markov kernel with tuning: subclasses are final."""

    @property
    @abstractmethod
    def warmup_steps(self) -> int:
        """Steps of the warm-up."""

    @property
    def together(self) -> int:
        """Positions of one state, [w, d]; 0 for a single one, [d]."""
        return 0

    @property
    def longest(self) -> int:
        """Evaluations of a step that was cut off at its limit; 0 where there is none."""
        return 0

    def bound(self, names: tuple[str, ...]) -> Sampler[State, Tuning]:
        """The same for parameters of these names, checked against them."""
        return self

    def whitened(self, laplace: Laplace) -> Laplace:
        """The approximation whose coordinates z the chains run in."""
        return laplace

    @abstractmethod
    def start(self, dimension: int) -> Tuning:
        """The tuning before the warm-up, a pytree of arrays."""

    @property
    def differentiates(self) -> bool:
        """Whether its steps take gradients."""
        return True

    @abstractmethod
    def begin(self, z: Array, log_density: Array, gradient: Array) -> State:
        """The state at a position, with the ln density there and, for a sampler that
        ``differentiates``, its gradient."""

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


@eqx.filter_jit
def _advance(
    target: Target,
    sampler: Sampler,
    carry: Any,
    key: Array,
    first: Array,
    phases: Array,
    mesh: Mesh | None = None,
) -> Any:
    """Steps ``first``, ``first + 1``, ... of all chains, one per phase.

    With a mesh every device runs its own chains: none waits for the longest trajectory of another.
    """

    density = traced_once(target)

    def one(carry: Any, inputs: Any) -> Any:
        keys, phase = inputs

        def single(k: Array, tuning: Any, state: Any) -> Any:
            state, info = sampler.step(density, tuning, k, state)
            return (sampler.adapt(tuning, phase, state, info), state), info

        (tuning, states), info = over(target.posterior, single)(keys, *carry)
        z = jax.vmap(sampler.position)(states)
        return (tuning, states), (z, jax.vmap(sampler.log_density)(states), info)

    chains = jax.tree.leaves(carry)[0].shape[0]
    indices = first + jnp.arange(len(phases))
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key, i), chains))(indices)
    if mesh is None:
        return jax.lax.scan(one, carry, (keys, phases))
    split = jax.shard_map(
        lambda *given: jax.lax.scan(one, given[0], given[1:]),
        mesh=mesh,
        in_specs=(P(AXIS), P(None, AXIS), P()),
        out_specs=(P(AXIS), P(None, AXIS)),
        check_vma=False,
    )
    return split(carry, keys, phases)


def run_chains(
    posterior: Posterior,
    laplace: Laplace,
    sampler: Sampler,
    *,
    chains: int,
    draws: int,
    seed: int,
    progress: Progress | None = None,
    watch: Watch | None = None,
    folder: Path | None = None,
    coordinates: Callable[[Posterior, Laplace], Target] = Whitened.of,
) -> Chains:
    """Tune and run independent chains from over-dispersed starts.

    The chains advance together, spread over the devices of this process as far as their number
    can be divided by that of the devices.

    Args:
        laplace: where the chains start and the scale of z; draws: kept per chain;
        progress: called with (draws done, draws) about every fifty steps, first with 0;
        watch: called about ten times with the draws done and R-hat and effective sample size;
        folder: keeps every chunk, to go on from; another run's files there are removed;
        coordinates: how z is made of posterior and approximation.

    Raises:
        InferenceError: fewer than two chains, no draws, a sampler that does not fit the
            parameters, or no finite starting point.
    """
    if chains < 2 or draws < 10:
        raise InferenceError(
            f"{chains} chains of {draws} draws; give at least 2 chains of 10 draws"
        )
    sampler = sampler.bound(posterior.names)
    target = coordinates(posterior, sampler.whitened(laplace))
    key, start_key = jax.random.split(jax.random.key(seed))
    begun = _starting_states(target, sampler, start_key, chains)
    # an explicit dtype: a weakly typed array would compile the loop twice
    tuning = jax.tree.map(
        lambda a: jnp.full((chains, *a.shape), a, dtype=a.dtype),
        sampler.start(len(posterior.names)),
    )
    checkpoint = None
    if folder is not None:
        given = [repr(sampler), chains, draws, seed, posterior.names]
        arrays = [laplace.u, laplace.factor, begun.log_density]
        checkpoint = Checkpoint(folder, fingerprint(given, arrays))
    warm = sampler.warmup_steps

    def report(done: int, traced: list[list[np.ndarray]]) -> None:
        if progress is not None:
            progress(done, draws)
        if watch is not None and _time_to_look(done, draws):
            z, log_density = _drawn(traced, warm, done)
            watch(done, diagnose(posterior.names, parameters_of(target, z, log_density)[0]))

    traced = _run(target, sampler, (tuning, begun.states), key, draws, checkpoint, report)
    samples, log_prob = parameters_of(target, *_drawn(traced, warm, draws))
    acceptance, divergent, evaluations, gradients = _joined(traced)[2:]
    kept = slice(warm, warm + draws)
    facts = {}
    if sampler.longest and np.any(evaluations[kept] >= sampler.longest):
        facts["at_max_depth"] = float(np.mean(evaluations[kept] >= sampler.longest))
    return Chains(
        posterior.names,
        samples,
        log_prob,
        float(np.mean(acceptance[kept])),
        int(np.sum(divergent[kept])),
        int(np.sum(evaluations[: warm + draws])) + begun.evaluations,
        int(np.sum(gradients[: warm + draws])) + begun.gradients,
        int(np.sum(evaluations[kept])),
        facts=facts,
    )


@dataclass(frozen=True)
class _Begun:
    """States of all chains, ln density at all points that were tried, gradients taken."""

    states: Any
    log_density: np.ndarray
    gradients: int

    @property
    def evaluations(self) -> int:
        """Of the density, those with a gradient included."""
        return len(self.log_density) + self.gradients


def _run(
    target: Target,
    sampler: Sampler,
    carry: Any,
    key: Array,
    draws: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int, list[list[np.ndarray]]], None],
) -> list[list[np.ndarray]]:
    """What every chunk of warm-up and draws traced, finished ones taken from the disk."""
    warm = sampler.warmup_steps
    phases = np.full(-(-(warm + draws) // CHUNK) * CHUNK, FIXED)
    phases[:warm] = schedule(warm)
    traced: list[list[np.ndarray]] = []
    found = None if checkpoint is None else checkpoint.load(carry)
    if found is not None:
        _, carry, traced = found
    mesh = mesh_for(jax.tree.leaves(carry)[0].shape[0])
    carry = placed(carry, mesh, P(AXIS))
    for number in range(len(traced), len(phases) // CHUNK):
        first = number * CHUNK
        part = jnp.asarray(phases[first : first + CHUNK])
        carry, new = _advance(target, sampler, carry, key, jnp.asarray(first), part, mesh)
        traced.append([np.asarray(leaf) for leaf in jax.tree.leaves(new)])
        if checkpoint is not None:
            checkpoint.save(number + 1, carry, traced[-1])
        report(min(max(first + CHUNK - warm, 0), draws), traced)
    return traced


def _time_to_look(done: int, draws: int) -> bool:
    """Whether the chunk that ends here passed a tenth of the draws."""
    return done >= FIRST_LOOK and 10 * done // draws > 10 * max(done - CHUNK, 0) // draws


def _joined(traced: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Positions, ln density and the parts of ``Info``, of all steps."""
    return [np.concatenate(leaves) for leaves in zip(*traced, strict=True)]


def _drawn(traced: list[list[np.ndarray]], warm: int, done: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions [c, n, d] and ln density [c, n] of the draws; walkers are chains."""
    z, log_density = (a[warm : warm + done] for a in _joined(traced)[:2])
    z = z.reshape(len(z), -1, z.shape[-1])
    return np.swapaxes(z, 0, 1), log_density.reshape(len(z), -1).T


def _starting_states(target: Target, sampler: Sampler, key: Array, chains: int) -> _Begun:
    """States at the first of many over-dispersed points that the posterior allows.

    Of ensembles there are many walkers: they are looked for in as many rounds as it takes.
    """
    shape = (chains, sampler.together, len(target.posterior.names))
    if not sampler.together:
        shape = (chains, len(target.posterior.names))
    needed, d = int(np.prod(shape[:-1])), shape[-1]
    rounds, size = (CANDIDATES, needed) if sampler.together else (1, CANDIDATES * needed)
    points, values = np.zeros((0, d)), np.zeros(0)
    while np.sum(np.isfinite(values)) < needed and len(values) < rounds * size:
        now = jax.random.fold_in(key, len(values)) if sampler.together else key
        drawn = jax.random.normal(now, (size, d))
        z = OVERDISPERSION * np.asarray(drawn)
        points = np.concatenate([points, z])
        values = np.concatenate([values, densities_at(target, z)])
    finite = np.flatnonzero(np.isfinite(values))
    if len(finite) < needed:
        raise InferenceError(
            f"only {len(finite)} of {len(values)} starting points around the maximum have a finite "
            "posterior; check the priors near the maximum"
        )
    z, value = jnp.asarray(points[finite[:needed]]), jnp.asarray(values[finite[:needed]])
    gradient = gradients_at(target, z) if sampler.differentiates else jnp.zeros_like(z)
    states = jax.vmap(sampler.begin)(
        z.reshape(shape), value.reshape(shape[:-1]), gradient.reshape(shape)
    )
    return _Begun(states, values, len(z) * sampler.differentiates)
