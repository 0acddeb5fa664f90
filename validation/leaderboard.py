"""A leaderboard: emulators and peers on one likelihood, against one exactly re-weighted posterior.

    python validation/leaderboard.py                  CLASS
    python validation/leaderboard.py --solver camb    CAMB, three times cheaper

Planck 2018 plik-lite and low-l, LCDM, one reference box, one ledger. The truth is a finished,
certified run of example 1. Each entry is trained from nothing: our default; the preset connect-2022
with its numbers of points scaled down; a Latin hypercube with the same network; a Latin hypercube
of as many points as ours with our surrogates. cosmopower_jax, where it is installed, enters with
its published networks. Counted are all exact solutions that the training asked for.

Writes docs/validation/leaderboard.md and .png (leaderboard_camb with CAMB). Everything that is done
is kept in the work folder: interrupt and repeat.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import yaml
from common import (
    PAGES,
    ROOT,
    arguments,
    data_words,
    example,
    finish,
    run,
    summary_of,
    table,
    versions,
)
from reference import Reference
from safetensors.numpy import load_file

from volvelle import Configuration
from volvelle.boltzmann import Ledger, LedgerEntry
from volvelle.cli.computing import make_executor
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver, make_training
from volvelle.emulator import load_emulator
from volvelle.inference import log_likelihoods_at
from volvelle.learning import write_atomically
from volvelle.training import Exact, Problem

sys.path.append(str(ROOT / "benchmarks"))
from cosmopower import Cosmopower

PAPER_STEPS, BATCH = 10_000, 32  # of the optimiser; with few solutions, epochs are added
SEED = 4242

Theory = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Result:
    """One row: what it cost and how far it is from the exact posterior."""

    name: str
    calls: int | None
    seconds: float | None
    shift: float
    parameter: str
    width: float
    chi2_scatter: float
    chi2_best: float
    how: str


@dataclass(frozen=True)
class Truth:
    """The reference run: its posterior, its fresh exact points and its best fit."""

    problem: Problem
    reference: Reference
    points: np.ndarray
    log_like: np.ndarray
    best: np.ndarray
    best_log_like: float

    def judge(self, name: str, theory: Any, calls: int | None, seconds: float | None) -> Result:
        """The row of a theory in the solver's place."""
        posterior = self.problem.posterior(theory)
        samples = self.reference.samples(self.problem, theory, SEED)
        distance = self.reference.distance(samples)
        chi2 = -2.0 * (log_likelihoods_at(posterior, self.points) - self.log_like)
        best = -2.0 * (log_likelihoods_at(posterior, self.best[None])[0] - self.best_log_like)
        result = Result(
            name,
            calls,
            seconds,
            distance.shift,
            distance.parameter,
            distance.width,
            float(np.std(chi2)),
            float(best),
            samples.how,
        )
        print(result, flush=True)
        return result


class Timed(Exact):
    """Access to exact solutions that knows how long it took, and what was asked for."""

    spent = 0.0
    asked: list[LedgerEntry]

    def solve(self, x: np.ndarray) -> list[LedgerEntry]:
        """See `Exact`."""
        start = time.monotonic()
        entries = super().solve(x)
        self.spent += time.monotonic() - start
        self.asked = [*getattr(self, "asked", []), *entries]
        return entries


