"""Theories for likelihood tests: a smooth invented one, and Planck's published best fit."""

import jax.numpy as jnp
import numpy as np
import pytest

from volvelle import data
from volvelle.boltzmann import BACKGROUND_Z

L_MAX = 2508
BEST_FIT_FILE = "COM_PowerSpect_CMB-base-plikHM-TTTEEE-lowl-lowE-lensing-minimum-theory_R3.01.txt"


def from_band(band: np.ndarray) -> np.ndarray:
    """C_l from D_l [muK^2], both from l = 0."""
    l = np.arange(len(band))  # noqa: E741
    return np.where(l > 1, 2 * np.pi * band / np.maximum(l * (l + 1), 1), 0.0)


def smooth_theory() -> dict[str, jnp.ndarray]:
    """Spectra and background of roughly the right size, without any solver."""
    l = np.arange(L_MAX + 1.0)  # noqa: E741
    tt = 1000 + 4500 * np.exp(-((np.log(l + 1) - np.log(220)) ** 2)) * np.exp(-l / 1500)
    ee = 0.03 + 40 * (l / 1000) ** 2 * np.exp(-l / 900)
    spectra = {
        "lensed_tt": tt,
        "lensed_ee": ee,
        "lensed_te": 0.3 * np.sqrt(tt * ee) * np.cos(l / 90),
    }
    hubble = 70.0 * np.sqrt(0.3 * (1 + BACKGROUND_Z) ** 3 + 0.7)
    step = 299792.458 / hubble * (1 + BACKGROUND_Z)
    trapezoids = 0.5 * (step[1:] + step[:-1]) * np.diff(np.log1p(BACKGROUND_Z))
    theory = {name: from_band(band) for name, band in spectra.items()}
    theory |= {
        "hubble": hubble,
        "transverse_comoving_distance": np.concatenate([[0.0], np.cumsum(trapezoids)]),
        "r_drag": np.array(147.0),
        "sigma8": np.array(0.8),
        "Omega_m": np.array(0.3),
    }
    return {name: jnp.asarray(value) for name, value in theory.items()}


@pytest.fixture(scope="session")
def theory() -> dict[str, jnp.ndarray]:
    return smooth_theory()


@pytest.fixture(scope="session")
def best_fit() -> dict[str, np.ndarray]:
    """Planck's published best-fit spectra C_l [muK^2]; real data."""
    lines = data.locate("planck-2018-best-fit").files[BEST_FIT_FILE].read_text().splitlines()
    table = np.array([line.split()[1:] for line in lines[1:]], dtype=float)
    columns = {"lensed_tt": 1, "lensed_te": 2, "lensed_ee": 3}
    return {
        name: from_band(np.concatenate([[0.0, 0.0], table[: L_MAX - 1, column]]))
        for name, column in columns.items()
    }
