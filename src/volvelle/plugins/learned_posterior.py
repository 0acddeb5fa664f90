"""The posterior of a foreign model, learned as a black box, sampled, and certified by the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from volvelle.boltzmann import Ledger
from volvelle.boltzmann.solve import Progress
from volvelle.compute import Executor
from volvelle.inference import NUTS, Prior, diagnose, save_getdist
from volvelle.learning import write_atomically
from volvelle.training import (
    BlackBox,
    Exact,
    Trainer,
    TrainingSettings,
    black_box_problem,
    smooth_log_weights,
)
from volvelle.training.black_box import BlackBoxProblem
from volvelle.training.rounds import Outcome, Rounds, Settings


class ForeignModel(BlackBox, Protocol):
    """A black box that knows its parameters."""

    @property
    def sampled(self) -> tuple[str, ...]:
        """Names of the sampled parameters."""
        ...

    def priors(self) -> tuple[Prior, ...]:
        """Of each of them."""
        ...

    def reference(self) -> tuple[tuple[float, float], ...]:
        """Of each the value and the half width of the box in which the training starts."""
        ...


@dataclass(frozen=True)
class LearningOptions:
    """How a foreign posterior is learned.

    ``accuracy``: largest shift of a mean, two errors included [sigma]; ``max_training``: most
    evaluations for the training; ``initial`` and ``batch``: at its start and per iteration;
    ``points`` and ``max_points``: of the certificate, at first and at most; ``chains``, ``draws``,
    ``warmup``, ``target_accept``: of NUTS.
    """

    accuracy: float = 0.05
    max_training: int = 500
    initial: int | None = None
    batch: int | None = None
    points: int = 100
    max_points: int = 400
    chains: int = 4
    draws: int = 2000
    warmup: int = 500
    target_accept: float = 0.9
    seed: int = 1


@dataclass(frozen=True)
class LearnedPosterior:
    """What came of it: samples with their exact weights, and the verdict."""

    problem: BlackBoxProblem
    outcome: Outcome
    record: dict[str, Any]
    derived: tuple[str, ...]

    @property
    def samples(self) -> np.ndarray:
        """Sampled and derived parameters [c, n, p], the latter as the emulator has them."""
        chains = self.outcome.chains
        scalars = self.outcome.emulator.batch(chains.flat, self.derived)
        shape = chains.samples.shape[:2]
        columns = [np.reshape(scalars[name], (*shape, 1)) for name in self.derived]
        return np.concatenate([chains.samples, *columns], axis=2)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of ``samples``."""
        return (*self.problem.names, *self.derived)

    @property
    def log_weights(self) -> np.ndarray:
        """The smooth part of ln (exact / emulated) at every sample [c, n]."""
        return smooth_log_weights(self.outcome.certificate, self.outcome.chains)

    def summary(self) -> dict[str, Any]:
        """The certificate and what it took, as plain values."""
        chains = self.outcome.chains
        return {
            **self.outcome.certificate.summary(),
            "training": len(self.record["points"]),
            "trained": self.outcome.trained,
            "r_hat": float(np.max(diagnose(chains.names, chains.samples).r_hat)),
        }

    def write(self, folder: Path, labels: Mapping[str, str]) -> None:
        """Emulator of ln L, ``certificate.json``, and ``reweighted.*`` as GetDist reads it."""
        summary = self.summary()
        self.outcome.emulator.save(folder / "emulator", {**self.record, "certificate": summary})
        log_weights = self.log_weights
        ends = zip(self.problem.names, self.problem.priors, strict=True)
        save_getdist(
            folder / "reweighted",
            self.names,
            [labels.get(name, name) for name in self.names],
            list(self.samples),
            list(-self.outcome.chains.log_prob - log_weights),
            list(np.exp(log_weights)),
            {name: prior.bounds for name, prior in ends},
            frozenset(self.derived),
        )
        write_atomically(folder / "certificate.json", json.dumps(summary, indent=1).encode())


def learn_posterior(
    model: ForeignModel,
    folder: Path,
    options: LearningOptions,
    ledger: Ledger,
    executor: Executor,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
    sampling: Callable[[int, int], None] | None = None,
) -> LearnedPosterior:
    """Learn ln L of a model, sample it, certify the samples by the model itself.

    Args:
        folder: keeps what a repeated call goes on from; evaluations are in the ledger.

    Raises VolvelleError for a model that cannot be evaluated, or not learned.
    """
    problem = black_box_problem(model, model.sampled, model.priors(), model.reference())
    training = TrainingSettings(
        max_training=options.max_training,
        seed=options.seed,
        accuracy=options.accuracy,
        initial=options.initial,
        batch=options.batch,
        certificate_points=options.points,
    )
    settings = Settings(
        NUTS(warmup=options.warmup, target_accept=options.target_accept),
        options.chains,
        options.draws,
        tuple(model.derived),
        options.accuracy,
        options.points,
        options.max_points,
        options.seed,
    )
    exact = Exact(problem, ledger, executor, f"{model.name} {folder.name}", progress)
    trainer = Trainer(exact, training, folder / "training", say)
    outcome = Rounds(trainer, settings, folder / "sampling", say, sampling).run()
    return LearnedPosterior(problem, outcome, trainer.record(), tuple(model.derived))
