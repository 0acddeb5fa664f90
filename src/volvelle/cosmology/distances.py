"""Distances and times of the homogeneous universe, by Gauss's quadrature in u = sqrt(a).

With a = u^2 the integrands of distance and sound horizon tend to a constant or to u, through
matter and radiation, down to a = 0: one rule of fixed order serves every redshift, each integral is
exact to rounding at small distances, and so are all derivatives. Distances are in Mpc, per time a
cost of 32 densities: for many thousands of times tabulate (``volvelle.probes`` does).
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.compute import require_float64

from .background import Densities, densities, expansion
from .checking import checked_scale_factor
from .constants import HUBBLE_DISTANCE, HUBBLE_TIME
from .cosmology import Cosmology
from .quadrature import gauss_legendre

_ORDER = 32
_SERIES = 1e-2
"""|K chi^2| below which the curved distance is summed as a series (four terms: 1e-16)."""

Scales = Float[Array, " *a"]
Integrand = Callable[[Float[Array, " *u"]], Float[Array, " *u"]]


def _integral(integrand: Integrand, low: Scales, high: Scales) -> Scales:
    """Integral over u from ``low`` to ``high``, elementwise."""
    nodes, weights = gauss_legendre(_ORDER)
    width = (high - low)[..., None]
    u = low[..., None] + width * nodes
    return jnp.sum(integrand(u) * weights, axis=-1) * width[..., 0]


def radial_distance(found: Densities, a: Scales) -> Scales:
    """c int_a^1 da / (a^2 H) [Mpc]."""

    def integrand(u: Float[Array, " *u"]) -> Float[Array, " *u"]:
        return 2.0 / (u**3 * expansion(found, u**2))

    return HUBBLE_DISTANCE * _integral(integrand, jnp.sqrt(a), jnp.ones_like(a))


def curved_distance(chi: Scales, found: Densities) -> Scales:
    """S_K(chi), from the radial to the transverse comoving distance [Mpc].

    sin(sqrt(K) chi) / sqrt(K) with K = -Omega_k H0^2 / c^2, continued through K = 0.
    """
    x = -found.curvature * (chi / HUBBLE_DISTANCE) ** 2
    near = jnp.where(jnp.abs(x) < _SERIES, x, 0.0)
    series = 1.0 - near / 6.0 * (1.0 - near / 20.0 * (1.0 - near / 42.0 * (1.0 - near / 72.0)))
    closed = jnp.sqrt(jnp.where(x >= _SERIES, x, 1.0))
    open_ = jnp.sqrt(jnp.where(x <= -_SERIES, -x, 1.0))
    far = jnp.where(x > 0.0, jnp.sin(closed) / closed, jnp.sinh(open_) / open_)
    return chi * jnp.where(jnp.abs(x) < _SERIES, series, far)


def comoving_distance(cosmology: Cosmology, a: Scales | float) -> Scales:
    """Radial comoving distance chi(a) = c int_a^1 da' / (a'^2 H(a')) [Mpc].

    Args:
        a: scale factor, above 0 and at most 1.

    Raises ScaleFactorError for other times (NaN where a is traced), ParameterError without h,
    ExpansionError where the universe has H^2 <= 0 on the way, PrecisionError where JAX computes in
    float32, which has a to 6e-8 only: 1e-4 of the distance to z = 0.001.
    """
    require_float64("comoving_distance")
    return radial_distance(densities(cosmology), checked_scale_factor(a))


def transverse_comoving_distance(cosmology: Cosmology, a: Scales | float) -> Scales:
    """D_M = S_K(chi) [Mpc], the comoving size that a unit angle has at a.

    Arguments and errors as ``comoving_distance``.
    """
    require_float64("a distance")
    found = densities(cosmology)
    return curved_distance(radial_distance(found, checked_scale_factor(a)), found)


def angular_diameter_distance(cosmology: Cosmology, a: Scales | float) -> Scales:
    """D_A = a D_M [Mpc]. Arguments and errors as ``comoving_distance``."""
    return jnp.asarray(a) * transverse_comoving_distance(cosmology, a)


def luminosity_distance(cosmology: Cosmology, a: Scales | float) -> Scales:
    """D_L = D_M / a [Mpc]. Arguments and errors as ``comoving_distance``."""
    return transverse_comoving_distance(cosmology, a) / jnp.asarray(a)


def lookback_time(cosmology: Cosmology, a: Scales | float) -> Scales:
    """Time since a, int_a^1 da' / (a' H) [Gyr]; the age of the universe is ``age``.

    Arguments and errors as ``comoving_distance``.
    """
    require_float64("lookback_time")
    found, at = densities(cosmology), checked_scale_factor(a)
    return HUBBLE_TIME * _integral(_time(found), jnp.sqrt(at), jnp.ones_like(at))


def age(cosmology: Cosmology, a: Scales | float = 1.0) -> Scales:
    """Time from the beginning to a [Gyr]. Arguments and errors as ``comoving_distance``."""
    require_float64("age")
    found, at = densities(cosmology), checked_scale_factor(a)
    return HUBBLE_TIME * _integral(_time(found), jnp.zeros_like(at), jnp.sqrt(at))


def _time(found: Densities) -> Integrand:
    def integrand(u: Float[Array, " *u"]) -> Float[Array, " *u"]:
        return 2.0 / (u * expansion(found, u**2))

    return integrand


def sound_horizon(cosmology: Cosmology, a: Scales | float) -> Scales:
    """Comoving sound horizon of the photons and baryons at a [Mpc].

    r_s = int_0^a c_s da' / (a'^2 H), c_s = c / sqrt(3 (1 + R)), R = 3 omega_b a / (4 omega_gamma).
    At the drag or last-scattering redshift, which only a solver (or an emulator) gives, it is
    r_drag or r_*. In a curved universe it is radial; CLASS's is transverse, ``curved_distance`` of
    it. Arguments and errors as ``comoving_distance``.
    """
    require_float64("sound_horizon")
    found, at = densities(cosmology), checked_scale_factor(a)
    loading = 0.75 * cosmology.omega_b / found.photons

    def integrand(u: Float[Array, " *u"]) -> Float[Array, " *u"]:
        return 2.0 / (u**3 * expansion(found, u**2) * jnp.sqrt(3.0 * (1.0 + loading * u**2)))

    return HUBBLE_DISTANCE * _integral(integrand, jnp.zeros_like(at), jnp.sqrt(at))
