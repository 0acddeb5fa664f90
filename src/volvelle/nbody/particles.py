"""Particles as arguments: lists, NumPy or JAX arrays become arrays of one precision, or errors."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.cosmology.neutrinos import is_traced

from .errors import ParticleError


def as_floats(values: Any, name: str) -> Array:
    """An array of float32 or float64: other numbers become JAX's default, complex ones an error."""
    try:
        if any(isinstance(each, str) for each in jax.tree.leaves(values)):
            raise TypeError("there is text among them")
        array = jnp.asarray(values)
    except (TypeError, ValueError) as error:
        raise ParticleError(f"{name} are no array of numbers: {error}") from error
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ParticleError(f"{name} are complex; expected real numbers")
    wide = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize >= 4
    return array if wide else array.astype(float)


def check_finite(array: Array, name: str) -> None:
    """Raise ParticleError for NaN or infinity among values that are known."""
    if not is_traced(array) and not bool(jnp.isfinite(array).all()):
        wrong = int(jnp.sum(~jnp.isfinite(array)))
        raise ParticleError(
            f"{wrong} of {array.size} {name} are NaN or infinite; expected finite numbers"
        )


def as_positions(positions: Any) -> Float[Array, "n 3"]:
    """Positions [N, 3]; raises ParticleError for another shape, NaN or infinity."""
    array = as_floats(positions, "positions")
    if array.ndim != 2 or array.shape[1] != 3:
        raise ParticleError(f"positions of shape {array.shape}; expected [particles, 3] in Mpc/h")
    check_finite(array, "coordinates")
    return array


def as_particles(positions: Any) -> Float[Array, "n 3"]:
    """Positions [N, 3] of one particle at least; raises ParticleError as ``as_positions``."""
    array = as_positions(positions)
    if len(array) == 0:
        raise ParticleError("no particles; a density contrast needs one at least")
    return array


def as_weights(weights: Any, number: int) -> Float[Array, " n"]:
    """Weights [N]; a single number stands for all."""
    array = as_floats(weights, "weights")
    if array.shape not in ((), (number,)):
        raise ParticleError(
            f"weights of shape {array.shape} for {number} particles; expected ({number},)"
        )
    check_finite(array, "weights")
    return jnp.broadcast_to(array, (number,))
