"""From and to the parameters of CAMB."""

import math
from collections.abc import Mapping
from typing import Any

from .conversions import (
    MASS_TOLERANCE,
    known_h,
    masses_or_sum,
    massive_states,
    massless_number,
)
from .cosmology import Cosmology
from .errors import ConversionError
from .neutrinos import N_EFF_PER_MASSIVE_STATE, NATIVE, OMEGA_NU_PER_EV

REIONISATION_WIDTH = 0.5
"""CAMB's default, and CLASS's."""
_THIRDS = (3.044 / 3.0, 3.046 / 3.0)
"""What ``set_cosmology`` of CAMB gives each massive state of any N_eff: a third of
``standard_neutrino_neff``, by default and as it was before."""
_MOST_STATES = 5
"""``max_nu`` of CAMB's modules."""


def to_camb(cosmology: Cosmology) -> dict[str, Any]:
    """Fields of CAMB's ``CAMBparams`` (As, ns, tau, w, wa under their names in ``set_params``).

    CAMB multiplies states by an energy degeneracy at (4/11)^(1/3) T_cmb and keeps mass over
    temperature, so a degeneracy of 1.0132 with the omega_nu of 0.71611 T_cmb is the very same
    species as in CLASS. ``omnuh2`` is the non-relativistic density, as CAMB's field. What stands
    in ``extra``, native neutrinos among it, is absent: those are CAMB's own fields already.
    """
    result: dict[str, Any] = {
        "H0": 100.0 * known_h(cosmology, "CAMB"),
        "ombh2": float(cosmology.omega_b),
        "omch2": float(cosmology.omega_cdm),
        "omk": float(cosmology.Omega_k),
        "TCMB": float(cosmology.T_cmb),
        "YHe": None if cosmology.Y_he is None else float(cosmology.Y_he),
        "ns": float(cosmology.n_s),
        "tau": float(cosmology.tau_reio),
        "w": float(cosmology.w0),
        "wa": float(cosmology.wa),
    }
    if cosmology.A_s is not None:
        result["As"] = float(cosmology.A_s)
    if cosmology.sigma8 is not None:
        result["sigma8"] = float(cosmology.sigma8)
    if cosmology.neutrino_hierarchy != NATIVE:
        result |= _neutrinos_to_camb(cosmology)
    return result


def _neutrinos_to_camb(cosmology: Cosmology) -> dict[str, Any]:
    states = massive_states(cosmology)
    if len(states) > _MOST_STATES:
        raise ConversionError(
            f"{len(states)} different masses of neutrinos; CAMB has room for {_MOST_STATES}: give "
            "some the same mass, or take CLASS"
        )
    total = sum(mass * degeneracy for mass, degeneracy in states)
    return {
        "omnuh2": float(cosmology.omega_nu) if states else 0.0,
        "num_nu_massless": massless_number(cosmology),
        "num_nu_massive": round(sum(degeneracy for _, degeneracy in states)),
        "nu_mass_eigenstates": len(states),
        "share_delta_neff": False,
        "nu_mass_degeneracies": [g * N_EFF_PER_MASSIVE_STATE for _, g in states],
        "nu_mass_fractions": [mass * g / total for mass, g in states],
        "nu_mass_numbers": [round(g) for _, g in states],
    }


