"""The real CLASS behind the stand-in: background and thermodynamics, and the rest on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..boltzmann import SolverNotInstalledError, load_classy, new_class
from ..cosmology import LIGHT_SPEED, Cosmology, to_class
from ..errors import VolvelleError
from .class_words import BACKGROUND, FULL, NON_LINEAR, OUTPUT_WORDS, PRIMORDIAL, THERMODYNAMICS
from .exact import parametrisation_of
from .solution import Solution
from .theory import LearnedTheory


class CosmoSevereError(VolvelleError):
    """Wrong input or something that nobody can give: MontePython stops."""


class CosmoComputationError(VolvelleError):
    """No solution at this point: MontePython rejects it."""


class ClassBehind:
    """CLASS at the point of a solution, computed as far as it is asked for.

    Args:
        use: ``background``, ``full``, ``none``, or None for ``background`` if CLASS is installed;
        path: folder of the CLASS to use, where it is not the installed one.

    Raises CosmoSevereError where the training's CLASS was of another version.
    """

    def __init__(self, theory: LearnedTheory, use: str | None, path: str | None) -> None:
        self.theory, self.path, self.use = theory, path, use
        self.computed = 0
        self._made: dict[str, Any] = {}
        try:
            self.module: Any = load_classy(path) if use != "none" else None
        except SolverNotInstalledError as error:
            if use is not None:
                raise CosmoSevereError(str(error)) from error
            theory.log.warning("distances will be the network's: %s", error)
            self.module = None
        if self.module is not None:
            self._check_version()

    def _check_version(self) -> None:
        trained = self.theory.record["solver"]
        version = str(getattr(self.module, "__version__", "unknown")).lstrip("v")
        if trained["solver"] == "class" and version != trained["version"]:
            raise CosmoSevereError(
                f"this emulator was trained with CLASS {trained['version']}, installed is CLASS "
                f"{version}; install {trained['version']}, train again, or set volvelle_class to "
                "none"
            )

    @property
    def used(self) -> bool:
        """Whether CLASS answers at all."""
        return self.module is not None

    def at(self, solution: Solution, level: str, words: Mapping[str, Any], why: str) -> Any:
        """CLASS at a solution's parameters, computed as far as ``level``.

        Args:
            words: the user's inputs, of which the outputs serve the whole computation;
            why: what it is asked for.

        Raises CosmoSevereError where it is not to be used so far, CosmoComputationError where it
        fails.
        """
        if level == FULL and self.use != "full":
            raise CosmoSevereError(
                f"{why} was not learned; this emulator has {', '.join(self.theory.outputs)}. "
                "Train with it among emulator: outputs, or set "
                "data.cosmo_arguments['volvelle_class'] = 'full' to have CLASS compute it (seconds)"
            )
        if not self.used:
            raise CosmoSevereError(f"{why} was not learned; {CURE}")
        if level in (PRIMORDIAL, FULL) and "A_s" not in solution.parameters:
            raise CosmoSevereError(f"{why} needs A_s, which is not known at this point; sample A_s")
        if level == BACKGROUND and THERMODYNAMICS in self._made:
            level = THERMODYNAMICS
        if level not in self._made:
            settings = to_class(universe(self.theory, solution.parameters))
            if level == FULL:
                settings |= {n: v for n, v in words.items() if n in (*OUTPUT_WORDS, *NON_LINEAR)}
            self._made[level] = self._compute(settings, level)
        return self._made[level]

    def hubble_of(self, values: Mapping[str, float], angle: float) -> float:
        """h of CLASS's 100*theta_s, found by CLASS's own search (0.5 s).

        Args:
            values: of all other parameters, by Volvelle's names.

        Raises CosmoSevereError without CLASS, CosmoComputationError where the search fails.
        """
        if not self.used:
            raise CosmoSevereError(
                "100*theta_s is an angle that only CLASS translates; install CLASS and set "
                "volvelle_class to background, or sample H0"
            )
        settings = to_class(universe(self.theory, {**values, "h": 0.67}))
        del settings["h"]
        real = self._compute({**settings, "100*theta_s": angle}, THERMODYNAMICS)
        try:
            return float(real.h())
        finally:
            _free(real)

    def _compute(self, settings: Mapping[str, Any], level: str) -> Any:
        real = new_class(self.module)
        self.computed += 1
        try:
            real.set(dict(settings))
            real.compute() if level == FULL else real.compute(level=[level])
        except (self.module.CosmoSevereError, self.module.CosmoComputationError) as error:
            _free(real)
            raise translated(error) from error
        return real

    def forget(self) -> None:
        """Free what was computed."""
        while self._made:
            _free(self._made.popitem()[1])


def _free(real: Any) -> None:
    real.struct_cleanup()
    real.empty()


CURE = (
    "CLASS is not installed, or volvelle_class is none: install CLASS and set volvelle_class to "
    "background, or train with it among emulator: outputs"
)


def _luminosity_distance(solution: Solution, z: float) -> Any:
    return solution.transverse_distance(z) * (1.0 + np.asarray(z))


def _hubble(solution: Solution, z: float) -> Any:
    return solution.hubble(z) / LIGHT_SPEED


def _z_of_r(solution: Solution, z: Any) -> tuple[np.ndarray, np.ndarray]:
    """r [Mpc] and H [1/Mpc] at redshifts z [n], as CLASS's ``z_of_r``."""
    return solution.radial_distance(z), np.asarray(_hubble(solution, z))


LEARNED_BACKGROUND: dict[str, Callable[..., Any]] = {
    "Hubble": _hubble,
    "angular_distance": Solution.angular_distance,
    "angular_distance_from_to": Solution.angular_distance_between,
    "luminosity_distance": _luminosity_distance,
    "comoving_distance": Solution.radial_distance,
    "z_of_r": _z_of_r,
    "Omega0_m": lambda solution: solution.parameters["Omega_m"],
}
"""What the network knows of the background, for who has no CLASS."""


def universe(theory: LearnedTheory, parameters: Mapping[str, float]) -> Cosmology:
    """The universe behind the parameters of a solution, with h and A_s."""
    own = theory.emulator.parameters
    values = {**theory.inputs.fixed}
    values |= {name: parameters[name] for name in own if name in parameters}
    for group in (("theta_star_100", "h", "H0"), ("sigma8", "A_s", "ln10A_s")):
        for name in group:
            values.pop(name, None)
    amplitude = parameters.get("A_s")
    if amplitude is None and "ln10A_s" in parameters:
        amplitude = 1e-10 * float(np.exp(parameters["ln10A_s"]))
    values |= {"h": parameters["h"], "A_s": 2.1e-9 if amplitude is None else amplitude}
    return parametrisation_of(theory.record).cosmology(values, theory.record["neutrino_hierarchy"])


def severe(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Volvelle's errors as the one that stops MontePython."""
    try:
        return function(*args, **more)
    except (CosmoSevereError, CosmoComputationError):
        raise
    except VolvelleError as error:
        raise CosmoSevereError(str(error)) from error


def translated(error: Exception) -> VolvelleError:
    """CLASS's errors as this module's, for whoever catches them under the name of classy's."""
    computation = type(error).__name__ == "CosmoComputationError"
    kind = CosmoComputationError if computation else CosmoSevereError
    return kind(f"CLASS: {' '.join(str(error).split())}")
