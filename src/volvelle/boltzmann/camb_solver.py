"""CAMB behind the solver protocol. Lewis, Challinor & Lasenby, arXiv:astro-ph/9911177."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from ..cosmology import Cosmology, to_camb
from ..cosmology.errors import CosmologyError
from .derived import find_hubble, rescaled_amplitude, transverse_distance
from .errors import SolverError, SolverNotInstalledError
from .grids import BACKGROUND_Z, POWER_K, POWER_Z
from .library import extension_of, file_sha256
from .request import Request
from .solver import (
    Theory,
    canonical_json,
    check_finite,
    check_non_linear,
    check_request,
    one_line,
)

INTERFACE = "1"
"""Raised whenever this file changes a number for the same parameters and settings."""
LIGHT_SPEED = 299792.458  # [km/s]
_HALOFIT_VERSIONS = {"halofit": "takahashi", "hmcode": "mead2020"}
_HELIUM_WIDTH = (
    0.5  # of the second helium reionisation, as in CLASS, so that tau_reio means the same
)
_TAU_ACCURACY = 10.0  # CAMB's bisection for z_reio, ten times finer: no step in the spectra
_SIGMA8_K_MAX = 2.0  # [1/Mpc]; the top-hat of 8 Mpc/h has converged to 1e-5 there
_POWER_K_MARGIN = 1.01
_DISTANCE_NODES = 4000  # of the spline of 1/H in ln(1+z): 1e-9 in D_M
_TRIAL_A_S = 2.1e-9
PRECISION: dict[str, float | int | str] = {"Accuracy.lSampleBoost": 2.0}
"""Accuracy that differs from CAMB's defaults: interpolation in l costs TE 0.1% of its rms else."""
_HYREC_FIT = {
    "RECFAST_fudge": 1.125,
    "RECFAST_fudge_He": 0.8658491370,
    "AGauss1": -0.1417072428,
    "AGauss2": 0.0733978462,
    "zGauss1": 7.2841809376,
    "zGauss2": 6.7316088397,
    "wGauss1": 0.1734480042,
    "wGauss2": 0.3373321220,
    "RECFAST_He_rate_correction": False,
}
# CAMB's own fit of Recfast to HyRec (camb.recombination): CLASS runs HyRec, the wheel of CAMB has
# Recfast only, by default fitted to CosmoRec, which halves the agreement at high l


