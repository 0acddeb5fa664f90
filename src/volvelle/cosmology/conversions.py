"""Parameters of CLASS, as a plain dictionary, and what the conversions to other codes share.

All keep the same universe, so the neutrino sector is spelled out: temperature 0.71611 T_cmb per
massive state, and as many massless states as complete N_eff.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .cosmology import Cosmology
from .errors import ConversionError
from .neutrinos import (
    HIERARCHIES,
    MASSES,
    N_EFF_PER_MASSIVE_STATE,
    NATIVE,
    NEUTRINO_TEMPERATURE,
    minimal_sum,
    neutrino_masses_exact,
)

MASS_TOLERANCE = 1e-6
"""Largest difference, relative to the sum, at which masses count as a hierarchy's."""


def massive_states(cosmology: Cosmology) -> tuple[tuple[float, float], ...]:
    """(mass [eV], degeneracy) of each distinct massive state; empty if all are massless.

    Raises ConversionError where the neutrinos are set by one solver's own inputs.
    """
    if cosmology.m_nu is None:
        raise _native_error()
    masses = neutrino_masses_exact(cosmology.m_nu, cosmology.neutrino_hierarchy)
    numbers = Counter(mass for mass in masses if mass > 0.0)
    return tuple((mass, float(number)) for mass, number in numbers.items())


def massive_list(cosmology: Cosmology) -> list[float]:
    """Mass of every state that has one [eV]. Raises as ``massive_states``."""
    return [mass for mass, number in massive_states(cosmology) for _ in range(int(number))]


def massless_number(cosmology: Cosmology) -> float:
    """Effective number of massless neutrinos that completes N_eff.

    Raises ConversionError when the massive states alone exceed N_eff.
    """
    degeneracy = sum(state[1] for state in massive_states(cosmology))
    N_eff = neutrino_number(cosmology)
    number = N_eff - N_EFF_PER_MASSIVE_STATE * degeneracy
    if number < 0.0:
        raise ConversionError(
            f"N_eff is {N_eff:.6g} but {degeneracy:.0f} massive states need "
            f"{N_EFF_PER_MASSIVE_STATE * degeneracy:.4f}; raise N_eff or give mass to fewer"
        )
    return number


def neutrino_number(cosmology: Cosmology) -> float:
    """N_eff; raises ConversionError where only one solver knows it."""
    if cosmology.N_eff is None:
        raise _native_error()
    return float(cosmology.N_eff)


def _native_error() -> ConversionError:
    return ConversionError(
        f"neutrino_hierarchy is {NATIVE}: the neutrinos are given in one solver's own words, "
        "which no other code reads; choose a hierarchy and give m_nu and N_eff"
    )


def known_h(cosmology: Cosmology, code: str) -> float:
    """h, which ``code`` needs; raises ConversionError where only a solver knows it."""
    if cosmology.h is None:
        raise ConversionError(
            f"{code} needs h, the cosmology has theta_star_100; let a solver find h and use "
            "replace(h=..., theta_star_100=None)"
        )
    return float(cosmology.h)


def refuse_extra(cosmology: Cosmology, code: str) -> None:
    """Raise ConversionError for inputs in one solver's own words, which ``code`` does not know."""
    if cosmology.extra:
        raise ConversionError(
            f"{', '.join(cosmology.extra)} in extra: what only one solver knows has no counterpart "
            f"in {code}; leave it out"
        )


def to_class(cosmology: Cosmology) -> dict[str, float | int | str]:
    """Input of CLASS (numbers, or lists as comma-separated text).

    ``extra`` is passed as it is, whole numbers as integers; a decay rate is left out beside a
    decaying density of exactly 0, where CLASS does not read it.
    """
    result: dict[str, float | int | str] = {
        "h": known_h(cosmology, "CLASS"),
        "omega_b": float(cosmology.omega_b),
        "omega_cdm": float(cosmology.omega_cdm),
        "n_s": float(cosmology.n_s),
        "tau_reio": float(cosmology.tau_reio),
        "T_cmb": float(cosmology.T_cmb),
        "Omega_k": float(cosmology.Omega_k),
        "YHe": "BBN" if cosmology.Y_he is None else float(cosmology.Y_he),
    }
    if cosmology.A_s is not None:
        result["A_s"] = float(cosmology.A_s)
    if cosmology.sigma8 is not None:
        result["sigma8"] = float(cosmology.sigma8)
    if cosmology.neutrino_hierarchy != NATIVE:
        result |= _neutrinos_to_class(cosmology)
    if (float(cosmology.w0), float(cosmology.wa)) != (-1.0, 0.0):
        result["Omega_Lambda"] = 0.0
        result["w0_fld"] = float(cosmology.w0)
        result["wa_fld"] = float(cosmology.wa)
        result["use_ppf"] = "yes"
    clash = sorted(set(result) & set(cosmology.extra))
    if clash:
        raise ConversionError(
            f"{', '.join(clash)} of CLASS is set already, from the cosmology; drop it (neutrinos "
            f"in CLASS's own words need neutrino_hierarchy: {NATIVE})"
        )
    extra = {name: float(value) for name, value in cosmology.extra.items()}
    if any(extra.get(density) == 0.0 for density in _DECAYING):
        extra = {name: value for name, value in extra.items() if name not in _DECAY_RATES}
    count = extra.get("N_ncdm", 0.0)
    if not count.is_integer():
        raise ConversionError(
            f"N_ncdm is {count:g}, of which CLASS would take the whole part without a word; give a "
            "whole number (deg_ncdm need not be one)"
        )
    return {**result, **{n: int(v) if v.is_integer() else v for n, v in extra.items()}}


