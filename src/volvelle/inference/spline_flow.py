"""A normalising flow of coupling layers with rational-quadratic splines (Durkan et al. 2019).

Every layer leaves one half of the coordinates as it is and moves the other half by monotonic
splines, then scales and shifts them; a small network of the first half says how.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BINS = 8
BOUND = 6.0  # of the splines, beyond which they are the identity
LEAST = 1e-3  # width, height and slope of a bin, of the whole interval's or of 1
LARGEST = 3.0  # of the logarithm of a scale
PER_COORDINATE = 3 * BINS + 1  # widths, heights, inner slopes, ln scale, shift


def start(key: Array, dimension: int, layers: int, hidden: int) -> list[dict[str, Array]]:
    """Parameters of a flow that is the identity."""
    made = []
    for layer in range(layers):
        given, moved = _halves(dimension, layer)
        key, weights = jax.random.split(key)
        made.append(
            {
                "w1": jax.random.normal(weights, (len(given), hidden)) / np.sqrt(len(given)),
                "b1": jnp.zeros(hidden),
                "w2": jnp.zeros((hidden, len(moved) * PER_COORDINATE)),
                "b2": jnp.zeros(len(moved) * PER_COORDINATE),
            }
        )
    return made


def forward(parameters: Any, x: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """The point where the flow takes ``x``, and ln |det| of the map there."""
    log_det = jnp.zeros(())
    for layer, weights in enumerate(parameters):
        given, moved = _halves(len(x), layer)
        hidden = jnp.tanh(x[given] @ weights["w1"] + weights["b1"])
        raw = (hidden @ weights["w2"] + weights["b2"]).reshape(len(moved), PER_COORDINATE)
        y, slope = jax.vmap(spline)(x[moved], raw[:, :-2])
        log_scale = LARGEST * jnp.tanh(raw[:, -2] / LARGEST)
        x = x.at[moved].set(y * jnp.exp(log_scale) + raw[:, -1])
        log_det = log_det + jnp.sum(slope + log_scale)
    return x, log_det


def spline(x: Float[Array, ""], raw: Float[Array, " m"]) -> tuple[Array, Array]:
    """A monotonic map of [-bound, bound] onto itself, and ln of its slope (eqs. 4-6 there)."""
    widths, heights = (_shares(raw[i * BINS : (i + 1) * BINS]) for i in range(2))
    # zero in means a slope of one
    inner = LEAST + (1.0 - LEAST) * jax.nn.softplus(raw[2 * BINS :] + jnp.log(jnp.e - 1.0))
    slopes = jnp.concatenate([jnp.ones(1), inner, jnp.ones(1)])
    edges, levels = (
        jnp.concatenate([-jnp.full(1, BOUND), -BOUND + jnp.cumsum(v)]) for v in (widths, heights)
    )
    inside = jnp.abs(x) < BOUND
    at = jnp.where(inside, x, 0.0)
    i = jnp.clip(jnp.searchsorted(edges, at) - 1, 0, BINS - 1)
    w, h, low, high = widths[i], heights[i], slopes[i], slopes[i + 1]
    s, t = h / w, (at - edges[i]) / w
    both = t * (1.0 - t)
    below = s + (low + high - 2.0 * s) * both
    y = levels[i] + h * (s * t**2 + low * both) / below
    steep = s**2 * (high * t**2 + 2.0 * s * both + low * (1.0 - t) ** 2) / below**2
    return jnp.where(inside, y, x), jnp.where(inside, jnp.log(steep), 0.0)


def _shares(raw: Array) -> Array:
    return 2.0 * BOUND * (LEAST + (1.0 - BINS * LEAST) * jax.nn.softmax(raw))


def _halves(dimension: int, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Which coordinates a layer reads and which it moves: every second, then neighbours."""
    index = np.arange(dimension)
    parity = (index // (1 + layer // 2 % 2) + layer) % 2
    if parity.min() == parity.max():  # two coordinates, taken as neighbours
        parity = (index + layer) % 2
    return index[parity == 0], index[parity == 1]
