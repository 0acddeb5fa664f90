"""A sampler for Cobaya that learns the posterior it is given, and certifies what it learned.

    sampler:
      volvelle.plugins.cobaya_sampler.Volvelle:
        accuracy: 0.05

Any likelihoods, any theory code, nuisance parameters, no gradients: ln L is learned as a function
of all sampled parameters from a few hundred evaluations placed where the posterior is, sampled by
NUTS, and the samples are re-weighted by fresh evaluations of Cobaya's own model.
"""

from __future__ import annotations

import tempfile
from dataclasses import fields
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
from volvelle.plugins.cobaya_model import CobayaModel
from volvelle.plugins.learned_posterior import LearnedPosterior, LearningOptions, learn_posterior
from volvelle.training import black_box_problem

SUFFIX = "_volvelle"  # of the folder of all that can be resumed


class Volvelle(Sampler):
    """Options: those of ``LearningOptions``, with the same defaults; ``workers``: processes that
    evaluate at a time, all cores by default; ``ledger``: a file that keeps the evaluations, the
    user's by default.
    """

    accuracy: float = LearningOptions.accuracy
    max_training: int = LearningOptions.max_training
    initial: int | None = LearningOptions.initial
    batch: int | None = LearningOptions.batch
    points: int = LearningOptions.points
    max_points: int = LearningOptions.max_points
    chains: int = LearningOptions.chains
    draws: int = LearningOptions.draws
    warmup: int = LearningOptions.warmup
    target_accept: float = LearningOptions.target_accept
    seed: int | None = None
    workers: int | None = None
    ledger: str | None = None

    def initialize(self) -> None:
        """Read the model and its priors; refuse what cannot be learned, before anything costs."""
        jax.config.update("jax_enable_x64", True)
        self.found: LearnedPosterior | None = None
        try:
            self.box = CobayaModel.of(self.model.info(), self.packages_path)
            black_box_problem(self.box, self.box.sampled, self.box.priors(), self.box.reference())
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
        given = {f.name: getattr(self, f.name) for f in fields(LearningOptions)}
        options = LearningOptions(**{**given, "seed": self.seed or LearningOptions.seed})
        say, tell = self.log.info, self._progress
        with ProcessExecutor(self.workers) as executor:
            found = learn_posterior(self.box, folder, options, ledger, executor, say, tell)
        found.write(folder, self.model.parameterization.labels())
        self.found = found
        certificate = found.outcome.certificate
        (self.log.info if certificate.passed else self.log.warning)("%s", certificate.words())

    def _progress(
        self, done: int, total: int, failed: int, cached: int, left: float | None
    ) -> None:
        if done == total or done % max(1, total // 10) == 0:
            rest = "" if left is None else f", {left:.0f} s left"
            self.log.info("evaluations: %d of %d (%d known)%s", done, total, cached, rest)

    def samples(self, **kwargs: Any) -> Any:
        """The re-weighted samples as GetDist has them (``getdist.MCSamples``)."""
        from getdist import MCSamples

        found = self._found()
        labels = self.model.parameterization.labels()
        starred = [f"{name}*" if name in found.derived else name for name in found.names]
        return MCSamples(
            samples=list(found.samples),
            weights=list(np.exp(found.log_weights)),
            loglikes=list(-found.outcome.chains.log_prob - found.log_weights),
            names=starred,
            labels=[labels.get(name, name) for name in found.names],
        )

    def products(self, **kwargs: Any) -> dict[str, Any]:
        """``sample``: see ``samples``; ``certificate``; ``emulator`` of ln L."""
        outcome = self._found().outcome
        return {
            "sample": self.samples(),
            "certificate": outcome.certificate,
            "emulator": outcome.emulator,
        }

    def _found(self) -> LearnedPosterior:
        if self.found is None:
            raise LoggedError(self.log, "there are no samples yet: call run() first")
        return self.found
