"""Fourier transform of the profile of Navarro, Frenk & White 1997, cut at the virial radius.

With kappa = k r_s and y = (1 + c) kappa,

    m(c) W = g(kappa) - g(y) cos(c kappa) - p(y) sin(c kappa) / y,   m(c) = ln(1 + c) - c / (1 + c),

where f and g are the auxiliary functions of the sine and cosine integrals (Abramowitz & Stegun
5.2.6-7), and p = 1 - y f(y). Both are monotonic, so that splines of (1 + x^2) g and (1 + x^2) p in
ln x with constant nodes give them at once, and no terms cancel at large x.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import sici

from volvelle.cosmology.interpolation import Nodes, hermite
from volvelle.cosmology.quadrature import gauss_legendre

_FIRST, _LAST, _STEP = 1e-7, 1e6, 0.05

Points = Float[Array, " *k"]


@lru_cache(maxsize=1)
def _table() -> tuple[Nodes, np.ndarray]:
    """Nodes in ln x; values and slopes (times the step) of both functions, shape (x, 4)."""
    log_x = np.arange(np.log(_FIRST), np.log(_LAST), _STEP)
    x = np.exp(log_x)
    sine, cosine = sici(x)
    f = cosine * np.sin(x) + (np.pi / 2.0 - sine) * np.cos(x)
    g = -cosine * np.cos(x) + (np.pi / 2.0 - sine) * np.sin(x)
    p = 1.0 - x * f
    # where these cancel: g = int t e^(-x t) / (1 + t^2), p = int t^2 e^(-s) / (1 + t^2), s = x t
    s, weight = gauss_legendre(64)
    s, weight = 45.0 * s, 45.0 * weight * np.exp(-45.0 * s)
    far = x > 4.0
    t = s / x[far, None]
    g[far] = (t / (1.0 + t**2)) @ weight / x[far]
    p[far] = (t**2 / (1.0 + t**2)) @ weight
    values = np.stack([(1.0 + x**2) * g, (1.0 + x**2) * p], -1)
    nodes = Nodes.of(log_x)
    step = (log_x[-1] - log_x[0]) / (len(log_x) - 1)
    return nodes, np.concatenate([values, step * (nodes.slopes @ values)], -1)


def _auxiliary(log_x: Points) -> tuple[Points, Points]:
    """g and p."""
    nodes, table = _table()
    n, t, _ = nodes.locate(log_x)
    low, high = jnp.asarray(table[:-1])[n], jnp.asarray(table[1:])[n]
    w0, w1, s0, s1 = (w[..., None] for w in hermite(t))
    both = w0 * low[..., :2] + w1 * high[..., :2] + s0 * low[..., 2:] + s1 * high[..., 2:]
    both = both / (1.0 + jnp.exp(2.0 * log_x))[..., None]
    return both[..., 0], both[..., 1]


def _transform(kappa: Points, c: Points) -> tuple[Points, Points, Points]:
    """m W and its derivatives with respect to ln kappa and c, by g' = -p / x and f' = -g."""
    y, phase = (1.0 + c) * kappa, c * kappa
    sine, cosine = jnp.sin(phase), jnp.cos(phase)
    (g, p), (outer_g, outer_p) = _auxiliary(jnp.log(kappa)), _auxiliary(jnp.log(y))
    value = g - outer_g * cosine - outer_p * sine / y
    rate = outer_p * cosine / (1.0 + c) + sine * (1.0 / y - kappa * outer_g) - p
    return value, rate, sine * kappa / y**2


@jax.custom_jvp
def _mass_transform(kappa: Points, c: Points) -> Points:
    return _transform(kappa, c)[0]


@_mass_transform.defjvp
def _(primals: tuple[Points, Points], tangents: tuple[Points, Points]) -> tuple[Points, Points]:
    value, by_log_kappa, by_c = _transform(*primals)
    return value, by_log_kappa * (tangents[0] / primals[0]) + by_c * tangents[1]


def nfw(kappa: Points, c: Points) -> Points:
    """W, 1 at small k, of a halo of concentration c, at kappa = k r_s."""
    kappa, c = jnp.broadcast_arrays(kappa, c)
    return _mass_transform(kappa, c) / (jnp.log1p(c) - c / (1.0 + c))