_DECAYING = ("omega_ini_dcdm", "Omega_ini_dcdm", "omega_dcdmdr", "Omega_dcdmdr")
_DECAY_RATES = ("Gamma_dcdm", "tau_dcdm")


def _neutrinos_to_class(cosmology: Cosmology) -> dict[str, float | int | str]:
    result: dict[str, float | int | str] = {"N_ur": massless_number(cosmology)}
    states = massive_states(cosmology)
    if states:
        result["N_ncdm"] = len(states)
        result["m_ncdm"] = _listed([mass for mass, _ in states])
        result["deg_ncdm"] = _listed([degeneracy for _, degeneracy in states])
        result["T_ncdm"] = _listed([NEUTRINO_TEMPERATURE] * len(states))
    return result


def _listed(values: list[float]) -> str:
    return ",".join(repr(value) for value in values)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, str):
        return [float(item) for item in value.split(",")]
    if isinstance(value, (list, tuple)):
        return [float(item) for item in value]
    return [float(value)]


def from_class(parameters: Mapping[str, Any]) -> Cosmology:
    """Cosmology of a CLASS input; leave out what is no parameter (output, precision in words).

    Masses that fit no hierarchy stay masses. Unknown numeric inputs are kept in ``extra``. Raises
    ConversionError for neutrinos of another temperature, for a dark energy that does not close the
    universe by itself, for what would give a parameter another meaning (k_pivot), and for one that
    is given twice.
    """
    given = dict(parameters)
    for names in _CLASS_ALTERNATIVES:
        twice = [name for name in names if name in given]
        if len(twice) > 1:
            raise ConversionError(f"{' and '.join(twice)} are given; expected one of them")
    _settle_defaults(given)
    h = float(given.pop("H0")) / 100.0 if "H0" in given else _pop(given, "h")
    if h is None:
        raise ConversionError("h or H0 is missing; shooting parameters of CLASS are not converted")
    values: dict[str, Any] = {"h": h}
    for name in ("b", "cdm"):
        density = _pop(given, f"Omega_{name}")
        values[f"omega_{name}"] = (
            density * h**2 if density is not None else _pop(given, f"omega_{name}")
        )
    for key in ("ln10^{10}A_s", "ln_A_s_1e10"):
        if key in given:
            values["A_s"] = math.exp(float(given.pop(key))) * 1e-10
    for name, ours in _CLASS_NAMES.items():
        if name in given:
            values[ours] = float(given.pop(name))
    if str(given.get("YHe", "BBN")).upper() == "BBN":
        given.pop("YHe", None)
    else:
        values["Y_he"] = float(given.pop("YHe"))
    values |= class_neutrinos(given)
    words = [name for name, value in given.items() if isinstance(value, str)]
    if words:
        raise ConversionError(
            f"{', '.join(sorted(words))}: no numeric cosmological parameter; give it to the solver"
        )
    return Cosmology(**values, extra=given)


_CLASS_ALTERNATIVES = (
    ("h", "H0"),
    ("omega_b", "Omega_b"),
    ("omega_cdm", "Omega_cdm"),
    ("A_s", "ln10^{10}A_s", "ln_A_s_1e10"),
)
_CLASS_DEFAULTS: dict[str, tuple[float | str, ...]] = {
    "k_pivot": (0.05,),
    "use_ppf": ("yes", "y"),
    "fluid_equation_of_state": ("CLP",),
    "cs2_fld": (1.0,),
    "alpha_s": (0.0,),
    "Omega_scf": (0.0,),
    "Omega_fld": (),
    "omega_ncdm": (),
    "Omega_ncdm": (),
    "omega_ur": (),
    "Omega_ur": (),
    "N_eff": (),
    "omega_g": (),
    "Omega_g": (),
}
"""Values at which an input says what is so anyway, and is left out."""
_CLASS_REFUSED = {
    "k_pivot": "the amplitude A_s is that at k = 0.05/Mpc here",
    "use_ppf": "dark energy crosses w = -1 by use_ppf here",
    "fluid_equation_of_state": "w(a) = w0 + wa (1 - a) here (CLP)",
    "Omega_fld": "dark energy closes the universe here: leave it out and set Omega_Lambda to 0",
    "omega_ncdm": "give m_ncdm [eV], which CLASS prints",
    "Omega_ncdm": "give m_ncdm [eV], which CLASS prints",
    "omega_ur": "give N_ur, which CLASS prints",
    "Omega_ur": "give N_ur, which CLASS prints",
    "N_eff": "it is an old name of N_ur in CLASS, of massless states alone: give N_ur",
    "omega_g": "give T_cmb [K]",
    "Omega_g": "give T_cmb [K]",
}


