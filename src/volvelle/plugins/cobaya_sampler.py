"""A sampler for Cobaya that learns the posterior it is given, and certifies what it learned.

    sampler:
      volvelle.plugins.cobaya_sampler.Volvelle:
        accuracy: 0.05

Any likelihoods, any theory code, nuisance parameters, no gradients: ln L is learned as a function
of all sampled parameters from a few hundred evaluations placed where the posterior is, sampled by
NUTS, and the samples are re-weighted by fresh evaluations of Cobaya's own model.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from cobaya import mpi
from cobaya.log import LoggedError
from cobaya.sampler import Sampler

from volvelle import __version__
from volvelle.boltzmann import Ledger, default_ledger
from volvelle.compute import ProcessExecutor
from volvelle.errors import VolvelleError
from volvelle.inference import NUTS, diagnose, save_getdist
from volvelle.learning import write_atomically
from volvelle.plugins.cobaya_model import CobayaModel
from volvelle.training import (
    Certificate,
    Exact,
    Trainer,
    TrainingSettings,
    black_box_problem,
    smooth_log_weights,
)
from volvelle.training.rounds import Outcome, Rounds, Settings

SUFFIX = "_volvelle"  # of the folder of all that can be resumed


class Volvelle(Sampler):
    """Options, all with defaults: see the class's annotations.

    ``accuracy``: largest shift of a mean, two errors included [sigma]; ``max_training``: most
    evaluations for the training; ``initial`` and ``batch``: at its start and per iteration;
    ``points`` and ``max_points``: of the certificate, at first and at most; ``chains``, ``draws``,
    ``warmup``, ``target_accept``: of NUTS; ``workers``: processes that evaluate at a time, all
    cores by default; ``ledger``: a file that keeps the evaluations, the user's by default.
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
    workers: int | None = None
    ledger: str | None = None
    seed: int | None = None

    def initialize(self) -> None:
        """Read the model and its priors; refuse what cannot be learned, before anything costs."""
        jax.config.update("jax_enable_x64", True)
        self.outcome: Outcome | None = None
        try:
            self.box = CobayaModel.of(self.model.info(), self.packages_path)
            self.problem = black_box_problem(
                self.box, self.box.sampled, self.box.priors(), self.box.reference()
            )
        except VolvelleError as error:
            raise LoggedError(self.log, "%s", error) from error

    def get_version(self) -> str:
        """Of Volvelle."""
        return __version__

    @property
    def folder(self) -> Path | None:
        """Where everything that can be resumed is kept; None without an ``output``."""
        if not self.output:
            return None
        return Path(self.output.folder) / f"{self.output.prefix or 'run'}{SUFFIX}"

    @classmethod
    def output_files_regexps(cls, output: Any, info: Any = None, minimal: bool = False) -> list:
        """What `--force` deletes: the folder, with training, samples and certificate."""
        return [(None, str(Path(output.folder) / f"{output.prefix or 'run'}{SUFFIX}"))]

    def run(self) -> None:
        """Learn, sample, certify, write."""
        if mpi.is_main_process():
            try:
                with tempfile.TemporaryDirectory() as temporary:
                    self._run(self.folder or Path(temporary))
            except VolvelleError as error:
                raise LoggedError(self.log, "%s", error) from error
        mpi.sync_processes()

    def _run(self, folder: Path) -> None:
        ledger = Ledger(Path(self.ledger).expanduser() if self.ledger else default_ledger())
        training = TrainingSettings(
            max_training=self.max_training,
            seed=self.seed or 1,
            accuracy=self.accuracy,
            initial=self.initial,
            batch=self.batch,
            certificate_points=self.points,
        )
        sampling = Settings(
            NUTS(warmup=self.warmup, target_accept=self.target_accept),
            self.chains,
            self.draws,
            self.box.derived,
            self.accuracy,
            self.points,
            self.max_points,
            self.seed or 1,
        )
        run = f"cobaya {self.output.prefix}" if self.output else "cobaya"
        with ProcessExecutor(self.workers) as executor:
            exact = Exact(self.problem, ledger, executor, run, self._progress)
            trainer = Trainer(exact, training, folder / "training", self.log.info)
            self.outcome = Rounds(trainer, sampling, folder / "sampling", self.log.info).run()
        self._write(folder, trainer.record())
        words = self.certificate.words()
        (self.log.info if self.certificate.passed else self.log.warning)("%s", words)

    def _progress(
        self, done: int, total: int, failed: int, cached: int, left: float | None
    ) -> None:
        if done == total or done % max(1, total // 10) == 0:
            rest = "" if left is None else f", {left:.0f} s left"
            self.log.info("evaluations: %d of %d (%d known)%s", done, total, cached, rest)

    @property
    def certificate(self) -> Certificate:
        """The verdict; after ``run``."""
        assert self.outcome is not None, "the certificate comes after run()"
        return self.outcome.certificate

    def _write(self, folder: Path, record: dict[str, Any]) -> None:
        outcome = self.outcome
        assert outcome is not None
        summary = {
            **self.certificate.summary(),
            "training": len(record["points"]),
            "trained": outcome.trained,
            "r_hat": float(np.max(diagnose(outcome.chains.names, outcome.chains.samples).r_hat)),
        }
        outcome.emulator.save(folder / "emulator", {**record, "certificate": summary})
        write_atomically(folder / "certificate.json", json.dumps(summary, indent=1).encode())
        samples, derived, log_weights = self._table()
        names = (*self.problem.names, *derived)
        labels = self.model.parameterization.labels()
        save_getdist(
            folder / "reweighted",
            names,
            [labels.get(name, name) for name in names],
            list(samples),
            list(-outcome.chains.log_prob - log_weights),
            list(np.exp(log_weights)),
            {n: p.bounds for n, p in zip(self.problem.names, self.problem.priors, strict=True)},
            frozenset(derived),
        )

    def _table(self) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
        """Samples with derived parameters [c, n, p], the latter's names, ln of the weights."""
        assert self.outcome is not None, "samples come after run()"
        chains, derived = self.outcome.chains, self.box.derived
        scalars = self.outcome.emulator.batch(chains.flat, derived)
        shape = chains.samples.shape[:2]
        columns = [np.reshape(scalars[name], (*shape, 1)) for name in derived]
        samples = np.concatenate([chains.samples, *columns], axis=2)
        return samples, derived, smooth_log_weights(self.certificate, chains)

    def samples(self, **kwargs: Any) -> Any:
        """The re-weighted samples as GetDist has them (``getdist.MCSamples``)."""
        from getdist import MCSamples

        samples, derived, log_weights = self._table()
        assert self.outcome is not None
        names = [*self.problem.names, *(f"{name}*" for name in derived)]
        labels = self.model.parameterization.labels()
        return MCSamples(
            samples=list(samples),
            weights=list(np.exp(log_weights)),
            loglikes=list(-self.outcome.chains.log_prob - log_weights),
            names=names,
            labels=[labels.get(name.rstrip("*"), name) for name in names],
        )

    def products(self, **kwargs: Any) -> dict[str, Any]:
        """``sample``: see ``samples``; ``certificate``; ``emulator`` of ln L."""
        assert self.outcome is not None, "products come after run()"
        return {
            "sample": self.samples(),
            "certificate": self.certificate,
            "emulator": self.outcome.emulator,
        }
