"""Universes that a background has to be right in, and CLASS's answers for them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from volvelle.boltzmann import load_classy
from volvelle.cosmology import LIGHT_SPEED, Cosmology, planck18, to_class

BASE = planck18()
CASES: dict[str, Cosmology] = {
    "planck": BASE,
    "massless": BASE.replace(m_nu=0.0),
    "normal": BASE.replace(m_nu=0.3, neutrino_hierarchy="normal"),
    "inverted": BASE.replace(m_nu=0.12, neutrino_hierarchy="inverted"),
    "heavy": BASE.replace(m_nu=0.9, neutrino_hierarchy="degenerate"),
    "open": BASE.replace(Omega_k=0.05),
    "closed": BASE.replace(Omega_k=-0.1),
    "thawing": BASE.replace(w0=-0.8, wa=-0.5),
    "early dark energy": BASE.replace(w0=-0.7, wa=0.5),
    "more radiation": BASE.replace(N_eff=4.0, T_cmb=2.9),
    "two masses": BASE.replace(m_nu=[0.02, 0.1]),
    "four masses": BASE.replace(m_nu=[0.01, 0.05, 0.1, 0.3], N_eff=4.2),
    "all": BASE.replace(h=0.74, omega_cdm=0.1, Omega_k=0.02, w0=-1.1, wa=0.4, m_nu=0.4, N_eff=3.5),
}
Z = np.concatenate([[1e-3, 0.01, 0.1, 0.5], np.linspace(1.0, 10.0, 10), [30, 100, 300, 1000, 1100]])
A = 1.0 / (1.0 + Z)
PRECISION = {
    "background_Nloga": 40000,
    "tol_background_integration": 1e-12,
    "tol_ncdm_bg": 1e-10,
    "tol_ncdm": 1e-8,
}


class Background(NamedTuple):
    """CLASS at the redshifts ``Z``; its units."""

    hubble: np.ndarray
    chi: np.ndarray
    transverse: np.ndarray
    age: np.ndarray
    sound_horizon: np.ndarray
    growth: np.ndarray
    rate: np.ndarray


@lru_cache(maxsize=len(CASES))
def class_background(name: str) -> Background:
    """A universe by CLASS's background module, more precise than its defaults."""
    given = {n: v for n, v in to_class(CASES[name]).items() if n not in ("A_s", "n_s", "tau_reio")}
    model = load_classy(None).Class()
    model.set({**given, **PRECISION})
    model.compute(["background"])
    table = model.get_background()
    order = np.argsort(table["z"])

    def at(key: str) -> np.ndarray:
        return CubicSpline(np.log1p(table["z"][order]), table[key][order])(np.log1p(Z))

    found = Background(
        hubble=at("H [1/Mpc]") * LIGHT_SPEED,
        chi=at("comov. dist."),
        transverse=at("ang.diam.dist.") * (1.0 + Z),
        age=at("proper time [Gyr]"),
        sound_horizon=at("comov.snd.hrz."),
        growth=at("gr.fac. D"),
        rate=at("gr.fac. f"),
    )
    model.struct_cleanup()
    return found
