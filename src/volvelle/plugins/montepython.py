"""MontePython: an object with the methods of ``classy.Class``, with an emulator behind them.

Brinckmann & Lesgourgues, arXiv:1804.07261. ``python -m volvelle.plugins.montepython FOLDER`` writes
a folder for ``path['cosmo']`` whose module ``classy`` is this one; no file of MontePython is
changed. The parameter file names the emulator::

    data.cosmo_arguments['volvelle_emulator'] = 'runs/planck/emulator'

Spectra, sigma8 and derived numbers of perturbations are the network's; background and
thermodynamics are CLASS's own; anything else is an error, or CLASS's whole computation.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__ as __version__  # the shim hands it on
from ..errors import VolvelleError
from .class_behind import (
    CURE,
    LEARNED_BACKGROUND,
    ClassBehind,
    CosmoComputationError,
    CosmoSevereError,
    severe,
    translated,
)
from .class_folder import write_shim
from .class_power import PowerMethods
from .class_spectra import SpectraMethods
from .class_words import (
    ALWAYS_EXACT,
    BACKGROUND,
    CHOICES,
    LEARN,
    METHODS,
    NON_LINEAR,
    NON_LINEAR_METHODS,
    NUMBERS,
    OUTPUT_WORDS,
    OWN_WORDS,
    PERTURBED,
    STAND_IN,
    THERMODYNAMICS,
    VARIABLE,
)
from .exact import non_linear_model
from .names import FRACTIONS, NEUTRINOS, OTHER_ANGLES, other_names
from .solution import Solution
from .theory import LearnedTheory

STANDS_IN = True
"""Tells whoever looks for CLASS that this module only stands in for it."""
CLASS_USES = (None, "background", "full", "none")
DERIVED = ("volvelle_distance", "volvelle_delta_chi2", "volvelle_exact")


class CallableFloat(float):
    """A number that may be called, as CLASS's properties."""

    def __call__(self) -> float:
        return float(self)


