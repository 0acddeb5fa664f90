"""A flat universe in closed form, with all that a plug-in passes on, and its emulator.

Distances are those of matter and Lambda, so that what follows from them can be checked; the spectra
have peaks, an amplitude and a tilt, and mean nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import cumulative_simpson

from volvelle.boltzmann import BACKGROUND_Z, POWER_K, POWER_Z, Request, SolverError
from volvelle.cosmology import Cosmology
from volvelle.emulator import build_emulator

LMAX = 150
NAMES = ("omega_b", "omega_cdm", "theta_star_100", "n_s", "ln10A_s", "tau_reio")
TRUTH = np.array([0.0224, 0.12, 1.041, 0.965, 3.045, 0.054])
WIDTH = np.array([0.0008, 0.006, 0.002, 0.02, 0.1, 0.02])
FIXED = {"m_nu": 0.06}
FAILS_ABOVE = 0.2
REQUEST = Request(
    spectra=("lensed_tt", "lensed_te", "lensed_ee", "phiphi"),
    lmax=LMAX,
    functions=("matter_power", "sigma8_z", "f_sigma8"),
    scalars=("z_reio",),
)
VERSION = "1.0"
SETTINGS = json.dumps({"interface": "1", "non_linear": "halofit", "precision": {}, "extra": {}})


@dataclass(frozen=True)
class ClosedForm:
    """Behind the Solver protocol, under CAMB's name."""

    version: str = VERSION
    settings: str = SETTINGS

    @property
    def name(self) -> str:
        return "camb"

    def identity(self) -> dict[str, str]:
        return {"solver": "camb", "version": self.version, "settings": self.settings}

    def solve(self, cosmology: Cosmology, request: Request) -> dict[str, Any]:
        if float(cosmology.omega_cdm) > FAILS_ABOVE:
            raise SolverError("closed form: no such universe")
        theory = outputs(cosmology, request.lmax)
        return {name: theory[name] for name in request.names()}

    def check(self, cosmology: Cosmology, request: Request) -> None:
        return None


def outputs(cosmology: Cosmology, lmax: int) -> dict[str, Any]:
    """Everything of ``REQUEST``."""
    omega_m = float(cosmology.omega_b) + float(cosmology.omega_cdm) + 0.06 / 93.14
    if cosmology.h is None:
        theta = float(cosmology.theta_star_100)
        h = 0.6736 * (theta / 1.041) ** 3.5 * (omega_m / 0.143) ** -0.9
    else:
        h = float(cosmology.h)
        theta = 1.041 * (h / 0.6736 * (omega_m / 0.143) ** 0.9) ** (1.0 / 3.5)
    amplitude = np.sqrt(float(cosmology.A_s) / 2.1e-9)
    sigma8 = 0.811 * amplitude * (omega_m / 0.143) ** 0.6
    matter = omega_m / h**2
    scalars = {
        "H0": 100.0 * h,
        "h": h,
        "Omega_m": matter,
        "sigma8": sigma8,
        "S8": sigma8 * np.sqrt(matter / 0.3),
        "theta_star_100": theta,
        "r_drag": 147.05 * (omega_m / 0.143) ** -0.23,
        "age": 13.8 * (0.6736 / h) ** 0.9,
        "z_star": 1089.9 * (float(cosmology.omega_b) / 0.0224) ** -0.02,
        "Y_he": 0.2454 * (float(cosmology.omega_b) / 0.0224) ** 0.01,
        "z_reio": (float(cosmology.tau_reio) / 0.0024) ** (2.0 / 3.0),
    }
    return {
        **scalars,
        **_background(scalars),
        **_matter(scalars),
        **_spectra(cosmology, theta, lmax),
    }


def expansion(z: np.ndarray, matter: float) -> np.ndarray:
    """H/H0."""
    return np.sqrt(matter * (1.0 + z) ** 3 + 1.0 - matter)


