"""ln L at many points at once: one compiled program for all that ask for it.

A likelihood of projected spectra takes far longer to compile than to evaluate, and the search for a
start, the checks before sampling, importance weights and the evidence all need its values, of other
numbers of points each. So the program has a fixed size, and is told how many of its points to
evaluate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from volvelle.inference.devices import AXIS, mesh_for
from volvelle.inference.posterior import Posterior

BLOCK = 256
"""Points of one call on one device."""
BATCH = 64
"""Of them evaluated at once, where that is faster."""
FEW = 4
"""Points that a processor evaluates one after another in no more time than at once."""


def one_by_one(posterior: Posterior) -> bool:
    """Whether points take less when they are evaluated one after another than at once.

    Projections are arithmetic on arrays that are long already for one point.
    """
    return posterior.projects and jax.default_backend() == "cpu"


def over(posterior: Posterior, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that evaluates ln P, of the leading axis of its arguments, one by one or at once.

    One by one, a loop in the function ends with its own point, not with the longest of all.
    """
    at_once = jax.vmap(function)

    def evaluate(*items: Any) -> Any:
        few = jax.default_backend() == "cpu" and len(jax.tree.leaves(items)[0]) <= FEW
        if few or one_by_one(posterior):
            return jax.lax.map(lambda each: function(*each), items)
        return at_once(*items)

    return evaluate


def log_likelihoods_at(posterior: Posterior, x: np.ndarray) -> np.ndarray:
    """ln L [n] at parameters ``x`` [n, d]; NaN where it is."""
    x = np.asarray(x, dtype=float)
    devices = len(jax.local_devices())
    mesh, most = mesh_for(devices), devices * BLOCK
    plain = replace(posterior, softness=None)  # of which ln L knows nothing
    found = [_block(plain, x[i : i + most], devices, mesh) for i in range(0, len(x), most)]
    return np.concatenate(found) if found else np.zeros(0)


def log_probs_at(posterior: Posterior, x: np.ndarray) -> np.ndarray:
    """ln P [n] at parameters ``x`` [n, d], as ``Posterior.log_prob``."""
    value = np.asarray(_log_priors(posterior, jnp.asarray(x))) + log_likelihoods_at(posterior, x)
    return np.where(np.isnan(value), -np.inf, value)


def log_probs_real_at(posterior: Posterior, u: np.ndarray) -> np.ndarray:
    """ln density [n] of unbounded coordinates ``u`` [n, d], as ``Posterior.log_prob_real``."""
    x, log_jacobian = map(np.asarray, _from_real(posterior, jnp.asarray(u)))
    return log_probs_at(posterior, x) + log_jacobian


@eqx.filter_jit
def _log_priors(posterior: Posterior, x: Array) -> Array:
    return jax.vmap(posterior.log_prior)(x)


@eqx.filter_jit
def _from_real(posterior: Posterior, u: Array) -> tuple[Array, Array]:
    return jax.vmap(posterior.from_real)(u), jax.vmap(posterior.log_jacobian)(u)


def _block(posterior: Posterior, x: np.ndarray, devices: int, mesh: Mesh | None) -> np.ndarray:
    """Of no more points than fit, in equal shares."""
    shares = np.array_split(x, devices)
    points = np.zeros((devices, BLOCK, x.shape[1]))
    for device, share in enumerate(shares):
        points[device, : len(share)] = share
    counts = jnp.array([len(share) for share in shares])
    values = np.asarray(_values(posterior, jnp.asarray(points), counts, mesh))
    return np.concatenate([v[: len(s)] for v, s in zip(values, shares, strict=True)])


@eqx.filter_jit
def _values(posterior: Posterior, points: Array, counts: Array, mesh: Mesh | None) -> Array:
    """ln L [devices, BLOCK] of the first ``counts`` [devices] of each device's points."""
    arrays, rest = eqx.partition(posterior, eqx.is_array)

    def of_a_device(arrays: Posterior, points: Array, counts: Array) -> Array:
        log_likelihood = eqx.combine(arrays, rest).log_likelihood
        x, count = points[0], counts[0]

        def row(i: Array, values: Array) -> Array:
            return values.at[i].set(log_likelihood(x[i]).astype(values.dtype))

        def batch(i: Array, values: Array) -> Array:
            some = jax.lax.dynamic_slice_in_dim(x, i * BATCH, BATCH)
            new = jax.vmap(log_likelihood)(some).astype(values.dtype)
            return jax.lax.dynamic_update_slice_in_dim(values, new, i * BATCH, axis=0)

        values, done = jnp.full(BLOCK, jnp.nan), jnp.zeros_like(count)
        if not one_by_one(posterior):
            done = count // BATCH
            values = jax.lax.fori_loop(0, done, batch, values)
        return jax.lax.fori_loop(done * BATCH, count, row, values)[None]

    if mesh is None:
        return of_a_device(arrays, points, counts)
    specs = (P(), P(AXIS), P(AXIS))
    return jax.shard_map(
        of_a_device, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False
    )(arrays, points, counts)
