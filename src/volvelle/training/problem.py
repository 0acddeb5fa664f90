"""What is to be inferred: parameters, exact solver, likelihoods, as one object."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import (
    OUTPUTS,
    Ledger,
    LedgerEntry,
    Request,
    Solver,
    failure_summary,
    restrict,
    solve_many,
    unknown_models,
)
from volvelle.compute import Executor
from volvelle.cosmology import Cosmology, CosmologyError, Parametrisation, Universe
from volvelle.inference import LogUniform, Posterior, Prior, Uniform
from volvelle.likelihood import LearnedLikelihood, Likelihood, learned_output
from volvelle.training.errors import TrainingError

PACKAGE = __name__.partition(".")[0]
FAILURE_LIMIT = 0.2  # of all solutions asked for
PRIOR_WIDE = 0.2  # of the width of a flat prior, whose standard deviation is 0.29


@dataclass(frozen=True)
class Problem:
    """A posterior whose theory is an exact solver.

    ``names`` holds the theory's sampled parameters first (``n_theory`` of them), then the nuisance
    parameters. ``ref_loc`` and ``ref_scale`` say where the first solutions are placed; they are
    apart from the priors. ``parametrisation`` says what follows from the sampled and the fixed
    parameters, and which of them only the solver knows. ``learns_likelihood``: the emulator gives
    ln L, as a function of all sampled parameters, in place of what the likelihoods read.
    """

    names: tuple[str, ...]
    n_theory: int
    priors: tuple[Prior, ...]
    ref_loc: np.ndarray
    ref_scale: np.ndarray
    fixed: Mapping[str, float]
    neutrino_hierarchy: str
    likelihoods: tuple[Likelihood, ...]
    solver: Solver
    request: Request
    fixed_nuisance: Mapping[str, float] = field(default_factory=dict)
    parametrisation: Parametrisation = field(default_factory=Parametrisation)
    learns_likelihood: bool = False

    @property
    def theory_names(self) -> tuple[str, ...]:
        """Names of the parameters that the solver needs."""
        return self.names[: self.n_theory]

    @property
    def emulated_names(self) -> tuple[str, ...]:
        """Names of the emulator's inputs, the first of ``names``."""
        return self.names[: self.n_emulated]

    @property
    def n_emulated(self) -> int:
        """Number of the emulator's inputs."""
        return len(self.names) if self.learns_likelihood else self.n_theory

    def cosmology(self, x: np.ndarray) -> Cosmology:
        """The universe at a point (its nuisance parameters are ignored)."""
        given = self._given(np.asarray(x).tolist())
        return self.parametrisation.cosmology(given, self.neutrino_hierarchy)

    @property
    def defined_names(self) -> tuple[str, ...]:
        """Parameters that follow from the sampled ones, by an expression."""
        return self.parametrisation.follow_from(self.theory_names)

    def defined(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Values [...] of ``defined_names`` at points [..., d].

        Raises ExpressionError where one has no finite value.
        """
        values = self.parametrisation.values(self._given(np.moveaxis(x, -1, 0)))
        return {name: np.asarray(values[name]) for name in self.defined_names}

    def _given(self, x: Sequence[Any] | np.ndarray) -> dict[str, Any]:
        """Fixed and sampled parameters of the theory, the latter in the order of ``names``."""
        sampled = dict(zip(self.theory_names, x, strict=False))
        return {**self.fixed, **sampled}

    def posterior(self, theory: Callable[..., Mapping[str, Any]]) -> Posterior:
        """The posterior with an emulator in the solver's place, or in the likelihoods' as well."""
        if not self.learns_likelihood:
            return self._posterior(theory)
        learned = tuple(LearnedLikelihood.of(likelihood) for likelihood in self.likelihoods)
        return Posterior(self.names, self.priors, learned, theory, self.n_emulated)

    @property
    def loose(self) -> bool:
        """Whether the reference of a nuisance parameter is as wide as its flat prior."""
        rest = range(self.n_emulated, len(self.names))
        flat = [i for i in rest if isinstance(self.priors[i], Uniform | LogUniform)]
        return any(
            self.ref_scale[i] >= PRIOR_WIDE * float(np.ptp(self.priors[i].bounds)) for i in flat
        )

    @property
    def foreign(self) -> Problem | None:
        """The same with those likelihoods alone that are not Volvelle's own, None without any: only
        they may have no gradient, and a projection takes many seconds to differentiate."""
        own = PACKAGE + "."
        found = tuple(
            each for each in self.likelihoods if not type(each).__module__.startswith(own)
        )
        return replace(self, likelihoods=found) if found else None

    @cached_property
    def exact_posterior(self) -> Posterior:
        """The posterior without a theory of its own; its methods are given exact ones."""
        return self._posterior(_no_theory)

    def _posterior(self, theory: Callable[..., Mapping[str, Any]]) -> Posterior:
        return Posterior(
            self.names,
            self.priors,
            self.likelihoods,
            theory,
            self.n_theory,
            tuple(sorted(self.fixed_nuisance.items())),
            universe=self.universe if self._reads_cosmology else None,
        )

    @property
    def _reads_cosmology(self) -> bool:
        return any(likelihood.reads_cosmology for likelihood in self.likelihoods)

    @property
    def universe(self) -> Universe:
        """The cosmology at a point, as a function that JAX can trace."""
        fixed = tuple(sorted(self.fixed.items()))
        names, hierarchy = self.theory_names, self.neutrino_hierarchy
        return Universe(names, fixed, self.parametrisation, hierarchy)

    @cached_property
    def _exact(self) -> Callable[..., Any]:
        posterior = self.exact_posterior
        return eqx.filter_jit(lambda x, theory: posterior.log_likelihoods(x, theory))

    def log_likelihoods(self, x: np.ndarray, theory: Mapping[str, Any]) -> np.ndarray:
        """ln L of every likelihood at a point with its exact theory.

        Where the likelihood is learned nothing traces it: it is called as it is, with NumPy's
        arrays, and need not be written in JAX. Raises TrainingError for one that is not where the
        theory is learned.
        """
        if self.learns_likelihood:
            own = dict(zip(self.names[self.n_theory :], x[self.n_theory :], strict=True))
            nuisance = {**self.fixed_nuisance, **own}
            if self._reads_cosmology:
                theory = {**theory, "cosmology": self.universe(x[: self.n_theory], theory)}
            return np.array([float(each.log_prob(theory, nuisance)) for each in self.likelihoods])
        arrays = {name: jnp.asarray(value) for name, value in theory.items()}
        try:
            return np.asarray(self._exact(jnp.asarray(x), arrays))
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
            names = ", ".join(each.name for each in self.likelihoods)
            raise TrainingError(
                f"a likelihood (of {names}) leaves JAX and cannot be differentiated; write it with "
                "jax.numpy, or choose emulator: {target: likelihood}, which only evaluates it"
            ) from error

    def noises(self) -> list[dict[str, np.ndarray]]:
        """Of each likelihood: the metric in which its surrogates are built."""
        if self.learns_likelihood:
            return [LearnedLikelihood.of(likelihood).noise() for likelihood in self.likelihoods]
        return [likelihood.noise() for likelihood in self.likelihoods]

    def learned(self, x: np.ndarray, theory: Mapping[str, Any]) -> dict[str, Any]:
        """What the emulator learns of a solution: all of it, or its scalars and every ln L."""
        if not self.learns_likelihood:
            return dict(theory)
        values = self.log_likelihoods(x, theory)
        scalars = {name: value for name, value in theory.items() if np.ndim(value) == 0}
        names = (learned_output(likelihood) for likelihood in self.likelihoods)
        return scalars | dict(zip(names, values, strict=True))

    def log_likelihood_of(self, x: np.ndarray, learned: Mapping[str, Any]) -> float:
        """Sum of all ln L at a point, from all that an emulator learns of it."""
        if not self.learns_likelihood:
            return self.log_likelihood(x, learned)
        return float(sum(learned[learned_output(each)] for each in self.likelihoods))

    def log_likelihood(self, x: np.ndarray, theory: Mapping[str, Any]) -> float:
        """Sum of all ln L at a point with its exact theory."""
        return float(np.sum(self.log_likelihoods(x, theory)))

    def in_prior(self, x: np.ndarray) -> np.ndarray:
        """Which of the points [n, d] lie inside every prior's support."""
        ends = np.array([prior.bounds for prior in self.priors])
        return np.all((x > ends[:, 0]) & (x < ends[:, 1]), axis=1)


def _no_theory(x: Any) -> Mapping[str, Any]:
    raise TypeError("this posterior has no theory of its own; pass one")


def outline(request: Request) -> Callable[[Any], dict[str, Any]]:
    """A theory of nothing but zeros in the shape of a solution: for tracing, before any is there.

    They depend on the parameters [d] as far as derivatives are concerned.
    """
    names = request.names()
    spectrum = (request.lmax + 1,)
    kinds = {name: OUTPUTS[name] for name in names if name in OUTPUTS}
    shapes = {n: spectrum if k.kind == "spectrum" else k.shape for n, k in kinds.items()}

    def zeros(x: Any) -> dict[str, Any]:
        nothing = 0.0 * jnp.sum(x)
        return {name: jnp.full(shapes.get(name, ()), nothing) for name in names}

    return zeros


def request_of(
    likelihoods: Sequence[Likelihood], outputs: Sequence[str] = (), lmax: int = 2508
) -> Request:
    """What to ask of the solver: all that the likelihoods read, the background, and, if any of
    them reads a spectrum, the CMB to l = 2508, so that one solution serves the next data set too;
    beside that ``outputs``, by name, spectra among them to ``lmax`` at least.

    Raises RequestError for an output that is known and not offered.
    """
    needs = reduce(
        lambda a, b: a.union(b),
        (likelihood.requires for likelihood in likelihoods),
        Request(spectra=(), background=True),
    )
    needs = needs.union(Request()) if needs.spectra else needs
    return needs.union(Request.of(outputs, lmax)) if outputs else needs


def refuse_many_failures(entries: Sequence[LedgerEntry]) -> None:
    """Raise TrainingError, with the commonest message, if more than a fifth failed."""
    failed, message = failure_summary(entries)
    if failed > FAILURE_LIMIT * len(entries):
        raise TrainingError(
            f"{failed} of {len(entries)} exact solutions failed, more than {FAILURE_LIMIT:.0%}; "
            f"the commonest message is: {message}"
        )


@dataclass
class Exact:
    """Access to exact solutions through the ledger, with an account of what they cost.

    ``run`` identifies the run that pays; a solution that another run paid for counts as reused.
    """

    problem: Problem
    ledger: Ledger
    executor: Executor
    run: str
    progress: Callable[..., object] | None = None

    def solve(self, x: np.ndarray) -> list[LedgerEntry]:
        """Ledger entries of points [n, d], in order; failures are entries too."""
        entries: list[LedgerEntry | None] = []
        cosmologies: list[Cosmology] = []
        for row in x:
            try:
                cosmologies.append(self.problem.cosmology(row))
                entries.append(None)
            except CosmologyError as error:  # an expression that leads out of all universes
                now = time.time()
                entries.append(LedgerEntry(None, str(error), 0.0, self.run, now, stored=False))
        solved = iter(
            solve_many(
                self.problem.solver,
                cosmologies,
                self.problem.request,
                self.ledger,
                self.executor,
                self.run,
                self.progress,
            )
        )
        return [next(solved) if entry is None else entry for entry in entries]

    def unknown(self, x: np.ndarray) -> int:
        """How many of the points [n, d] `solve` would have to solve; those that are no universe
        cost nothing."""
        cosmologies: list[Cosmology] = []
        for row in x:
            with suppress(CosmologyError):
                cosmologies.append(self.problem.cosmology(row))
        problem = self.problem
        return unknown_models(problem.solver, cosmologies, problem.request, self.ledger)

    def theory(self, entry: LedgerEntry) -> dict[str, Any]:
        """The outputs of a successful entry, cut to the request, in its order."""
        assert entry.theory is not None, "a failure has no theory"
        return restrict(entry.theory, self.problem.request)
