"""Spherical collapse and the formation of halos, by fits of Mead 2017 (MNRAS 464, 1282).

All in a universe of matter (neutrinos as matter), curvature and dark energy, without radiation, as
the simulations are behind the fits.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import Densities, densities
from volvelle.cosmology.growth import GrowthTable, growth_table
from volvelle.cosmology.quadrature import gauss_legendre

_EARLY = 1e-4
"""a at which matter is all there is."""
_TABLE = 1e-5
"""a at which ``GrowthTable`` begins, in equal steps of ln a to today."""
_RADIATION = 1e-10
"""omega of what radiation is left, so that growth starts in its growing mode."""
_DOLAG_Z = 10.0
"""Redshift that stands for the time of formation in the correction of Dolag et al. 2004."""
_LINDER = 0.55
"""d ln D / d ln a = Omega_m^0.55 in a flat universe with a cosmological constant."""

Redshifts = Float[Array, " z"]


class Collapse(eqx.Module):
    """Growth without radiation, and what collapses in it."""

    found: Densities
    growth: GrowthTable
    f_nu: Float[Array, ""]

    @classmethod
    def of(cls, cosmology: Cosmology) -> "Collapse":
        """The universe of the fits; raises ParameterError without h."""
        true = densities(cosmology)
        matter, zero = jnp.asarray(cosmology.omega_m), jnp.zeros(())
        h2 = jnp.asarray(cosmology.hubble_parameter) ** 2
        found = Densities(
            photons=zero + _RADIATION,
            massless=zero,
            matter=matter,
            curvature=h2 - matter - true.dark_energy - _RADIATION,
            dark_energy=true.dark_energy,
            w0=true.w0,
            wa=true.wa,
            state=zero,
            ratios=jnp.zeros(0),
        )
        return cls(found, growth_table(found), jnp.asarray(cosmology.omega_nu) / matter)

    def today(self, a: Redshifts) -> Redshifts:
        """D, 1 today."""
        return self.growth(a)[0]

    def early(self, a: Redshifts) -> Redshifts:
        """D, a among matter."""
        return self.today(a) * (_EARLY / self.today(jnp.asarray(_EARLY)))

    def matter_fraction(self, a: Redshifts) -> Redshifts:
        """Omega_m(a)."""
        return self.found.matter / a**3 / self.found.total(a)

    def thresholds(self, a: Redshifts) -> tuple[Redshifts, Redshifts]:
        """delta_c and Delta_v (Mead 2017, appendix A), with the neutrinos of HMcode."""
        u, weights = gauss_legendre(32)
        whole = (self.early(a[..., None] * u) / u) @ jnp.asarray(weights)  # int_0^a D dln a
        x, y = 1.0 - self.early(a) / a, 1.0 - whole / a
        log = jnp.log10(self.matter_fraction(a))

        def fit(p0: float, p1: float, p2: float, p3: float) -> Redshifts:
            return p0 + p1 * x + p2 * x**2 + p3 * y

        linear = fit(-0.0069, -0.0208, 0.0312, 0.0021) * log
        linear = 1.0 + linear + fit(0.0001, -0.0647, -0.0417, 0.0646)
        virial = fit(-0.79, -10.17, 2.51, 6.51) * log + fit(-1.89, 0.38, 18.8, -15.87) * log**2
        delta_c = 0.15 * (12.0 * np.pi) ** (2.0 / 3.0) * linear * (1.0 - 0.041 * self.f_nu)
        return delta_c, 18.0 * np.pi**2 * (1.0 + virial) * (1.0 + 0.763 * self.f_nu)

    def formation(self, growth: Redshifts) -> Redshifts:
        """ln a at which D (1 today) has a value: the growth table, read the other way round."""
        table = self.growth
        x = np.log(_TABLE) * np.linspace(1.0, 0.0, len(table.growth))
        logs, slopes = jnp.log(table.growth), table.growth / table.first
        at = jnp.log(growth)
        n = jnp.clip(jnp.searchsorted(logs, at, side="right") - 1, 0, len(x) - 2)
        width = logs[n + 1] - logs[n]
        t = (at - logs[n]) / width
        grid, rest = jnp.asarray(x), 1.0 - t
        up = t * t * (3.0 - 2.0 * t)
        value = grid[n] + up * (grid[n + 1] - grid[n])
        return value + width * t * rest * (rest * slopes[n] - t * slopes[n + 1])

    def dolag(self, a: Redshifts) -> Redshifts:
        """Concentrations over those with a cosmological constant in a flat universe (Dolag et al.
        2004), growth since z = 10 compared."""
        first = 1.0 / (1.0 + _DOLAG_Z)
        a = jnp.maximum(a, first)
        h2 = self.found.total(jnp.ones(()))
        ratio = h2 / self.found.matter - 1.0
        u, weights = gauss_legendre(24)
        length = jnp.log(a / first)
        x = np.log(first) + length[..., None] * u
        rate = (1.0 + ratio * jnp.exp(3.0 * x)) ** -_LINDER
        flat = length * (rate @ jnp.asarray(weights))  # ln D(a) / D(first)
        return jnp.exp(flat) * self.today(jnp.asarray(first)) / self.today(a)
