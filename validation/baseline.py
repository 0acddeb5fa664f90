"""Volvelle's training against the paper's own recipe: error in sigma against exact solutions.

Both run on the same likelihood (Planck 2018 plik-lite and low-l) with the same reference box. The
truth is a finished, certified run: its posterior re-weighted by exact solutions. The recipe is that
of Nygaard et al. 2022: Latin hypercube, 6 x 512 network, hot chains, nearest-neighbour filter.

    python validation/baseline.py                               CLASS, two hours
    python validation/baseline.py --solver camb --minutes 20    CAMB, cheaper

Writes docs/validation/baseline.md and baseline.png (baseline_camb.* with CAMB). Interrupt and
repeat the command: solutions are in the ledger, networks and numbers in the work folder.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
import yaml
from reference import Reference

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from volvelle.boltzmann import Ledger
from volvelle.cli import Configuration, run
from volvelle.cli.computing import expected_workers, make_executor
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.compute import available_cores
from volvelle.learning import NetworkSettings, write_atomically
from volvelle.training import Exact, Iterative, IterativeSettings, Problem, fit_emulator
from volvelle.training.history import load_iterations

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "01_planck_lcdm.yaml"
ACCURACY = 0.05  # [sigma], the line in the figure
SHARES = (0.2, 0.1, 0.4)  # of the calls that fit: hypercube, first iteration, later iterations
PAPER_EPOCHS, PAPER_STEPS = 300, 10_000  # with few solutions, epochs are added up to as many steps
TYPICAL_SECONDS = {"class": 5.0, "camb": 1.3}  # [s] per solution until the ledger knows


def error_of(reference: Reference, problem: Problem, emulator: Any, seed: int) -> dict[str, Any]:
    """Largest shift of any mean of an emulator's posterior from the exact one [sigma]."""
    samples = reference.samples(problem, emulator, seed)
    distance = reference.distance(samples)
    return {
        "error": distance.shift,
        "parameter": distance.parameter,
        "effective": samples.effective,
        "how": samples.how,
    }


def remembered(path: Path) -> dict[str, Any] | None:
    """A result of an earlier call."""
    return json.loads(path.read_text()) if path.exists() else None


def remember(path: Path, result: dict[str, Any]) -> None:
    """Keep a result for a later call."""
    write_atomically(path, json.dumps(result, indent=1).encode())


def ours(exact: Exact, reference: Reference, run_folder: Path, work: Path) -> list[dict[str, Any]]:
    """The error after every iteration of the reference run, its emulators fitted again."""
    problem, results = exact.problem, []
    rows, theories, values = [], [], []
    asked = 0
    for iteration in load_iterations(run_folder / "training"):
        entries = exact.solve(iteration.points)
        asked += len(entries)
        for x, entry in zip(iteration.points, entries, strict=True):
            if not entry.failed:
                rows.append(x)
                theories.append(exact.theory(entry))
                values.append(problem.log_likelihood(x, theories[-1]))
        path = work / f"ours_{iteration.number:03d}.json"
        result = remembered(path)
        if result is None:
            x, log_like = np.array(rows), np.array(values)
            emulator, _ = fit_emulator(problem, x, theories, log_like)
            result = {"calls": asked, "training": len(x)}
            result |= error_of(reference, problem, emulator, 1000 + iteration.number)
            remember(path, result)
        print(f"Volvelle, iteration {iteration.number}: {result}", flush=True)
        results.append(result)
    return results


def settings_for(budget: float, seconds_per_call: float, epochs: int | None) -> IterativeSettings:
    """The recipe's numbers in the paper's proportions, for a budget [s]."""
    calls = max(60, int(budget / seconds_per_call))
    initial, first, points = (max(20, int(share * calls)) for share in SHARES)
    batch = NetworkSettings().batch
    enough = int(np.ceil(PAPER_STEPS * batch / points))
    network = NetworkSettings(epochs=epochs or max(PAPER_EPOCHS, enough), folds=0)
    return IterativeSettings(initial=initial, first=first, points=points, network=network)


def recipe(
    exact: Exact, reference: Reference, work: Path, budget: float, rate: float, epochs: int | None
) -> list[dict[str, Any]]:
    """The error after every iteration of the paper's recipe, within a budget of seconds.

    ``rate``: seconds per exact solution with all workers, until it is measured. What earlier calls
    spent is counted.
    """
    results: list[dict[str, Any]] = []
    started = time.monotonic()
    clock = {"spent": 0.0, "training": 0.0, "rate": rate}

    def afford(wanted: int) -> int:
        left = budget - clock["spent"] - (time.monotonic() - started) - 1.5 * clock["training"]
        return int(np.clip(left / clock["rate"], 0, wanted))

    stored = remembered(work / "recipe.json")
    if stored is None:
        stored = {"budget": budget, "rate": rate}
        remember(work / "recipe.json", stored)
    elif stored["budget"] != budget:
        raise SystemExit(
            f"{work} holds a budget of {stored['budget']:.0f} s, not {budget:.0f} s; choose "
            "another --work"
        )
    settings = settings_for(budget, stored["rate"], epochs)
    print(f"the recipe with {settings}", flush=True)
    iterative = Iterative(exact, settings, work / "iterations", say, epochs_said(), afford=afford)
    before = 0
    for stage in iterative.stages():
        path = work / f"recipe_{stage.number:03d}.json"
        result = remembered(path)
        if result is None:
            result = {"calls": stage.calls, "training": stage.training, "seconds": stage.seconds}
            result["seconds_training"] = stage.seconds_training
            result["r_minus_1"], result["converged"] = stage.r_minus_1, stage.converged
            result |= error_of(reference, exact.problem, stage.emulator, 2000 + stage.number)
            remember(path, result)
        else:
            clock["spent"] += result["seconds"]
        clock["training"] = result["seconds_training"]
        if stage.calls > before:  # as measured: the machine may have other work
            clock["rate"] = (result["seconds"] - clock["training"]) / (stage.calls - before)
        before = stage.calls
        print(f"recipe, iteration {stage.number}: {result}", flush=True)
        results.append(result)
    return results


