"""The registry of outputs: what a solver can be asked for, on which grid, in which unit.

A name that is not here is taken for a derived number of the solver's own (``rs_rec`` of CLASS,
``zeq`` of CAMB), which the solver itself accepts or refuses.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .grids import BACKGROUND_Z, HISTORY_Z, POWER_K, POWER_Z, TRANSFER_Z


@dataclass(frozen=True)
class OutputInfo:
    """One output of a solver.

    kind: ``spectrum`` (index l), ``background``, ``power``, ``function`` or ``scalar``; grids: one
    per axis (none for a scalar, left open for a spectrum); label: LaTeX without $; transform: in
    what form it is smooth in the parameters (see ``emulator.block``); group: what it is learned
    together with.
    """

    name: str
    kind: str
    unit: str
    label: str
    description: str
    grids: tuple[np.ndarray, ...] = ()
    transform: str = "linear"
    group: str = "scalars"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape on the fixed grids."""
        return tuple(len(grid) for grid in self.grids)


def _spectrum(kind: str, pair: str) -> OutputInfo:
    label = rf"C_\ell^\mathrm{{{pair.upper()}}}"
    text = f"{kind} scalar C_l^{pair.upper()}"
    return OutputInfo(f"{kind}_{pair}", "spectrum", "muK^2", label, text, (), "cmb", "cmb")


def _background(name: str, unit: str, label: str, text: str) -> OutputInfo:
    grids = (BACKGROUND_Z,)
    return OutputInfo(name, "background", unit, label, text, grids, "log", "background")


def _power(name: str, kind: str, label: str, text: str) -> OutputInfo:
    grids = (POWER_Z, POWER_K)
    return OutputInfo(name, kind, "Mpc^3", label, text, grids, "log_amplitude", name)


def _growth(name: str, label: str, text: str) -> OutputInfo:
    return OutputInfo(name, "function", "", label, text, (POWER_Z,), "log_root_amplitude", "growth")


def _transfer(name: str, sign: str, what: str) -> OutputInfo:
    label, text = rf"T_\mathrm{{{sign}}}(k,z)", f"-delta/(k^2 R) of {what}, synchronous gauge"
    grids = (TRANSFER_Z, POWER_K)
    return OutputInfo(name, "function", "Mpc^2", label, text, grids, "log", "transfer")


def _history(name: str, unit: str, label: str, text: str, transform: str) -> OutputInfo:
    return OutputInfo(name, "function", unit, label, text, (HISTORY_Z,), transform, name)


def _scalar(name: str, unit: str, label: str, text: str, transform: str = "linear") -> OutputInfo:
    return OutputInfo(name, "scalar", unit, label, text, (), transform)


_CB = "baryons and cold dark matter"
_INFOS = (
    *(_spectrum("lensed", pair) for pair in ("tt", "te", "ee", "bb")),
    *(_spectrum("unlensed", pair) for pair in ("tt", "te", "ee", "bb")),
    OutputInfo(
        "phiphi",
        "spectrum",
        "",
        r"C_\ell^{\phi\phi}",
        "C_l of the lensing potential",
        transform="potential",
        group="potential",
    ),
    _background("hubble", "km/s/Mpc", "H(z)", "expansion rate"),
    _background("transverse_comoving_distance", "Mpc", r"D_\mathrm{M}(z)", "comoving distance"),
    _power("matter_power", "power", "P(k,z)", "linear P of total matter"),
    _power("matter_power_nonlinear", "power", r"P^\mathrm{nl}(k,z)", "non-linear P of matter"),
    _power("cb_power", "function", r"P_\mathrm{cb}(k,z)", f"linear P of {_CB}"),
    _power(
        "cb_power_nonlinear",
        "function",
        r"P_\mathrm{cb}^\mathrm{nl}(k,z)",
        f"non-linear P of {_CB}",
    ),
    _growth("sigma8_z", r"\sigma_8(z)", "linear rms of total matter in 8 Mpc/h spheres"),
    _growth("f_sigma8", r"f\sigma_8(z)", "d sigma8/d ln a of total matter"),
    _transfer("transfer_b", "b", "baryons"),
    _transfer("transfer_cdm", "c", "cold dark matter"),
    _transfer("transfer_tot", "m", "total matter, neutrinos included"),
    _history(
        "ionisation_fraction",
        "",
        r"x_\mathrm{e}(z)",
        "free electrons per hydrogen nucleus",
        "ionisation",
    ),
    _history("visibility", "1/Mpc", "g(z)", "kappa' exp(-kappa), Thomson scattering", "visibility"),
    _scalar("H0", "km/s/Mpc", "H_0", "Hubble constant"),
    _scalar("h", "", "h", "Hubble constant in units of 100 km/s/Mpc"),
    _scalar("Omega_m", "", r"\Omega_\mathrm{m}", "matter incl. massive neutrinos"),
    _scalar("sigma8", "", r"\sigma_8", "sigma8_z at z = 0"),
    _scalar("S8", "", "S_8", "sigma8 sqrt(Omega_m/0.3)"),
    _scalar("theta_star_100", "", r"100\theta_*", "100 r_s(z_*)/D_M(z_*)"),
    _scalar("r_drag", "Mpc", r"r_\mathrm{drag}", "comoving sound horizon, baryon drag"),
    _scalar("age", "Gyr", "t_0", "age of the universe"),
    _scalar("z_star", "", "z_*", "redshift of optical depth 1 without reionisation"),
    _scalar("Y_he", "", r"Y_\mathrm{He}", "helium mass fraction"),
    _scalar("sigma8_cb", "", r"\sigma_8^\mathrm{cb}", f"linear rms of {_CB} in 8 Mpc/h spheres"),
    _scalar("z_reio", "", r"z_\mathrm{reio}", "redshift of half-complete reionisation", "depth"),
)

OUTPUTS: dict[str, OutputInfo] = {info.name: info for info in _INFOS}
"""Every output that means the same from all solvers, by name."""

FOLLOWS = {
    "angular_diameter_distance": "it is transverse_comoving_distance / (1 + z)",
    "luminosity_distance": "it is transverse_comoving_distance * (1 + z)",
}
"""What is not offered: another output times a known factor, which learning could only spoil."""


def is_spectrum(name: str) -> bool:
    """Whether an output is a spectrum in l of the CMB or its lensing potential."""
    return name in OUTPUTS and OUTPUTS[name].kind == "spectrum"


def names_of(kind: str) -> tuple[str, ...]:
    """Names of one kind, in the registry's order."""
    return tuple(info.name for info in _INFOS if info.kind == kind)


def suggestion(name: str, known: Sequence[str] = tuple(OUTPUTS)) -> str:
    """What to say of an unknown name: what it follows from, or the known names nearest to it."""
    if name in FOLLOWS:
        return FOLLOWS[name]
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
