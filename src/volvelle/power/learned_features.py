"""What the rests of the learned linear power are functions of, and the neutrinos they are added up
from."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities

PARAMETERS = ("omega_b", "omega_cdm", "h", "m_nu", "N_eff", "Omega_k", "w0", "wa")
"""What the late rest depends on, in the order of the features."""
EARLY_PARAMETERS = ("omega_b", "omega_cdm", "m_nu", "N_eff")
"""What the early rest depends on most."""
_RANGES = {
    "omega_b": (0.0225, 0.0055),
    "omega_cdm": (0.135, 0.065),
    "h": (0.725, 0.225),
    "m_nu": (0.3, 0.3),
    "N_eff": (3.25, 1.25),
    "Omega_k": (0.0, 0.1),
}
"""Middle and half width of parameters, for their features."""
_CURVATURE_SCALE = 2.0
_DARK, _DARK_SCALE = (1.0, 0.75, 0.5, 0.3), 3.0
EARLY_WIDTH, LATE_WIDTH = len(EARLY_PARAMETERS) + 1, len(_RANGES) + len(_DARK)
"""Numbers of features."""


def early_features(cosmology: Cosmology, mass: Array | float) -> Float[Array, " e"]:
    """What the early rest is a smooth function of.

    ``EARLY_PARAMETERS``, and curvature over matter, which is a small correction. ``mass`` [eV] of
    the one massive neutrino stands in the place of the cosmology's own. Beyond the edges of the
    training in all but curvature and dark energy it is that of the edge.
    """
    own = [_scaled(cosmology, name, mass) for name in EARLY_PARAMETERS]
    curvature = jnp.asarray(cosmology.Omega_k / cosmology.Omega_m)
    return jnp.stack([*own, _CURVATURE_SCALE * curvature])


def late_features(cosmology: Cosmology, mass: Array | float) -> Float[Array, " l"]:
    """What the late rest is a smooth function of.

    The parameters that set the early universe and curvature, and dark energy by its pressure:
    (1 + w) Omega_de at the times ``_DARK``. ``mass`` as in ``early_features``.
    """
    found = densities(cosmology)
    a = jnp.asarray(_DARK)
    equation = found.w0 + found.wa * (1.0 - a)
    dark = (1.0 + equation) * found.dark(a) / found.total(a)
    own = jnp.stack([_scaled(cosmology, name, mass) for name in _RANGES])
    return jnp.concatenate([own, _DARK_SCALE * dark])


def _scaled(cosmology: Cosmology, name: str, mass: Array | float) -> Array:
    middle, half = _RANGES[name]
    value = mass if name == "m_nu" else getattr(cosmology, name)
    x = (jnp.asarray(value) - middle) / half
    if name == "Omega_k":
        return x
    # no clip: its derivative at an edge, no mass say, is half of the function's
    return jnp.where(x < -1.0, -1.0, jnp.where(x > 1.0, 1.0, x))


def massive_states(cosmology: Cosmology) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Masses [eV] and how often each, the first none: r = r(0) + sum_i [r(m_i) - r(0)]."""
    masses = cosmology.neutrino_masses
    if cosmology.neutrino_hierarchy == "degenerate":
        return jnp.stack([jnp.zeros_like(masses[0]), masses[0]]), jnp.array([-2.0, 3.0])
    number = masses.shape[0]
    numbers = jnp.array([1.0 - number, *(1.0,) * number])
    return jnp.concatenate([jnp.zeros(1), masses]), numbers


def pair_products(
    masses: Float[Array, " n"], numbers: Float[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The sum of the products of two states' masses, and the mass of one of three alike."""
    total = jnp.sum(numbers * masses)
    return 0.5 * (total**2 - jnp.sum(numbers * masses**2)), total / 3.0


def excess_mass(
    masses: Float[Array, " n"], numbers: Float[Array, " n"]
) -> tuple[float, Float[Array, ""]]:
    """The heaviest mass that is learned, and how much more than that there is in all."""
    middle, half = _RANGES["m_nu"]
    last = middle + half
    return last, jnp.sum(numbers * jnp.where(masses > last, masses - last, 0.0))
