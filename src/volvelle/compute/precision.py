"""Double precision, which theory and likelihoods need and JAX does not have by default."""

from __future__ import annotations

from .errors import PrecisionError


def require_float64(who: str) -> None:
    """Raise PrecisionError unless JAX computes in double precision."""
    import jax.numpy as jnp  # here, because workers that only run a solver need no JAX

    if jnp.result_type(float) != jnp.float64:
        raise PrecisionError(
            f"{who} needs float64 and JAX computes in float32; call "
            'jax.config.update("jax_enable_x64", True) before anything else'
        )
