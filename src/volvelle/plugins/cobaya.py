"""Cobaya: a theory class that provides what an emulator learned. Torrado & Lewis, arXiv:2005.05290.

In a Cobaya file::

    theory:
      volvelle.plugins.cobaya.VolvelleTheory:
        emulator: runs/planck/emulator
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from cobaya.conventions import Const
from cobaya.log import LoggedError
from cobaya.theories.cosmo import BoltzmannBase
from cobaya.typing import empty_dict

from .. import __version__
from ..boltzmann import POWER_K, POWER_Z
from ..errors import VolvelleError
from .errors import PluginInputError
from .solution import BACKGROUND, Solution, check_range
from .theory import LearnedTheory

SPECTRA = {"tt": "lensed_tt", "te": "lensed_te", "et": "lensed_te", "ee": "lensed_ee"}
SPECTRA |= {"bb": "lensed_bb", "pp": "phiphi"}
UNLENSED = {name: f"un{ours}" for name, ours in SPECTRA.items() if name != "pp"}
POWER: dict[tuple[str, ...], str] = {
    ("delta_tot", "delta_tot"): "matter_power",
    ("delta_nonu", "delta_nonu"): "cb_power",
}
GROWTH = {"sigma8_z": "sigma8_z", "fsigma8": "f_sigma8"}
DISTANCES = (
    "angular_diameter_distance",
    "comoving_radial_distance",
    "angular_diameter_distance_2",
)
ERROR = "volvelle_delta_chi2"
"""Derived parameters of the plug-in's own: the expected error of a prediction in Delta chi2, the
point's distance in units of the domain's boundary, and 1 where it was solved exactly."""
OWN = ("volvelle_distance", ERROR, "volvelle_exact")


class VolvelleTheory(BoltzmannBase):
    """A learned Boltzmann solver in the place of CAMB or CLASS.

    Options: ``emulator``, the folder that a run wrote; ``outside``, ``class_path``, ``ledger``,
    ``trust_settings``, ``functions`` as in `LearnedTheory`; ``extra_args``, parameters that do not
    vary. Parameters have Volvelle's names or those of CAMB and CLASS. ``always_exact: true`` solves
    every point with the training's solver: the same run without an emulator. Every mistake stops
    the run; a point without an exact solution, or one that ``outside: reject`` rejects, has no
    probability and is counted.
    """

    _is_abstract = False
    emulator: str = ""
    outside: str | None = None
    functions: Mapping[str, Any] | list[str] | None = None
    class_path: str | None = None
    ledger: str | None = None
    always_exact: bool = False
    trust_settings: bool = False
    stop_at_error: bool = True
    extra_args: Any = empty_dict
    path: Any = None

    learned: LearnedTheory

    def initialize(self) -> None:
        """Open the emulator; raises LoggedError for files and options that cannot be used."""
        super().initialize()
        if not self.emulator:
            raise LoggedError(self.log, "give `emulator:`, the folder emulator/ of a run's output")
        if self.path is not None:
            raise LoggedError(
                self.log,
                "`path` is %r; the emulator's folder is given as `emulator:`, a CLASS "
                "of your own as `class_path:`",
                self.path,
            )
        with self._spoken():
            self.learned = LearnedTheory(
                self.emulator,
                self.outside,
                self.functions,
                self.class_path,
                self.ledger,
                self.log,
                self.always_exact,
                self.trust_settings,
            )

    def initialize_with_params(self) -> None:
        """Refuse a file whose parameters are too few or too many for the emulator."""
        super().initialize_with_params()
        with self._spoken():
            self.learned.inputs.check_names([*self.input_params, *self.extra_args])

    def get_allow_agnostic(self) -> bool:
        """No: a parameter that nobody knows is a mistake."""
        return False

    def get_can_support_params(self) -> Collection[str]:
        """Inputs by every name that is known, and those of which the refusal needs words."""
        return self.learned.inputs.names()

    def get_can_provide_params(self) -> Collection[str]:
        """Derived parameters: learned numbers, inputs by their other names, and ``OWN``."""
        given = {*self.input_params} if isinstance(self.input_params, (list, tuple, set)) else set()
        return [name for name in (*self.learned.inputs.derived_names(), *OWN) if name not in given]

    def get_version(self) -> str:
        """Of Volvelle, and the emulator's hash."""
        return f"{__version__}, emulator {self.learned.digest}"

    def must_provide(self, **requirements: Any) -> None:
        """Accept what was learned, as far as it was learned; raises LoggedError for the rest."""
        super().must_provide(**{k: _copied(v) for k, v in requirements.items()})
        with self._spoken():
            for name, options in self._must_provide.items():
                self._check(name, options)

    def _check(self, name: Any, options: Any) -> None:
        """Refuse one requirement unless it was learned."""
        if name in ("Cl", "unlensed_Cl"):
            names = SPECTRA if name == "Cl" else UNLENSED
            for pair, lmax in options.items():
                self.learned.require(names.get(pair, f"{name} {pair}"), int(lmax))
        elif name == "Hubble" or name in DISTANCES:
            ours = "hubble" if name == "Hubble" else "transverse_comoving_distance"
            self.learned.require(ours)
            check_range(name, "z", options.get("z", options.get("z_pairs")), BACKGROUND)
        elif name in GROWTH:
            self.learned.require(GROWTH[name])
            check_range(name, "z", options["z"], POWER_Z)
        elif isinstance(name, tuple) and name[0] == "Pk_grid":
            self.learned.require(_power_name(name[2:], bool(name[1])))
            check_range("Pk_grid", "z", options["z"], POWER_Z)
            check_range("Pk_grid", "k", options["k_max"], POWER_K)
        elif options is None:
            if name not in self.learned.inputs.derived_names() and name not in OWN:
                self.learned.require(str(name))
        else:
            product = name[0] if isinstance(name, tuple) else name
            raise PluginInputError(
                f"{product} is not among what an emulator gives: Cl, unlensed_Cl, Hubble, "
                "distances, sigma8_z, fsigma8, Pk_grid, Pk_interpolator, numbers; take CAMB or "
                "CLASS for it"
            )

    def calculate(
        self, state: dict[str, Any], want_derived: bool = True, **params_values_dict: float
    ) -> bool | None:
        """Predict or solve; False (no probability) where that was asked for or nothing exists."""
        try:
            solution = self.learned.solution({**self.extra_args, **params_values_dict})
        except VolvelleError as error:
            if self.learned.rejects(error):
                return False
            raise LoggedError(self.log, "%s", error) from error
        state["volvelle"] = solution
        products: dict[Any, Any] = state  # Cobaya's own keys of power spectra are tuples
        for name in self._must_provide:
            if isinstance(name, tuple) and name[0] == "Pk_grid":
                power = solution.get(_power_name(name[2:], bool(name[1])))
                products[name] = POWER_K.copy(), POWER_Z.copy(), power
        if want_derived:
            state["derived"] = {name: self._number(solution, name) for name in self.output_params}
        return None

    def _number(self, solution: Solution, name: str) -> float:
        own = dict(
            zip(OWN, (solution.distance, solution.delta_chi2, float(solution.exact)), strict=True)
        )
        return own[name] if name in own else self.learned.derived(solution, name)

    @property
    def _solution(self) -> Solution:
        return self.current_state["volvelle"]

    def get_param(self, p: str) -> float:
        """An input or a derived parameter at the current point."""
        with self._spoken():
            return self._number(self._solution, p)

    def get_Cl(self, ell_factor: bool = False, units: str = "FIRASmuK2") -> dict[str, np.ndarray]:
        """Every lensed spectrum that was learned, from l = 0, and ``pp``; see BoltzmannBase."""
        return self._spectra(SPECTRA, ell_factor, units)

    def get_unlensed_Cl(
        self, ell_factor: bool = False, units: str = "FIRASmuK2"
    ) -> dict[str, np.ndarray]:
        """Every unlensed spectrum that was learned, from l = 0; see BoltzmannBase."""
        return self._spectra(UNLENSED, ell_factor, units)

    def _spectra(
        self, names: Mapping[str, str], ell_factor: bool, units: str
    ) -> dict[str, np.ndarray]:
        solution = self._solution
        ell = np.arange(self.learned.lmax + 1)
        modes = ell * (ell + 1.0)
        T_cmb = solution.parameters["T_cmb"]
        unit = (self._cmb_unit_factor(units, T_cmb) / (1e6 * T_cmb)) ** 2
        result: dict[str, np.ndarray] = {"ell": ell}
        for pair, name in names.items():
            if name not in solution.theory or pair == "et":
                continue
            scaling = 1.0 if pair == "pp" else unit
            if ell_factor:
                scaling = scaling * modes ** (2 if pair == "pp" else 1) / (2.0 * np.pi)
            result[pair] = solution.get(name) * scaling
        return result

    def _get_z_dependent(self, quantity: str, z: Any, pool: Any = None) -> np.ndarray:
        """A function of redshift at any z of its table [1/Mpc for Hubble, Mpc]."""
        solution = self._solution
        z = np.atleast_1d(np.asarray(z, dtype=float))
        with self._spoken():
            if quantity == "Hubble":
                return solution.hubble(z) / Const.c_km_s
            if quantity == "angular_diameter_distance":
                return solution.angular_distance(z)
            if quantity == "comoving_radial_distance":
                return solution.radial_distance(z)
            if quantity not in GROWTH:
                raise PluginInputError(f"{quantity} is not among what an emulator gives")
            return solution.function(GROWTH[quantity], z)

    def get_angular_diameter_distance_2(self, z_pairs: Any) -> np.ndarray:
        """D_A between pairs of redshifts [Mpc]; 0 where the first is the larger, as in Cobaya."""
        first, second = np.asarray(z_pairs, dtype=float).T
        with self._spoken():
            distance = self._solution.angular_distance_between(first, second)
        return np.where(first > second, 0.0, distance)

    def close(self) -> None:
        """Say what the emulator was asked and did."""
        self.log.info("%s", self.learned.account())

    @contextlib.contextmanager
    def _spoken(self) -> Iterator[None]:
        """Volvelle's errors as Cobaya's, which stop a run wherever they are raised."""
        try:
            yield
        except VolvelleError as error:
            raise LoggedError(self.log, "%s", error) from error


def _power_name(pair: tuple[str, ...], nonlinear: bool) -> str:
    """The output behind a pair of Cobaya's; one that is not known names itself."""
    known = POWER.get(tuple(sorted(pair)))
    if known is None:
        return f"P(k) of {', '.join(pair)}"
    return f"{known}_nonlinear" if nonlinear else known


def _copied(options: Any) -> Any:
    """Requirements that Cobaya's own accumulation takes apart, and the caller keeps."""
    return dict(options) if isinstance(options, Mapping) else options
