"""CLASS behind the solver protocol. Blas, Lesgourgues & Tram, arXiv:1104.2933."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ..cosmology import Cosmology, to_class
from ..cosmology.errors import CosmologyError
from .class_outputs import RESERVED, collect, output_words, scalars, tables
from .derived import find_hubble, rescaled_amplitude
from .errors import SolverError
from .library import extension_of, file_sha256, load_classy, new_class
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

INTERFACE = "2"
"""Raised whenever this file changes a number for the same parameters and settings."""
PRECISION: dict[str, float | int | str] = {
    # z_reio is found by bisection; at the default 1e-4 it jumps by 2e-4, a step in every spectrum;
    # at 1e-7 the bisection fails for one model in a hundred
    "reionization_optical_depth_tol": 1e-6,
    # the default 0.11 cuts the transfer function of E: TE is wrong by 0.25% of its rms at l > 1000
    "transfer_neglect_delta_k_S_e": 0.4,
    # the default 12 leaves TE wrong by 0.4% of its rms at l = 20 to 50
    "l_max_g": 30,
    # see _on_one_grid; 1.12 l - l has whole values, which rounding truncates in two ways
    "l_linstep": 41,
    "l_logstep": 1.1201,
}
"""Precision that differs from CLASS's defaults; costs 8% of the time."""
CURVED_PRECISION: dict[str, float | int | str] = {"l_linstep": 20, "l_logstep": 1.06}
"""In curved universes the multipoles of CLASS's grid move with Omega_k; on a finer grid (20% more
time) these steps are 0.01% of the rms instead of 0.15%."""
GRID_NUDGE = 1e-12
"""Relative change of h that only alters rounding."""
MAX_NUDGES = 60  # the first succeeds for two models in three
_TRIAL_A_S = 2.1e-9
_TRIAL_LMAX = 10  # sigma8 needs no C_l, but inputs of tensors are read beside them only
_NON_LINEAR_RANGES = ("halofit_min_k_max", "hmcode_min_k_max")
"""Precision in which the user has the last word."""


@dataclass(frozen=True)
class ClassSolver:
    """CLASS, through classy.

    non_linear: ``halofit`` (Takahashi), ``hmcode`` (2020) or ``none``; enters lensing as well.
    precision and extra: CLASS's own parameters and words, fixed for all models; path: folder of a
    modified CLASS with a compiled classy in it. One thread per call.
    """

    non_linear: str = "halofit"
    precision: Mapping[str, float | int | str] = field(default_factory=dict)
    extra: Mapping[str, float | int | str] = field(default_factory=dict)
    path: str | None = None

    def __post_init__(self) -> None:
        check_non_linear(self.non_linear)

    @property
    def name(self) -> str:
        """``class``."""
        return "class"

    def identity(self) -> dict[str, str]:
        """Version, hash of the compiled extension and settings, wherever the folder lies."""
        module = load_classy(self.path)
        return {
            "solver": self.name,
            "version": str(getattr(module, "__version__", "unknown")).lstrip("v"),
            "extension_sha256": file_sha256(extension_of(module)),
            "settings": canonical_json(
                {
                    **self._files(),
                    "interface": INTERFACE,
                    "non_linear": self.non_linear,
                    "precision": {**PRECISION, **self.precision},
                    "curved_precision": CURVED_PRECISION,
                    "extra": dict(self.extra),
                }
            ),
        }

    def _files(self) -> dict[str, dict[str, str]]:
        """Hashes of the files that settings name, without which their content could change."""
        given = {**self.precision, **self.extra}
        hashes = {
            name: file_sha256(Path(value))
            for name, value in sorted(given.items())
            if isinstance(value, str) and ("file" in name or os.sep in value)
            if Path(value).is_file()  # CLASS says of others that it cannot open them
        }
        return {"files": hashes} if hashes else {}

    def solve(self, cosmology: Cosmology, request: Request) -> Theory:
        """Solve one model; CLASS's message stands in the SolverError."""
        with self.computed(cosmology, request) as (cosmo, found):
            try:
                theory = collect(cosmo, found, request)
            except (ValueError, KeyError) as error:  # SciPy, of a table with NaN; no column
                raise SolverError(f"CLASS gave unusable tables: {one_line(error)}") from error
        return check_finite(theory, request, self.name)

    @contextlib.contextmanager
    def computed(
        self, cosmology: Cosmology, request: Request, largest: float | None = None
    ) -> Iterator[tuple[Any, Cosmology]]:
        """CLASS's own structure of a solution, freed afterwards, and the cosmology with h and A_s.

        ``largest``: wavenumber [1/Mpc] at which P(k) ends, if not at what the request needs; what
        needs larger ones, such as sigma8, is then wrong.
        """
        check_request(request, self.non_linear)
        module = load_classy(self.path)
        with _one_thread():
            cosmology = self._with_hubble(module, cosmology, request)
            cosmology = self._with_amplitude(module, cosmology, request)
            settings = self._input(cosmology, request)
            if largest is not None:
                settings["P_k_max_1/Mpc"] = largest
            if request.spectra and float(cosmology.Omega_k) == 0.0:
                settings = _on_one_grid(module, settings, request.native)
            with _computed(module, settings) as cosmo:
                yield cosmo, cosmology

    def check(self, cosmology: Cosmology, request: Request) -> None:
        """Let CLASS read its input, at any h and amplitude; where h is given, also its background.

        CLASS refuses what it does not read: an unknown name, or one that means nothing beside the
        others. Names of scalars that are CLASS's own take its thermodynamics as well.
        """
        check_request(request, self.non_linear)
        module = load_classy(self.path)
        settings = self._input(with_any_hubble_and_amplitude(cosmology), request)
        level = "input" if cosmology.h is None else "background"
        if request.native:
            level = "thermodynamics"
        with _one_thread(), _computed(module, settings, level) as cosmo:
            scalars(cosmo, request.native)

    def _input(self, cosmology: Cosmology, request: Request) -> dict[str, Any]:
        """Input of CLASS; of the range of wavenumbers the user has the last word."""
        words = output_words(request, self.non_linear)
        chosen = set(self.precision) & set(_NON_LINEAR_RANGES)
        words = {name: value for name, value in words.items() if name not in chosen}
        clash = sorted({*words, *RESERVED} & {*self.precision, *self.extra, *cosmology.extra})
        if clash:
            raise SolverError(
                f"{', '.join(clash)} of CLASS follows from what is asked of it (outputs, lmax, "
                "non_linear); drop it"
            )
        result = self._settings(cosmology) | words
        if "non_linear" not in words:  # CLASS would refuse what is said of its range
            result.pop(f"{self.non_linear}_min_k_max", None)
        return result

    def _settings(self, cosmology: Cosmology) -> dict[str, Any]:
        """Input of CLASS without outputs; refuses keys that are set twice."""
        try:
            result = {**PRECISION, **to_class(cosmology)}
            if float(cosmology.Omega_k) != 0.0:
                result |= CURVED_PRECISION
        except CosmologyError as error:
            raise SolverError(str(error)) from error
        for given in (self.precision, self.extra):
            clash = sorted((set(result) - set(PRECISION) - set(CURVED_PRECISION)) & set(given))
            if clash:
                raise SolverError(f"{', '.join(clash)} set twice; drop it from precision or extra")
            result |= given
        return result

    def _with_hubble(self, module: ModuleType, cosmology: Cosmology, request: Request) -> Cosmology:
        """Replace theta_star_100 by the h that gives it.

        CLASS reads the input of the solution and ends at its thermodynamics: inputs that are read
        beside outputs only would be refused without them, and they cost nothing here.
        """
        if cosmology.theta_star_100 is None:
            return cosmology

        def theta(h: float) -> float:
            trial = with_any_hubble_and_amplitude(cosmology.replace(h=h, theta_star_100=None))
            settings = self._input(trial, request)  # the amplitude leaves theta_* alone
            with _computed(module, settings, "thermodynamics") as cosmo:
                return tables(cosmo)[1].theta_star_100

        h = find_hubble(theta, float(cosmology.theta_star_100))
        return cosmology.replace(h=h, theta_star_100=None)

    def _with_amplitude(
        self, module: ModuleType, cosmology: Cosmology, request: Request
    ) -> Cosmology:
        """Replace sigma8 by the A_s that gives it, from a run that ends at P(k).

        It has all inputs of the solution, for CLASS to read, but next to no C_l.
        """
        if cosmology.sigma8 is None:
            return cosmology
        trial = cosmology.replace(A_s=_TRIAL_A_S, sigma8=None)
        settings = self._input(trial, request)
        if request.spectra:
            settings["l_max_scalars"] = _TRIAL_LMAX
        with _computed(module, settings, "fourier") as cosmo:
            sigma8 = float(cosmo.sigma8())
        return trial.replace(A_s=rescaled_amplitude(_TRIAL_A_S, sigma8, float(cosmology.sigma8)))


