"""What radiation does to waves near the horizon, long before today.

Beyond the horizon the curvature eta of the synchronous gauge is constant, which makes Einstein's
equation for energy (Ma & Bertschinger 1995, eq. 21a) one of first order: among matter and radiation

    delta = [y^3 - 2 y^2 + 8 y + 16 - 16 sqrt(1 + y)] / y^2,        y = a / a_eq,

where a wave within it grows as y + 2/3 (Meszaros 1974), as the growth factor does. Between the two
the logarithm of their ratio fades as 1 / (1 + (k tau / x)^2), tau the conformal time. Baryons move
with the photons, not with cold dark matter; in the rest frame of all matter, whose density P is,
the logarithm is smaller. That factor and x were found from solutions of CLASS at z = 300 and 990.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.cosmology.background import Densities
from volvelle.cosmology.constants import HUBBLE_DISTANCE

_ENTRY = 3.0
"""k tau at which a wave is half within the horizon."""
_HELD = 0.85
"""What the motion of baryons leaves of the logarithm, for omega_cdm 0.09 to 0.16."""

Points = Float[Array, " *k"]


class EarlyGrowth(eqx.Module):
    """ln of a wave's power over that of waves within the horizon, up to a constant."""

    equality: Float[Array, ""]
    """a at which matter and radiation, neutrinos included, have the same density."""
    time: Float[Array, ""]
    """tau = time (sqrt(1 + y) - 1) [Mpc]."""

    @classmethod
    def of(cls, found: Densities) -> EarlyGrowth:
        """Of one universe."""
        radiation = found.photons + found.massless + found.state * found.ratios.size
        equality = radiation / found.matter
        return cls(equality, 2.0 * HUBBLE_DISTANCE * jnp.sqrt(equality / found.matter))

    def __call__(self, k: Points, a: Points) -> Points:
        """At k [1/Mpc] and a, elementwise; it tends to 0 on small scales and late."""
        y = a / self.equality
        root = jnp.sqrt(1.0 + y)
        beyond = (y**3 - 2.0 * y**2 + 8.0 * y + 16.0 - 16.0 * root) / y**2
        within = y + 2.0 / 3.0
        tau = self.time * (root - 1.0)
        return 2.0 * _HELD * jnp.log(beyond / within) / (1.0 + (k * tau / _ENTRY) ** 2)
