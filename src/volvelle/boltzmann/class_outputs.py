"""From a request to CLASS's output words, and from a computed structure to the outputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from ..cosmology import LIGHT_SPEED, Cosmology
from .derived import BackgroundTable, Decoupling, decoupling, growth_rate
from .errors import SolverError
from .grids import BACKGROUND_Z, EARLY_Z, HISTORY_Z, POWER_K, POWER_Z, TRANSFER_Z
from .outputs import suggestion
from .request import SHORT, Request
from .solver import one_line

_POWER_K_MARGIN = 1.01  # CLASS interpolates inside its own k range only
_SIGMA8_K_MAX = 5.0
"""Least range of wavenumbers [1/Mpc], which is halofit's own: where CLASS chooses, sigma8 depends
on what else is asked for. Larger ranges and the steps that C_l bring change it by less than 2e-6.
"""
_NON_LINEAR_K_MAX = 30.0  # [1/Mpc] the non-linear scale at z = 4 lies below it
RESERVED = ("output", "lensing", "l_max_scalars", "non_linear", "non linear", "P_k_max_1/Mpc")
"""What follows from requests and settings, whatever is asked for."""
_TRANSFERS = {"transfer_b": "d_b", "transfer_cdm": "d_cdm", "transfer_tot": "d_m"}
_NON_LINEAR = {"cb_power": False, "cb_power_nonlinear": True}
_EARLY = {"matter_power_early": False, "cb_power_early": True}  # whether neutrinos are left out
_HISTORY = {"ionisation_fraction": "x_e", "visibility": "g [Mpc^-1]"}


def output_words(request: Request, non_linear: str) -> dict[str, Any]:
    """Output words of CLASS for a request; sigma8 always needs mPk.

    The non-linear model is left out where nothing asked for depends on it.
    """
    result: dict[str, Any] = {"output": "mPk", "P_k_max_1/Mpc": _SIGMA8_K_MAX}
    if request.spectra:
        lmax = max(request.lmax, SHORT)  # see there; the rest is cut off
        result |= {"output": "tCl,pCl,lCl,mPk", "l_max_scalars": lmax, "lensing": "yes"}
    if request.transfers:
        result["output"] += ",dTk"
    if non_linear != "none" and _bends(request):
        result["non_linear"] = non_linear
    if request.wavenumbers:
        result["P_k_max_1/Mpc"] = float(POWER_K[-1]) * _POWER_K_MARGIN
    if request.wavenumbers or request.growth:
        result["z_max_pk"] = float(EARLY_Z[-1] if request.early else POWER_Z[-1])
    if request.non_linear:
        result[f"{non_linear}_min_k_max"] = _NON_LINEAR_K_MAX
    return result


def _bends(request: Request) -> bool:
    """Whether anything asked for depends on the non-linear model; the solver's own scalars may."""
    lensing = any(name == "phiphi" or name.startswith("lensed") for name in request.spectra)
    return request.non_linear or lensing or bool(request.native)


def tables(cosmo: Any) -> tuple[BackgroundTable, Decoupling]:
    """Background table (z increasing) and decoupling of a computed structure."""
    columns = cosmo.get_background()
    order = slice(None, None, -1) if columns["z"][0] > columns["z"][-1] else slice(None)
    table = BackgroundTable(
        z=columns["z"][order],
        hubble=columns["H [1/Mpc]"][order],
        distance=columns["comov. dist."][order],
        sound_horizon=columns["comov.snd.hrz."][order],
        curvature=-float(cosmo.Omega_k()) * (float(cosmo.h()) * 100.0 / LIGHT_SPEED) ** 2,
    )
    thermodynamics = cosmo.get_thermodynamics()
    z = thermodynamics["z"]
    order = slice(None, None, -1) if z[0] > z[-1] else slice(None)
    return table, decoupling(table, z[order], thermodynamics["kappa' [Mpc^-1]"][order])


def collect(cosmo: Any, cosmology: Cosmology, request: Request) -> dict[str, Any]:
    """All outputs of a request from a computed structure."""
    table, star = tables(cosmo)
    h, Omega_m, sigma8 = float(cosmo.h()), float(cosmo.Omega_m()), float(cosmo.sigma8())
    theory: dict[str, Any] = {
        "H0": 100.0 * h,
        "h": h,
        "Omega_m": Omega_m,
        "sigma8": sigma8,
        "S8": sigma8 * (Omega_m / 0.3) ** 0.5,
        "theta_star_100": star.theta_star_100,
        "r_drag": float(cosmo.rs_drag()),
        "age": float(cosmo.age()),
        "z_star": star.z_star,
        "Y_he": float(cosmo.get_current_derived_parameters(["YHe"])["YHe"]),
    }
    if request.background:
        theory |= _background(table)
    if "matter_power" in request.names():
        theory["matter_power"] = _power(cosmo.get_pk_array, False)
    if "matter_power_nonlinear" in request.names():
        theory["matter_power_nonlinear"] = _non_linear_power(cosmo.get_pk_array)
    if request.spectra:
        theory |= _spectra(cosmo, float(cosmology.T_cmb), request)
    return theory | _functions(cosmo, h, request) | _scalars(cosmo, h, request)


def _background(table: BackgroundTable) -> dict[str, np.ndarray]:
    """H [km/s/Mpc] and D_M [Mpc] on BACKGROUND_Z."""
    near = table.z <= 2.0 * BACKGROUND_Z[-1]
    nodes, log = np.log1p(BACKGROUND_Z), np.log1p(table.z[near])
    radial = CubicSpline(log, table.distance[near])(nodes)
    radial[0] = 0.0  # the spline leaves rounding at z = 0
    return {
        "hubble": CubicSpline(log, table.hubble[near])(nodes) * LIGHT_SPEED,
        "transverse_comoving_distance": table.transverse(radial),
    }