def _on_one_grid(
    module: ModuleType, settings: dict[str, Any], native: tuple[str, ...]
) -> dict[str, Any]:
    """Settings with h changed in the twelfth digit, if need be: all models share a grid in l.

    CLASS truncates l_linstep times the angular rescaling to a whole number. In a flat universe the
    rescaling r_a/(tau_0 - tau_rec) is 1 but for rounding, mostly some 5e-16 below: the step is one
    smaller in one model than in the next, and TE jumps by 0.16% of its rms, a scatter of 0.3 in
    chi^2. Here it is always just below 1, so that l_linstep = 41 gives the usual step of 40.
    Names of ``native`` scalars that CLASS does not know are refused on the way.
    """
    h = float(settings["h"])
    for step in range(MAX_NUDGES):
        trial = {**settings, "h": h * (1.0 + step * GRID_NUDGE)}
        with _computed(module, trial, "thermodynamics") as cosmo:
            names = ["ra_rec", "tau_rec", "conformal_age", *native]
            at = scalars(cosmo, names)
        if at["ra_rec"] / (at["conformal_age"] - at["tau_rec"]) < 1.0:
            return trial
    raise SolverError(
        f"CLASS's angular rescaling is not below 1 for {MAX_NUDGES} roundings of h = {h}; "
        "its grid in l would differ from other models'; report this model"
    )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """CLASS reads OMP_NUM_THREADS at each call."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


@contextlib.contextmanager
def _computed(
    module: ModuleType, settings: Mapping[str, Any], level: str | None = None
) -> Iterator[Any]:
    """A CLASS structure computed up to ``level``, freed afterwards; raises SolverError."""
    cosmo = new_class(module)
    failures = (module.CosmoSevereError, module.CosmoComputationError)
    try:
        cosmo.set(dict(settings))
        cosmo.compute() if level is None else cosmo.compute(level=[level])
        yield cosmo
    except failures as error:
        raise SolverError(f"CLASS: {one_line(error)}") from error
    finally:
        cosmo.struct_cleanup()
        cosmo.empty()
