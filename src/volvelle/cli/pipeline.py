"""A run from configuration to certified posterior, stage by stage; every stage can be resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from ..boltzmann import Ledger, LedgerEntry
from ..inference import best_fit, lacks_gradient, needs_gradients
from ..learning import write_atomically
from ..report import render_summary, write_report
from ..report.record import read_json
from ..training import NEW, Exact, Training, check_budget, default_start, rounds
from .account import Account
from .computing import expected_workers, job_script, make_executor
from .configuration import Configuration
from .designs import IterativeDesign, SpaceFillingDesign
from .output import Result, derived_names, write_result
from .progress import Reporter
from .sampler_block import make_method
from .setup import (
    make_likelihoods,
    make_problem,
    make_solver,
    make_training,
    warm_cost,
    warm_points,
)

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
    account = Account.open(configuration, configuration.data)
    summary_path = configuration.output / "summary.json"
    if summary_path.exists():
        summary = read_json(summary_path)
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
    training, warm = 0, {}
    if configuration.emulator.warm_start and not configuration.direct:
        points, new, start = warm_cost(configuration, solver)
        warm = {"warm_start": f"{points} points, {new} of them not in the ledger"}
        training = new + start
        what = f"{NEW}, with the start," if start else NEW
        check_budget(training, configuration.emulator.max_training, what)
    elif not configuration.direct:
        training = _typical_training(configuration, n)
        training = min(training, configuration.emulator.max_training)
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
        **warm,
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
        configuration, problem = self.configuration, self.exact.problem
        warm = warm_points(configuration.emulator.warm_start, problem)
        certificate = configuration.certificate
        settings = rounds.Settings(
            method=make_method(configuration.sampler),
            chains=configuration.sampler.chains,
            draws=configuration.sampler.draws,
            derived=derived_names(problem, configuration.hides),
            limit=configuration.emulator.accuracy,
            points=certificate.points,
            max_points=certificate.max_points,
            seed=configuration.seed,
            evidence=configuration.evidence,
        )
        job = rounds.Rounds(
            self.trainer,
            settings,
            configuration.output / "sampling",
            self.reporter.say,
            self.reporter.sampling,
            self._stage,
            watch=self.reporter.mixing,
        )
        return self._write(job.run(warm))

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Books a stage's time; sampling has a bar of its own."""
        bar = self.reporter.bar(name) if name == rounds.SAMPLING else nullcontext()
        with self.account.stage(name), bar:
            yield

    def _write(self, found: rounds.Outcome) -> dict[str, Any]:
        # in the parameters themselves: the samplers' coordinates push it away from a prior's edge
        foreign = self.exact.problem.foreign
        differences = (
            foreign is not None
            and not needs_gradients(make_method(self.configuration.sampler))
            and lacks_gradient(foreign.posterior(found.emulator)) is not None
        )
        if differences:
            self.reporter.say("best fit: by differences of ln P, which has no gradient")
        with self.account.stage("best fit"), self.reporter.bar("best fit"):
            optimum = best_fit(
                found.posterior,
                found.chains.flat,
                priors="all",
                seed=self.configuration.seed,
                progress=self.reporter.searching,
                differences=differences,
            )
        best_x = optimum.x[0]
        for flag in optimum.flags(0):
            self.reporter.say(f"best fit: {flag}")
        (best,) = self.exact.solve(best_x[None])
        entries: list[LedgerEntry] = [*found.lost, *found.certificate.entries, best]
        result = Result(
            configuration=self.configuration,
            problem=self.exact.problem,
            emulator=found.emulator,
            posterior=found.posterior,
            chains=found.chains,
            diagnostics=found.chains.diagnostics,
            certificate=found.certificate,
            best_x=best_x,
            best_theory=None if best.failed else self.exact.theory(best),
            training_entries=self.trainer.asked,
            certificate_entries=entries,
            simulation_entries=self.simulation,
            run=self.account.run,
            history=self.trainer.history,
            record=self.trainer.record(),
            trained=found.trained,
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
