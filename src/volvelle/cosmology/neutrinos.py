"""Neutrino masses, temperature and density: one convention for every code.

The masses are those into which a hierarchy splits their sum, or any number of own ones.
Every massive state has the temperature 0.71611 T_cmb (the CLASS default), which accounts for
incomplete decoupling and gives sum(m_nu)/omega_nu = 93.14 eV. It adds (0.71611 / (4/11)^(1/3))^4 =
1.0132 to N_eff; massless states fill N_eff up to its total (3.044). Mass differences: NuFIT 6.0
with atmospheric data, arXiv:2410.05380.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .constants import BOLTZMANN, CRITICAL_DENSITY, ELECTRON_VOLT, HBAR, LIGHT_SPEED
from .errors import NeutrinoError

HIERARCHIES: tuple[str, ...] = ("single", "degenerate", "normal", "inverted")
MASSES = "masses"
"""In a hierarchy's place: each state has a mass of its own."""
NATIVE = "native"
"""In a hierarchy's place: the neutrino sector is given in a solver's own words."""

DELTA_M21_SQUARED = 7.49e-5
"""m_2^2 - m_1^2 [eV^2]."""
DELTA_M31_SQUARED_NORMAL = 2.513e-3
"""m_3^2 - m_1^2 in the normal hierarchy [eV^2]."""
DELTA_M32_SQUARED_INVERTED = -2.484e-3
"""m_3^2 - m_2^2 in the inverted hierarchy [eV^2]."""

NEUTRINO_TEMPERATURE = 0.71611
"""Temperature of a massive neutrino in units of T_cmb (CLASS: T_ncdm)."""
N_EFF_PER_MASSIVE_STATE = (NEUTRINO_TEMPERATURE / (4.0 / 11.0) ** (1.0 / 3.0)) ** 4
"""What one massive state adds to N_eff while it is relativistic."""

_ZETA_3 = 1.2020569031595942
_MAX_NEWTON_STEPS = 60
# The smallest mass solves a convex equation: Newton from above falls monotonically and is done in
# about 10 steps.


def _omega_nu_per_ev() -> float:
    """omega_nu of a non-relativistic state of 1 eV at T_cmb = 1 K: n m / rho_crit h^2."""
    light = 1e3 * LIGHT_SPEED  # [m/s]
    temperature = NEUTRINO_TEMPERATURE * BOLTZMANN / (HBAR * light)  # [1/m]
    number_density = 1.5 * _ZETA_3 / math.pi**2 * temperature**3  # [1/m^3], both helicities
    return number_density * (ELECTRON_VOLT / light**2) / CRITICAL_DENSITY


OMEGA_NU_PER_EV = _omega_nu_per_ev()


def _heavier_offsets(hierarchy: str) -> tuple[float, float]:
    """Squared masses of the two heavier states above the lightest one [eV^2]."""
    if hierarchy == "normal":
        return DELTA_M21_SQUARED, DELTA_M31_SQUARED_NORMAL
    # inverted: m_3 is the lightest, m_2^2 = m_3^2 + |D32|, m_1^2 = m_2^2 - D21
    return -DELTA_M32_SQUARED_INVERTED - DELTA_M21_SQUARED, -DELTA_M32_SQUARED_INVERTED


def minimal_sum(hierarchy: str) -> float:
    """Smallest sum of the masses that a hierarchy allows [eV]."""
    _check_hierarchy(hierarchy)
    if hierarchy in ("single", "degenerate", MASSES):
        return 0.0
    first, second = _heavier_offsets(hierarchy)
    return math.sqrt(first) + math.sqrt(second)


def _check_hierarchy(hierarchy: str) -> None:
    if hierarchy not in (*HIERARCHIES, MASSES):
        raise NeutrinoError(
            f"neutrino_hierarchy is '{hierarchy}'; expected one of {', '.join(HIERARCHIES)}, "
            f"{MASSES} or {NATIVE}"
        )


@jax.custom_jvp
def _lightest_mass(m_nu: Array, first: float, second: float) -> Array:
    """Solve m + sqrt(m^2 + first) + sqrt(m^2 + second) = m_nu for m >= 0 [eV]."""

    def step(_: int, mass: Array) -> Array:
        root1, root2 = jnp.sqrt(mass**2 + first), jnp.sqrt(mass**2 + second)
        slope = 1.0 + mass / root1 + mass / root2
        return jnp.maximum(mass - (mass + root1 + root2 - m_nu) / slope, 0.0)

    return jax.lax.fori_loop(0, _MAX_NEWTON_STEPS, step, m_nu / 3.0)


