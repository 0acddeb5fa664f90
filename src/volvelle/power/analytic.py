"""What is known of the linear power spectrum without learning.

    ln P(k, z) = ln P_EH(k, z) + 2 W(k) ln(D_all/D_cb) + 2 ln|1 - 3 K / k^2| + 2 g(k, z)

with Eisenstein & Hu's fit (right amplitude, tilt, growth and oscillations to some percent), growth
with clustering neutrinos (D_all) on scales that they cannot leave, W = 1 there, the curvature
K = -Omega_k H0^2 / c^2, and what clustering dark energy does near the horizon (g).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities
from volvelle.cosmology.constants import HUBBLE_DISTANCE
from volvelle.cosmology.growth import GrowthTable, growth_table
from volvelle.cosmology.neutrinos import is_exactly

from .dark_energy import HorizonGrowth
from .eisenstein_hu import EisensteinHu, EisensteinHuSpectrum

_SCALE, _SLOPE, _SMALL = 0.12, 1.5, 1e-4
"""W = 1 / (1 + (k / k_half)^_SLOPE), k_half = _SCALE sqrt(m omega_m / eV) [1/Mpc], a few times the
largest free-streaming scale; the mass m of a state is rounded off at _SMALL [eV], and W is the mean
over states by their density."""
LOWEST_MODE = 8.0
"""In a closed universe there is no mode below k^2 = 8 K."""
_NO_CURVATURE = 1e-20  # K [1/Mpc^2], far below any k^2
_SOUND = 147.0
"""Sound horizon that wavenumbers are stretched to [Mpc]."""
_OSCILLATING, _FADE = (8e-3, 1.5), 0.35
"""Wavenumbers between which they are, and the width of its ends in ln k."""

Points = Float[Array, " *k"]


class Analytic(eqx.Module):
    """What is known without learning, of one universe."""

    fit: EisensteinHuSpectrum
    all_growth: GrowthTable
    horizon: HorizonGrowth
    streaming: Float[Array, " n"]
    """k^_SLOPE at which W is a half, of each massive state."""
    shares: Float[Array, " n"]
    """Of each in their density."""
    neutrinos: Float[Array, ""]
    """Their fraction of all matter today."""
    curvature: Float[Array, ""] | None
    """K [1/Mpc^2]; None where it is known to be 0."""

    @classmethod
    def of(cls, cosmology: Cosmology) -> Analytic:
        """Raises ParameterError without h."""
        found = densities(cosmology)
        masses = jnp.sqrt(cosmology.neutrino_masses**2 + _SMALL**2)
        scale = _SCALE**2 * masses * cosmology.omega_m
        hubble = jnp.asarray(cosmology.hubble_parameter) / HUBBLE_DISTANCE
        growth = growth_table(found, clustering_neutrinos=True)
        flat = is_exactly(cosmology.Omega_k, 0.0)
        return cls(
            fit=EisensteinHu().spectrum(cosmology),
            all_growth=growth,
            horizon=HorizonGrowth.of(cosmology, growth),
            streaming=scale ** (_SLOPE / 2.0),
            shares=masses / jnp.sum(masses),
            neutrinos=jnp.asarray(cosmology.omega_nu / cosmology.omega_m),
            curvature=None if flat else -jnp.asarray(cosmology.Omega_k) * hubble**2,
        )

    @property
    def sound_horizon(self) -> Float[Array, ""]:
        """Where baryons leave the photons, by Eisenstein & Hu's fit [Mpc]."""
        if self.fit.wiggles is None:
            raise TypeError("the smooth fit has no sound horizon")
        return self.fit.wiggles.sound

    @property
    def first_mode(self) -> Float[Array, ""] | None:
        """The smallest k of a closed universe; next to nothing in others [1/Mpc], and None in one
        that is known to be flat."""
        if self.curvature is None:
            return None
        return jnp.sqrt(LOWEST_MODE * jnp.maximum(self.curvature, _NO_CURVATURE))

    def exists(self, k: Points) -> Points:
        """Whether the universe has modes of k."""
        if self.curvature is None:
            return jnp.ones(jnp.shape(k), bool)
        return k**2 >= LOWEST_MODE * self.curvature

    def log_power(self, k: Points, a: Points) -> tuple[Points, Points]:
        """ln P of matter and of baryons + cold dark matter, where there are modes."""
        both = [
            jnp.log(growth(a)[0]) - jnp.log(growth.growth[0])
            for growth in (self.all_growth, self.fit.growth)
        ]
        free = jnp.exp(_SLOPE * jnp.log(k))[..., None]
        weight = jnp.sum(self.shares * self.streaming / (self.streaming + free), axis=-1)
        cb = jnp.log(self.fit.matter(k, a)) + 2.0 * weight * (both[0] - both[1])
        cb = cb + 2.0 * self.horizon(k, a)
        if self.curvature is not None:
            bent = jnp.where(self.exists(k), 1.0 - 3.0 * self.curvature / k**2, 1.0)
            cb = cb + 2.0 * jnp.log(jnp.abs(bent))
        return cb + 2.0 * jnp.log1p(-self.neutrinos * (1.0 - weight)), cb


def stretched(log_k: Points | np.ndarray, sound_horizon: Float[Array, ""] | float) -> Points:
    """ln k in units in which acoustic oscillations have the same phase in every universe.

    ln k + V(k) ln(r_s / 147 Mpc), where V is 1 among the oscillations and 0 far from them; it
    increases with k for sound horizons from 80 to 270 Mpc.
    """
    x = jnp.asarray(log_k)
    low, high = np.log(_OSCILLATING)
    weight = jax.nn.sigmoid((x - low) / _FADE) * jax.nn.sigmoid((high - x) / _FADE)
    return x + weight * jnp.log(sound_horizon / _SOUND)
