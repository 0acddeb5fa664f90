"""Nested sampling: the evidence from prior shells (Skilling 2006; slices of blackjax).

Points live in the unit cube of the priors' quantiles. The new ones come from slices along
directions of the live points' covariance (Yallup, Kroupa & Handley 2026, arXiv:2601.23252).

A prior is far wider than what an emulator learned. Beyond ``REACH`` times the edge of its domain
its word counts for nothing: there the likelihood vanishes, with a slope that leads inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.ns.base import NSInfo
from blackjax.ns.utils import finalise, log_weights
from jaxtyping import Array
from scipy.special import logsumexp

from volvelle.inference.batches import log_likelihoods_at
from volvelle.inference.checkpoint import Checkpoint, fingerprint
from volvelle.inference.drawn import Chains
from volvelle.inference.errors import InferenceError
from volvelle.inference.importance import effective_number, systematic
from volvelle.inference.posterior import Posterior

_Info: Any = NSInfo  # blackjax asks for details of the updates that nobody reads

CHUNK = 10  # rounds of deletion between two looks at what is left
SIMULATIONS = 200  # of the shrinkage, for the error of ln Z
TRIES = 200  # points of the prior tried per live point
REACH = 1.5  # of an emulator's word, in units of the edge of its domain
OUTSIDE = 1e12  # minus ln L per ln of the distance, beyond that
EVALUATIONS = 2  # of a slice, besides its expansions and shrinkages: its first two ends
LIVE_PER_PARAMETER = 10  # at least, for the covariance of the live points
MOST_ROUNDS = 100_000


@dataclass(frozen=True)
class Nested:
    """How many points live, and when it ends.

    ``slices``: per new point, by default 3 per parameter and at least 5; fewer leave it near the
    point it came from and make ln Z too large. ``remainder``: share of the evidence that the live
    points may still hold at the end (it is counted all the same). ``batch``: points replaced at
    once, by default a tenth of the live ones.
    """

    live: int = 500
    slices: int | None = None
    remainder: float = 0.01
    batch: int | None = None

    def sizes(self, dimension: int) -> tuple[int, int]:
        """Slices and batch for so many parameters; raises InferenceError where they do not fit."""
        slices = max(5, 3 * dimension) if self.slices is None else self.slices
        batch = max(1, self.live // 10) if self.batch is None else self.batch
        least = LIVE_PER_PARAMETER * dimension
        if self.live < least or not 1 <= batch <= self.live // 2 or slices < 1:
            raise InferenceError(
                f"nested sampling of {dimension} parameters with {self.live} live points, {batch} "
                f"replaced at once, {slices} slices each; give live >= {least}, "
                "1 <= batch <= live/2, slices >= 1"
            )
        return slices, batch


def _algorithm(posterior: Posterior, slices: int, batch: int) -> Any:
    def inside(p: Array) -> Array:
        return jnp.all((p > 0.0) & (p < 1.0))

    def log_prior(p: Array) -> Array:
        return jnp.where(inside(p), 0.0, -jnp.inf)

    def log_likelihood(p: Array) -> Array:
        value = _log_likelihood(posterior, _point(posterior, jnp.where(inside(p), p, 0.5)))
        return jnp.where(inside(p) & ~jnp.isnan(value), value, -jnp.inf)

    return blackjax.nss(log_prior, log_likelihood, num_inner_steps=slices, num_delete=batch)


def _log_likelihood(posterior: Posterior, x: Array) -> Array:
    value = posterior.log_likelihood(x)
    distance = getattr(posterior.theory, "distance", None)
    if distance is None:
        return value
    far = distance(x[: posterior.n_theory])
    return jnp.where(far > REACH, -OUTSIDE * jnp.log(far), value)


def _point(posterior: Posterior, p: Array) -> Array:
    return jnp.stack([prior.quantile(p[i]) for i, prior in enumerate(posterior.priors)])


@eqx.filter_jit
def _begin(posterior: Posterior, p: Array, slices: int, batch: int) -> Any:
    return _algorithm(posterior, slices, batch).init(p)


@eqx.filter_jit
def _advance(
    posterior: Posterior, state: Any, key: Array, first: Array, slices: int, batch: int
) -> Any:
    """Rounds of deletion, with the points that died and the evaluations that it took."""
    step = _algorithm(posterior, slices, batch).step

    def one(state: Any, index: Array) -> Any:
        state, info = step(jax.random.fold_in(key, index), state)
        update = info.update_info
        spent = jnp.sum(update.num_expansions + update.num_shrink + EVALUATIONS)
        return state, (info.particles, spent)

    return jax.lax.scan(one, state, first + jnp.arange(CHUNK))


@eqx.filter_jit
def _points(posterior: Posterior, p: Array) -> tuple[Array, Array]:
    """Parameters of points of the unit cube, and whether they lie outside of an emulator's domain,
    where a likelihood is made up that is finite."""
    x = jax.vmap(lambda q: _point(posterior, q))(p)
    distance = getattr(posterior.theory, "distance", None)
    if distance is None:
        return x, jnp.zeros(len(x), dtype=bool)
    return x, jax.vmap(distance)(x[:, : posterior.n_theory]) > REACH


def _finite(posterior: Posterior, p: Array) -> np.ndarray:
    x, outside = map(np.asarray, _points(posterior, p))
    return outside | np.isfinite(log_likelihoods_at(posterior, x))


def run_nested(
    posterior: Posterior,
    method: Nested,
    *,
    chains: int,
    draws: int,
    seed: int,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Chains:
    """ln Z and samples of the posterior, which are resampled by their weights.

    Needs no gradients and no start. Where the likelihood vanishes or is undefined on a part of the
    prior, that part counts as of no weight, and so does what lies far outside of the domain of an
    emulator.

    Args:
        chains, draws: how many samples are returned; ``effective`` of the result says how many of
            them are independent.

    Raises:
        InferenceError: too few live points, or hardly any point of the prior with a likelihood.
    """
    slices, batch = method.sizes(len(posterior.names))
    start_key, key, shrink_key = jax.random.split(jax.random.key(seed), 3)
    p, share, tried = _live(posterior, method.live, start_key)
    state = _begin(posterior, p, slices, batch)
    dead: list[Any] = []
    spent, done = tried + method.live, 0
    checkpoint = None
    if folder is not None:
        given = [repr(method), chains, draws, seed, posterior.names]
        checkpoint = Checkpoint(folder, fingerprint(given, [state.particles.loglikelihood]))
        found = checkpoint.load(state)
        if found is not None:
            done, state, parts = found
            kind = type(state.particles)
            dead = [kind(*map(jnp.asarray, part[:-1])) for part in parts]
            spent += sum(int(part[-1]) for part in parts)
    while not _exhausted(state, method.remainder):
        if done * CHUNK > MOST_ROUNDS:
            raise InferenceError(
                f"nested sampling has not ended after {MOST_ROUNDS} rounds; the likelihood may "
                "grow without bound"
            )
        first = jnp.asarray(done * CHUNK)
        state, (particles, evaluations) = _advance(posterior, state, key, first, slices, batch)
        dead.append(jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), particles))
        spent, done = spent + int(jnp.sum(evaluations)), done + 1
        if checkpoint is not None:
            checkpoint.save(done, state, [*dead[-1], np.asarray(jnp.sum(evaluations))])
        say(f"nested sampling, {len(dead[-1].loglikelihood) * done} points: {_words(state)}")
    everything = finalise(state, [_Info(each, None) for each in dead], update_info=False)
    return _result(posterior, everything, share, tried, shrink_key, (chains, draws, seed, spent))


def _result(
    posterior: Posterior,
    dead: Any,
    share: float,
    tried: int,
    key: Array,
    size: tuple[int, int, int, int],
) -> Chains:
    """Evidence and samples of all points that died; ``share`` of the prior has a likelihood."""
    chains, draws, seed, spent = size
    simulated = np.asarray(log_weights(key, dead, SIMULATIONS))
    log_z = logsumexp(simulated, axis=0) + np.log(share)
    # of the share of the prior, which was counted
    counting = np.sqrt((1.0 - share) / (share * tried))
    weights = logsumexp(simulated, axis=1) - np.log(SIMULATIONS)
    effective = effective_number(weights)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(systematic(weights, chains * draws, rng))
    x = jax.vmap(lambda q: _point(posterior, q))(dead.particles.position[chosen])
    log_prior = np.asarray(jax.vmap(posterior.log_prior)(x))
    log_like = np.asarray(dead.particles.loglikelihood)[chosen]
    shape = (chains, draws)
    return Chains(
        posterior.names,
        np.array(x).reshape(*shape, -1),
        (log_prior + log_like).reshape(shape),
        1.0,
        0,
        spent,
        0,
        spent,
        effective,
        {
            "log_evidence": float(np.mean(log_z)),
            "log_evidence_error": float(np.hypot(np.std(log_z), counting)),
            "correction": "resampled by the weights of nested sampling",
            "weights_effective": effective,
        },
    )


def _live(posterior: Posterior, live: int, key: Array) -> tuple[Array, float, int]:
    """Points of the prior with a finite likelihood, its share of such, and how many were tried."""
    found: list[np.ndarray] = []
    tried = 0
    while sum(map(len, found)) < live:
        if tried >= TRIES * live:
            raise InferenceError(
                f"only {sum(map(len, found))} of {tried} points of the prior have a finite "
                "likelihood; narrow the priors to where it is defined"
            )
        shape = (live, len(posterior.names))
        p = jax.random.uniform(jax.random.fold_in(key, tried), shape)
        found.append(np.asarray(p)[_finite(posterior, p)])
        tried += live
    points = np.concatenate(found)
    return jnp.asarray(points[:live]), len(points) / tried, tried


def _exhausted(state: Any, remainder: float) -> bool:
    integrator = state.integrator
    return bool(integrator.logZ_live - integrator.logZ < np.log(remainder))


def _words(state: Any) -> str:
    integrator = state.integrator
    total = jnp.logaddexp(integrator.logZ, integrator.logZ_live)
    left = float(jnp.exp(integrator.logZ_live - total))
    return f"ln Z = {float(integrator.logZ):.2f}, {100 * left:.2g} per cent still to come"
