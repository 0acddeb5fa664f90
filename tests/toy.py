"""A universe in closed form: spectra with the scalings of the real ones, solved in microseconds.

In a module of its own because worker processes and killed runs import it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from volvelle.boltzmann import Request, SolverError
from volvelle.cosmology import Cosmology
from volvelle.inference import make_prior
from volvelle.likelihood import Gaussian
from volvelle.training import Problem

LMAX = 120
FIRST = 3
REQUEST = Request(spectra=("lensed_tt", "lensed_te", "lensed_ee"), lmax=LMAX, background=False)
NAMES = ("omega_b", "omega_cdm", "theta_star_100", "n_s", "ln10A_s", "tau_reio")
TRUTH = np.array([0.0224, 0.12, 1.041, 0.965, 3.045, 0.054])
SIGMA = np.array([0.000184, 0.00197, 0.00054, 0.0038, 0.0046, 0.00137])  # Fisher, measured
NOISE = 0.05  # of every multipole, relative to the local amplitude
PRIORS = {
    "omega_b": {"min": 0.005, "max": 0.1},
    "omega_cdm": {"min": 0.001, "max": 0.5},
    "theta_star_100": {"min": 0.5, "max": 2.0},
    "h": {"min": 0.3, "max": 1.2},
    "n_s": {"min": 0.6, "max": 1.4},
    "ln10A_s": {"min": 1.6, "max": 4.5},
    "tau_reio": {"min": 0.005, "max": 0.4},
}
TRUE_H = 0.67


def theta_of(h: float, omega_m: float) -> float:
    """100 theta_* of h and Omega_m h^2: a steep curved ridge, as in the real universe."""
    return 1.041 * (h / TRUE_H) ** 0.4 * (omega_m / 0.1424) ** 0.3 * np.exp(0.2 * (h - TRUE_H))


def h_of(theta: float, omega_m: float) -> float:
    """Inverse of ``theta_of`` by Newton's method."""
    h = TRUE_H
    for _ in range(50):
        slope = theta_of(h, omega_m) * (0.4 / h + 0.2)
        h -= (theta_of(h, omega_m) - theta) / slope
    return h


def spectra(
    omega_b: float, omega_cdm: float, theta: float, n_s: float, A_s: float, tau: float, lmax: int
) -> dict[str, np.ndarray]:
    """TT, TE and EE [muK^2]: acoustic peaks, damping, tilt, and a reionisation bump in EE."""
    ell = np.arange(lmax + 1.0)
    ell[:2] = 2.0
    baryons, matter = omega_b / 0.0224, (omega_b + omega_cdm) / 0.1424
    amplitude = A_s / 2.1e-9 * np.exp(-2.0 * tau)
    phase = np.pi * ell * theta / 1.041 / 24.0
    envelope = (ell / 40.0) ** (n_s - 1.0) * np.exp(-((ell / 90.0) ** 1.5) * matter**-0.4)
    temperature = 1.0 + 0.45 * baryons**0.6 * np.cos(phase + 0.3 * matter) / matter**0.5
    velocity = 0.3 * np.sin(phase + 0.3 * matter) * baryons**-0.4
    shape = {
        "lensed_tt": 1000.0 * envelope * temperature**2,
        "lensed_te": 1000.0 * envelope * temperature * velocity,
        "lensed_ee": 1000.0 * envelope * (0.01 + velocity**2)
        + 4e4 * tau**2 * np.exp(2.0 * tau - ell / 3.0),
    }
    return {
        name: np.where(np.arange(lmax + 1) < 2, 0.0, amplitude * s) for name, s in shape.items()
    }


