"""One-to-one maps from the real line onto an interval, for samplers that know no edges.

Without a softness the map is the logistic function. It is as wide as the interval, so that a
posterior that is narrow against it and leans on an edge becomes a funnel: next to the edge x grows
like exp(u), and a width of sigma at x = 3 sigma is a narrow one in u. With a softness s,

    x = lower + s [softplus(u/s) - softplus(u/s - b)],   b = (upper - lower)/s,

is u itself, up to a constant, farther than s from the edges, and exponential nearer to them. For s
much larger than the interval it is the logistic function again.

A tenth of the posterior's width serves both kinds of posterior that run into an edge: the plain one
is unbent over nearly all of its width, and where the width of x depends on another parameter (if
nothing is there to decay, any rate will do) x has the scale-free coordinate that the neck needs.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]
CLOSEST = 1e-9  # of the width: a point on the edge is moved inside by that
SHARP = 0.1  # softness for a posterior, in its widths


def from_line(u: Scalar, lower: float, upper: float, softness: Scalar | None = None) -> Scalar:
    """A point of the interval."""
    if softness is None:
        return lower + (upper - lower) * jax.nn.sigmoid(u)
    a, b = u / softness, (upper - lower) / softness
    return lower + softness * (jax.nn.softplus(a) - jax.nn.softplus(a - b))


def to_line(x: Scalar, lower: float, upper: float, softness: Scalar | None = None) -> Scalar:
    """Inverse of ``from_line``."""
    p = jnp.clip((x - lower) / (upper - lower), CLOSEST, 1.0 - CLOSEST)
    if softness is None:
        return jnp.log(p) - jnp.log1p(-p)
    b = (upper - lower) / softness
    y = p * b
    return softness * (y + jnp.log(-jnp.expm1(-y)) - jnp.log(-jnp.expm1(y - b)))


def log_slope(u: Scalar, lower: float, upper: float, softness: Scalar | None = None) -> Scalar:
    """ln dx/du of ``from_line``."""
    if softness is None:
        return math.log(upper - lower) + jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u)
    a, b = u / softness, (upper - lower) / softness
    return jax.nn.log_sigmoid(a) + jax.nn.log_sigmoid(b - a) + jnp.log(-jnp.expm1(-b))
