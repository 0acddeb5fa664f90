"""Without training: the theory is the package's own, and certified here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.boltzmann import Request
from volvelle.cosmology import Universe
from volvelle.learning import write_atomically
from volvelle.likelihood import Likelihood, TwoPoint
from volvelle.likelihood.around import innermost
from volvelle.power import Model, sigma8
from volvelle.training.base import SurrogateSettings, Training, problem_record
from volvelle.training.errors import TrainingError
from volvelle.training.problem import Problem

SCALARS = ("H0", "Omega_m", "sigma8", "S8")
"""What is reported beside the sampled parameters."""


def certifying(likelihoods: Sequence[Likelihood]) -> Request:
    """What the exact solver brings in the place of the package's own linear power."""
    late = ("matter_power", "cb_power")
    return Request.of((*late, *dict.fromkeys(n for each in likelihoods for n in each.lacks(late))))


class DirectTheory(eqx.Module):
    """No outputs of a solver: likelihoods make their predictions from the cosmology alone.

    It stands where an emulator does; ``linear`` is the power behind sigma8.
    """

    universe: Universe = eqx.field(static=True)
    linear: Model

    @classmethod
    def of(cls, problem: Problem) -> DirectTheory:
        """Raises TrainingError unless every likelihood needs nothing else."""
        solved = [each.name for each in problem.likelihoods if not each.reads_cosmology]
        if solved:
            raise TrainingError(
                f"{', '.join(solved)} read what only a solver computes; write theory: {{class: }} "
                "(or camb), which is learned; the other likelihoods take their cosmology from it"
            )
        first = innermost(problem.likelihoods[0])
        if not isinstance(first, TwoPoint):
            raise TrainingError(f"{first.name} has no power spectrum, which sigma8 is of")
        return cls(problem.universe, first.power.linear)

    def __call__(self, x: Float[Array, " d"]) -> Mapping[str, Array]:
        """Nothing."""
        return {}

    def batch(self, x: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Values [n] of `SCALARS` at points [n, d]."""
        values = jax.tree.map(np.asarray, _scalars(self, jnp.asarray(x)))
        return {name: values[name] for name in names}

    def varying(self, problem: Problem) -> tuple[str, ...]:
        """Those of `SCALARS` that depend on a sampled parameter: H0 does not where h is fixed."""
        n = problem.n_theory
        steps = np.concatenate([np.zeros((1, n)), np.diag(0.1 * problem.ref_scale[:n])])
        found = self.batch(problem.ref_loc[:n] + steps, SCALARS)
        return tuple(name for name in SCALARS if np.ptp(found[name]) > 1e-12 * found[name][0])

    def distances(self, x: np.ndarray) -> np.ndarray:
        """0: outside of its domain the power spectrum is NaN, which no sample has [n]."""
        return np.zeros(len(x))

    def save(self, folder: str | Path, record: Mapping[str, Any]) -> None:
        """The record alone; nothing was trained."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / "theory.json", json.dumps(dict(record), indent=1).encode())


@eqx.filter_jit
def _scalars(theory: DirectTheory, x: Array) -> dict[str, Array]:
    def one(row: Array) -> dict[str, Array]:
        cosmology = theory.universe(row)
        matter, amplitude = cosmology.Omega_m, sigma8(cosmology, 1.0, theory.linear)
        return {
            "H0": jnp.asarray(cosmology.H0),
            "Omega_m": jnp.asarray(matter),
            "sigma8": amplitude,
            "S8": amplitude * jnp.sqrt(matter / 0.3),
        }

    return jax.lax.map(one, x, batch_size=32)


@dataclass
class Untrained(Training[SurrogateSettings]):
    """The design of no solutions at all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        problem = self.exact.problem
        self.x, self.log_like = problem.ref_loc[None], np.zeros(1)
        self.emulator = DirectTheory.of(problem)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def design(self) -> str:
        """None."""
        return "none"

    def run(self, warm: np.ndarray | None = None) -> bool:
        """Nothing to do; raises TrainingError for a warm start."""
        self._refuse_warm(warm)
        return True

    def widths(self) -> np.ndarray:
        """Those of the reference [d]."""
        return self.exact.problem.ref_scale

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry, of nothing."""
        return [{"iteration": 0, "reason": "nothing to train", "exact_calls_total": 0}]

    def record(self) -> dict[str, Any]:
        """Provenance."""
        return {**problem_record(self.exact.problem), "surrogates": {}, **self._asked()}
