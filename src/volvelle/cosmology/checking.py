"""Checks of what is handed to functions of a cosmology: an error, or NaN where JAX is tracing."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .errors import ScaleFactorError
from .neutrinos import is_traced

ROUNDING = 1e-12
"""Beyond today by less than this is today."""


def checked_scale_factor(
    a: Float[Array, " *a"] | float, latest: float | None = 1.0
) -> Float[Array, " *a"]:
    """``a`` as an array of floats; above 0 and, unless ``latest`` is None, not after it.

    Raises ScaleFactorError; a traced value that cannot be becomes NaN.
    """
    at = jnp.asarray(a, dtype=jnp.result_type(float))
    highest = np.inf if latest is None else latest * (1.0 + ROUNDING)
    if is_traced(at):
        return jnp.where((at > 0.0) & (at <= highest), at, jnp.nan)
    values = np.asarray(at)
    bad = ~((values > 0.0) & (values <= highest))
    if np.any(bad):
        upper = "" if latest is None else f" and {latest:g}"
        words = "above 0" if latest is None else f"between 0{upper}"
        raise ScaleFactorError(
            f"the scale factor a is {values[bad].flat[0]:.6g}; expected values {words} (a = 1 is "
            "today; a = 1 / (1 + z))"
        )
    return at
