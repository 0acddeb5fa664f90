"""CosmoSIS module: an emulator in the standard library's CAMB's place. Zuntz+, arXiv:1409.3409.

It reads ``cosmological_parameters`` and writes the sections of the standard library's ``camb``, in
its units: ``cmb_cl``, ``distances``, ``growth_parameters``, ``matter_power_lin``,
``matter_power_nl``; beside them ``volvelle`` with what is known of the error. ``module.yaml``, in
this folder, lists options, inputs and outputs. CosmoSIS takes an exception for a point of no
probability; so a mistake ends the process instead.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from volvelle.boltzmann import BACKGROUND_Z, POWER_K, POWER_Z
from volvelle.cosmology import LIGHT_SPEED
from volvelle.errors import VolvelleError
from volvelle.plugins import LearnedTheory, PluginInputError, Solution

OPTIONS, COSMOLOGY = "module_options", "cosmological_parameters"

INPUTS: dict[str, tuple[tuple[str, float], ...]] = {
    "omega_b": (("ombh2", 1.0),),
    "omega_cdm": (("omch2", 1.0),),
    "h": (("h0", 1.0), ("hubble", 0.01)),
    "A_s": (("a_s", 1.0),),
    "n_s": (("n_s", 1.0),),
    "tau_reio": (("tau", 1.0),),
    "m_nu": (("mnu", 1.0),),
    "N_eff": (("nnu", 1.0),),
    "Omega_k": (("omega_k", 1.0),),
    "w0": (("w", 1.0),),
    "wa": (("wa", 1.0),),
    "T_cmb": (("tcmb", 1.0),),
    "Y_he": (("yhe", 1.0),),
    "num_massive_neutrinos": (("num_massive_neutrinos", 1.0),),
}
"""Volvelle's names: CosmoSIS's, the first that is there counts, and the factor to our value."""
LOGARITHMS = ("log1e10as", "ln10a_s")
FRACTIONS = {"omega_b": "omega_b", "omega_cdm": "omega_c"}
NEUTRINOS = ("omnuh2", "omega_nu")
"""Other words for the neutrinos' masses, which mean nothing to an emulator."""
ABSENT = {"nrun": 0.0, "nrunrun": 0.0, "r": 0.0, "r_t": 0.0, "a_lens": 1.0, "alens": 1.0}
ABSENT |= {"cs2_de": 1.0, "k_s": 0.05, "pivot_scalar": 0.05}
"""What emulators do not follow, and its value in their universes."""
SAME = 1e-6
"""Relative difference at which two names of a parameter still say the same."""
SPECTRA = {pair: f"lensed_{pair}" for pair in ("tt", "ee", "te", "bb")}


@dataclass(frozen=True)
class Module:
    """What ``setup`` hands to ``execute``: the emulator and the redshifts of the output."""

    theory: LearnedTheory
    z: np.ndarray
    z_growth: np.ndarray


def setup(options: Any) -> Module:
    """Open the emulator; ends the process for options or files that cannot be used."""
    try:
        return _setup(options)
    except VolvelleError as error:
        raise SystemExit(f"volvelle: {error}") from error


def _setup(options: Any) -> Module:
    text = {
        name: options.get_string(OPTIONS, name, default="")
        for name in ("emulator", "outside", "class_path", "ledger", "functions")
    }
    if not text["emulator"]:
        raise PluginInputError("give `emulator =`, the folder emulator/ of a run's output")
    grids = {}
    for name, limit, number in (
        ("background", BACKGROUND_Z[-1], 401),
        ("growth", POWER_Z[-1], 101),
    ):
        zmax = options.get_double(OPTIONS, f"zmax_{name}", default=float(POWER_Z[-1]))
        count = options.get_int(OPTIONS, f"nz_{name}", default=number)
        if not 0.0 < zmax <= limit * (1.0 + 1e-9) or count < 2:
            raise PluginInputError(
                f"zmax_{name} is {zmax:g} and nz_{name} {count}; expected redshifts up to "
                f"{limit:g}, where the tables end, and at least 2 of them"
            )
        grids[name] = np.linspace(0.0, min(zmax, limit), count)
    theory = LearnedTheory(
        text["emulator"],
        text["outside"] or None,
        text["functions"].split() or None,
        text["class_path"] or None,
        text["ledger"] or None,
        _logger(),
    )
    return Module(theory, grids["background"], grids["growth"])


def execute(block: Any, module: Module) -> int:
    """One point; 1, for no probability, where it was rejected or has no solution."""
    try:
        solution = module.theory.solution(parameters(block, module.theory))
        _write(block, module, solution)
    except VolvelleError as error:
        if module.theory.rejects(error):
            return 1
        raise SystemExit(f"volvelle: {error}") from error
    return 0


def cleanup(module: Module) -> int:
    """Say what the emulator was asked and did."""
    module.theory.log.info("%s", module.theory.account())
    return 0