def _settle_defaults(given: dict[str, Any]) -> None:
    """Take out of ``given`` what is so anyway; raises ConversionError for what is another model."""
    for name, usual in _CLASS_DEFAULTS.items():
        if name not in given:
            continue
        value = str(given[name]) if isinstance(given[name], str) else float(given[name])
        if value in usual:
            del given[name]
        elif name in _CLASS_REFUSED:
            raise ConversionError(f"{name} is {value}; {_CLASS_REFUSED[name]}")
    fluid = float(given.get("w0_fld", -1.0)), float(given.get("wa_fld", 0.0))
    constant = given.pop("Omega_Lambda", None)
    if constant is not None and float(constant) != 0.0:
        raise ConversionError(
            f"Omega_Lambda is {constant}; dark energy closes the universe here: leave it out, or "
            "set it to 0 beside w0_fld and wa_fld"
        )
    if constant is None and fluid != (-1.0, 0.0):
        raise ConversionError(
            f"w0_fld and wa_fld are {fluid} without Omega_Lambda = 0, so that CLASS has a "
            "cosmological constant and no fluid: set Omega_Lambda to 0, or leave them out"
        )


_CLASS_NAMES = {
    "A_s": "A_s",
    "sigma8": "sigma8",
    "n_s": "n_s",
    "tau_reio": "tau_reio",
    "T_cmb": "T_cmb",
    "Omega_k": "Omega_k",
    "w0_fld": "w0",
    "wa_fld": "wa",
}


def _pop(given: dict[str, Any], name: str) -> float | None:
    return float(given.pop(name)) if name in given else None


def class_neutrinos(given: dict[str, Any]) -> dict[str, Any]:
    """``m_nu``, ``N_eff`` and ``neutrino_hierarchy`` of CLASS's words, which are taken out of
    ``given``; absent ones are CLASS's defaults.

    Raises ConversionError for other temperatures, fractions of a state, and lists that are not of
    one number per species.
    """
    massless = _pop(given, "N_ur")
    massless = 3.044 if massless is None else massless
    count = int(given.pop("N_ncdm", 0))
    masses = _numbers(given.pop("m_ncdm", [0.0] * count)) if count else []
    degeneracies = _numbers(given.pop("deg_ncdm", [1.0] * count)) if count else []
    temperatures = _numbers(given.pop("T_ncdm", [NEUTRINO_TEMPERATURE] * count)) if count else []
    for name, values in (("m_ncdm", masses), ("deg_ncdm", degeneracies), ("T_ncdm", temperatures)):
        if len(values) != count:
            raise ConversionError(
                f"{name} holds {len(values)} numbers and N_ncdm is {count}; expected one of each"
            )
    if any(value != NEUTRINO_TEMPERATURE for value in temperatures):
        raise ConversionError(
            f"T_ncdm is {temperatures}; only {NEUTRINO_TEMPERATURE} is the standard neutrino here"
        )
    spread = [
        mass
        for mass, degeneracy in zip(masses, degeneracies, strict=True)
        for _ in range(round(degeneracy))
    ]
    if not all(float(value).is_integer() for value in degeneracies):
        raise ConversionError(f"deg_ncdm is {degeneracies}; expected whole numbers")
    return masses_or_sum(spread) | {"N_eff": massless + N_EFF_PER_MASSIVE_STATE * len(spread)}


def masses_or_sum(masses: list[float]) -> dict[str, Any]:
    """``m_nu`` and ``neutrino_hierarchy`` of states with these masses [eV].

    A sum where a hierarchy has them, and the positive ones themselves where none does.
    """
    positive = sorted(mass for mass in masses if mass > 0.0)
    hierarchy = _hierarchy_of(positive)
    given: Any = positive if hierarchy == MASSES else math.fsum(positive)
    return {"m_nu": given, "neutrino_hierarchy": hierarchy}


def _hierarchy_of(positive: list[float]) -> str:
    if len(positive) <= 1:
        return "single"
    total = sum(positive)
    padded = [0.0] * (3 - len(positive)) + positive
    for hierarchy in HIERARCHIES[1:]:
        # a rounded sum at the very minimum may fall a digit below it
        trial = max(total, minimal_sum(hierarchy))
        if len(padded) != 3 or trial - total > MASS_TOLERANCE * total:
            continue
        expected = neutrino_masses_exact(trial, hierarchy)
        if all(abs(a - b) <= MASS_TOLERANCE * total for a, b in zip(padded, expected, strict=True)):
            return hierarchy
    return MASSES
