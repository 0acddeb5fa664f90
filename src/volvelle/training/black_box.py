"""A posterior of which nothing is known but its value: other programs' likelihoods as a target.

A black box takes named parameters and gives ln L and whatever else it computes: a model of Cobaya,
a likelihood of MontePython, a user's function. It stands in the place of a solver: its evaluations
are in the ledger, run on any executor, and ln L is learned as a function of all its parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.boltzmann import Ledger, LedgerEntry, Request, SolverError, solve_many
from volvelle.boltzmann.solve import Progress
from volvelle.compute import Executor
from volvelle.inference import Prior
from volvelle.likelihood import Likelihood, NuisanceParameter, learned_output
from volvelle.likelihood.base import Nuisance, Theory, read_output
from volvelle.training.errors import TrainingError
from volvelle.training.problem import Problem

REFERENCE_WIDTHS = 2.5
"""Half width of the first box of a training, in the widths or steps that another program's file
gives to a parameter."""


class BlackBox(Protocol):
    """ln L of named parameters; picklable, it loads what it needs at the first evaluation."""

    @property
    def name(self) -> str:
        """A short name for messages and results."""
        ...

    @property
    def cites(self) -> tuple[str, ...]:
        """BibTeX keys of what it stands for."""
        ...

    def identity(self) -> dict[str, str]:
        """All that decides its values, ``solver`` and ``version`` among it (see the ledger)."""
        ...

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the other numbers that ``evaluate`` gives."""
        ...

    def evaluate(self, parameters: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """ln L and the derived numbers.

        Raises VolvelleError, with the program's own words, where it cannot be evaluated.
        """
        ...


@dataclass(frozen=True)
class Point:
    """Named parameters in the place of a cosmology."""

    values: tuple[tuple[str, float], ...]

    def canonical(self) -> dict[str, float | str]:
        """The identity of the point, for the ledger."""
        return dict(sorted(self.values))


@dataclass(frozen=True)
class BlackBoxSolver:
    """A black box as a solver: points in, ln L and derived numbers out."""

    box: Any  # BlackBox

    @property
    def name(self) -> str:
        """Of the black box."""
        return self.box.name

    def identity(self) -> dict[str, str]:
        """Of the black box."""
        return self.box.identity()

    def solve(self, cosmology: Any, request: Request) -> dict[str, float]:
        """ln L and the derived numbers of ``request``.

        Raises SolverError where ln L is not finite: such a point has no part in a posterior, and a
        surrogate of ln L cannot learn it.
        """
        value, derived = self.box.evaluate(dict(cosmology.values))
        if not math.isfinite(value):
            raise SolverError(f"{self.name} has ln L = {value} there")
        return {learned_output(BlackBoxLikelihood(self.name)): value, **derived}

    def check(self, cosmology: Any, request: Request) -> None:
        """One evaluation."""
        self.solve(cosmology, request)


class BlackBoxLikelihood(Likelihood):
    """Reads the ln L that a black box has computed already."""

    name: str = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    simulated: bool = eqx.field(static=True, default=False)

    @property
    def requires(self) -> Request:
        """ln L alone."""
        return Request(
            spectra=(), background=False, scalars=(learned_output(self),), standard=False
        )

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """None: all parameters are the black box's."""
        return {}

    @property
    def data_sha256(self) -> dict[str, str]:
        """Nothing is known of its data; the black box's identity stands for them."""
        return {}

    @property
    def max_log_prob(self) -> float:
        """Unknown: chi2 is -2 ln L."""
        return 0.0

    def log_prob(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """The ln L of the theory."""
        return jnp.reshape(read_output(theory, learned_output(self), self.name), ())

    def noise(self) -> dict[str, np.ndarray]:
        """That of ln L: see ``LearnedLikelihood``, which takes this one's place."""
        return {learned_output(self): np.ones(1)}


@dataclass(frozen=True)
class BlackBoxProblem(Problem):
    """Infer the parameters of a black box; see `black_box_problem`."""

    def cosmology(self, x: np.ndarray) -> Any:
        """The named parameters at a point."""
        values = zip(self.names, np.asarray(x).tolist(), strict=True)
        return Point((*values, *self.fixed.items()))

    @property
    def defined_names(self) -> tuple[str, ...]:
        """None: the black box gives all derived numbers."""
        return ()

    def defined(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Nothing; see ``defined_names``."""
        return {}


def black_box_problem(
    box: BlackBox,
    names: Sequence[str],
    priors: Sequence[Prior],
    reference: Sequence[tuple[float, float]],
    derived: Sequence[str] | None = None,
) -> BlackBoxProblem:
    """What is to be inferred of a black box.

    Args:
        names: its sampled parameters [d], all of them inputs of the emulator; priors: of each;
        reference: of each the value and the half width of the box in which the training starts;
        derived: which of its derived numbers are learned and certified as well; None: all.

    Raises:
        TrainingError: no parameters, lists of different lengths, an unknown derived number.
    """
    if not names or not len(names) == len(priors) == len(reference):
        raise TrainingError(
            f"{box.name} got {len(names)} parameters, {len(priors)} priors and {len(reference)} "
            "reference values; give one of each for every sampled parameter"
        )
    return BlackBoxProblem(
        names=tuple(names),
        n_theory=len(names),
        priors=tuple(priors),
        ref_loc=np.array([value for value, _ in reference], dtype=float),
        ref_scale=np.array([scale for _, scale in reference], dtype=float),
        fixed={},
        neutrino_hierarchy="none",
        likelihoods=(BlackBoxLikelihood(box.name, tuple(box.cites)),),
        solver=BlackBoxSolver(box),
        request=wanted_of(box, derived),
        learns_likelihood=True,
    )


def wanted_of(box: BlackBox, derived: Sequence[str] | None = None) -> Request:
    """What is asked of a black box: ln L and these of its derived numbers (None: all)."""
    chosen = tuple(box.derived if derived is None else derived)
    unknown = [name for name in chosen if name not in box.derived]
    if unknown:
        raise TrainingError(
            f"{box.name} gives no {', '.join(unknown)}; it gives {', '.join(box.derived) or 'none'}"
        )
    wanted = Request(spectra=(), background=False, scalars=chosen, standard=False)
    return BlackBoxLikelihood(box.name).requires.union(wanted)


def evaluate_all(
    box: BlackBox,
    points: Sequence[Mapping[str, float]],
    ledger: Ledger,
    executor: Executor,
    run: str,
    progress: Progress | None = None,
) -> list[LedgerEntry]:
    """Ledger entries of a black box at many points, in order; see ``solve_many``."""
    tasks = [Point(tuple(point.items())) for point in points]
    solver = BlackBoxSolver(box)
    return solve_many(solver, tasks, wanted_of(box), ledger, executor, run, progress)


def log_likelihood_of(box: BlackBox, theory: Mapping[str, Any]) -> float:
    """ln L in a black box's ledger entry."""
    return float(theory[learned_output(BlackBoxLikelihood(box.name))])
