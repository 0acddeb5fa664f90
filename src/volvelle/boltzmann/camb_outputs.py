"""From a request to what CAMB computes, and from CAMB's results to the outputs."""

from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from ..cosmology import LIGHT_SPEED
from .derived import growth_rate, transverse_distance
from .errors import SolverError
from .grids import BACKGROUND_Z, EARLY_Z, HISTORY_Z, POWER_K, POWER_Z, TRANSFER_Z
from .outputs import OUTPUTS, suggestion
from .request import Request

_SIGMA8_K_MAX = 2.0  # [1/Mpc]; the top-hat of 8 Mpc/h has converged to 1e-5 there
_POWER_K_MARGIN = 1.01
_DISTANCE_NODES = 4000  # of the spline of 1/H in ln(1+z): 1e-9 in D_M
_COLUMNS = {"tt": 0, "ee": 1, "bb": 2, "te": 3}
_TRANSFERS = {
    "transfer_b": "delta_baryon",
    "transfer_cdm": "delta_cdm",
    "transfer_tot": "delta_tot",
}
_POWERS = {
    "matter_power": ("delta_tot", False),
    "matter_power_nonlinear": ("delta_tot", True),
    "cb_power": ("delta_nonu", False),
    "cb_power_nonlinear": ("delta_nonu", True),
    "matter_power_early": ("delta_tot", False),
    "cb_power_early": ("delta_nonu", False),
}
_HISTORY = {"ionisation_fraction": "x_e", "visibility": "visibility"}


def ask_matter(params: Any, request: Request) -> None:
    """Redshifts and wavenumbers of the matter power; sigma8 always needs those of today."""
    wide = request.wavenumbers
    redshifts = POWER_Z if wide or request.growth else np.zeros(1)
    if request.early:
        redshifts = np.concatenate([redshifts, EARLY_Z])
    k_max = POWER_K[-1] * _POWER_K_MARGIN if wide else _SIGMA8_K_MAX
    params.set_matter_power(redshifts=list(redshifts), kmax=float(k_max), silent=True)


def refuse_unknown(names: tuple[str, ...], derived: dict[str, float]) -> None:
    """Raise SolverError for a scalar that CAMB does not have."""
    for name in names:
        if name not in derived:
            known = tuple(sorted(derived))
            hint = suggestion(name)
            raise SolverError(
                f"CAMB has no derived parameter '{name}'; it has {', '.join(known)}; "
                f"of all solvers' outputs: {hint}"
            )


def collect(results: Any, params: Any, request: Request) -> dict[str, Any]:
    """All outputs of a request from CAMB's results."""
    derived = results.get_derived_params()
    h, Omega_m, sigma8 = params.H0 / 100.0, float(params.omegam), float(results.get_sigma8_0())
    theory: dict[str, Any] = {
        "H0": float(params.H0),
        "h": h,
        "Omega_m": Omega_m,
        "sigma8": sigma8,
        "S8": sigma8 * (Omega_m / 0.3) ** 0.5,
        "theta_star_100": float(derived["thetastar"]),
        "r_drag": float(derived["rdrag"]),
        "age": float(derived["age"]),
        "z_star": float(derived["zstar"]),
        "Y_he": float(params.YHe),
    }
    if request.background:
        theory |= _background(results, params)
    for name, (variable, nonlinear) in _POWERS.items():
        if name in request.names():
            interpolator = results.get_matter_power_interpolator(
                nonlinear=nonlinear,
                var1=variable,
                var2=variable,
                hubble_units=False,
                k_hunit=False,
            )
            theory[name] = interpolator.P(OUTPUTS[name].grids[0], POWER_K)
    if request.spectra:
        theory |= _spectra(results, params, request)
    theory |= _functions(results, h, request)
    theory |= {name: float(derived[name]) for name in request.native}
    if "z_reio" in request.scalars:
        theory["z_reio"] = float(results.Params.Reion.get_zre(results.Params))
    if "sigma8_cb" in request.scalars:
        theory["sigma8_cb"] = _sigma8_cb(results)
    return theory


