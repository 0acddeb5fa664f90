"""From and to the parameters of CCL, which has the same neutrinos as this package."""

import math
from typing import Any

from .conversions import (
    known_h,
    masses_or_sum,
    massive_list,
    neutrino_number,
    refuse_extra,
)
from .cosmology import Cosmology
from .errors import ConversionError
from .neutrinos import NEUTRINO_TEMPERATURE

_SPLITS = {"single": "single", "equal": "degenerate", "normal": "normal", "inverted": "inverted"}


def to_ccl(cosmology: Cosmology) -> dict[str, Any]:
    """Arguments of ``pyccl.Cosmology``, with the masses as a list; tau_reio and Y_he stay behind.

    Raises ConversionError without h, and for neutrinos and other inputs in a solver's own words.
    """
    h = known_h(cosmology, "CCL")
    result: dict[str, Any] = {
        "Omega_b": float(cosmology.omega_b) / h**2,
        "Omega_c": float(cosmology.omega_cdm) / h**2,
        "h": h,
        "n_s": float(cosmology.n_s),
        "Omega_k": float(cosmology.Omega_k),
        "w0": float(cosmology.w0),
        "wa": float(cosmology.wa),
        "T_CMB": float(cosmology.T_cmb),
        "Neff": neutrino_number(cosmology),
        "m_nu": massive_list(cosmology),
        "mass_split": "list",
        "T_ncdm": NEUTRINO_TEMPERATURE,
    }
    refuse_extra(cosmology, "CCL")
    amplitude = "A_s" if cosmology.A_s is not None else "sigma8"
    result[amplitude] = float(getattr(cosmology, amplitude))
    return result


def from_ccl(model: Any, *, tau_reio: float) -> Cosmology:
    """Cosmology of a ``pyccl.Cosmology``; ``tau_reio`` is what CCL does not have.

    How CCL computes its power spectra (transfer function, baryons) is no parameter of the universe
    and is not kept. A sum that CCL splits by a hierarchy stays a sum and a hierarchy, with this
    package's mass differences.

    Raises ConversionError for modified gravity, a radiation density of its own, neutrinos of
    another temperature, a split of CCL's that has no counterpart, and a ``CosmologyCalculator``
    with tables of its own for the background or growth.
    """
    if type(model).__name__ not in ("Cosmology", "CosmologyVanillaLCDM", "CosmologyCalculator") or (
        not type(model).__module__.startswith("pyccl.")
    ):
        raise ConversionError(f"{type(model)} is given; expected a pyccl.Cosmology")
    given = model.to_dict()
    own = getattr(model, "_input_arrays", {})  # of a CosmologyCalculator
    tables = [name for name in ("background", "growth") if own.get(name)]
    if tables:
        raise ConversionError(
            f"{' and '.join(tables)} of CCL are tables, which its parameters do not say; expected "
            "a cosmology without them"
        )
    if any(model[name] != 0.0 for name in ("mu_0", "sigma_0")):
        raise ConversionError(
            f"mu_0 and sigma_0 of CCL are {model['mu_0']:g} and {model['sigma_0']:g}; modified "
            "gravity has no counterpart here"
        )
    if given.get("Omega_g") is not None:
        raise ConversionError(
            f"Omega_g of CCL is {given['Omega_g']:g}; photons follow from T_CMB here: leave it out"
        )
    if not math.isclose(model["T_ncdm"], NEUTRINO_TEMPERATURE, rel_tol=1e-9):
        raise ConversionError(
            f"T_ncdm of CCL is {model['T_ncdm']:g}; only {NEUTRINO_TEMPERATURE} is the standard "
            "neutrino here"
        )
    amplitude = {name: given[name] for name in ("A_s", "sigma8") if given.get(name) is not None}
    return Cosmology(
        h=given["h"],
        Omega_b=given["Omega_b"],
        Omega_cdm=given["Omega_c"],
        n_s=given["n_s"],
        tau_reio=tau_reio,
        N_eff=model["Neff"],
        w0=given["w0"],
        wa=given["wa"],
        Omega_k=given["Omega_k"],
        T_cmb=given["T_CMB"],
        **amplitude,
        **_masses(given),
    )


def _masses(given: dict[str, Any]) -> dict[str, Any]:
    masses = given["m_nu"]
    if not isinstance(masses, (int, float)):
        return masses_or_sum([float(mass) for mass in masses])
    if masses == 0.0:
        return {"m_nu": 0.0}
    split = str(given["mass_split"])
    if split not in _SPLITS:
        raise ConversionError(
            f"mass_split of CCL is '{split}'; expected a list of masses or {', '.join(_SPLITS)}"
        )
    return {"m_nu": float(masses), "neutrino_hierarchy": _SPLITS[split]}