def _background(scalars: dict[str, float]) -> dict[str, np.ndarray]:
    log = np.linspace(0.0, np.log1p(BACKGROUND_Z[-1]), 159 * 20 + 1)
    z = np.expm1(log)
    integrand = (1.0 + z) / expansion(z, scalars["Omega_m"])
    radial = 299792.458 / scalars["H0"] * cumulative_simpson(integrand, x=log, initial=0.0)
    hubble = scalars["H0"] * expansion(BACKGROUND_Z, scalars["Omega_m"])
    return {"hubble": hubble, "transverse_comoving_distance": radial[::20]}


def _matter(scalars: dict[str, float]) -> dict[str, np.ndarray]:
    k = POWER_K / 0.01
    shape = 2.5e4 * k / (1.0 + k**2) ** 1.2 * (scalars["sigma8"] / 0.811) ** 2
    growth = 1.0 / (1.0 + POWER_Z)
    sigma8_z = scalars["sigma8"] * growth
    power = growth[:, None] ** 2 * shape
    return {"matter_power": power, "sigma8_z": sigma8_z, "f_sigma8": sigma8_z * 1.0}


def _spectra(cosmology: Cosmology, theta: float, lmax: int) -> dict[str, np.ndarray]:
    l = np.arange(2.0, lmax + 1)  # noqa: E741
    omega_b, omega_cdm = float(cosmology.omega_b), float(cosmology.omega_cdm)
    scale = float(cosmology.A_s) / 2.1e-9 * np.exp(-2.0 * float(cosmology.tau_reio))
    scale = scale * (l / 60.0) ** (float(cosmology.n_s) - 1.0)
    phase = np.pi * l * theta / 40.0
    wave = 0.5 * (omega_b / 0.0224) * np.cos(phase) * (omega_cdm / 0.12) ** -0.5
    shapes = {
        "lensed_tt": 2500.0 * (1.0 + wave),
        "lensed_te": 70.0 * np.sin(phase) * (omega_cdm / 0.12) ** 0.3,
        "lensed_ee": 20.0 * (1.0 - 0.9 * np.cos(phase)),
    }
    factor = 2.0 * np.pi / (l * (l + 1.0))
    zeros = np.zeros(2)
    result = {
        name: np.concatenate([zeros, scale * value * factor]) for name, value in shapes.items()
    }
    potential = 1e-7 * float(cosmology.A_s) / 2.1e-9 * omega_cdm / 0.12 * factor / (l * (l + 1.0))
    return {**result, "phiphi": np.concatenate([zeros, potential])}


def point(**changes: float) -> dict[str, float]:
    """The truth with some parameters changed."""
    return {**dict(zip(NAMES, TRUTH.tolist(), strict=True)), **changes}


def exact(values: dict[str, float], lmax: int = LMAX) -> dict[str, Any]:
    """The exact solution at named parameters."""
    return outputs(Cosmology.from_parameters({**FIXED, **values}), lmax)


def train(folder: Path, n: int = 80, lmax: int = LMAX) -> Path:
    """An emulator of this universe, with the record that a run writes."""
    request = replace(REQUEST, lmax=lmax)
    x = TRUTH + WIDTH * np.random.default_rng(0).uniform(-1.0, 1.0, (n, len(NAMES)))
    theories = [exact(dict(zip(NAMES, row, strict=True)), lmax) for row in x.tolist()]
    theories = [{name: theory[name] for name in request.names()} for theory in theories]
    emulator, _ = build_emulator(
        NAMES, FIXED, x, theories, [_noise(theories[0])], kind="polynomial"
    )
    emulator.save(
        folder,
        {
            "solver": ClosedForm().identity(),
            "request": request.to_json(),
            "neutrino_hierarchy": "single",
            "parameters": list(NAMES),
            "fixed": FIXED,
            "definitions": {},
            "parametrisation": {"dropped": [], "unset": [], "idle": []},
            "points": x.tolist(),
        },
    )
    return folder


def _noise(theory: dict[str, Any]) -> dict[str, np.ndarray]:
    """0.1% of the spectra that the data see; the monopole and dipole do not exist."""
    result = {}
    for name in ("lensed_tt", "lensed_te", "lensed_ee"):
        size = 1e-3 * np.abs(np.asarray(theory[name], dtype=float))
        result[name] = np.where(size > 0.0, size, np.inf)
    return result
