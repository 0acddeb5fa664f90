"""An emulator as the theory of somebody else's sampler: what all plug-ins share."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from ..boltzmann import OUTPUTS, SolverError, SolverNotInstalledError, is_spectrum
from ..compute import load_plugin
from ..emulator import Emulator, OutsideDomainError, load_emulator
from ..errors import VolvelleError
from ..learning import StorageError
from .errors import NotLearnedError, PluginInputError
from .exact import ExactTheory
from .inputs import Inputs
from .names import DERIVED_FACTORS, own_name, with_equivalents
from .solution import Solution, check_lmax, not_learned

OUTSIDE = ("exact", "raise", "reject", "flag")
"""What to do with a point outside of the domain: solve it, stop, give it no probability, or
predict it and say so."""


@dataclass
class Counts:
    """What a theory was asked and did."""

    predicted: int = 0
    outside: int = 0
    solved: int = 0
    looked_up: int = 0
    flagged: int = 0
    rejected: int = 0


class LearnedTheory:
    """An emulator's folder, opened for a host.

    Args:
        folder: of the emulator (``OUTPUT/emulator`` of a run).
        outside: one of ``OUTSIDE``; None: ``exact`` if the training's solver is installed, else
            ``raise``.
        functions: the user's own that the emulator's network holds: by name, or a list of names
            ``module:function`` to import.
        class_path: folder of the CLASS that solves, where it is not the installed one.
        ledger: where exact solutions are kept; None: the user's own.
        trust_settings: let texts among the training's solver settings, which may name files and
            commands, reach the solver.
        always_exact: solve every point, inside of the domain too, for comparisons and certificates.
        log: gets what there is to say.

    Raises:
        StorageError: missing or damaged files. EmulatorError: another kind of model.
        SolverVersionError: ``exact``, and the installed solver is of another version.
        SolverNotInstalledError: ``outside='exact'`` without the solver.
        PluginInputError: an unknown ``outside``, or an emulator of likelihoods.
    """

    def __init__(
        self,
        folder: str | Path,
        outside: str | None = None,
        functions: Mapping[str, Callable[..., Any]] | Iterable[str] | None = None,
        class_path: str | None = None,
        ledger: str | Path | None = None,
        log: logging.Logger | None = None,
        always_exact: bool = False,
        trust_settings: bool = False,
    ) -> None:
        if outside is not None and outside not in OUTSIDE:
            raise PluginInputError(f"outside is {outside!r}; expected {', '.join(OUTSIDE)}")
        jax.config.update("jax_enable_x64", True)
        self.folder = Path(folder)
        self.log = log or logging.getLogger("volvelle")
        self.emulator, self.record = load_emulator(self.folder, _functions(functions))
        self.digest = digest_of(self.folder)
        self._options = (class_path, ledger, trust_settings)
        if set(self.emulator.parameters) != set(self.record["parameters"]):
            raise PluginInputError(
                f"{folder} holds learned likelihoods, no spectra; train one without "
                "target: likelihood"
            )
        self.counts = Counts()
        self.inputs = Inputs(self.emulator, self.record, self.scalars)
        self._last: tuple[tuple[tuple[str, float], ...], Solution] | None = None
        self.always_exact = always_exact
        self.outside = self._settle_outside("exact" if always_exact else outside)
        solver = self.record["solver"]
        self.log.info(
            "emulator %s: trained with %s %s on %d solutions; outside of their domain: %s",
            self.folder,
            solver["solver"].upper(),
            solver["version"],
            len(self.record["points"]),
            self.outside,
        )

    def _settle_outside(self, outside: str | None) -> str:
        if outside not in (None, "exact"):
            return str(outside)
        try:
            _ = self.exact  # looked for now, not at the first point that lies outside
        except SolverNotInstalledError as error:
            if outside == "exact":
                raise
            self.log.warning("points outside of the domain will raise an error: %s", error)
            return "raise"
        return "exact"

    @cached_property
    def exact(self) -> ExactTheory:
        """The training's solver; raises the errors of ``exact.training_solver``."""
        return ExactTheory.of(self.record, self.log, *self._options)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of what was learned."""
        return self.emulator.outputs

    @cached_property
    def scalars(self) -> tuple[str, ...]:
        """Names of the learned numbers, the solver's own names included."""
        return tuple(n for n in self.outputs if n not in OUTPUTS or OUTPUTS[n].kind == "scalar")

    @cached_property
    def lmax(self) -> int:
        """Largest multipole of the spectra; 0 without any."""
        sizes = [
            output.shape[0] - 1
            for block in self.emulator.blocks
            for output in block.outputs
            if is_spectrum(output.name)
        ]
        return max(sizes, default=0)

    def require(self, name: str, lmax: int | None = None) -> None:
        """Refuse an output that was not learned, or not so far.

        Raises NotLearnedError and BeyondTableError.
        """
        if name not in self.outputs:
            raise NotLearnedError(not_learned(name, self.outputs))
        if lmax is not None:
            check_lmax(name, lmax, self.lmax)

    def derived(self, solution: Solution, name: str) -> float:
        """A number of a solution by any of its names; raises NotLearnedError."""
        if name in solution.parameters:
            return solution.parameters[name]
        ours, factor = own_name(name)
        if ours not in solution.parameters:
            raise NotLearnedError(not_learned(name, self.inputs.derived_names()))
        return solution.parameters[ours] / DERIVED_FACTORS.get(name, factor)

    def rejects(self, error: VolvelleError) -> bool:
        """Whether an error of ``solution`` means that the point has no probability; for all others
        a host has to stop."""
        if isinstance(error, OutsideDomainError):
            return self.outside == "reject"
        unsolved = isinstance(error, SolverError) and not isinstance(error, SolverNotInstalledError)
        if unsolved:
            self.log.warning("no exact solution, no probability: %s", error)
        return unsolved

    def solution(self, given: Mapping[str, Any]) -> Solution:
        """All outputs at one point, predicted, or solved where the point lies outside.

        Args:
            given: parameters by any name that is known.

        Raises:
            PluginInputError: see ``values`` and ``plan``.
            OutsideDomainError: outside of the domain, with ``raise`` or ``reject``.
            SolverError: the exact solution failed.
        """
        values = self.inputs.values(given)
        key = tuple(sorted(values.items()))
        if self._last is None or self._last[0] != key:
            self._last = key, self._solution(values)
        return self._last[1]

    def _solution(self, values: dict[str, float]) -> Solution:
        missing, sought = self.inputs.plan(values)
        full = with_equivalents(values)
        self.counts.predicted += 1
        x = self.inputs.vector(full, missing, sought)
        if x is None:
            return self._outside(values, full, None, np.inf)
        theory, delta_chi2, distance = _predict(self.emulator, x)
        if self.always_exact:
            return self._exact(values, full, x, float(distance))
        if not float(distance) <= 1.0:
            return self._outside(values, full, x, float(distance))
        return self._learned(x, theory, float(distance), float(delta_chi2))

    def _learned(
        self, x: Array, theory: Mapping[str, Any], distance: float, delta_chi2: float
    ) -> Solution:
        arrays = {name: np.asarray(value) for name, value in theory.items()}
        inputs = dict(zip(self.emulator.parameters, np.asarray(x).tolist(), strict=True))
        return Solution(arrays, self._parameters(inputs, arrays), distance, delta_chi2, False)

    def _parameters(
        self, inputs: Mapping[str, float], theory: Mapping[str, np.ndarray]
    ) -> dict[str, float]:
        """Inputs, what was fixed, and every scalar, by name."""
        scalars = {name: float(theory[name]) for name in self.scalars if name in theory}
        own = {**self.inputs.standard, **self.inputs.fixed, **inputs}
        return {**scalars, **with_equivalents(own)}

    def _outside(
        self, values: dict[str, float], full: Mapping[str, float], x: Array | None, distance: float
    ) -> Solution:
        """What ``outside`` says of a point that lies there."""
        self.counts.outside += 1
        where = f"at {distance:.2f} times the edge of the region that the training solutions cover"
        if x is None:
            where = "where the emulator has no such model: no value of its inputs gives it"
        words = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
        if self.outside == "flag" and x is not None:
            self.counts.flagged += 1
            self._say("predicted, %s: %s", where, words)
            theory, delta_chi2, _ = _predict(self.emulator, x)
            return self._learned(x, theory, distance, float(delta_chi2))
        if self.outside != "exact":
            self.counts.rejected += self.outside == "reject"
            if self.outside == "reject":
                self._say("rejected, %s: %s", where, words)
            raise OutsideDomainError(
                f"{words} lies {where}; choose outside: exact (solve such points), reject (no "
                "probability) or flag (predict them all the same), or train there"
            )
        self._say("solved exactly, %s: %s", where, words)
        return self._exact(values, full, x, distance)

    def _exact(
        self, values: dict[str, float], full: Mapping[str, float], x: Array | None, distance: float
    ) -> Solution:
        """The exact solution at a point."""
        missing, sought = self.inputs.plan(values)
        inputs = {name: full[name] for name in self.emulator.parameters if name in full}
        exact = {**self.inputs.fixed, **inputs, **{name: full[name] for name in sought}}
        theory, cached = self.exact.solve(exact)
        self.counts.looked_up += cached
        self.counts.solved += not cached
        if x is not None:  # an amplitude that was sought is no output of a solver
            found = dict(zip(self.emulator.parameters, np.asarray(x).tolist(), strict=True))
            inputs |= {name: found[name] for name in missing if name not in theory}
        return Solution(theory, self._parameters(inputs, theory), distance, 0.0, True)

    def _say(self, text: str, where: str, words: str) -> None:
        """Every first, tenth, hundredth, ... point outside is worth a line, all of them a count."""
        n = self.counts.outside
        if str(n).strip("0") == "1":
            self.log.warning(f"point outside of the domain (number {n}) " + text, where, words)
        else:
            self.log.debug(f"point outside of the domain (number {n}) " + text, where, words)

    def account(self) -> str:
        """One line on what was asked and done, for the end of a run."""
        counted = ", ".join(
            f"{n} {what.replace('_', ' ')}" for what, n in asdict(self.counts).items()
        )
        return f"emulator {self.folder}: {counted}"


def digest_of(folder: str | Path) -> str:
    """The beginning of the hash of a stored emulator's weights.

    Raises StorageError where there is none.
    """
    path = Path(folder) / "model.json"
    try:
        return str(json.loads(path.read_text())["weights_sha256"])[:12]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is no stored emulator ({error}); give its folder") from error


def _functions(
    given: Mapping[str, Callable[..., Any]] | Iterable[str] | None,
) -> Mapping[str, Callable[..., Any]]:
    if given is None or isinstance(given, Mapping):
        return given or {}
    return {name: load_plugin(name, "function") for name in given}


@eqx.filter_jit
def _predict(
    emulator: Emulator, x: Float[Array, " d"]
) -> tuple[dict[str, Array], Float[Array, ""], Float[Array, ""]]:
    return emulator(x), emulator.delta_chi2(x), emulator.distance(x)
