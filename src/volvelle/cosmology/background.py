"""The homogeneous universe: densities and the expansion rate at any time.

H^2 = (100 km/s/Mpc)^2 sum_i omega_i(a), with photons, massless neutrinos, massive neutrinos by
their phase-space integral, baryons, cold dark matter, curvature, and a dark energy with
w = w0 + wa (1 - a) that closes the sum at a = 1. Functions take arrays of a of any shape.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .checking import checked_scale_factor
from .constants import BOLTZMANN, ELECTRON_VOLT, OMEGA_PHOTON
from .cosmology import Cosmology
from .errors import ExpansionError, NeutrinoError, ParameterError
from .neutrinos import (
    N_EFF_PER_MASSIVE_STATE,
    NEUTRINO_TEMPERATURE,
    is_traced,
    neutrino_masses_exact,
)
from .quadrature import gauss_fermi

_ORDER = 20  # of the phase-space integral: 2e-6 of one state's density at the worst mass
_FERMI = 7.0 * np.pi**4 / 120.0  # the integral of q^3 / (exp(q) + 1)
_PER_MASSLESS = 7.0 / 8.0 * (4.0 / 11.0) ** (4.0 / 3.0)  # of the photons' density
_PER_EV = ELECTRON_VOLT / (BOLTZMANN * NEUTRINO_TEMPERATURE)  # m c^2 / (k T_nu) at 1 eV, 1 K


class Densities(eqx.Module):
    """omega_i = Omega_i h^2 of all components today, and what their evolution needs."""

    photons: Float[Array, ""]
    massless: Float[Array, ""]
    matter: Float[Array, ""]
    """Baryons and cold dark matter."""
    curvature: Float[Array, ""]
    dark_energy: Float[Array, ""]
    w0: Float[Array, ""]
    wa: Float[Array, ""]
    state: Float[Array, ""]
    """One massive state as if it were massless."""
    ratios: Float[Array, " n"]
    """m c^2 / (k T) today of each massive state."""

    def massive(self, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
        """omega of the massive neutrinos at a, kinetic energy included."""
        return self.state * jnp.sum(relativistic_energy(self.ratios * a[..., None]), -1) * a**-4

    def non_relativistic(self, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
        """omega that massive neutrinos have at a beyond that of massless ones."""
        return self.massive(a) - self.ratios.size * self.state * a**-4

    def dark(self, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
        """omega of the dark energy at a."""
        growth = -3.0 * (1.0 + self.w0 + self.wa) * jnp.log(a) - 3.0 * self.wa * (1.0 - a)
        return self.dark_energy * jnp.exp(growth)

    def total(self, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
        """(H / (100 km/s/Mpc))^2 at a."""
        # not / a^4, whose derivative holds a^8: less than single precision has
        radiation = (self.photons + self.massless) * a**-4
        known = radiation + self.matter * a**-3 + self.curvature * a**-2
        return known + self.massive(a) + self.dark(a)


def relativistic_energy(y: Float[Array, " *a"]) -> Float[Array, " *a"]:
    """Energy density of a massive state over that of a massless one, y = m c^2 a / (k T_nu).

    F(y) = int q^2 sqrt(q^2 + y^2) / (e^q + 1) dq / int q^3 / (e^q + 1) dq.
    """
    q, weight = gauss_fermi(_ORDER)
    return jnp.sqrt(q**2 + y[..., None] ** 2) @ jnp.asarray(weight / _FERMI)


def densities(cosmology: Cosmology) -> Densities:
    """All components today.

    Traced parameters of a universe that cannot be (a negative density) make all of it NaN.

    Raises ParameterError without h, or where inputs that only one solver knows may change it;
    NeutrinoError for fewer neutrinos than have mass.
    """
    h2 = jnp.asarray(cosmology.hubble_parameter) ** 2
    photons = jnp.asarray(OMEGA_PHOTON * cosmology.T_cmb**4)
    masses = cosmology.neutrino_masses
    number = cosmology.N_eff_total - N_EFF_PER_MASSIVE_STATE * len(masses)
    possible = cosmology.possible & _enough_states(cosmology, masses)
    if is_traced(possible):
        h2 = jnp.where(possible, h2, jnp.nan)
    if cosmology.extra:
        raise ParameterError(
            f"{', '.join(cosmology.extra)} in extra: what only one solver knows is not in these "
            "functions; take what you need from a solution, or leave it out"
        )
    made = Densities(
        photons=photons,
        massless=_PER_MASSLESS * number * photons,
        matter=jnp.asarray(cosmology.omega_b + cosmology.omega_cdm),
        curvature=cosmology.Omega_k * h2,
        dark_energy=jnp.zeros_like(h2),
        w0=jnp.asarray(cosmology.w0),
        wa=jnp.asarray(cosmology.wa),
        state=_PER_MASSLESS * N_EFF_PER_MASSIVE_STATE * photons,
        ratios=masses * _PER_EV / cosmology.T_cmb,
    )
    rest = h2 - made.total(jnp.ones(()))
    return eqx.tree_at(lambda d: d.dark_energy, made, rest)


def _enough_states(cosmology: Cosmology, masses: Float[Array, " n"]) -> Any:
    """Whether N_eff has room for the states that have mass: those without are massless ones."""
    if is_traced(cosmology.m_nu):
        heavy: Any = jnp.sum(masses > 0.0)
    else:
        exact = neutrino_masses_exact(cosmology.m_nu, cosmology.neutrino_hierarchy)
        heavy = sum(mass > 0.0 for mass in exact)
    massless = cosmology.N_eff_total - N_EFF_PER_MASSIVE_STATE * heavy
    enough = massless >= 0.0
    if is_traced(enough) or bool(enough):
        return enough
    raise NeutrinoError(
        f"N_eff is {float(cosmology.N_eff_total):.6g}, which leaves {float(massless):.4g} massless "
        f"neutrinos beside {int(heavy)} massive ones; raise N_eff, or give mass to fewer"
    )


def squared_expansion(found: Densities, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
    """H^2 in units of (100 km/s/Mpc)^2; NaN where it is traced and not above 0.

    The universe, going back or forth from today, does not reach such times. (Growth, whose equation
    has d ln H^2 alone, would go through them.)

    Raises ExpansionError for them where they are known.
    """
    total = found.total(a)
    if is_traced(total):
        return jnp.where(total > 0.0, total, jnp.nan)
    values = np.asarray(total)
    if not np.all(values > 0.0):
        bad = np.unravel_index(np.argmin(values), values.shape)
        at = np.broadcast_to(np.asarray(a), values.shape)[bad]
        raise ExpansionError(
            f"H^2 is {values[bad]:.4g} (100 km/s/Mpc)^2 at a = {at:.6g}, with h^2 Omega_k = "
            f"{float(found.curvature):.4g} and h^2 Omega_de = {float(found.dark_energy):.4g} "
            "today; expected H^2 above 0 at all times asked for: ask for other times, or take "
            "other curvature or dark energy"
        )
    return total


def expansion(found: Densities, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
    """H in units of 100 km/s/Mpc. Raises ExpansionError as ``squared_expansion``."""
    return jnp.sqrt(squared_expansion(found, a))


def hubble(cosmology: Cosmology, a: Float[Array, " *a"] | float) -> Float[Array, " *a"]:
    """The expansion rate H(a) [km/s/Mpc].

    Args:
        a: scale factor, above 0 and 1 today.

    Raises ScaleFactorError for a <= 0, ExpansionError where H^2 <= 0, and what ``densities``
    raises; traced values of a that cannot be give NaN, as H^2 < 0 does where it is traced.
    """
    return 100.0 * expansion(densities(cosmology), checked_scale_factor(a, latest=None))


def log_slope(found: Densities, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
    """d ln H / d ln a."""

    def logarithm(x: Float[Array, " *a"]) -> Float[Array, " *a"]:
        return jnp.log(found.total(jnp.exp(x))) / 2.0

    x = jnp.log(a)
    return jax.jvp(logarithm, (x,), (jnp.ones_like(x),))[1]


def matter_fraction(cosmology: Cosmology, a: Float[Array, " *a"] | float) -> Float[Array, " *a"]:
    """Omega_m(a): baryons, cold dark matter and the energy of massive neutrinos over the total.

    Raises as ``hubble``.
    """
    found, at = densities(cosmology), checked_scale_factor(a, latest=None)
    return (found.matter / at**3 + found.massive(at)) / squared_expansion(found, at)


def dark_energy_equation(cosmology: Cosmology, a: Float[Array, " *a"] | float) -> Array:
    """w(a) = w0 + wa (1 - a). Raises ScaleFactorError as ``hubble``."""
    return cosmology.w0 + cosmology.wa * (1.0 - checked_scale_factor(a, latest=None))
