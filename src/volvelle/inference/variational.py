"""Stochastic variational inference by numpyro: a guide that is fitted until its bound settles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from volvelle.inference.batches import over
from volvelle.inference.checkpoint import Checkpoint, fingerprint
from volvelle.inference.coordinates import Whitened, densities_at, traced_once
from volvelle.inference.devices import AXIS, free_of_devices, mesh_for, placed
from volvelle.inference.errors import InferenceError
from volvelle.inference.guides import Guide, Kind, draw_eps, forward, log_normal
from volvelle.inference.posterior import Posterior

PARAMETERS = "guide$params"
CLIP = 10.0  # norm of a gradient of the bound, beyond which it is shortened
CHUNK = 250  # steps between two looks at the bound
LOOKS = 512  # draws that the bound is evaluated with, the same ones at every look
REDUCTION = 0.3  # of the learning rate, when a chunk brought nothing
REDUCTIONS = 3  # after which a chunk that brings nothing ends the fit
TOLERANCE = 0.01  # gain of the bound per chunk that counts as nothing
RATES: dict[Kind, float] = {"normal": 0.005, "bnaf": 0.005, "spline": 0.002}


@dataclass(frozen=True)
class Variational:
    """How a guide is fitted.

    ``particles``: draws per step; ``max_steps``: where a fit that has not settled is given up.
    """

    guide: Kind = "normal"
    particles: int = 16
    max_steps: int = 20_000
    learning_rate: float | None = None
    uncorrected: bool = False


@dataclass(frozen=True)
class Fitted:
    """A guide with its bound on ln Z (the ELBO) and that one's error; whether it had settled.

    ``bounds``: the bound after every chunk, all by the same draws.
    """

    guide: Guide
    elbo: float
    error: float
    settled: bool
    steps: int
    gradients: int
    evaluations: int
    bounds: tuple[float, ...]


def fit_guide(
    target: Whitened,
    settings: Variational,
    *,
    seed: int,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Fitted:
    """Maximise the evidence lower bound with Adam.

    After every 250 steps the bound of the parameters, averaged over these steps, is evaluated at
    the same 512 draws. A chunk that gained no more than 0.01, or than the error of the paired
    difference, lowers the learning rate to 0.3 of what it was; the fourth such chunk ends the fit.
    The bound that is returned comes from fresh draws. The draws of a step are spread over the
    devices of this process as far as their number can be divided by that of the devices.

    Args:
        folder: keeps every chunk: a fit that was killed goes on from the last one.

    Raises:
        InferenceError: the bound is not finite.
    """
    d = len(target.posterior.names)
    begin, steps_key, looks_key, last_key = jax.random.split(jax.random.key(seed), 4)
    guide = Guide.start(settings.guide, d, begin)
    rate = settings.learning_rate or RATES[settings.guide]
    mesh = mesh_for(settings.particles)
    state = _start(target, guide, steps_key, settings.particles, mesh)
    eps = draw_eps(looks_key, LOOKS, d)
    terms = _bound(target, guide, eps)
    checkpoint, looks = None, [terms]
    if folder is not None:
        given = [repr(settings), seed, target.posterior.names]
        checkpoint = Checkpoint(folder, fingerprint(given, [target.mode, target.factor, terms]))
        found = checkpoint.load((state, guide))
        if found is not None:
            _, (state, guide), parts = found
            looks += [part[0] for part in parts]
    state, guide = placed((state, guide), mesh, P())
    chunks = -(-settings.max_steps // CHUNK)
    while len(looks) <= chunks and _without_gain(looks) <= REDUCTIONS:
        lowered = jnp.asarray(rate * REDUCTION ** _without_gain(looks), dtype=float)
        state, guide = _advance(target, guide, state, lowered, settings.particles, mesh)
        looks.append(_bound(target, guide, eps))
        say(f"{settings.guide} guide, step {CHUNK * (len(looks) - 1)}: {_words(looks)}")
        if checkpoint is not None:
            checkpoint.save(len(looks) - 1, (state, guide), [looks[-1]])
    last = _bound(target, guide, draw_eps(last_key, 2 * LOOKS, d))
    if not np.all(np.isfinite(last)):
        raise InferenceError(
            f"the bound is not finite: ln P is not at {np.sum(~np.isfinite(last))} of {len(last)} "
            "draws of the guide; check the likelihood far from the maximum, or choose a sampler"
        )
    done = CHUNK * (len(looks) - 1)
    gradients = done * settings.particles
    return Fitted(
        free_of_devices(guide),
        float(last.mean()) + target.log_volume,
        float(last.std(ddof=1) / np.sqrt(len(last))),
        _without_gain(looks) > REDUCTIONS,
        done,
        gradients,
        gradients + LOOKS * len(looks) + len(last),
        tuple(float(v.mean()) + target.log_volume for v in looks),
    )


def _without_gain(looks: list[np.ndarray]) -> int:
    """Chunks that brought nothing."""
    return sum(not _gained(old, new) for old, new in pairwise(looks))


def _gained(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether the bound has grown by more than it may by chance, and by more than nothing."""
    if not np.all(np.isfinite(old)):
        return bool(np.all(np.isfinite(new))) or np.isfinite(new).sum() > np.isfinite(old).sum()
    gain = new - old
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    return bool(gain.mean() > max(TOLERANCE, error))


def _words(looks: list[np.ndarray]) -> str:
    value = looks[-1]
    if not np.all(np.isfinite(value)):
        return f"ln P is not finite at {np.sum(~np.isfinite(value))} of {len(value)} draws"
    error = value.std(ddof=1) / np.sqrt(len(value))
    return f"bound {value.mean():.3f} ± {error:.3f}, {_without_gain(looks)} chunks without gain"


