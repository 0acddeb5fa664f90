"""Root mean square fluctuations of linear fields, smoothed with a sphere."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology

from .base import Spectrum
from .continuation import Continued, Species
from .filters import top_hat_variance

Points = Float[Array, " *r"]


def smoothed(
    cosmology: Cosmology, spectrum: Spectrum, r: Points, a: Points, species: Species
) -> Points:
    """sigma in spheres of radius r [Mpc] at a, elementwise, of a spectrum that is already made."""
    r, a = jnp.broadcast_arrays(jnp.asarray(r), jnp.asarray(a))
    continued = Continued(cosmology, spectrum)
    return jnp.sqrt(top_hat_variance(lambda k: continued(k, a[..., None], species), r))


def eight(cosmology: Cosmology, spectrum: Spectrum, a: Points, species: Species) -> Points:
    """sigma8 at a, of a spectrum that is already made."""
    return smoothed(cosmology, spectrum, 8.0 / jnp.asarray(cosmology.hubble_parameter), a, species)