def designs(points: int, ours: int) -> dict[str, dict[str, Any]]:
    """Emulator blocks by the words of the table; ``points`` scales the paper's numbers."""
    epochs = max(300, -(-PAPER_STEPS * BATCH // points))
    # the learning rate falls over all epochs: none of them may be left out
    network = {"epochs": epochs, "patience": epochs, "batch": BATCH}
    first, later = points // 2, 2 * points
    return {
        "Volvelle, default": {},
        "connect-2022, scaled down": {
            "preset": "connect-2022",
            "network": network,
            "design": {"iterative": {"initial": points, "first": first, "points": later}},
        },
        f"Latin hypercube of {points}, network of connect-2022": {
            "preset": "connect-2022",
            "network": network,
            "design": {"latin_hypercube": {"points": points}},
        },
        f"Latin hypercube of {ours}, our surrogates": {
            "design": {"latin_hypercube": {"points": ours}},
        },
    }


def trained(
    name: str,
    block: dict[str, Any],
    content: dict[str, Any],
    truth: Truth,
    exact: Timed,
    work: Path,
) -> Result:
    """Train as the emulator block says and compare; a result of an earlier call is taken."""
    path = work / "result.json"
    if path.exists():
        return Result(**json.loads(path.read_text()))
    text = work / "configuration.yaml"
    write_atomically(text, yaml.safe_dump({**content, "emulator": block}).encode())
    read = Configuration.load(text, files=False)
    start = time.monotonic()
    training = make_training(read, exact, work / "training", say, epochs)
    training.run()
    alone = time.monotonic() - start - exact.spent
    solving = sum(entry.seconds for entry in exact.asked) / exact.executor.workers
    result = truth.judge(name, training.emulator, len(exact.asked), alone + solving)
    write_atomically(path, json.dumps(asdict(result), indent=1).encode())
    return result


def say(text: str) -> None:
    """A line at once."""
    print(text, flush=True)


def epochs(epoch: int, total: int, loss: float) -> None:
    """A line every hundred epochs."""
    if epoch % 100 == 0 or epoch == total:
        say(f"  epoch {epoch}/{total}, held-out loss {loss:.2e}")


def published(peer: Cosmopower, truth: Truth, hubble: Any) -> Result:
    """cosmopower_jax in the solver's place; h comes from our emulator."""
    names = truth.problem.theory_names

    def theory(x: Any) -> dict[str, Any]:
        values = {**truth.problem.fixed, **dict(zip(names, x, strict=True))}
        return peer({**values, "h": hubble(x)["h"]})

    return truth.judge(peer.name, theory, None, None)


def truth_of(folder: Path, exact: Exact) -> Truth:
    """The reference run with its exact solutions, which are in the ledger."""
    problem = exact.problem
    summary = summary_of(folder)
    best = np.array([summary["best_fit"]["parameters"][name] for name in problem.names])
    points = load_file(folder / "certificate.safetensors")["points"]
    entries = exact.solve(np.concatenate([points, best[None]]))
    rows = np.concatenate([points, best[None]])
    good = [i for i, entry in enumerate(entries) if not entry.failed]
    values = {i: problem.log_likelihood(rows[i], exact.theory(entries[i])) for i in good}
    fresh = [i for i in good if i < len(points)]
    return Truth(
        problem,
        Reference.load(folder, problem),
        points[fresh],
        np.array([values[i] for i in fresh]),
        best,
        values[len(points)],
    )


def draw(path: Path, results: list[Result]) -> None:
    """Shift against calls."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for result, marker in zip(results, "osD^vP", strict=False):
        if result.calls is None:  # no number of solutions is known
            label = f"{result.name} (published networks)"
            axes.axhline(result.shift, color="C4", lw=1.2, ls=":", label=label)
        else:
            axes.plot([result.calls], [result.shift], marker, ms=8, ls="", label=result.name)
    axes.axhline(0.05, color="0.6", lw=0.8, ls="--")
    axes.set(xscale="log", yscale="log", xlabel="exact solutions", ylabel="largest shift [sigma]")
    axes.legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def page(
    stem: str, summary: dict[str, Any], results: list[Result], points: int, absent: list[str]
) -> list[str]:
    """The page."""
    rows = [
        (
            r.name,
            "published" if r.calls is None else str(r.calls),
            "" if r.seconds is None else f"{r.seconds / 60:.0f} min",
            f"{r.shift:.3f} ({r.parameter})",
            f"{r.width:+.3f}",
            f"{r.chi2_scatter:.3f}",
            f"{r.chi2_best:+.3f}",
            r.how,
        )
        for r in results
    ]
    head = ("", "exact solutions", "wall time", "largest shift [sigma]", "width")
    head += ("scatter of Delta chi2", "Delta chi2 at the best fit", "by")
    known = max(p["mean_shift_error"] for p in summary["certificate"]["parameters"].values())
    missing = [f"Not installed here: {', '.join(absent)}."] if absent else []
    return [
        "# Leaderboard",
        f"{versions(summary)}, LCDM with seven parameters, one likelihood, one reference box of "
        f"five posterior widths. {data_words(summary)} The truth is the posterior of example 1, "
        f"re-weighted by {summary['certificate']['n']} fresh exact solutions, which know its means "
        f"to {known:.3f} sigma. Nobody's certificate is counted among the solutions. Wall time: "
        "the solver's own seconds over the workers, as the ledger has them, and what fitting and "
        "sampling took now; the machine was shared. "
        f"connect-2022 is scaled down to {points} points of its start, {points // 2} of the first "
        f"chains, {2 * points} of later ones before the filter, with epochs for 10^4 steps of the "
        "optimiser. Delta chi2: emulator - solver, at the certificate's points (their standard "
        "deviation) and at the best fit. By: the reference's samples were re-weighted, or, where "
        "an emulator is too far off for that, sampled anew (2048 points, 0.02 to 0.04 sigma off "
        "by chance, not further than 1.3 times the solved region).",
        table(head, rows),
        "cosmopower_jax's networks were trained by their authors for massless neutrinos and linear "
        "lensing (see benchmarks/cosmopower.py); their shift holds that difference too.",
        *missing,
        f"![largest shift against exact solutions]({stem}.png)",
    ]


def main() -> None:
    """Run the reference, train, compare, write."""
    parser = arguments(__doc__, solver=True)
    parser.add_argument("--points", type=int, default=780, help="of the hypercubes")
    parser.add_argument("--from", dest="folder", type=Path, help="a finished run of example 1")
    parser.add_argument("--work", type=Path, help="folder of what was done so far")
    given = parser.parse_args()
    suffix = "" if given.solver == "class" else f"_{given.solver}"
    content = {**example(), "theory": {given.solver: {}}}
    folder = given.folder or ROOT / "runs" / f"planck-lcdm{suffix.replace('_', '-')}"
    points = 100 if given.quick else given.points
    work = given.work or ROOT / "runs" / "validation" / f"leaderboard-{given.solver}-{points}"
    summary = run(content, folder, given.ledger)
    read = Configuration.load(folder / "config.yaml", files=False)
    solver, ledger = make_solver(read), Ledger(given.ledger or read.ledger)
    results = []
    with make_executor(read.compute, print) as executor:
        likelihoods, _ = make_likelihoods(read, solver, ledger, executor, "leaderboard")
        problem = make_problem(read, solver, likelihoods)
        truth = truth_of(folder, Exact(problem, ledger, executor, "leaderboard"))
        ours = summary["exact_calls"]["training_set"]
        for name, block in designs(points, ours).items():
            own = work / "".join(c if c.isalnum() else "_" for c in name)
            exact = Timed(problem, ledger, executor, "leaderboard")
            results.append(trained(name, block, {**content, "output": str(own)}, truth, exact, own))
    emulator, _ = load_emulator(folder / "emulator")
    peer = Cosmopower.installed()
    results += [published(peer, truth, emulator)] if peer else []
    stem = f"leaderboard{suffix}"
    draw(PAGES / f"{stem}.png", results)
    finish(stem, page(stem, summary, results, points, [] if peer else ["cosmopower_jax"]), [])


if __name__ == "__main__":
    main()
