"""The registry of parameter names, with labels and units."""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class ParameterInfo:
    """A parameter's name, LaTeX label (without $), unit ('' when dimensionless) and meaning."""

    name: str
    label: str
    unit: str
    description: str
    derived_only: bool = False


_INPUTS = (
    ParameterInfo("omega_b", r"\omega_\mathrm{b}", "", "baryon density Omega_b h^2"),
    ParameterInfo(
        "omega_cdm", r"\omega_\mathrm{cdm}", "", "cold dark matter density Omega_cdm h^2"
    ),
    ParameterInfo("h", "h", "", "Hubble constant in units of 100 km/s/Mpc"),
    ParameterInfo("H0", "H_0", "km/s/Mpc", "Hubble constant"),
    ParameterInfo(
        "theta_star_100",
        r"100\theta_*",
        "",
        "100 r_s(z_*)/D_M(z_*), z_* where the optical depth without reionisation is 1",
    ),
    ParameterInfo("A_s", r"A_\mathrm{s}", "", "amplitude of primordial P_R(k) at k = 0.05/Mpc"),
    ParameterInfo("ln10A_s", r"\ln(10^{10}A_\mathrm{s})", "", "logarithm of 10^10 A_s"),
    ParameterInfo("sigma8", r"\sigma_8", "", "linear rms of total matter in 8 Mpc/h spheres, z=0"),
    ParameterInfo("n_s", r"n_\mathrm{s}", "", "primordial spectral index"),
    ParameterInfo("tau_reio", r"\tau_\mathrm{reio}", "", "optical depth to reionisation"),
    ParameterInfo("m_nu", r"\sum m_\nu", "eV", "sum of the neutrino masses"),
    ParameterInfo(
        "N_eff", r"N_\mathrm{eff}", "", "effective number of neutrinos, massive included"
    ),
    ParameterInfo("w0", "w_0", "", "dark-energy equation of state today"),
    ParameterInfo("wa", "w_a", "", "minus the derivative of w with respect to a"),
    ParameterInfo("Omega_k", r"\Omega_k", "", "curvature, negative when closed"),
    ParameterInfo("T_cmb", r"T_\mathrm{CMB}", "K", "CMB temperature today"),
    ParameterInfo(
        "Y_he", r"Y_\mathrm{He}", "", "helium mass fraction; from nucleosynthesis if unset"
    ),
)

_DERIVED = (
    ParameterInfo("Omega_m", r"\Omega_\mathrm{m}", "", "matter incl. massive neutrinos", True),
    ParameterInfo("S8", "S_8", "", "sigma8 sqrt(Omega_m/0.3)", True),
    ParameterInfo("r_drag", r"r_\mathrm{drag}", "Mpc", "comoving sound horizon, baryon drag", True),
    ParameterInfo("age", r"t_0", "Gyr", "age of the universe", True),
    ParameterInfo("z_star", "z_*", "", "redshift of optical depth 1 without reionisation", True),
)

PARAMETERS: dict[str, ParameterInfo] = {info.name: info for info in _INPUTS + _DERIVED}
"""Every input and derived scalar by name."""

INPUT_PARAMETERS: tuple[str, ...] = tuple(info.name for info in _INPUTS)
"""Names that ``Cosmology.from_parameters`` accepts."""


def nearest_names(name: str, names: tuple[str, ...] | list[str]) -> list[str]:
    """Up to three known names that look like ``name``, whatever its case."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.5)
    return [by_lower[key] for key in found]
