"""Root mean square fluctuations of linear fields, smoothed with a sphere."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology

from .base import Spectrum
from .continuation import Continued, Species
from .filters import top_hat_variance

Points = Float[Array, " *r"]
S = TypeVar("S", bound=Spectrum)
_TRIAL = 2e-9
"""A_s of a spectrum whose sigma8 is set afterwards."""


def smoothed(
    cosmology: Cosmology, spectrum: Spectrum, r: Points, a: Points, species: Species
) -> Points:
    """sigma in spheres of radius r [Mpc] at a, elementwise, of a spectrum that is already made."""
    r, a = jnp.broadcast_arrays(jnp.asarray(r), jnp.asarray(a))
    continued = Continued(cosmology, spectrum)
    return jnp.sqrt(top_hat_variance(lambda k: continued(k, a[..., None], species), r))


def normalised(cosmology: Cosmology, make: Callable[[Cosmology], S]) -> S:
    """A spectrum with a ``factor`` as ``make`` makes it of A_s, with the cosmology's own sigma8 if
    it has that instead."""
    if cosmology.sigma8 is None:
        return make(cosmology)
    trial = cosmology.replace(sigma8=None, A_s=_TRIAL)
    made = make(trial)
    factor = (cosmology.sigma8 / eight(trial, made, jnp.ones(()), "matter")) ** 2
    return eqx.tree_at(lambda s: s.factor, made, made.factor * factor)


def eight(cosmology: Cosmology, spectrum: Spectrum, a: Points, species: Species) -> Points:
    """sigma8 at a, of a spectrum that is already made."""
    return smoothed(cosmology, spectrum, 8.0 / jnp.asarray(cosmology.hubble_parameter), a, species)