def from_camb(parameters: Any) -> Cosmology:
    """Inverse of ``to_camb``, or the cosmology of a ``camb.CAMBparams``.

    Massive states are those of 0.71611 T_cmb (``to_camb``) or CAMB's own, a third of its
    ``standard_neutrino_neff`` (3.044, or 3.046) or of N_eff per state; of the latter omega_nu and
    N_eff are kept, and the masses differ by 0.1% (more by N_eff / 3). The helium of CAMBparams is a
    number, whether CAMB found it or the user.

    Raises ConversionError for other neutrino sectors, dark energy that is not w0 + wa (1 - a) with
    the sound speed of light, isocurvature, reionisation without an optical depth or of another
    width, and running or another pivot scale.
    """
    if not isinstance(parameters, Mapping):
        parameters = _camb_fields(parameters)
    numbers = list(parameters["nu_mass_numbers"])
    fractions = list(parameters["nu_mass_fractions"])
    degeneracies = list(parameters["nu_mass_degeneracies"])
    N_eff = float(parameters["num_nu_massless"]) + sum(degeneracies)
    for degeneracy, number in zip(degeneracies, numbers, strict=True):
        usual = [number * each for each in (N_EFF_PER_MASSIVE_STATE, *_THIRDS, N_eff / 3.0)]
        if not any(math.isclose(degeneracy, each, rel_tol=MASS_TOLERANCE) for each in usual):
            raise ConversionError(
                f"nu_mass_degeneracies {degeneracy:.6g} for {number} states; expected "
                f"{usual[0]:.6g} (temperature 0.71611 T_cmb), {usual[1]:.6g} or {usual[2]:.6g} "
                f"(CAMB's standard_neutrino_neff / 3 each), or {usual[3]:.6g} (N_eff / 3 each)"
            )
    total = float(parameters["omnuh2"]) / (OMEGA_NU_PER_EV * float(parameters["TCMB"]) ** 3)
    masses = [
        total * fraction / number
        for fraction, number in zip(fractions, numbers, strict=True)
        for _ in range(number)
    ]
    return Cosmology(
        omega_b=parameters["ombh2"],
        omega_cdm=parameters["omch2"],
        h=parameters["H0"] / 100.0,
        n_s=parameters["ns"],
        tau_reio=parameters["tau"],
        A_s=parameters.get("As"),
        sigma8=parameters.get("sigma8"),
        N_eff=N_eff,
        **masses_or_sum(masses),
        w0=parameters["w"],
        wa=parameters["wa"],
        Omega_k=parameters["omk"],
        T_cmb=parameters["TCMB"],
        Y_he=parameters["YHe"],
    )


def _camb_fields(params: Any) -> dict[str, Any]:
    """The names of ``to_camb`` from a ``camb.CAMBparams``."""
    kind = f"{type(params).__module__}.{type(params).__name__}"
    if not kind.startswith("camb.") or not hasattr(params, "InitPower"):
        raise ConversionError(f"{kind} is given; expected a dictionary or camb.CAMBparams")
    power, dark, reionisation = params.InitPower, params.DarkEnergy, params.Reion
    if type(power).__name__ != "InitialPowerLaw" or power.nrun != 0.0 or power.nrunrun != 0.0:
        raise ConversionError("the primordial power of CAMB is no power law; expected A_s and n_s")
    if power.pivot_scalar != 0.05:
        raise ConversionError(f"pivot_scalar is {power.pivot_scalar}; A_s is that at 0.05/Mpc here")
    known = type(dark).__name__ in ("DarkEnergyFluid", "DarkEnergyPPF")
    if not known or dark.use_tabulated_w:
        raise ConversionError(
            f"dark energy of CAMB is {type(dark).__name__} with its own w(a); expected w and wa"
        )
    if dark.cs2 != 1.0:
        raise ConversionError(f"cs2 of CAMB's dark energy is {dark.cs2:g}; it is 1 here")
    if params.scalar_initial_condition != "initial_adiabatic":
        raise ConversionError(
            f"scalar_initial_condition of CAMB is {params.scalar_initial_condition}; expected "
            "initial_adiabatic"
        )
    if params.share_delta_neff:
        raise ConversionError(
            "share_delta_neff of CAMB is on, which gives the fields of neutrinos another meaning; "
            "set it to False and say nu_mass_degeneracies, as set_cosmology does"
        )
    if not getattr(reionisation, "use_optical_depth", False):
        raise ConversionError("reionisation of CAMB has no optical depth; expected set_tau")
    width = getattr(reionisation, "delta_redshift", None)
    if width != REIONISATION_WIDTH:
        raise ConversionError(
            f"Reion.delta_redshift of CAMB is {width}; a Cosmology has "
            f"{REIONISATION_WIDTH:g}: convert with that, and give yours to the result, "
            '.replace(extra={"Reion.delta_redshift": ...})'
        )
    names = ("H0", "ombh2", "omch2", "omk", "omnuh2", "TCMB", "YHe", "num_nu_massless")
    states = params.nu_mass_eigenstates
    arrays = ("nu_mass_degeneracies", "nu_mass_fractions", "nu_mass_numbers")
    return {
        **{name: getattr(params, name) for name in names},
        **{name: list(getattr(params, name))[:states] for name in arrays},
        "As": power.As,
        "ns": power.ns,
        "tau": reionisation.optical_depth,
        "w": dark.w,
        "wa": dark.wa,
    }