@dataclass(frozen=True)
class CambSolver:
    """CAMB, through its Python package.

    non_linear: ``halofit`` (Takahashi), ``hmcode`` (2020) or ``none``; enters lensing as well.
    lens_potential_accuracy, lens_margin (multipoles computed beyond lmax): CAMB's lensing accuracy.
    precision and extra: attributes of ``CAMBparams`` by path (``Accuracy.AccuracyBoost``). One
    thread per call.
    """

    non_linear: str = "halofit"
    lens_potential_accuracy: float = 2.0
    lens_margin: int = 800
    precision: Mapping[str, float | int | str] = field(default_factory=dict)
    extra: Mapping[str, float | int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_non_linear(self.non_linear)

    @property
    def name(self) -> str:
        """``camb``."""
        return "camb"

    def identity(self) -> dict[str, str]:
        """Version, hash of the compiled library and settings."""
        camb = _load_camb()
        return {
            "solver": self.name,
            "version": str(camb.__version__),
            "extension_sha256": file_sha256(extension_of(camb)),
            "settings": canonical_json(
                {
                    "interface": INTERFACE,
                    "non_linear": self.non_linear,
                    "lens_potential_accuracy": self.lens_potential_accuracy,
                    "lens_margin": self.lens_margin,
                    "precision": {**PRECISION, **self.precision},
                    "extra": dict(self.extra),
                }
            ),
        }

    def solve(self, cosmology: Cosmology, request: Request) -> Theory:
        """Solve one model; CAMB's message stands in the SolverError."""
        check_request(request, self.non_linear)
        camb = _load_camb()
        camb.config.ThreadNum = 1
        try:
            cosmology = self._with_hubble(camb, cosmology, request)
            cosmology = self._with_amplitude(camb, cosmology, request)
            params = self._params(camb, cosmology)
            self._ask(params, request)
            theory = _collect(camb.get_results(params), params, request)
        except CosmologyError as error:
            raise SolverError(str(error)) from error
        except (camb.CAMBError, camb.CAMBFortranError, ValueError) as error:
            raise SolverError(f"CAMB: {one_line(error)}") from error
        return check_finite(theory, request, self.name)

    def _params(self, camb: ModuleType, cosmology: Cosmology) -> Any:
        """CAMBparams of a cosmology with h and A_s (or no amplitude at all)."""
        values = to_camb(cosmology)
        params = camb.CAMBparams()
        if values["YHe"] is None:
            values["YHe"] = _helium(camb, values, float(cosmology.N_eff))
        for name in _DIRECT_FIELDS:
            setattr(params, name, values[name])
        if values["nu_mass_eigenstates"]:
            for name in ("nu_mass_degeneracies", "nu_mass_fractions", "nu_mass_numbers"):
                setattr(params, name, values[name])
        params.InitPower.set_params(As=values.get("As", _TRIAL_A_S), ns=values["ns"])
        for name, value in _HYREC_FIT.items():
            setattr(params.Recomb, name, value)
        params.Reion.helium_delta_redshift = _HELIUM_WIDTH
        params.Reion.tau_solve_accuracy_boost = _TAU_ACCURACY
        params.Reion.set_tau(values["tau"])
        if (values["w"], values["wa"]) != (-1.0, 0.0):
            params.set_dark_energy(w=values["w"], wa=values["wa"], dark_energy_model="ppf")
        native = {name: float(value) for name, value in cosmology.extra.items()}
        for path, value in {**PRECISION, **self.precision, **self.extra, **native}.items():
            _set_attribute(params, path, value)
        return params

    def _ask(self, params: Any, request: Request) -> None:
        """Outputs of a request.

        The C_l are always computed: without them CAMB takes coarser steps, and sigma8, which every
        solution holds, would be 3e-4 lower.
        """
        params.WantTransfer = True
        params.set_for_lmax(
            request.lmax + self.lens_margin,
            lens_potential_accuracy=self.lens_potential_accuracy,
        )
        redshifts = POWER_Z if request.power else np.zeros(1)
        k_max = POWER_K[-1] * _POWER_K_MARGIN if request.power else _SIGMA8_K_MAX
        params.set_matter_power(redshifts=list(redshifts), kmax=float(k_max), silent=True)
        if self.non_linear == "none":
            params.NonLinear = "NonLinear_none"
        else:
            version = _HALOFIT_VERSIONS[self.non_linear]
            params.NonLinearModel.set_params(halofit_version=version)
            params.NonLinear = "NonLinear_both"

    def _with_hubble(self, camb: ModuleType, cosmology: Cosmology, request: Request) -> Cosmology:
        """Replace theta_star_100 by the h that gives it."""
        if cosmology.theta_star_100 is None:
            return cosmology

        def theta(h: float) -> float:
            trial = cosmology.replace(h=h, theta_star_100=None)
            params = self._params(camb, trial)
            self._ask(params, request)  # time steps, and so theta_*, depend on it in the 7th digit
            return float(camb.get_background(params).get_derived_params()["thetastar"])

        h = find_hubble(theta, float(cosmology.theta_star_100))
        return cosmology.replace(h=h, theta_star_100=None)

    def _with_amplitude(
        self, camb: ModuleType, cosmology: Cosmology, request: Request
    ) -> Cosmology:
        """Replace sigma8 by the A_s that gives it, from a run of the same settings."""
        if cosmology.sigma8 is None:
            return cosmology
        trial = cosmology.replace(A_s=_TRIAL_A_S, sigma8=None)
        params = self._params(camb, trial)
        self._ask(params, request)
        sigma8 = float(camb.get_results(params).get_sigma8_0())
        return trial.replace(A_s=rescaled_amplitude(_TRIAL_A_S, sigma8, float(cosmology.sigma8)))


_DIRECT_FIELDS = (
    "H0",
    "ombh2",
    "omch2",
    "omk",
    "omnuh2",
    "TCMB",
    "YHe",
    "num_nu_massless",
    "num_nu_massive",
    "nu_mass_eigenstates",
    "share_delta_neff",
)


def _load_camb() -> ModuleType:
    try:
        return importlib.import_module("camb")
    except ImportError as error:
        raise SolverNotInstalledError(
            f"CAMB cannot be imported ({error}); install it with `pip install camb`"
        ) from error


def _helium(camb: ModuleType, values: Mapping[str, Any], N_eff: float) -> float:
    """Helium mass fraction of CAMB's own nucleosynthesis table."""
    reference = camb.constants.COBE_CMBTemp
    baryons = values["ombh2"] * (reference / values["TCMB"]) ** 3
    return float(camb.bbn.get_predictor().Y_He(baryons, N_eff - camb.constants.default_nnu))


def _set_attribute(params: Any, path: str, value: float | int | str) -> None:
    """Set ``Accuracy.AccuracyBoost`` and the like; refuse what CAMB does not have."""
    *parents, name = path.split(".")
    target = params
    for parent in parents:
        target = getattr(target, parent, None)
    if not hasattr(target, name):
        raise SolverError(f"CAMB has no parameter '{path}'; give an attribute path of CAMBparams")
    kind = type(getattr(target, name))
    setattr(target, name, kind(value) if kind in (bool, int, float) else value)


def _collect(results: Any, params: Any, request: Request) -> dict[str, Any]:
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
    if request.power:
        for name, nonlinear in (("matter_power", False), ("matter_power_nonlinear", True)):
            interpolator = results.get_matter_power_interpolator(
                nonlinear=nonlinear, hubble_units=False, k_hunit=False
            )
            theory[name] = interpolator.P(POWER_Z, POWER_K)
    if request.spectra:
        theory |= _spectra(results, params, request)
    return theory


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


_COLUMNS = {"tt": 0, "ee": 1, "bb": 2, "te": 3}


def _spectra(results: Any, params: Any, request: Request) -> dict[str, np.ndarray]:
    """C_l [muK^2], phiphi dimensionless."""
    lmax = request.lmax
    raw: dict[str, Any] = {}
    raw["lensed"] = results.get_lensed_scalar_cls(lmax, CMB_unit="muK", raw_cl=True)
    raw["unlensed"] = results.get_unlensed_scalar_cls(lmax, CMB_unit="muK", raw_cl=True)
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