@_lightest_mass.defjvp
def _lightest_mass_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    m_nu, first, second = primals
    mass = _lightest_mass(m_nu, first, second)
    slope = 1.0 + mass / jnp.sqrt(mass**2 + first) + mass / jnp.sqrt(mass**2 + second)
    return mass, tangents[0] / slope  # the mass differences are constants


def neutrino_masses(
    m_nu: Float[Array, ""] | Float[Array, " n"] | float, hierarchy: str
) -> Float[Array, " n"]:
    """Masses of the massive states [eV].

    Of a hierarchy, one or three, lightest first; of ``masses`` those that are given. Differentiable
    in m_nu, also at the smallest sum that the hierarchy allows.

    Args:
        m_nu: the sum; with ``masses`` the mass of each state [eV].

    Raises NeutrinoError for an unknown hierarchy, a sum below the hierarchy's minimum, and what is
    no list of masses where one is expected.
    """
    if hierarchy == MASSES:
        check_masses(m_nu)
        return jnp.asarray(m_nu)
    check_mass_sum(m_nu, hierarchy)
    total = jnp.asarray(m_nu)
    if hierarchy == "single":
        return total[None]
    if hierarchy == "degenerate":
        return jnp.stack([total / 3.0] * 3)
    first, second = _heavier_offsets(hierarchy)
    lightest = _lightest_mass(total, first, second)
    heavier = [jnp.sqrt(lightest**2 + first), jnp.sqrt(lightest**2 + second)]
    return jnp.stack([lightest, *heavier])


def neutrino_masses_exact(m_nu: Any, hierarchy: str) -> tuple[float, ...]:
    """The same masses in double precision without JAX, for the solvers [eV]."""
    if hierarchy == MASSES:
        check_masses(m_nu)
        return tuple(float(mass) for mass in m_nu)
    check_mass_sum(m_nu, hierarchy)
    m_nu = float(m_nu)
    if hierarchy == "single":
        return (m_nu,)
    if hierarchy == "degenerate":
        return (m_nu / 3.0,) * 3
    first, second = _heavier_offsets(hierarchy)
    mass = m_nu / 3.0
    for _ in range(_MAX_NEWTON_STEPS):
        root1, root2 = math.sqrt(mass**2 + first), math.sqrt(mass**2 + second)
        slope = 1.0 + mass / root1 + mass / root2
        mass = max(mass - (mass + root1 + root2 - m_nu) / slope, 0.0)
    return (mass, math.sqrt(mass**2 + first), math.sqrt(mass**2 + second))


def is_traced(value: object) -> bool:
    """Whether JAX is tracing, so that the value is not known yet."""
    return isinstance(value, Tracer)


def is_exactly(value: Any, number: float) -> bool:
    """Whether the value is known, and this number."""
    return not is_traced(value) and np.ndim(value) == 0 and float(value) == number


def check_mass_sum(m_nu: Float[Array, ""] | float, hierarchy: str) -> None:
    """Refuse an unknown hierarchy and, unless traced, a sum that it cannot have."""
    _check_hierarchy(hierarchy)
    if is_traced(m_nu):
        return
    smallest = minimal_sum(hierarchy)
    if not float(m_nu) >= smallest:
        raise NeutrinoError(
            f"m_nu is {float(m_nu):.6g} eV; the {hierarchy} hierarchy needs at least "
            f"{smallest:.6f} eV: raise m_nu or choose another neutrino_hierarchy"
        )


def check_masses(m_nu: Any) -> None:
    """Refuse what is no list of masses and, unless traced, a mass below 0."""
    if jnp.ndim(m_nu) == 0 or jnp.shape(m_nu)[-1] == 0:
        given = "a single number" if jnp.ndim(m_nu) == 0 else "an empty list"
        raise NeutrinoError(
            f"m_nu is {given} and neutrino_hierarchy is {MASSES}; expected a list of the mass of "
            "each state [eV], or a sum and another hierarchy (0 where no neutrino has mass)"
        )
    if not is_traced(m_nu) and not np.all(np.asarray(m_nu) >= 0.0):
        raise NeutrinoError(
            f"a neutrino of {float(np.min(np.asarray(m_nu))):.6g} eV; expected masses of 0 or more"
        )


def omega_nu(
    m_nu: Float[Array, ""] | float, T_cmb: Float[Array, ""] | float
) -> Float[Array, ""] | float:
    """Omega_nu h^2 of neutrinos of mass sum ``m_nu`` [eV], without their kinetic energy.

    omega_nu = n_nu m_nu / (rho_crit / h^2), which is m_nu / 93.14 eV at T_cmb = 2.7255 K.
    """
    return OMEGA_NU_PER_EV * T_cmb**3 * m_nu
