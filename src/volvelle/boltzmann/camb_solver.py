"""CAMB behind the solver protocol. Lewis, Challinor & Lasenby, arXiv:astro-ph/9911177."""

import importlib
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ..cosmology import NATIVE, Cosmology, to_camb
from ..cosmology.errors import CosmologyError
from .camb_outputs import ask_matter, collect, refuse_unknown
from .derived import find_hubble, rescaled_amplitude
from .errors import SolverError, SolverNotInstalledError
from .library import extension_of, file_sha256
from .request import Request
from .solver import (
    Theory,
    canonical_json,
    check_finite,
    check_non_linear,
    check_request,
    one_line,
    with_any_hubble_and_amplitude,
)

INTERFACE = "1"
"""Raised whenever this file changes a number for the same parameters and settings."""
TENSORS = "1"
"""As INTERFACE, of solutions with tensors."""
_HALOFIT_VERSIONS = {"halofit": "takahashi", "hmcode": "mead2020"}
_HELIUM_WIDTH = (
    0.5  # of the second helium reionisation, as in CLASS, so that tau_reio means the same
)
_TAU_ACCURACY = 10.0  # CAMB's bisection for z_reio, ten times finer: no step in the spectra
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
        tensors = {"tensors": TENSORS} if self.extra.get("WantTensors") else {}
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
                    **tensors,
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
            params = self._input(camb, cosmology, request)
            _refuse_unknown(camb, params, request)
            theory = collect(camb.get_results(params), params, request)
        except CosmologyError as error:
            raise SolverError(str(error)) from error
        except (camb.CAMBError, camb.CAMBFortranError, ValueError) as error:
            raise SolverError(f"CAMB: {one_line(error)}") from error
        return check_finite(theory, request, self.name)

    def check(self, cosmology: Cosmology, request: Request) -> None:
        """Set all parameters, at any h and amplitude; the background is computed only if scalars
        by CAMB's own names are asked for."""
        check_request(request, self.non_linear)
        camb = _load_camb()
        try:
            params = self._input(camb, with_any_hubble_and_amplitude(cosmology), request)
            _refuse_unknown(camb, params, request)
        except CosmologyError as error:
            raise SolverError(str(error)) from error
        except (camb.CAMBError, camb.CAMBFortranError, ValueError) as error:
            raise SolverError(f"CAMB: {one_line(error)}") from error

    def _input(self, camb: ModuleType, cosmology: Cosmology, request: Request) -> Any:
        """CAMBparams of a cosmology and a request; refuses what the request would overwrite."""
        params = self._params(camb, cosmology)
        given = {**self.precision, **self.extra, **cosmology.extra}
        before = {path: operator.attrgetter(path)(params) for path in given if path in _ASKED}
        self._ask(params, request)
        for path, value in before.items():
            if operator.attrgetter(path)(params) != value:
                raise SolverError(
                    f"CAMB's '{path}' follows from what is asked of it (outputs, lmax, "
                    "non_linear, lens_potential_accuracy); drop it"
                )
        if params.InitPower.r != 0.0 and not params.WantTensors:
            raise SolverError(
                "CAMB's 'InitPower.r' means nothing without tensors; add WantTensors: 1 to its "
                "settings, or drop it"
            )
        return params

    def _params(self, camb: ModuleType, cosmology: Cosmology) -> Any:
        """CAMBparams of a cosmology with h and A_s (or no amplitude at all)."""
        values = to_camb(cosmology)
        params = camb.CAMBparams()
        if values["YHe"] is None and cosmology.N_eff is not None:
            values["YHe"] = _helium(camb, values, float(cosmology.N_eff))
        for name in _DIRECT_FIELDS:
            if values.get(name) is not None:
                setattr(params, name, values[name])
        if values.get("nu_mass_eigenstates"):
            for name in _NEUTRINO_ARRAYS:
                setattr(params, name, values[name])
        params.InitPower.set_params(As=values.get("As", _TRIAL_A_S), ns=values["ns"])
        for name, value in _HYREC_FIT.items():
            setattr(params.Recomb, name, value)
        params.Reion.helium_delta_redshift = _HELIUM_WIDTH
        params.Reion.tau_solve_accuracy_boost = _TAU_ACCURACY
        params.Reion.set_tau(values["tau"])
        taken = {*values} | _SET_BY_OTHER_NAMES
        if (values["w"], values["wa"]) != (-1.0, 0.0):
            taken |= {"DarkEnergy.w", "DarkEnergy.wa"}
            params.set_dark_energy(w=values["w"], wa=values["wa"], dark_energy_model="ppf")
        native = {name: float(value) for name, value in cosmology.extra.items()}
        given = {*native, *self.precision, *self.extra}
        clash = sorted(given & taken)
        if clash:
            raise SolverError(
                f"{', '.join(clash)} of CAMB is set already, from the cosmology; drop it "
                f"(neutrinos in CAMB's own words need neutrino_hierarchy: {NATIVE})"
            )
        if self.non_linear != "none":  # resets what is behind it, which the settings may change
            params.NonLinearModel.set_params(halofit_version=_HALOFIT_VERSIONS[self.non_linear])
        # arrays have their length from nu_mass_eigenstates
        settings = {**PRECISION, **self.precision, **self.extra, **native}
        for path, value in sorted(settings.items(), key=lambda item: item[0] in _NEUTRINO_ARRAYS):
            _set_attribute(params, path, value)
        if values["YHe"] is None and cosmology.N_eff is None:
            params.YHe = _helium(camb, values, float(params.N_eff))
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
        ask_matter(params, request)
        if self.non_linear == "none":
            params.NonLinear = "NonLinear_none"
        else:
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
_NEUTRINO_ARRAYS = ("nu_mass_degeneracies", "nu_mass_fractions", "nu_mass_numbers")
_ASKED = (
    "NonLinear",
    "Transfer.accurate_massive_neutrinos",
    "Transfer.high_precision",
    "Transfer.k_per_logint",
    "Transfer.kmax",
    "WantTransfer",
    "lens_output_margin",
    "max_eta_k",
    "max_l",
)
"""What a request sets."""
_SET_BY_OTHER_NAMES = {
    "InitPower.As",
    "InitPower.ns",
    "Reion.optical_depth",
    "Reion.redshift",
    "Reion.use_optical_depth",
}


def _load_camb() -> ModuleType:
    try:
        return importlib.import_module("camb")
    except ImportError as error:
        raise SolverNotInstalledError(
            f"CAMB cannot be imported ({error}); install it with `pip install camb`"
        ) from error


def _refuse_unknown(camb: ModuleType, params: Any, request: Request) -> None:
    """Refuse scalars that CAMB does not have, after its background (0.1 s)."""
    if request.native:
        refuse_unknown(request.native, camb.get_background(params).get_derived_params())


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
    if not hasattr(target, name) or callable(getattr(target, name)):
        raise SolverError(f"CAMB has no parameter '{path}'; give an attribute path of CAMBparams")
    kind = type(getattr(target, name))
    if kind is int and not isinstance(value, str) and int(value) != value:
        raise SolverError(f"CAMB's '{path}' is {value:g}; it takes whole numbers")
    if path in _NEUTRINO_ARRAYS:
        converted: Any = [int(value) if path == "nu_mass_numbers" else value]
    else:
        converted = kind(value) if kind in (bool, int, float) else value
    try:
        setattr(target, name, converted)
    except (AttributeError, TypeError) as error:
        raise SolverError(f"CAMB's '{path}' cannot be set: {one_line(error)}") from error