def parameters(block: Any, theory: LearnedTheory) -> dict[str, float]:
    """Parameters by Volvelle's names; the section holds many that say the same twice.

    Raises PluginInputError for a physics that the emulator does not follow.
    """

    def number(name: str) -> float | None:
        return float(block[COSMOLOGY, name]) if block.has_value(COSMOLOGY, name) else None

    for name, value in ABSENT.items():
        found = number(name)
        if found is not None and found != value:
            raise PluginInputError(
                f"{name} is {found:g} in {COSMOLOGY}; this emulator knows {name} = {value:g} only"
            )
    for name in NEUTRINOS:
        if number(name) is not None and number("mnu") is None:
            raise PluginInputError(
                f"{name} is given in {COSMOLOGY} without mnu; give the sum of the masses, "
                "mnu [eV], which a consistency module can also derive"
            )
    found = {
        own: [
            (name, factor * value) for name, factor in names if (value := number(name)) is not None
        ]
        for own, names in INPUTS.items()
    }
    logarithms = [(name, value) for name in LOGARITHMS if (value := number(name)) is not None]
    found["A_s"] += [(name, 1e-10 * math.exp(value)) for name, value in logarithms]
    for own, name in FRACTIONS.items():
        fraction = number(name)
        if fraction is not None and found["h"]:
            found[own].append((name, fraction * found["h"][0][1] ** 2))
    for own in theory.emulator.parameters:
        value = number(own)
        if own not in (*INPUTS, "ln10A_s") and value is not None:
            found[own] = [(own, value)]
    if not found["h"] and "theta_star_100" not in found and number("cosmomc_theta") is not None:
        raise PluginInputError(
            "cosmomc_theta is not the angle of this emulator; sample h0, hubble or theta_star_100"
        )
    return {own: _agreed(each) for own, each in found.items() if each}


def _agreed(found: list[tuple[str, float]]) -> float:
    """The first of several values of one parameter; raises PluginInputError if they differ."""
    (first, value), *others = found
    for name, other in others:
        if abs(other - value) > SAME * abs(value):
            raise PluginInputError(
                f"{first} and {name} in {COSMOLOGY} say different things; give one of them"
            )
    return value


def _write(block: Any, module: Module, solution: Solution) -> None:
    """All sections of what was learned."""
    _write_parameters(block, solution)
    if any(name in solution.theory for name in SPECTRA.values()):
        _write_spectra(block, solution)
    if "transverse_comoving_distance" in solution.theory:
        _write_distances(block, module.z, solution)
    if "sigma8_z" in solution.theory:
        _write_growth(block, module.z_growth, solution)
    h = solution.parameters["h"]
    for name, section in (
        ("matter_power", "matter_power_lin"),
        ("matter_power_nonlinear", "matter_power_nl"),
        ("cb_power", "cdm_baryon_power_lin"),
        ("cb_power_nonlinear", "cdm_baryon_power_nl"),
    ):
        if name in solution.theory:
            power = solution.get(name) * h**3
            block.put_grid(section, "z", POWER_Z.copy(), "k_h", POWER_K / h, "p_k", power)
    block["volvelle", "distance"] = solution.distance
    block["volvelle", "delta_chi2"] = solution.delta_chi2
    block["volvelle", "exact"] = float(solution.exact)


def _write_parameters(block: Any, solution: Solution) -> None:
    found: Mapping[str, float] = solution.parameters
    h = found["h"]
    values = {"h0": h, "hubble": 100.0 * h, "sigma_8": found["sigma8"], "s_8": found["S8"]}
    values |= {"omega_m": found["Omega_m"], "ommh2": found["Omega_m"] * h**2}
    values["omega_lambda"] = 1.0 - found["Omega_m"] - found["Omega_k"]
    for own, name in FRACTIONS.items():
        if own in found:
            values[name] = found[own] / h**2
    for name, value in values.items():
        block[COSMOLOGY, name] = float(value)


def _write_spectra(block: Any, solution: Solution) -> None:
    """l(l+1) C_l/2 pi [muK^2] from l = 2; PP has the same factor, as in the standard library."""
    length = max(len(solution.theory[n]) for n in SPECTRA.values() if n in solution.theory)
    ell = np.arange(2, length)
    factor = ell * (ell + 1.0) / (2.0 * np.pi)
    block["cmb_cl", "ell"] = ell
    for pair, name in {**SPECTRA, "pp": "phiphi"}.items():
        if name in solution.theory:
            block["cmb_cl", pair] = solution.get(name)[2:] * factor


def _write_distances(block: Any, z: np.ndarray, solution: Solution) -> None:
    """[Mpc]; ``h`` is H/c [1/Mpc], ``d_m`` the comoving distance along the line of sight."""
    transverse = solution.transverse_distance(z)
    luminosity = transverse * (1.0 + z)
    modulus = np.full(len(z), -np.inf)
    modulus[luminosity > 0.0] = 5.0 * np.log10(luminosity[luminosity > 0.0]) + 25.0
    hubble = solution.hubble(z) / LIGHT_SPEED
    r_drag = solution.parameters["r_drag"]
    columns: dict[str, Any] = {
        "nz": len(z),
        "z": z,
        "a": 1.0 / (1.0 + z),
        "d_a": solution.angular_distance(z),
        "d_m": solution.radial_distance(z),
        "d_l": luminosity,
        "mu": modulus,
        "h": hubble,
        "f_ap": transverse * hubble,
        "age": solution.parameters["age"],
        "zstar": solution.parameters["z_star"],
        "thetastar": solution.parameters["theta_star_100"],
        "rdrag": r_drag,
        "rs_zdrag": r_drag,
    }
    for name, value in columns.items():
        block["distances", name] = value


def _write_growth(block: Any, z: np.ndarray, solution: Solution) -> None:
    """sigma_8, d_z = sigma_8(z)/sigma_8(0); f_z and fsigma_8 where they were learned."""
    sigma8 = solution.function("sigma8_z", z)
    columns = {"z": z, "a": 1.0 / (1.0 + z), "sigma_8": sigma8, "d_z": sigma8 / sigma8[0]}
    if "f_sigma8" in solution.theory:
        columns["fsigma_8"] = solution.function("f_sigma8", z)
        columns["f_z"] = columns["fsigma_8"] / sigma8
    for name, value in columns.items():
        block["growth_parameters", name] = value


def _logger() -> logging.Logger:
    """CosmoSIS's own log, where there is one."""
    return logging.getLogger("cosmosis.volvelle")
