"""An analytic universe in milliseconds, in a module of its own because worker processes import it.

It has acoustic peaks, an amplitude, a tilt and a damping, so that an emulator has something to
learn; its numbers are of the right size and mean nothing.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from volvelle.boltzmann import BACKGROUND_Z, POWER_Z, Request, SolverError
from volvelle.cosmology import Cosmology

NEUTRINOS = 0.06 / 93.14
RARE, COMMON = "toy: a rare mishap", "toy: recombination did not happen"


@dataclass(frozen=True)
class ToySolver:
    """``seconds`` per solution; models with omega_cdm above ``fails_above`` fail, the very highest
    of them in words of their own."""

    seconds: float = 0.0
    fails_above: float = math.inf
    name: str = "camb"

    def identity(self) -> dict[str, str]:
        return {"solver": self.name, "version": "toy", "settings": repr(self.fails_above)}

    def solve(self, cosmology: Cosmology, request: Request) -> dict[str, Any]:
        time.sleep(self.seconds)
        omega_cdm = float(cosmology.omega_cdm)
        if omega_cdm > self.fails_above:
            raise SolverError(RARE if omega_cdm > self.fails_above + 0.007 else COMMON)
        scalars = _scalars(cosmology)
        theory = {**_spectra(cosmology, request.lmax), **_background(scalars), **scalars}
        theory["sigma8_z"] = scalars["sigma8"] / (1.0 + POWER_Z)
        return {name: theory[name] for name in request.names()}


def _scalars(cosmology: Cosmology) -> dict[str, float]:
    omega_b, omega_cdm = float(cosmology.omega_b), float(cosmology.omega_cdm)
    omega_m = omega_b + omega_cdm + NEUTRINOS
    theta = float(cosmology.theta_star_100 or 1.041)
    h = 0.6736 * (theta / 1.041) ** 3.5 * (omega_m / 0.143) ** -0.9
    amplitude = math.sqrt(float(cosmology.A_s or 2.1e-9) / 2.1e-9)
    sigma8 = 0.811 * amplitude * (omega_m / 0.143) ** 0.6 * (omega_b / 0.0224) ** -0.2
    matter = omega_m / h**2
    return {
        "H0": 100.0 * h,
        "h": h,
        "Omega_m": matter,
        "sigma8": sigma8,
        "S8": sigma8 * math.sqrt(matter / 0.3),
        "theta_star_100": theta,
        "r_drag": 147.05 * (omega_m / 0.143) ** -0.23 * (omega_b / 0.02236) ** -0.13,
        "age": 13.8 * (0.6736 / h) ** 0.9,
        "z_star": 1089.9 * (omega_b / 0.0224) ** -0.02,
        "Y_he": 0.2454 * (omega_b / 0.0224) ** 0.01,
        "z_reio": (float(cosmology.tau_reio) / 0.0024 * (omega_m / 0.143) ** 0.4) ** (2.0 / 3.0),
        "zeq": 3400.0 * omega_m / 0.143,
    }


def _background(scalars: dict[str, float]) -> dict[str, np.ndarray]:
    matter = scalars["Omega_m"]
    expansion = np.sqrt(matter * (1.0 + BACKGROUND_Z) ** 3 + 1.0 - matter)
    steps = np.diff(BACKGROUND_Z) * 0.5 * (1.0 / expansion[1:] + 1.0 / expansion[:-1])
    distance = 299792.458 / scalars["H0"] * np.concatenate([[0.0], np.cumsum(steps)])
    hubble = scalars["H0"] * expansion
    return {"hubble": hubble, "transverse_comoving_distance": distance}


def _spectra(cosmology: Cosmology, lmax: int) -> dict[str, np.ndarray]:
    l = np.arange(2.0, lmax + 1)  # noqa: E741
    omega_b, omega_cdm = float(cosmology.omega_b), float(cosmology.omega_cdm)
    theta = float(cosmology.theta_star_100 or 1.041)
    a_s, tau = float(cosmology.A_s or 2.1e-9) / 2.1e-9, float(cosmology.tau_reio)
    scale = a_s * np.exp(-2.0 * tau) * (l / 600.0) ** (float(cosmology.n_s) - 1.0)
    damping = np.exp(-((l / 1400.0) ** 1.3) * (omega_b / 0.0224) ** -0.3)
    phase = np.pi * l * theta / 314.0
    wave = 0.5 * (omega_b / 0.0224) * np.cos(phase) * (omega_cdm / 0.12) ** -0.5
    dl = {
        "lensed_tt": 2500.0 * (1.0 + wave) * damping,
        "lensed_te": 70.0 * np.sin(phase) * damping * (omega_cdm / 0.12) ** 0.3,
        "lensed_ee": 20.0 * (1.0 - 0.9 * np.cos(phase)) * damping * (l / 800.0),
    }
    dl["lensed_ee"] = dl["lensed_ee"] + 30.0 * tau**2 * np.exp(-l / 10.0)
    factor = 2.0 * np.pi / (l * (l + 1.0))
    zeros = np.zeros(2)
    result = {name: np.concatenate([zeros, scale * value * factor]) for name, value in dl.items()}
    potential = 1e-7 * a_s * (omega_cdm / 0.12) / (1.0 + (l / 60.0) ** 2) ** 1.5 * factor
    return {**result, "phiphi": np.concatenate([zeros, potential])}