class Class(PowerMethods, SpectraMethods):
    """``classy.Class`` with an emulator.

    Inputs beside CLASS's: ``volvelle_emulator`` (folder; or the environment's VOLVELLE_EMULATOR);
    ``volvelle_outside`` (see ``LearnedTheory``); ``volvelle_class``: ``background`` (CLASS computes
    background and thermodynamics where they are asked for; the rest is an error), ``full`` (and
    everything that was not learned, in seconds) or ``none`` (not at all: distances are the
    network's); ``volvelle_class_path`` (folder of a CLASS that is not the installed one);
    ``volvelle_always_exact``: ``yes`` solves every point with the training's solver (or the
    environment's VOLVELLE_ALWAYS_EXACT): the same run without an emulator;
    ``volvelle_trust_settings``: ``yes`` lets texts in the training's settings reach CLASS;
    ``volvelle_learn``: see ``montepython_learn``.
    """

    def __init__(self, default: bool = False) -> None:
        if default:
            self.set_default()
        self._pars: dict[str, Any] = {}
        self._theory: LearnedTheory | None = None
        self._opened: tuple[Any, ...] = ()
        self._solution_here: Solution | None = None
        self._behind: ClassBehind | None = None

    # Life of the object, in the order of MontePython's calls.

    def set(self, *pars: Mapping[str, Any], **more: Any) -> bool:
        """Inputs, added to those that are set; the next ``compute`` takes them."""
        if len(pars) > 1:
            raise CosmoSevereError(f"set takes one dictionary, got {len(pars)}")
        self._pars.update(*pars, **more)
        self.struct_cleanup()
        return True

    def set_default(self) -> None:
        """Refused: the universe is to be given."""
        raise CosmoSevereError("set_default is not for an emulator; set its parameters")

    def set_baseline(self, baseline_name: str) -> None:
        """Refused: the universe is to be given."""
        raise CosmoSevereError(
            f"set_baseline({baseline_name!r}) is not for an emulator; set its parameters"
        )

    def compute(self, level: Sequence[str] = ()) -> None:
        """Predict, or solve where that is due; ``level`` is of no importance here.

        Raises CosmoSevereError for what is wrong with the input or the emulator, and
        CosmoComputationError where there is no solution or the point is to be rejected.
        """
        if self._solution_here is not None:
            return
        try:
            if self._pars.get(LEARN) == "yes":
                from .montepython_learn import learn_from_within

                learn_from_within(self._pars)
            theory = self._open()
            given = self._physics(theory)
            self._solution_here = theory.solution(self._with_hubble(theory, given))
        except (CosmoSevereError, CosmoComputationError):
            raise
        except VolvelleError as error:
            rejected = self._theory is not None and self._theory.rejects(error)
            kind = CosmoComputationError if rejected else CosmoSevereError
            raise kind(str(error)) from error

    def struct_cleanup(self) -> None:
        """Forget what was computed."""
        self._solution_here = None
        if self._behind is not None:
            self._behind.forget()

    def empty(self) -> None:
        """Forget what was set and computed."""
        self.struct_cleanup()
        self._pars = {}

    @property
    def state(self) -> bool:
        """Whether something is computed."""
        return self._solution_here is not None

    @property
    def pars(self) -> dict[str, Any]:
        """What was set."""
        return self._pars

    def _open(self) -> LearnedTheory:
        """The emulator that the inputs name, opened once."""
        folder = self._pars.get(STAND_IN) or os.environ.get(VARIABLE)
        if not folder:
            raise CosmoSevereError(
                "which emulator? Set data.cosmo_arguments['volvelle_emulator'] to its folder (the "
                f"emulator/ of a run's output), or the environment's {VARIABLE}"
            )
        use = self._pars.get("volvelle_class")
        if use not in CLASS_USES:
            expected = ", ".join(name for name in CLASS_USES if name)
            raise CosmoSevereError(f"volvelle_class is {use!r}; expected {expected}")
        path = self._pars.get("volvelle_class_path")
        said = {
            str(self._pars.get("volvelle_always_exact", "no")),
            os.environ.get(ALWAYS_EXACT, "no"),
        }
        if not said <= {"yes", "no"}:
            raise CosmoSevereError(f"volvelle_always_exact is {said}; expected yes or no")
        always = "yes" in said  # a certificate asks by the environment, whatever the file says
        trusted = self._pars.get("volvelle_trust_settings") == "yes"
        options = (folder, self._pars.get("volvelle_outside"), use, path, always, trusted)
        if self._theory is None or self._opened != options:
            open_theory = functools.partial(
                LearnedTheory,
                folder,
                options[1],
                log=_logger(),
                always_exact=always,
                trust_settings=trusted,
            )
            theory = open_theory()
            if theory.record["solver"]["solver"] == "class" and path is not None:
                theory = open_theory(class_path=path)
            self._behind = ClassBehind(theory, use, path)
            self._theory, self._opened = theory, options
            weakref.finalize(self, _say_account, theory, self._behind)
        return self._theory

    def _physics(self, theory: LearnedTheory) -> dict[str, Any]:
        """The inputs that are parameters; what the emulator cannot follow is refused."""
        given: dict[str, Any] = {}
        for name, value in self._pars.items():
            if name in OWN_WORDS or name in OUTPUT_WORDS:
                continue
            if name == "sBBN file":
                theory.log.debug("YHe is the training's; %s is not read", value)
                continue
            if name in NON_LINEAR:
                self._check_non_linear(theory, str(value))
            elif isinstance(value, str) and name in CHOICES:
                if value.strip().lower() not in CHOICES[name]:
                    raise CosmoSevereError(
                        f"{name} = {value}: emulators are trained with {CHOICES[name][0]}; drop it"
                    )
            else:
                given[name] = value
        lmax = int(self._pars.get("l_max_scalars", 0))
        if lmax > theory.lmax and "Cl" in str(self._pars.get("output", "")):
            raise CosmoSevereError(
                f"l_max_scalars is {lmax}, the spectra were learned to l = {theory.lmax}; train "
                f"with emulator: {{lmax: {lmax}}}, or leave out the likelihood that asks for it"
            )
        neutrinos = {*NEUTRINOS, "m_nu", "N_eff"} & {*given}
        if not neutrinos and theory.inputs.standard.get("m_nu") is not None:
            given["N_ncdm"] = 0  # what CLASS takes where nothing is said
        return given

    def _check_non_linear(self, theory: LearnedTheory, word: str) -> None:
        trained = non_linear_model(theory.record)
        if word.strip().lower() != trained:
            raise CosmoSevereError(
                f"non_linear is {word}, this emulator was trained with {trained}; set that"
            )

    def _with_hubble(self, theory: LearnedTheory, given: dict[str, Any]) -> dict[str, Any]:
        """``given`` with h in the place of CLASS's own angle theta_s, which CLASS translates."""
        angle = next((n for n in OTHER_ANGLES[:2] if n in given), None)
        if angle is None or angle in theory.inputs.emulator.parameters:
            return given
        others = {name: value for name, value in given.items() if name != angle}
        fractions = sorted(FRACTIONS.keys() & others)
        if fractions:
            raise CosmoSevereError(
                f"{fractions[0]} and {angle} together leave h open; give omega_b and omega_cdm"
            )
        values = theory.inputs.values({**others, "h": 0.67})
        assert self._behind is not None, "it is made with the theory"
        return {**others, "h": self._behind.hubble_of(values, float(given[angle]))}

    # What was learned.

    @property
    def _solution(self) -> Solution:
        if self._solution_here is None:
            self.compute()
        assert self._solution_here is not None
        return self._solution_here

    @property
    def _learned(self) -> LearnedTheory:
        assert self._theory is not None, "a solution comes from a theory"
        return self._theory

    @property
    def nonlinear_method(self) -> int:
        """CLASS's number of the training's non-linear model."""
        self.compute()
        return NON_LINEAR_METHODS[non_linear_model(self._learned.record)]

    def get_current_derived_parameters(self, names: Sequence[str]) -> dict[str, float]:
        """Numbers by CLASS's names: of perturbations and inputs learned, the others CLASS's own."""
        solution = self._solution
        own = (solution.distance, solution.delta_chi2, float(solution.exact))
        result: dict[str, float] = {}
        asked: list[str] = []
        for name in names:
            if name in DERIVED:
                result[name] = own[DERIVED.index(name)]
            elif name in (*PERTURBED, *self._input_names()) or not self._real_class.used:
                result[name] = severe(self._learned.derived, solution, name)
            else:
                asked.append(name)
        for name in asked:
            try:
                answer = self._delegate("get_current_derived_parameters", THERMODYNAMICS, [name])
                result[name] = float(answer[name])
            except CosmoSevereError:  # a number of perturbations, or one of another code's
                result[name] = severe(self._learned.derived, solution, name)
        return {name: result[name] for name in names}

    def _input_names(self) -> set[str]:
        parameters = self._learned.emulator.parameters
        known = {*parameters, *self._learned.inputs.fixed, "A_s", "ln10A_s"} - {"theta_star_100"}
        return {other for name in known for other in other_names(name)}

    # Numbers of the input; h and H0 are learned where an angle was given.

    def _given(self, name: str) -> CallableFloat:
        return CallableFloat(severe(self._learned_number, name))

    def _learned_number(self, name: str) -> float:
        solution = self._solution
        return self._learned.derived(solution, name)

    h = property(lambda self: self._given("h"), doc="H0 in units of 100 km/s/Mpc.")
    H0 = property(lambda self: self._given("H0"), doc="[km/s/Mpc]")
    n_s = property(lambda self: self._given("n_s"), doc="Spectral index.")
    tau_reio = property(lambda self: self._given("tau_reio"), doc="Optical depth.")
    T_cmb = property(lambda self: self._given("T_cmb"), doc="CMB temperature [K].")
    omega_b = property(lambda self: self._given("omega_b"), doc="Omega_b h^2.")
    sigma8 = property(lambda self: self._given("sigma8"), doc="rms of linear matter in 8 Mpc/h.")
    S8 = property(lambda self: self._given("S8"), doc="sigma8 sqrt(Omega_m/0.3).")

    # What CLASS answers.

    def __getattr__(self, name: str) -> Any:
        if name in NUMBERS:
            return self._real_number(name)
        if name in METHODS:
            return functools.partial(self._delegate, name, METHODS[name])
        raise AttributeError(
            f"classy.Class has no {name!r} that this stand-in knows; take CLASS itself for it"
        )

    def _real_number(self, name: str) -> CallableFloat:
        if not self._real_class.used:
            return self._given(name)
        return CallableFloat(getattr(self._at(NUMBERS[name], name), name))

    @property
    def _real_class(self) -> ClassBehind:
        self.compute()
        assert self._behind is not None, "it is made with the theory"
        return self._behind

    def _at(self, level: str, why: str) -> Any:
        """CLASS at this point, computed as far as ``level``."""
        return self._real_class.at(self._solution, level, self._pars, why)

    def _delegate(self, method: str, level: str, *args: Any, **more: Any) -> Any:
        """A method of CLASS; of the learned background where CLASS is not to be used."""
        if level == BACKGROUND and not self._real_class.used:
            learned = LEARNED_BACKGROUND.get(method)
            if learned is None:
                raise CosmoSevereError(f"{method} was not learned; {CURE}")
            return severe(learned, self._solution, *args, **more)
        real = self._at(level, method)
        try:
            return getattr(real, method)(*args, **more)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise translated(error) from error
        except Exception as error:
            if type(error).__name__ in ("CosmoSevereError", "CosmoComputationError"):
                raise translated(error) from error
            raise


def _say_account(theory: LearnedTheory, behind: ClassBehind) -> None:
    theory.log.info("%s; CLASS computed %d times", theory.account(), behind.computed)


class _Terminal(logging.Handler):
    """Lines on the standard error of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _logger() -> logging.Logger:
    """Volvelle's log, to the terminal: MontePython has none."""
    log = logging.getLogger("volvelle.montepython")
    if not log.handlers:
        handler = _Terminal()
        handler.setFormatter(logging.Formatter("volvelle: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    return log


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m volvelle.plugins.montepython FOLDER")
    library = write_shim(sys.argv[1])
    print(f"in MontePython's .conf file:  path['cosmo'] = '{Path(sys.argv[1]).resolve()}'")
    print(f"in the shell:                 export PYTHONPATH={library}:$PYTHONPATH")
