"""Parameter names of CAMB, CLASS and CosmoSIS in Volvelle's own words."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from ..cosmology import HIERARCHIES, MASSES, class_neutrinos, nearest_names
from .errors import PluginInputError

ALIASES: dict[str, tuple[str, float]] = {
    "ombh2": ("omega_b", 1.0),
    "omegabh2": ("omega_b", 1.0),
    "omch2": ("omega_cdm", 1.0),
    "omegach2": ("omega_cdm", 1.0),
    "hubble": ("H0", 1.0),
    "As": ("A_s", 1.0),
    "10^9A_s": ("A_s", 1e-9),
    "logA": ("ln10A_s", 1.0),
    "ln10^{10}A_s": ("ln10A_s", 1.0),
    "ln_A_s_1e10": ("ln10A_s", 1.0),
    "ns": ("n_s", 1.0),
    "tau": ("tau_reio", 1.0),
    "thetastar": ("theta_star_100", 100.0),
    "100*theta_star": ("theta_star_100", 1.0),
    "mnu": ("m_nu", 1.0),
    "nnu": ("N_eff", 1.0),
    "Neff": ("N_eff", 1.0),
    "w": ("w0", 1.0),
    "w0_fld": ("w0", 1.0),
    "wa_fld": ("wa", 1.0),
    "omk": ("Omega_k", 1.0),
    "TCMB": ("T_cmb", 1.0),
    "YHe": ("Y_he", 1.0),
    "yheused": ("Y_he", 1.0),
    "yhe": ("Y_he", 1.0),
    "omegam": ("Omega_m", 1.0),
    "s8": ("S8", 1.0),
    "rdrag": ("r_drag", 1.0),
    "rs_drag": ("r_drag", 1.0),
    "rs_d": ("r_drag", 1.0),
    "zstar": ("z_star", 1.0),
    "z_rec_star": ("z_star", 1.0),
    "zrei": ("z_reio", 1.0),
    "zre": ("z_reio", 1.0),
}
"""Other codes' names: Volvelle's, and what their value is multiplied with to be Volvelle's."""

DERIVED_FACTORS = {"thetastar": 1.0}
"""Where a number that comes out has another unit than the input of that name: CAMB's derived
``thetastar`` is 100 times its input."""

OTHER_ANGLES = ("100*theta_s", "theta_s_100", "theta_s_1e2", "theta_MC_100", "cosmomc_theta")
"""Angular scales of other definitions than theta_star_100; they differ by 1e-4 to 1e-3."""

FRACTIONS = {"Omega_b": "omega_b", "Omega_cdm": "omega_cdm", "omegab": "omega_b"}
PIVOTS = ("k_pivot", "pivot_scalar")
PIVOT = 0.05  # [1/Mpc]
NEUTRINOS = ("N_ur", "N_ncdm", "m_ncdm", "deg_ncdm", "T_ncdm", "num_massive_neutrinos")
LOGARITHM, AMPLITUDE = "ln10A_s", "A_s"


def own_name(name: str) -> tuple[str, float]:
    """Volvelle's name of a parameter or derived number, and the factor to its value."""
    return ALIASES.get(name, (name, 1.0))


def other_names(own: str) -> tuple[str, ...]:
    """All names under which a parameter is known, its own first."""
    return (own, *(name for name, (ours, _) in ALIASES.items() if ours == own))