def _functions(cosmo: Any, h: float, request: Request) -> dict[str, np.ndarray]:
    """The functions that are asked for one by one, matter power apart."""
    result: dict[str, np.ndarray] = {}
    for name in _NON_LINEAR.keys() & set(request.functions):
        read = _cb_reader(cosmo)
        result[name] = _non_linear_power(read) if _NON_LINEAR[name] else _power(read, False)
    for name in _EARLY.keys() & set(request.functions):
        read = _cb_reader(cosmo) if _EARLY[name] else cosmo.get_pk_array
        result[name] = _power(read, False, EARLY_Z)
    if request.growth:
        sigma8 = np.asarray(cosmo.sigma(8.0 / h, POWER_Z))
        result |= {"sigma8_z": sigma8, "f_sigma8": growth_rate(sigma8)}
    if request.history:
        columns = cosmo.get_thermodynamics()
        order = np.argsort(columns["z"])
        near = order[columns["z"][order] <= 1.1 * HISTORY_Z[-1]]
        for name, column in _HISTORY.items():
            result[name] = CubicSpline(columns["z"][near], columns[column][near])(HISTORY_Z)
    if request.transfers:
        at = [cosmo.get_transfer(float(z)) for z in TRANSFER_Z]
        for name in request.transfers:
            result[name] = np.array([_transfer(one, _TRANSFERS[name], h) for one in at])
    return result


def scalars(cosmo: Any, names: Sequence[str]) -> dict[str, float]:
    """Derived numbers by CLASS's own names; CLASS refuses what it does not know."""
    try:
        return dict(cosmo.get_current_derived_parameters(list(names)))
    except Exception as error:  # classy's own classes differ between copies of CLASS
        unknown = [name for name in names if f"{name} " in f"{error} "]
        hints = "".join(f"; of all solvers' outputs, {suggestion(name)}" for name in unknown)
        raise SolverError(f"CLASS: {one_line(error)}{hints}") from error


def _scalars(cosmo: Any, h: float, request: Request) -> dict[str, float]:
    """Scalars on request, the solver's own included."""
    values = scalars(cosmo, [name for name in request.scalars if name != "sigma8_cb"])
    if "sigma8_cb" in request.scalars:
        values["sigma8_cb"] = cosmo.sigma8_cb() if _massive(cosmo) else cosmo.sigma8()
    return {name: float(value) for name, value in values.items()}


def _massive(cosmo: Any) -> bool:
    """Whether there are massive neutrinos; without, CLASS has no spectra of baryons and CDM."""
    return "(.)rho_ncdm[0]" in cosmo.get_background()


def _cb_reader(cosmo: Any) -> Any:
    """What reads P of baryons and cold dark matter: without massive neutrinos, of all matter."""
    return cosmo.get_pk_cb_array if _massive(cosmo) else cosmo.get_pk_array


def linear_tables(cosmo: Any, k: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear P [z, k] of matter and of baryons and cold dark matter [Mpc^3] of a computed
    structure, at k [1/Mpc]."""
    return _power(cosmo.get_pk_array, False, z, k), _power(_cb_reader(cosmo), False, z, k)


def _power(
    read: Any, nonlinear: bool, z: np.ndarray = POWER_Z, k: np.ndarray = POWER_K
) -> np.ndarray:
    flat = read(k.copy(), z.copy(), len(k), len(z), nonlinear)
    return np.reshape(flat, (len(z), len(k)))


def _non_linear_power(read: Any) -> np.ndarray:
    """Non-linear P(k, z); CLASS gives the linear one, without a word, at redshifts where its range
    of wavenumbers ends before the non-linear scale. That is refused."""
    power = _power(read, True)
    linear = np.all(power == _power(read, False), axis=1)
    if np.any(linear):
        raise SolverError(
            "CLASS found no non-linear scale within its range of wavenumbers from "
            f"z = {POWER_Z[np.argmax(linear)]:.2f} on; raise halofit_min_k_max or "
            "hmcode_min_k_max in theory.class.precision"
        )
    return power


def _transfer(columns: Any, name: str, h: float) -> np.ndarray:
    """-delta/(k^2 R) [Mpc^2] on POWER_K; CLASS gives delta/R, of the opposite sign to R."""
    k = columns["k (h/Mpc)"] * h
    return np.exp(CubicSpline(np.log(k), np.log(-columns[name] / k**2))(np.log(POWER_K)))


def _spectra(cosmo: Any, T_cmb: float, request: Request) -> dict[str, np.ndarray]:
    """C_l [muK^2], phiphi dimensionless; scalar modes have no unlensed BB."""
    unit = (T_cmb * 1e6) ** 2
    raw = {"unlensed": cosmo.raw_cl(request.lmax), "lensed": cosmo.lensed_cl(request.lmax)}
    result: dict[str, np.ndarray] = {}
    for name in request.spectra:
        if name == "phiphi":
            result[name] = np.array(raw["unlensed"]["pp"])
            continue
        kind, field_pair = name.split("_")
        columns = raw[kind]
        if field_pair == "bb" and kind == "unlensed" and "bb" not in columns:
            result[name] = np.zeros(request.lmax + 1)
        else:
            result[name] = unit * columns[field_pair]
    return result
