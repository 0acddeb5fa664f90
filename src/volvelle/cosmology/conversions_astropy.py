"""From and to the homogeneous universes of astropy.

astropy shares N_eff among all states at the temperature (4/11)^(1/3) T_cmb and takes the energy of
massive ones from a fit (Komatsu et al. 2011, equation 26). Curvature, matter without neutrinos,
masses and N_eff are kept; what the neutrinos' densities differ by is taken from dark energy: 1% of
them at N_eff = 3.044, more beside massive neutrinos at another N_eff, of which astropy gives every
state its share (at 3.5 and 0.4 eV distances are off by 2e-3).
"""

import math
from typing import Any

from .constants import BOLTZMANN, ELECTRON_VOLT, OMEGA_PHOTON
from .conversions import (
    known_h,
    masses_or_sum,
    massive_list,
    neutrino_number,
    refuse_extra,
)
from .cosmology import Cosmology
from .errors import ConversionError

_TEMPERATURE = (4.0 / 11.0) ** (1.0 / 3.0)
_PER_STATE = 7.0 / 8.0 * _TEMPERATURE**4  # energy of a massless one over the photons'
_FIT, _POWER = 0.3173, 1.83
_EQUATIONS = {
    "LambdaCDM": (None, None),
    "FlatLambdaCDM": (None, None),
    "wCDM": ("w0", None),
    "FlatwCDM": ("w0", None),
    "w0waCDM": ("w0", "wa"),
    "Flatw0waCDM": ("w0", "wa"),
}
"""Classes of astropy with an equation of state w0 + wa (1 - a), and where they have it."""


def to_astropy(cosmology: Cosmology) -> dict[str, Any]:
    """Arguments of ``astropy.cosmology.w0waCDM`` (masses in eV, T_cmb in K, without units).

    astropy has no primordial power and no reionisation: A_s or sigma8, n_s, tau_reio and Y_he stay
    behind. Its Ok0 is Omega_k to 1e-8 (constants of nature).

    Raises ConversionError without h, and for neutrinos and other inputs in a solver's own words.
    """
    h = known_h(cosmology, "astropy")
    masses, N_eff = massive_list(cosmology), neutrino_number(cosmology)
    refuse_extra(cosmology, "astropy")
    masses += [0.0] * (int(N_eff) - len(masses))
    if len(masses) > int(N_eff):
        raise ConversionError(
            f"N_eff is {N_eff:.6g} with {len(masses)} massive states, and astropy has int(N_eff) "
            "states; raise N_eff or give mass to fewer"
        )
    T_cmb = float(cosmology.T_cmb)
    matter = (float(cosmology.omega_b) + float(cosmology.omega_cdm)) / h**2
    radiation = _radiation(h, T_cmb, N_eff, masses)
    return {
        "H0": 100.0 * h,
        "Om0": matter,
        "Ode0": 1.0 - float(cosmology.Omega_k) - matter - radiation,
        "Ob0": float(cosmology.omega_b) / h**2,
        "w0": float(cosmology.w0),
        "wa": float(cosmology.wa),
        "Tcmb0": T_cmb,
        "Neff": N_eff,
        "m_nu": masses,
    }


def from_astropy(
    model: Any,
    *,
    n_s: float,
    tau_reio: float,
    A_s: float | None = None,
    sigma8: float | None = None,
) -> Cosmology:
    """Cosmology of an instance of astropy's LambdaCDM, wCDM or w0waCDM, flat or not.

    What astropy does not have is given beside it: ``n_s``, ``tau_reio`` and one of ``A_s`` and
    ``sigma8`` (its named realisations hold some of them in ``model.meta``).

    Raises ConversionError for other equations of state, and a universe without baryons, radiation
    or neutrinos in it.
    """
    kind = type(model).__name__
    if kind not in _EQUATIONS or not type(model).__module__.startswith("astropy."):
        raise ConversionError(f"{kind} is given; expected one of astropy's {', '.join(_EQUATIONS)}")
    if not model.Ob0:
        raise ConversionError("Ob0 of the astropy model is not set; give it the baryon density")
    T_cmb = float(model.Tcmb0.value)
    if T_cmb == 0.0:
        raise ConversionError("Tcmb0 of the astropy model is 0; expected a universe with radiation")
    N_eff = float(model.Neff)
    if N_eff < 1.0:
        raise ConversionError(f"Neff of the astropy model is {N_eff:g}; expected 1 or more states")
    masses = [float(mass) for mass in getattr(model.m_nu, "value", model.m_nu)]
    h = float(model.H0.value) / 100.0
    dark: dict[str, Any] = {
        ours: float(getattr(model, theirs))
        for ours, theirs in zip(("w0", "wa"), _EQUATIONS[kind], strict=True)
        if theirs
    }
    curvature = 1.0 - float(model.Om0) - float(model.Ode0) - _radiation(h, T_cmb, N_eff, masses)
    return Cosmology(
        h=h,
        Omega_b=float(model.Ob0),
        Omega_cdm=float(model.Om0) - float(model.Ob0),
        n_s=n_s,
        tau_reio=tau_reio,
        A_s=A_s,
        sigma8=sigma8,
        N_eff=N_eff,
        **masses_or_sum(masses),
        Omega_k=0.0 if kind.startswith("Flat") else curvature,
        T_cmb=T_cmb,
        **dark,
    )


def _radiation(h: float, T_cmb: float, N_eff: float, masses: list[float]) -> float:
    """Omega of photons and all neutrinos today, as astropy has them."""
    photons = OMEGA_PHOTON * T_cmb**4 / h**2
    per_ev = ELECTRON_VOLT / (BOLTZMANN * _TEMPERATURE * T_cmb)
    energies = [(1.0 + (_FIT * mass * per_ev) ** _POWER) ** (1.0 / _POWER) for mass in masses]
    share = N_eff / len(masses) if masses else 0.0
    return photons * (1.0 + _PER_STATE * share * math.fsum(energies))