def translate(given: Mapping[str, float], known: Collection[str]) -> dict[str, float]:
    """Parameters by Volvelle's names.

    Args:
        given: values by Volvelle's names or those of CAMB and CLASS, neutrinos left out;
        known: names that the emulator itself has, which stay as they are.

    Raises:
        PluginInputError: a parameter given twice, an angle of another definition, a fraction Omega
            without h, another pivot scale.
    """
    result: dict[str, float] = {}
    origin: dict[str, str] = {}
    fractions: dict[str, float] = {}
    for name, value in given.items():
        if name in PIVOTS and name not in known:
            if not math.isclose(value, PIVOT, rel_tol=1e-9):
                raise PluginInputError(
                    f"{name} is {value:g}; amplitude and index of this emulator are those at "
                    f"{PIVOT} 1/Mpc"
                )
            continue
        if name in FRACTIONS and name not in known:
            fractions[name] = value
            continue
        if name in OTHER_ANGLES and name not in known:
            raise PluginInputError(
                f"{name} is not the angle of this emulator: 100 r_s(z_*)/D_M(z_*), with z_* where "
                "the optical depth without reionisation is 1 (theta_star_100; CAMB: thetastar); "
                "sample that, or H0"
            )
        own, factor = (name, 1.0) if name in known else own_name(name)
        if own in origin:
            raise PluginInputError(
                f"{origin[own]} and {name} are the same parameter; give one of them"
            )
        origin[own], result[own] = name, value * factor
    if fractions:
        h = with_equivalents(result).get("h")
        for name, value in fractions.items():
            own = FRACTIONS[name]
            if h is None or own in result:
                need = "give h or H0 beside it" if h is None else f"{own} is given too; drop one"
                raise PluginInputError(
                    f"{name} = {value:g} is a fraction of the critical density; {need}"
                )
            result[own] = value * h**2
    return result


def with_equivalents(values: Mapping[str, float]) -> dict[str, float]:
    """``values`` with H0 and h, A_s and ln10A_s, each from the other.

    Raises PluginInputError where both of a pair are given, or A_s is not positive.
    """
    result = dict(values)
    for pair in (("H0", "h"), (AMPLITUDE, LOGARITHM)):
        if all(name in values for name in pair):
            raise PluginInputError(
                f"{pair[0]} and {pair[1]} are the same parameter; give one of them"
            )
    if "h" in result:
        result["H0"] = 100.0 * result["h"]
    elif "H0" in result:
        result["h"] = result["H0"] / 100.0
    if AMPLITUDE in result:
        if not result[AMPLITUDE] > 0.0:
            raise PluginInputError(f"A_s is {result[AMPLITUDE]:g}; expected a positive number")
        result[LOGARITHM] = math.log(1e10 * result[AMPLITUDE])
    elif LOGARITHM in result:
        result[AMPLITUDE] = 1e-10 * math.exp(result[LOGARITHM])
    return result


def neutrinos(given: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """``m_nu``, ``N_eff`` and ``neutrino_hierarchy`` of the words of CLASS or CAMB among ``given``.

    Empty where there are none of them, or the emulator itself has them. Of a part of CLASS's words
    the missing ones are CLASS's own defaults (N_ur: 3.044, no massive state).
    Raises PluginInputError and ConversionError for what no hierarchy has.
    """
    words = {name: given[name] for name in NEUTRINOS if name in given and name not in known}
    number = words.pop("num_massive_neutrinos", None)
    result: dict[str, Any] = {}
    if number is not None:
        hierarchies = {1.0: "single", 3.0: "degenerate"}
        if float(number) not in hierarchies:
            raise PluginInputError(
                f"num_massive_neutrinos is {number}; expected 1 (one massive state) or 3 "
                "(of equal mass)"
            )
        result["neutrino_hierarchy"] = hierarchies[float(number)]
    if not words:
        return result
    if "m_ncdm" in words and "N_ncdm" not in words:
        words["N_ncdm"] = len(str(words["m_ncdm"]).split(","))
    found = result | class_neutrinos(words)
    if found["neutrino_hierarchy"] == MASSES:
        raise PluginInputError(
            f"neutrinos of {', '.join(f'{mass:g}' for mass in found['m_nu'])} eV fit none of "
            f"{', '.join(HIERARCHIES)}, and an emulator knows these"
        )
    return found


def unknown(name: str, known: Collection[str]) -> PluginInputError:
    """The error of a name that means nothing to an emulator."""
    near = nearest_names(name, tuple(known))
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return PluginInputError(
        f"{name} is no parameter of this emulator{hint} (it takes {', '.join(sorted(known))})"
    )
