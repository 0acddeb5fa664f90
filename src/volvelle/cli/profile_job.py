"""From the folder of a finished run to a profile likelihood beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ..boltzmann import Ledger
from ..emulator import Emulator, load_emulator
from ..inference import LEVELS, Optima, PriorTerms, best_fit, lacks_gradient, make_prior
from ..learning import write_atomically
from ..report import (
    Chain,
    figure_of_profile,
    profile_words,
    read_chain,
    read_summary,
    write_report,
)
from ..report.record import read_json
from ..training import Exact, ExactProfile, Problem, Profiler, ProfileSettings
from ..training.history import load_iterations
from .account import check_data
from .computing import make_executor
from .configuration import Configuration
from .errors import ProfileError
from .profile_names import check_names
from .progress import Reporter
from .setup import make_likelihoods, make_problem, make_solver, network_settings, user_functions

WIDTH = 3.0  # [sigma] half width of the grid if none is given
POINTS = {1: 15, 2: 7}  # per parameter


@dataclass(frozen=True)
class ProfileRequest:
    """What the command line asks for; None: to be chosen from the run."""

    folder: Path
    names: tuple[str, ...]
    points: int | None = None
    ranges: tuple[tuple[float, float] | None, ...] = (None, None)
    accuracy: float = 0.1
    rounds: int = 4
    priors: PriorTerms = "nuisance"

    @property
    def path(self) -> Path:
        """The file of the result."""
        return self.folder / f"profile_{'_'.join(self.names)}.json"


def profile_run(request: ProfileRequest, *, progress: bool = True) -> int:
    """Compute, certify and write a profile; 0 when every point is as exact as asked, else 1.

    Writes ``profile_NAMES.json`` and ``.png`` into the run's folder, and its report again. Raises
    VolvelleError for what the user can mend.
    """
    console = Console()
    reporter = Reporter(console, silent=not progress)
    started = time.monotonic()
    summary = read_summary(request.folder)
    chain = read_chain(request.folder, "emulator")
    book = read_json(request.folder / "run.json")
    run = book["run"]
    configuration = Configuration.load(request.folder / "config.yaml", output=request.folder)
    check_data(configuration, book.get("data"), configuration.data)
    problem, result, top = _compute(request, configuration, chain, run, reporter)
    content = _content(request, problem, result, top, run, bool(summary.get("simulated")))
    if configuration.hidden_names.intersection(request.names):
        del content["bounds"]  # priors move along with a blinded parameter
    content["seconds"] = round(time.monotonic() - started, 1)
    write_atomically(request.path, json.dumps(content, indent=1).encode())
    picture = request.path.with_suffix(".png")
    write_atomically(picture, figure_of_profile(request.folder, request.path))
    report = write_report(request.folder)
    if progress:
        for sentence in profile_words(content):
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        written = f"written: {request.path}, {picture.name} and {report.name}"
        console.print(written, soft_wrap=True)
    return 0 if result.met else 1


def _compute(
    request: ProfileRequest,
    configuration: Configuration,
    chain: Chain,
    run: str,
    reporter: Reporter,
) -> tuple[Problem, ExactProfile, Optima]:
    """The exact profile, and the emulator's maximum of the posterior."""
    check_names(request.names, chain, configuration.parametrisation.definitions)
    if request.ranges[1] is not None and len(request.names) == 1:
        raise ProfileError(
            f"--range2 is that of a second parameter, and {request.names[0]} is the only one; "
            "name another one after it, or give --range"
        )
    if configuration.emulator.target != "theory":
        raise ProfileError(
            f"the emulator of {request.folder} gives the likelihood itself, and a profile needs "
            "the theory; run with target: theory first"
        )
    if configuration.direct:
        raise ProfileError(
            f"{request.folder} trained no emulator, and profiles are made by one that exact "
            "solutions correct; run with theory: {class: } first"
        )
    axes = tuple(_axis(request, i, chain, configuration) for i in range(len(request.names)))
    emulator, record = load_emulator(request.folder / "emulator", user_functions(configuration))
    training = _training_points(request)
    ledger, solver = Ledger(configuration.ledger), make_solver(configuration)
    if record["solver"] != solver.identity():
        reporter.say(
            f"the run was solved by {record['solver']}, this machine has {solver.identity()}: "
            "its training solutions are solved again by the latter"
        )
    count = int(np.prod([len(axis) for axis in axes])) + 1
    reporter.say(
        f"{count} exact solutions per round, at most {request.rounds} rounds; the {len(training)} "
        f"of the training are looked up in {ledger.path}"
    )
    settings = ProfileSettings(
        request.names,
        axes,
        request.accuracy,
        request.rounds,
        request.priors,
        configuration.seed,
        configuration.emulator.kind,
        network_settings(configuration),
    )
    with make_executor(configuration.compute, reporter.say) as executor:
        likelihoods, _ = make_likelihoods(configuration, solver, ledger, executor, run)
        problem = make_problem(configuration, solver, likelihoods)
        _check_emulator(request, problem, emulator)
        foreign = problem.foreign
        reason = None if foreign is None else lacks_gradient(foreign.posterior(emulator))
        if reason is not None:
            raise ProfileError(
                f"a likelihood of {request.folder} has no gradient ({reason}), and profiles are "
                "made by one; write the likelihood with jax.numpy alone"
            )
        samples = chain.samples[:, [chain.names.index(name) for name in problem.names]]
        exact = Exact(problem, ledger, executor, run, reporter.solving)
        folder = request.folder / "profiles" / "_".join(request.names)
        profiler = Profiler(exact, settings, samples, training, folder, reporter.say)
        with reporter.bar("exact solutions"):
            result = profiler.run(emulator)
    posterior = problem.posterior(emulator)
    return problem, result, best_fit(posterior, samples, priors="all", seed=settings.seed)