def _sigma8_cb(results: Any) -> float:
    """sigma8 times the ratio of the two rms, which share their numerical error."""
    cb, total = (
        float(results.get_sigmaR(8.0, z_indices=-1, var1=variable, var2=variable))
        for variable in ("delta_nonu", "delta_tot")
    )
    return float(results.get_sigma8_0()) * cb / total


def _background(results: Any, params: Any) -> dict[str, np.ndarray]:
    """H [km/s/Mpc] and D_M [Mpc] on BACKGROUND_Z.

    D_M integrates a spline of 1/H: CAMB's own distance is good to 1e-4 only.
    """
    log = np.linspace(0.0, np.log1p(BACKGROUND_Z[-1]), _DISTANCE_NODES)
    z = np.expm1(log)
    integrand = CubicSpline(log, LIGHT_SPEED * (1.0 + z) / results.hubble_parameter(z))
    radial = np.asarray(integrand.antiderivative()(np.log1p(BACKGROUND_Z)))
    curvature = -float(params.omk) * (float(params.H0) / LIGHT_SPEED) ** 2
    return {
        "hubble": np.asarray(results.hubble_parameter(BACKGROUND_Z.copy())),
        "transverse_comoving_distance": transverse_distance(radial, curvature),
    }


def _functions(results: Any, h: float, request: Request) -> dict[str, np.ndarray]:
    """The functions that are asked for one by one, power apart."""
    result: dict[str, np.ndarray] = {}
    if request.growth:
        sigma8 = np.asarray(results.get_sigma8())[::-1][: len(POWER_Z)]  # CAMB goes forward in time
        result |= {"sigma8_z": sigma8, "f_sigma8": growth_rate(sigma8)}
    if request.history:
        columns = results.get_background_redshift_evolution(HISTORY_Z, list(_HISTORY.values()))
        result |= {name: columns[column] for name, column in _HISTORY.items()}
    if request.transfers:
        data = results.get_matter_transfer_data()
        redshifts = np.asarray(results.transfer_redshifts)
        at = [int(np.argmin(np.abs(redshifts - z))) for z in TRANSFER_Z]
        for name in request.transfers:
            result[name] = np.array([_transfer(data, _TRANSFERS[name], i, h) for i in at])
    return result


def _transfer(data: Any, name: str, index: int, h: float) -> np.ndarray:
    """-delta/(k^2 R) [Mpc^2] on POWER_K, which is what CAMB itself gives, on its wavenumbers."""
    k = data.transfer_z("k/h", index).astype(np.float64) * h
    values = data.transfer_z(name, index).astype(np.float64)
    return np.exp(CubicSpline(np.log(k), np.log(values))(np.log(POWER_K)))


def _spectra(results: Any, params: Any, request: Request) -> dict[str, np.ndarray]:
    """C_l [muK^2], phiphi dimensionless; tensors join where they are computed."""
    lmax = request.lmax
    tensors = bool(params.WantTensors)
    lensed = results.get_total_cls if tensors else results.get_lensed_scalar_cls
    unlensed = results.get_unlensed_total_cls if tensors else results.get_unlensed_scalar_cls
    raw: dict[str, Any] = {}
    raw["lensed"] = lensed(lmax, CMB_unit="muK", raw_cl=True)
    raw["unlensed"] = unlensed(lmax, CMB_unit="muK", raw_cl=True)
    theory: dict[str, np.ndarray] = {}
    for name in request.spectra:
        if name == "phiphi":
            theory[name] = results.get_lens_potential_cls(lmax, raw_cl=True)[:, 0].copy()
            continue
        kind, pair = name.split("_")
        theory[name] = raw[kind][:, _COLUMNS[pair]].copy()
    for column in theory.values():
        column[:2] = 0.0
    return theory
