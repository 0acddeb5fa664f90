"""A run from configuration to certified posterior, stage by stage; every stage can be resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from safetensors.numpy import load, save

from ..boltzmann import Ledger, LedgerEntry
from ..compute import UnsendableError
from ..emulator import Emulator
from ..inference import (
    NUTS,
    Chains,
    Laplace,
    Metropolis,
    Posterior,
    Sampler,
    best_fit,
    diagnose,
    laplace,
    run_chains,
    run_chains_on,
)
from ..learning import write_atomically
from ..report import render_summary, write_report
from ..training import DOUBTFUL, FAILED, Certificate, Exact, Training, certify, default_start
from .account import Account
from .blocks import NutsSampler
from .computing import expected_workers, job_script, make_executor
from .configuration import Configuration
from .designs import IterativeDesign, SpaceFillingDesign
from .output import Result, derived_names, write_result
from .progress import Reporter
from .setup import (
    make_likelihoods,
    make_problem,
    make_solver,
    make_training,
    warm_points,
)

METROPOLIS_THIN = 20
BEST_STARTS = 3
ROUNDS = 8  # of sampling; doubtful samples and each failed certificate's points join the training
TYPICAL_SECONDS = {"class": 5.0, "camb": 1.3}  # [s] per solution and core, until the ledger knows
TYPICAL_ITERATIONS = 3
TYPICAL_LATER = 2.0  # of the iterative design's points, all later iterations together; paper: < 1.8
WORKER_MEMORY = 0.35  # [GiB]
MAIN_MEMORY = 1.5  # [GiB]


def run(configuration: Configuration, *, progress: bool = True) -> int:
    """Train, sample, certify, report; 0 when converged and certified, else 1.

    Raises VolvelleError for what the user can mend.
    """
    console = Console()
    reporter = Reporter(console, silent=not progress)
    account = Account.open(configuration)
    summary_path = configuration.output / "summary.json"
    if summary_path.exists():
        summary = json.loads(summary_path.read_text())
        reporter.say(f"{configuration.output}: this run is finished; nothing is computed again")
    else:
        with _Run.open(configuration, account, reporter) as job:
            summary = job.complete()
        with account.stage("report"):
            write_report(configuration.output)
        summary["seconds"] = {k: round(v, 1) for k, v in account.seconds.items()}
        write_atomically(summary_path, json.dumps(summary, indent=1).encode())
        checkpoints = configuration.output / "training" / "network"
        if checkpoints.exists():
            shutil.rmtree(checkpoints)  # they serve an interrupted run only
    if not (configuration.output / "report.html").exists():
        write_report(configuration.output)
    if progress:
        console.print(render_summary(summary))
        console.print(f"report: {configuration.output / 'report.html'}")
    return 0 if summary["status"] == "converged" else 1


def estimate(configuration: Configuration) -> dict[str, Any]:
    """Expected exact calls, time [s] and memory of a run, from its dimension and the ledger."""
    solver = make_solver(configuration)
    n = sum(p.kind == "cosmology" for p in configuration.sampled)
    training = min(_typical_training(configuration, n), configuration.emulator.max_training)
    certificate = configuration.certificate.points + 1
    seconds = TYPICAL_SECONDS[configuration.solver_name]
    if configuration.ledger.exists():
        for count in Ledger(configuration.ledger).status().solvers:
            if count.solver == solver.name and count.solutions:
                seconds = count.seconds / count.solutions
    workers = expected_workers(configuration.compute)
    minutes = (training + certificate) * seconds / 60.0
    found = {
        "exact_calls_training": training,
        "exact_calls_certificate": certificate,
        "seconds_per_call": seconds,
        "compute": configuration.compute.name,
        "ledger": str(configuration.ledger),
    }
    if workers is None:
        return {**found, "workers": "as the scheduler has", "minutes_on_one_worker": minutes + 2.0}
    found |= {"workers": workers, "minutes": minutes / workers + 2.0}
    script = job_script(configuration.compute)
    if script is None:
        return {**found, "memory_GiB": MAIN_MEMORY + WORKER_MEMORY * workers}
    return {**found, "memory_per_core_GiB": WORKER_MEMORY, "job_script": script}


def _typical_training(configuration: Configuration, n: int) -> int:
    """Exact solutions that the design usually asks for, in ``n`` parameters."""
    emulator = configuration.emulator
    design = emulator.design.chosen
    if isinstance(design, SpaceFillingDesign):
        return design.points
    if isinstance(design, IterativeDesign):
        return design.initial + design.first + round(TYPICAL_LATER * design.points)
    if emulator.warm_start:
        return 0
    initial = emulator.initial or default_start(n, emulator.folds)
    return initial + TYPICAL_ITERATIONS * (emulator.batch or 2 * n + 4)


@dataclass
class _Run:
    """One run: the shared objects and its stages in order."""

    configuration: Configuration
    account: Account
    reporter: Reporter
    exact: Exact
    trainer: Training[Any]
    simulation: list[LedgerEntry]
    lost: list[LedgerEntry] = field(default_factory=list)  # failures of failed certificates

    @classmethod
    @contextmanager
    def open(
        cls, configuration: Configuration, account: Account, reporter: Reporter
    ) -> Iterator[_Run]:
        """Set everything up; workers live until the block ends."""
        folder = configuration.output
        write_atomically(folder / "config.yaml", configuration.expanded_text.encode())
        ledger = Ledger(configuration.ledger)
        solver = make_solver(configuration)
        with make_executor(configuration.compute, reporter.say) as executor:
            with account.stage("set-up"):
                likelihoods, simulation = make_likelihoods(
                    configuration, solver, ledger, executor, account.run
                )
            problem = make_problem(configuration, solver, likelihoods)
            exact = Exact(problem, ledger, executor, account.run, reporter.solving)
            trainer = make_training(
                configuration,
                _timed(exact, account, reporter),
                folder / "training",
                reporter.say,
                reporter.epochs,
            )
            if configuration.missing_data:
                reporter.say("=" * 72)
                reporter.say("SIMULATED DATA: " + "; ".join(configuration.missing_data.values()))
                reporter.say("Nothing below says anything about the real universe.")
                reporter.say("=" * 72)
            yield cls(configuration, account, reporter, trainer.exact, trainer, simulation)

    def complete(self) -> dict[str, Any]:
        """All stages; the summary, without the seconds of the report."""
        warm = warm_points(self.configuration.emulator.warm_start, self.exact.problem)
        with self.account.stage("fit and explore"):
            trained = self.trainer.run(warm)
        for number in range(ROUNDS):
            emulator = self.trainer.emulator
            assert emulator is not None, "training ends with an emulator"
            posterior = self.exact.problem.posterior(emulator)
            with self.account.stage("sampling"):
                chains = self._sample(posterior, number)
            last = number == ROUNDS - 1
            doubtful = None if last else self.trainer.doubtful(chains.flat)
            if doubtful is not None:
                with self.account.stage("fit and explore"):
                    self.trainer.add(doubtful, DOUBTFUL)
                continue
            with self.account.stage("certificate"):
                certificate = self._certify(posterior, chains, number)
            if certificate.passed or last or not self.trainer.takes(certificate.n):
                break
            self.reporter.say(certificate.words())
            self.reporter.say("not certified yet: its solutions join the training set")
            self.lost += [entry for entry in certificate.entries if entry.failed]
            with self.account.stage("fit and explore"):
                self.trainer.add(certificate.points, FAILED)
        return self._write(emulator, posterior, chains, certificate, trained)

    def _sample(self, posterior: Posterior, number: int) -> Chains:
        path = self.configuration.output / "sampling" / f"chains_{number}.safetensors"
        if path.exists():
            return _load_chains(path, posterior.names)
        posterior = posterior.softened(self.trainer.widths())
        best = np.argsort(self.trainer.log_like)[-BEST_STARTS:]
        mode = laplace(posterior, self.trainer.x[best], self.exact.problem.ref_scale)
        settings = self.configuration.sampler
        sampler: Sampler
        if isinstance(settings, NutsSampler):
            sampler = NUTS(warmup=settings.warmup, target_accept=settings.target_accept)
        else:
            sampler = Metropolis(warmup=settings.warmup, thin=METROPOLIS_THIN)
        self.reporter.say(f"sampling: {settings.chains} chains of {settings.draws} draws")
        seed = self.configuration.seed + 104729 * (number + 1)
        size: dict[str, int] = {"chains": settings.chains, "draws": settings.draws, "seed": seed}
        chains = self._sample_elsewhere(posterior, mode, sampler, size)
        if chains is None:
            with self.reporter.bar("sampling"):
                progress = self.reporter.sampling
                chains = run_chains(posterior, mode, sampler, **size, progress=progress)
        _save_chains(path, chains)
        return chains

    def _sample_elsewhere(
        self, posterior: Posterior, mode: Laplace, sampler: Sampler, size: dict[str, int]
    ) -> Chains | None:
        """The chains, if there are other machines to run them; None if they must run here."""
        if not self.exact.executor.remote:
            return None
        try:
            with self.reporter.bar("sampling, on the cluster"):
                return run_chains_on(self.exact.executor, posterior, mode, sampler, **size)
        except UnsendableError as error:
            self.reporter.say(f"sampling on this machine: {error}")
            return None

    def _certify(self, posterior: Posterior, chains: Chains, number: int) -> Certificate:
        problem = self.exact.problem
        return certify(
            self.exact,
            posterior,
            chains,
            derived_names(problem),
            limit=self.configuration.emulator.accuracy,
            points=self.configuration.certificate.points,
            max_points=self.configuration.certificate.max_points,
            seed=self.configuration.seed + 15485863 * (number + 1),
            avoid=self.trainer.x,
            say=self.reporter.say,
        )

    def _write(
        self,
        emulator: Emulator,
        posterior: Posterior,
        chains: Chains,
        certificate: Certificate,
        trained: bool,
    ) -> dict[str, Any]:
        seed = self.configuration.seed
        # in the parameters themselves: the samplers' coordinates push it away from a prior's edge
        best_x = best_fit(posterior, chains.flat, priors="all", seed=seed).x[0]
        (best,) = self.exact.solve(best_x[None])
        entries: list[LedgerEntry] = [*self.lost, *certificate.entries, best]
        result = Result(
            configuration=self.configuration,
            problem=self.exact.problem,
            emulator=emulator,
            posterior=posterior,
            chains=chains,
            diagnostics=diagnose(chains.names, chains.samples),
            certificate=certificate,
            best_x=best_x,
            best_theory=None if best.failed else self.exact.theory(best),
            training_entries=self.trainer.asked,
            certificate_entries=entries,
            simulation_entries=self.simulation,
            run=self.account.run,
            history=self.trainer.history,
            record=self.trainer.record(),
            trained=trained,
            seconds=dict(self.account.seconds),
        )
        return write_result(result)


def _timed(exact: Exact, account: Account, reporter: Reporter) -> Exact:
    """The same access to exact solutions, its time booked apart, with a bar."""

    class Timed(Exact):
        def solve(self, x: np.ndarray) -> list[LedgerEntry]:
            with account.stage("exact solutions"), reporter.bar("exact solutions"):
                return super().solve(x)

    return Timed(exact.problem, exact.ledger, exact.executor, exact.run, exact.progress)


def _save_chains(path: Path, chains: Chains) -> None:
    content = save(
        {
            "samples": np.ascontiguousarray(chains.samples),
            "log_prob": np.ascontiguousarray(chains.log_prob),
            "counts": np.array([chains.acceptance, chains.divergences, chains.evaluations]),
        }
    )
    write_atomically(path, content)


def _load_chains(path: Path, names: tuple[str, ...]) -> Chains:
    tensors = load(path.read_bytes())
    acceptance, divergences, evaluations = tensors["counts"]
    return Chains(
        names,
        tensors["samples"],
        tensors["log_prob"],
        float(acceptance),
        int(divergences),
        int(evaluations),
    )