def _training_points(request: ProfileRequest) -> np.ndarray:
    """All points that the run's training asked for [m, d]."""
    folder = request.folder / "training"
    iterations = load_iterations(folder)
    if not iterations:
        raise ProfileError(f"{folder} holds no iteration; expected those of a finished run")
    return np.concatenate([iteration.points for iteration in iterations])


def _check_emulator(request: ProfileRequest, problem: Problem, emulator: Emulator) -> None:
    if emulator.parameters != problem.theory_names:
        raise ProfileError(
            f"the emulator of {request.folder} takes {', '.join(emulator.parameters)}, its "
            f"config.yaml samples {', '.join(problem.theory_names)}; repeat `volvelle run`"
        )


def _axis(
    request: ProfileRequest, i: int, chain: Chain, configuration: Configuration
) -> np.ndarray:
    """The grid of a parameter: the range asked for, or three sigma inside the prior.

    Of a blinded parameter, whose prior would tell the shift, inside the samples.
    """
    name, given = request.names[i], request.ranges[i]
    (parameter,) = (p for p in configuration.sampled if p.name == name)
    low, high = make_prior(parameter.prior).bounds
    points = request.points or POINTS[len(request.names)]
    hidden = name in configuration.hidden_names
    if given is None:
        column = chain.column(name)
        if hidden:
            low, high = float(column.min()), float(column.max())
        middle, half = column.mean(), WIDTH * column.std()
        return np.linspace(max(low, middle - half), min(high, middle + half), points)
    if not given[0] < given[1]:
        raise ProfileError(
            f"the range of {name} runs from {given[0]:g} to {given[1]:g}; give the lower end first"
        )
    if given[0] < low or given[1] > high:
        ends = "which is blinded" if hidden else f"from {low:g} to {high:g}"
        raise ProfileError(
            f"the range of {name} runs from {given[0]:g} to {given[1]:g}, beyond its prior, "
            f"{ends}; keep the range inside the prior"
        )
    return np.linspace(*given, points)


def _content(
    request: ProfileRequest,
    problem: Problem,
    result: ExactProfile,
    top: Optima,
    run: str,
    simulated: bool,
) -> dict[str, Any]:
    best = result.best
    rows = range(len(result.x) - 1)
    return {
        "parameters": list(request.names),
        "simulated": simulated,
        "run": run,
        "solver": problem.solver.identity(),
        "priors": request.priors,
        "priors_left_out": _left_out(request, problem),
        "accuracy": request.accuracy,
        "met": result.met,
        "axes": [axis.tolist() for axis in result.found.axes],
        "bounds": [list(map(_number, pair)) for pair in result.found.bounds],
        "best_fit": {
            "parameters": _named(problem.names, result.x[best]),
            "chi2": float(result.chi2[best]),
            "slack": _number(result.slack[best]),
        },
        "map": {
            "parameters": _named(problem.names, top.x[0]),
            "flags": list(top.flags(0)),
            "by": "emulator",
        },
        "points": [
            {
                "at": [float(result.found.optima.x[i, problem.names.index(n)])
                       for n in request.names],
                "delta_chi2": _number(result.delta_chi2.ravel()[i]),
                "difference": _number(result.difference[i]),
                "slack": _number(result.slack[i]),
                "parameters": _named(problem.names, result.x[i]),
                "flags": list(result.flags[i]),
            }
            for i in rows
        ],
        "emulator_delta_chi2": [_number(v) for v in result.found.delta_chi2.ravel()],
        "levels": [_level(result, level) for level in LEVELS[len(request.names)]],
        "max_difference": _number(np.nanmax(np.abs(result.difference))),
        "max_slack": _number(np.nanmax(result.slack)),
        "exact_solutions": {
            "asked": len(result.entries),
            "reused": sum(entry.cached for entry in result.entries),
            "failed": sum(entry.failed for entry in result.entries),
        },
        "rounds": result.history,
    }  # fmt: skip


def _level(result: ExactProfile, level: float) -> dict[str, Any]:
    if len(result.found.axes) == 2:
        box = result.region(level)
        return {"delta_chi2": level, "low": box.low, "high": box.high,
                "low_end": box.low_end, "high_end": box.high_end}  # fmt: skip
    parts = result.intervals(level)
    return {"delta_chi2": level, "intervals": [vars(part) for part in parts]}


def _left_out(request: ProfileRequest, problem: Problem) -> list[str]:
    """Parameters with a Gaussian prior that does not count as data here."""
    if request.priors == "gaussian":
        return []
    last = problem.n_theory if request.priors == "nuisance" else len(problem.names)
    pairs = list(zip(problem.names, problem.priors, strict=True))[:last]
    return [name for name, prior in pairs if hasattr(prior, "loc")]


def _named(names: Sequence[str], row: np.ndarray) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, row, strict=True)}


def _number(value: Any) -> float | None:
    """A float for JSON, which knows neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None