def say(text: str) -> None:
    """A line at once."""
    print(text, flush=True)


def epochs_said() -> Any:
    """A line every hundred epochs."""

    def epochs(epoch: int, total: int, loss: float) -> None:
        if epoch % 100 == 0 or epoch == total:
            say(f"  epoch {epoch}/{total}, held-out loss {loss:.2e}")

    return epochs


def page(
    solver: str, curves: dict[str, list[dict[str, Any]]], simulated: bool, budget: float, stem: str
) -> str:
    """The table in Markdown."""
    lines = [
        f"# Error against exact solutions ({solver.upper()})",
        "",
        "Generated by `validation/baseline.py`. Planck 2018 plik-lite TTTEEE and low-l, LCDM,",
        "seven parameters, reference box of five posterior widths; box and data are common.",
        "The error is the largest shift of any parameter's mean from the certified posterior, in",
        "its sigma. The recipe is that of Nygaard et al. 2022 (arXiv:2205.15726): Latin hypercube,",
        "one network of 6 x 512 nodes, chains at temperature 5, nearest-neighbour filter. All its",
        f"exact solutions count, those it drops too. It had {budget / 60:.0f} minutes, training",
        "included; its numbers of points are the paper's, scaled down to that.",
        "",
    ]
    if simulated:
        lines += ["**SIMULATED DATA: this says nothing about the real universe.**", ""]
    lines += [
        "| training | exact solutions | of them trained on | error [sigma] | parameter | method |",
        "|---|---|---|---|---|---|",
    ]
    for name, results in curves.items():
        for r in results:
            cells = [name, r["calls"], r["training"], f"{r['error']:.3f}", r["parameter"], r["how"]]
            lines.append("| " + " | ".join(str(c) for c in cells) + " |")
    lines += ["", f"![error against exact solutions]({stem}.png)", ""]
    return "\n".join(lines)


def draw(path: Path, curves: dict[str, list[dict[str, Any]]]) -> None:
    """Both curves on one plot."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for (name, results), marker in zip(curves.items(), "os", strict=True):
        if results:
            calls, errors = zip(*[(r["calls"], r["error"]) for r in results], strict=True)
            axes.plot(calls, errors, marker=marker, label=name)
    axes.axhline(ACCURACY, color="0.6", lw=0.8, ls="--")
    axes.set(xscale="log", yscale="log", xlabel="exact solutions", ylabel="error of a mean [sigma]")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--solver", choices=("class", "camb"), default="class")
    parser.add_argument("--run", type=Path, help="finished run that is the truth")
    parser.add_argument("--ledger", type=Path, help="ledger in place of the run's own")
    time_given = parser.add_mutually_exclusive_group()
    time_given.add_argument("--hours", type=float, default=2.0)
    time_given.add_argument("--minutes", type=float)
    parser.add_argument("--epochs", type=int, help="of every training")
    parser.add_argument("--work", type=Path, help="folder of what was done so far")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "validation")
    return parser.parse_args()


def reference_run(solver: str, folder: Path) -> Configuration:
    """The configuration of the reference run, which is made first if it is not there."""
    if not (folder / "summary.json").exists():
        content = yaml.safe_load(EXAMPLE.read_text())
        content |= {"theory": {solver: {}}, "output": str(folder)}
        path = folder.with_name(f"{folder.name}.yaml")
        write_atomically(path, yaml.safe_dump(content, sort_keys=False).encode())
        print(f"{folder} is not finished: it is run first", flush=True)
        if run(Configuration.load(path)) != 0:
            raise SystemExit(f"{folder} did not converge: no reference for a comparison")
    configuration = Configuration.load(folder / "config.yaml", output=folder, files=False)
    if configuration.solver_name != solver:
        raise SystemExit(f"{folder} was solved by {configuration.solver_name}, not {solver}")
    return configuration


def main() -> None:
    """Compare, write."""
    jax.config.update("jax_enable_x64", True)
    given = arguments()
    folder = given.run or Path("runs") / (
        "planck-lcdm" if given.solver == "class" else "planck-lcdm-camb"
    )
    budget = 60.0 * given.minutes if given.minutes is not None else 3600.0 * given.hours
    work = given.work or Path("runs") / f"baseline-{given.solver}-{budget / 60:.0f}min"
    configuration = reference_run(given.solver, folder)
    ledger = Ledger(given.ledger or configuration.ledger)
    solver = make_solver(configuration)
    rate = TYPICAL_SECONDS[given.solver]
    for count in ledger.status().solvers:
        if count.solver == solver.name and count.solutions:
            rate = count.seconds / count.solutions
    with make_executor(configuration.compute, print) as executor:
        likelihoods, _ = make_likelihoods(configuration, solver, ledger, executor, "baseline")
        problem = make_problem(configuration, solver, likelihoods)
        exact = Exact(problem, ledger, executor, "baseline")
        reference = Reference.load(folder, problem)
        rate /= expected_workers(configuration.compute) or available_cores()
        curves = {"Volvelle": ours(exact, reference, folder, work)}
        curves["paper's recipe"] = recipe(exact, reference, work, budget, rate, given.epochs)
    stem = "baseline" if given.solver == "class" else f"baseline_{given.solver}"
    given.out.mkdir(parents=True, exist_ok=True)
    draw(given.out / f"{stem}.png", curves)
    text = page(given.solver, curves, reference.simulated, budget, stem)
    (given.out / f"{stem}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
