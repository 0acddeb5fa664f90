"""Constants of nature and units, in SI unless named otherwise; CODATA 2018, Newton's from CLASS."""

import math

LIGHT_SPEED = 299792.458
"""c [km/s]."""
BOLTZMANN = 1.380649e-23
"""k_B [J/K]."""
HBAR = 1.054571817e-34
"""h / (2 pi) [J s]."""
ELECTRON_VOLT = 1.602176634e-19
"""[J]"""
NEWTON = 6.67428e-11
"""G [m^3/kg/s^2]; the value of CLASS, whose densities then agree to 1e-6."""
MEGAPARSEC = 3.085677581282e22
"""[m]"""
GIGAYEAR = 1e9 * 365.25 * 86400.0
"""Julian years [s]."""

HUBBLE_TIME = MEGAPARSEC / 1e5 / GIGAYEAR
"""1 / (100 km/s/Mpc) [Gyr]."""
HUBBLE_DISTANCE = LIGHT_SPEED / 100.0
"""c / (100 km/s/Mpc) [Mpc]."""
CRITICAL_DENSITY = 3.0 * (1e5 / MEGAPARSEC) ** 2 / (8.0 * math.pi * NEWTON)
"""rho_crit / h^2 [kg/m^3]."""


def _omega_photon() -> float:
    light = 1e3 * LIGHT_SPEED
    energy = math.pi**2 / 15.0 * BOLTZMANN**4 / (HBAR * light) ** 3  # [J/m^3] at 1 K
    return energy / light**2 / CRITICAL_DENSITY


OMEGA_PHOTON = _omega_photon()
"""Omega_gamma h^2 at a temperature of 1 K; times T_cmb^4."""