@dataclass(frozen=True)
class ToySolver:
    """The closed form behind the Solver protocol.

    ``calls``: a folder that gets one file per call; ``fails_above``: value of omega_cdm above which
    it fails; ``kill_at``: the process is killed at that call, once.
    """

    calls: str = ""
    fails_above: float = np.inf
    not_finite: bool = False
    kill_at: int = 0
    noise: float = 0.0  # relative, of all spectra together, another one at every point
    name: str = "toy"

    def identity(self) -> dict[str, str]:
        return {"solver": "toy", "version": "1", "settings": "{}"}

    def solve(self, cosmology: Any, request: Request) -> dict[str, Any]:
        self._count()
        if cosmology.omega_cdm > self.fails_above:
            if self.not_finite:
                raise SolverError("toy returned a value that is not finite in lensed_tt")
            raise SolverError("toy: shooting failed")
        omega_m = cosmology.omega_b + cosmology.omega_cdm
        if cosmology.h is None:
            theta, h = cosmology.theta_star_100, h_of(cosmology.theta_star_100, omega_m)
        else:
            theta, h = theta_of(cosmology.h, omega_m), cosmology.h
        result: dict[str, Any] = spectra(
            cosmology.omega_b,
            cosmology.omega_cdm,
            theta,
            cosmology.n_s,
            cosmology.A_s,
            cosmology.tau_reio,
            request.lmax,
        )
        if self.noise:
            seed = abs(hash((cosmology.omega_b, cosmology.omega_cdm, theta, cosmology.n_s)))
            error = 1.0 + self.noise * np.random.default_rng(seed).normal()
            result = {key: value * error for key, value in result.items()}
        sigma8 = 0.81 * np.sqrt(cosmology.A_s / 2.1e-9) * (omega_m / 0.1424) ** 0.8
        result |= {"H0": 100.0 * h, "h": h, "Omega_m": omega_m / h**2, "sigma8": sigma8}
        result["S8"] = sigma8 * np.sqrt(result["Omega_m"] / 0.3)
        result |= {"theta_star_100": theta, "r_drag": 147.0 * (omega_m / 0.1424) ** -0.25}
        result |= {"age": 13.8 * (TRUE_H / h), "z_star": 1090.0, "Y_he": 0.245}
        return {name: result[name] for name in request.names()}

    def _count(self) -> None:
        if not self.calls:
            return
        folder = Path(self.calls)
        number = len(list(folder.glob("call-*"))) + 1
        if number == self.kill_at and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / f"call-{number}").touch()


def covariance(names: tuple[str, ...] = NAMES) -> np.ndarray:
    """Of the posterior of ``names``, from the Fisher matrix, the other parameters fixed."""
    like, steps = likelihood(), 0.1 * SIGMA
    plus, minus = (solve(TRUTH + s * np.diag(steps)) for s in (1.0, -1.0))
    slopes = [
        np.asarray(like.whitener @ (like.model(a) - like.model(b))) / (2.0 * step)
        for a, b, step in zip(plus, minus, steps, strict=True)
    ]
    chosen = np.array([slopes[NAMES.index(name)] for name in names])
    return np.linalg.inv(chosen @ chosen.T)


def solve(x: np.ndarray, names: tuple[str, ...] = NAMES) -> list[dict[str, Any]]:
    """Solutions of points [n, d] of the parameters ``names``."""
    return [
        ToySolver().solve(
            Cosmology.from_parameters(dict(zip(names, map(float, row), strict=True))), REQUEST
        )
        for row in x
    ]


def likelihood(seed: int | None = None) -> Gaussian:
    """All multipoles from ``FIRST``, their data at the truth (with noise, given a seed)."""
    theory = solve(TRUTH[None])[0]
    names = ("lensed_tt", "lensed_te", "lensed_ee")
    data = np.concatenate([theory[name][FIRST:] for name in names])
    local = {
        name: np.sqrt(np.convolve(theory[name] ** 2, np.ones(31) / 31, "same")) for name in names
    }
    sigma = np.concatenate([NOISE * local[name][FIRST:] for name in names])
    if seed is not None:
        data = data + sigma * np.random.default_rng(seed).normal(size=len(data))
    outputs = [f"{name}[{FIRST}:{LMAX + 1}]" for name in names]
    return Gaussian.from_values(data, sigma**2, outputs, name="toy")


def problem(
    solver: ToySolver | None = None,
    width: float = 5.0,
    offset: float = 0.0,
    names: tuple[str, ...] = NAMES,
) -> Problem:
    """The posterior of the toy universe in ``names``, the other parameters fixed at the truth.

    Its reference box is ``width`` sigma wide either way, displaced by ``offset`` times that.
    """
    loc = np.array([TRUTH[NAMES.index(name)] for name in names])
    scale = np.array([SIGMA[NAMES.index(name)] for name in names])
    return Problem(
        names=names,
        n_theory=len(names),
        priors=tuple(make_prior(PRIORS[name]) for name in names),
        ref_loc=loc + offset * width * scale,
        ref_scale=width * scale,
        fixed={
            name: float(value)
            for name, value in zip(NAMES, TRUTH, strict=True)
            if name not in names
        },
        neutrino_hierarchy="single",
        likelihoods=(likelihood(),),
        solver=solver or ToySolver(),
        request=REQUEST,
    )