def _bound(target: Whitened, guide: Guide, eps: Array) -> np.ndarray:
    """ln P(z) - ln q(z) at draws [n]; their mean is the evidence lower bound, without ln |L|."""
    z, log_det = forward(guide, eps)
    return densities_at(target, z) + np.asarray(log_det - jax.vmap(log_normal)(eps))


@eqx.filter_jit
def _advance(
    target: Whitened,
    guide: Guide,
    state: Any,
    rate: Array,
    particles: int,
    mesh: Mesh | None,
) -> tuple[Any, Guide]:
    """A chunk of steps at a learning rate; the guide has their average."""

    arrays, rest = eqx.partition((target, guide), eqx.is_array)

    def chunk(arrays: Any, state: Any, rate: Array) -> tuple[Any, Any]:
        whole: tuple[Whitened, Guide] = eqx.combine(arrays, rest)
        svi = _svi(*whole, particles, mesh)
        svi.init(jax.random.key(0))  # numpyro learns the sites; what it computes is thrown away
        number, (parameters, adam) = state.optim_state
        adam = adam._replace(hyperparams={**adam.hyperparams, "learning_rate": rate})
        state = state._replace(optim_state=(number, (parameters, adam)))

        def one(carry: Any, _: None) -> tuple[Any, None]:
            state, total = carry
            state, _ = svi.stable_update(state)
            return (state, jax.tree.map(jnp.add, total, _parameters(state))), None

        nothing = jax.tree.map(jnp.zeros_like, _parameters(state))
        (state, total), _ = jax.lax.scan(one, (state, nothing), None, length=CHUNK)
        return state, jax.tree.map(lambda a: a / CHUNK, total)

    if mesh is not None:
        chunk = jax.shard_map(chunk, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False)
    state, mean = chunk(arrays, state, rate)
    return state, eqx.tree_at(lambda g: g.parameters, guide, mean)


@eqx.filter_jit
def _start(target: Whitened, guide: Guide, key: Array, particles: int, mesh: Mesh | None) -> Any:
    return _svi(target, guide, particles, mesh).init(key)


def _parameters(state: Any) -> Any:
    """The guide's, which have no constraints, in a state of numpyro's."""
    return state.optim_state[1][0][PARAMETERS]


def _svi(target: Whitened, guide: Guide, particles: int, mesh: Mesh | None) -> Any:
    """numpyro's inference for the whitened posterior and a guide that starts as given.

    With a mesh it is that of one device: its own share of the particles, and the mean gradient.
    """
    import numpyro
    import numpyro.distributions as dist
    from numpyro.distributions import constraints
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.optim import optax_to_numpyro

    d, density = len(target.posterior.names), traced_once(target)

    def model() -> None:
        z: Any = numpyro.sample("z", dist.ImproperUniform(constraints.real_vector, (), (d,)))
        numpyro.factor("ln P", density(z))

    def approximation() -> None:
        parameters = numpyro.param(PARAMETERS, guide.parameters)
        made = eqx.tree_at(lambda g: g.parameters, guide, parameters)
        base = dist.Normal(jnp.zeros(d), jnp.ones(d)).to_event(1)
        numpyro.sample("z", dist.TransformedDistribution(base, [_transform(made)]))

    def clipped(learning_rate: float) -> optax.GradientTransformation:
        steps = [optax.clip_by_global_norm(CLIP), optax.adam(learning_rate)]
        return optax.chain(*steps) if mesh is None else optax.chain(_of_all(), *steps)

    adam = optax.inject_hyperparams(clipped)(learning_rate=RATES[guide.kind])
    share: Any = _share(target.posterior, mesh)  # numpyro's annotation allows no function
    loss = Trace_ELBO(particles, share)
    return SVI(model, approximation, optax_to_numpyro(adam), loss)


def _of_all() -> optax.GradientTransformation:
    """The mean of the devices' gradients."""
    return optax.stateless(
        lambda updates, _: jax.tree.map(lambda g: jax.lax.pmean(g, AXIS), updates)
    )


def _share(posterior: Posterior, mesh: Mesh | None) -> Callable[..., Any]:
    """Where numpyro maps over the particles: those of this device, their values moved to the mean
    of all (a bound that is not finite on one device stops the step on every one)."""

    def own(function: Callable[[Array], tuple[Array, Any]], keys: Array) -> tuple[Array, Any]:
        if mesh is None:
            return over(posterior, function)(keys)
        n = len(keys) // mesh.size
        mine = jax.lax.dynamic_slice_in_dim(keys, n * jax.lax.axis_index(AXIS), n)
        values, rest = over(posterior, function)(mine)
        mean = jnp.mean(values)
        return values + jax.lax.stop_gradient(jax.lax.pmean(mean, AXIS) - mean), rest

    return own


def _transform(guide: Guide) -> Any:
    """The map of a guide as numpyro's; a density is only asked for at points that were drawn."""
    from numpyro.distributions import constraints
    from numpyro.distributions.transforms import Transform

    class Forward(Transform):
        domain: Any = constraints.real_vector
        codomain: Any = constraints.real_vector

        def __call__(self, x: Array) -> Array:
            return guide.forward(x)[0]

        def call_with_intermediates(self, x: Array) -> tuple[Array, Array]:
            return guide.forward(x)

        def log_abs_det_jacobian(self, x: Array, y: Array, intermediates: Any = None) -> Array:
            return guide.forward(x)[1] if intermediates is None else intermediates

    return Forward()
