"""Ten ways to a posterior and Cobaya's Metropolis on the same three problems.

    python benchmarks/methods.py                              # what is not there yet, and the page
    python benchmarks/methods.py --case mock --method nuts    # one of them
    python benchmarks/methods.py --page                       # the page of what is there

`mock`: the simulated DES Y1 3x2pt of Campagne et al. 2023, section 5.1, 21 parameters
(examples/13_mock_des_y1.py). `hundred`: the same data, and 79 more parameters that bend the n(z) of
all nine samples by ten per cent. `bimodal`: the shear of one shallow sample, whose intrinsic
alignments explain the same power twice; four parameters, and a quadrature that knows the truth.

Every method runs in a process of its own, compiling included, on all cores; what is counted is the
processor time of all threads, as other work may share the machine. Settings are the methods' own
but for the numbers of steps, live points and draws, chosen once to fit 15 core minutes; Cobaya's
Metropolis, which had not converged with these on the mock, has four times the proposals. A method
that has not ended after 15 core minutes (Cobaya's: 60), or what --budget says, is stopped, and the
table says how far it was. What is finished is kept in runs/methods, and a method that was killed
goes on from its last chunk; the chains of the mock are where examples/13_mock_des_y1.py finds them.
The page is docs/benchmarks/methods.md with its figure; its rows stand in
docs/benchmarks/methods.json as well and stay there until their method runs again, wherever the
others have run.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count() or 1))

import argparse
import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from cobaya_metropolis import by_cobaya
from method_cases import BETWEEN, CASES, MOCK, ROOT, Case, bimodal, names_of, quadrature

import volvelle
from volvelle.inference import (
    HMC,
    MCLMC,
    NUTS,
    AdjustedMCLMC,
    AffineEnsemble,
    Chains,
    Diagnostics,
    LaplaceApproximation,
    Method,
    Metropolis,
    Nested,
    NeuralTransport,
    Variational,
    bridge,
    load_chains,
    sample,
    save_chains,
)
from volvelle.learning import write_atomically

FOLDER, PAGE = ROOT / "runs" / "methods", ROOT / "docs" / "benchmarks" / "methods.md"
FIGURE, TRUTH = PAGE.with_name("methods.png"), FOLDER / "bimodal" / "quadrature.json"
ROWS = PAGE.with_suffix(".json")
"""What the page says, and the means and widths it compares with: chains are too large to keep."""
COBAYA, CLOCK = "cobaya", "clock.json"
R_HAT = 1.01
BUDGET = 15.0
"""Core minutes of a method."""
LONG_BUDGET = 60.0
"""Of Cobaya's."""
NORMAL = Variational(guide="normal")
METHODS: dict[str, dict[str, tuple[Method, int, int]]] = {
    "mock": {
        **{name: MOCK.METHODS[name] for name in MOCK.METHODS if name != "nested"},
        "ensemble": (AffineEnsemble(warmup=500, thin=5), 2, 100),
        "nested": (Nested(live=210), 4, 1000),
    },
    "hundred": {
        "nuts": (NUTS(warmup=500, target_accept=0.8), 4, 1000),
        "hmc": (HMC(warmup=500), 4, 500),
        "mclmc": (MCLMC(), 4, 1000),
        "adjusted_mclmc": (AdjustedMCLMC(), 4, 500),
        "metropolis": (Metropolis(warmup=20_000, thin=20), 4, 2000),
        "svi": (NORMAL, 4, 1000),
        "neural_transport": (NeuralTransport(NORMAL, NUTS(warmup=200)), 4, 250),
        "laplace": (LaplaceApproximation(), 4, 1000),
    },
    "bimodal": {
        "nuts": (NUTS(), 4, 1000),
        "metropolis": (Metropolis(warmup=6000, thin=20), 4, 2000),
        "ensemble": (AffineEnsemble(warmup=1000, thin=10), 2, 200),
        "mclmc": (MCLMC(), 4, 1000),
        "adjusted_mclmc": (AdjustedMCLMC(), 4, 1000),
        "svi": (NORMAL, 4, 1000),
        "svi_bnaf": (Variational(guide="bnaf"), 4, 1000),
        "svi_spline": (Variational(guide="spline"), 4, 1000),
        "neural_transport": (NeuralTransport(NORMAL, NUTS(warmup=200)), 4, 500),
        "nested": (Nested(), 4, 1000),
        "laplace": (LaplaceApproximation(), 4, 1000),
    },
}
PROPOSALS = {"mock": 120_000, "bimodal": 20_000}
"""Of each of four chains of Cobaya's, where it takes part."""
LONGEST = {"mock": "nuts", "hundred": "nuts"}
"""The chains that the others are compared with."""
TITLES = MOCK.TITLES | {COBAYA: "Cobaya's Metropolis"}


def methods_of(case_name: str) -> list[str]:
    """In the order of the table."""
    return [*METHODS[case_name], *([COBAYA] if case_name in PROPOSALS else [])]


class OverBudgetError(Exception):
    """A method that has spent what it may; the words say how far it was."""


class Clock:
    """Processor and wall time of a method over all its attempts, kept on disk at every tick.

    ``value``: milliseconds of one ln P in this process, the measure of its machine.
    """

    def __init__(self, path: Path, budget: float, value: float) -> None:
        self.path, self.budget, self.words, self.last = path, budget, "no draw yet", ""
        self.value = value
        self.before = json.loads(path.read_text())["spent"] if path.exists() else [0.0, 0.0]
        self.begun = time.process_time(), time.monotonic()

    @property
    def spent(self) -> list[float]:
        """Core seconds and wall seconds until now."""
        now = time.process_time(), time.monotonic()
        return [b + n - a for b, n, a in zip(self.before, now, self.begun, strict=True)]

    def say(self, text: str) -> None:
        """A line of a fit or of nested sampling."""
        print(f"  {text}, {self.spent[0]:.0f} core seconds", flush=True)
        self.words = text
        self.tick()

    def progress(self, done: int, draws: int) -> None:
        """A chunk of chains."""
        if done:
            self.words = f"{done} of {draws} draws{self.last}"
        self.tick()

    def watch(self, done: int, seen: Diagnostics) -> None:
        """R-hat and effective sample size of the draws until now."""
        self.last = f"; at {done}: R-hat {seen.r_hat_max:.3f}, worst ESS {seen.ess_min:.0f}"
        print(f"  {done} draws{self.last}, {self.spent[0]:.0f} core seconds", flush=True)

    def keep(self) -> None:
        """Write it down."""
        kept = {"spent": self.spent, "words": self.words, "value": self.value}
        write_atomically(self.path, json.dumps(kept).encode())

    def tick(self) -> None:
        """Write it down, and raise OverBudgetError if it is too much."""
        self.keep()
        if self.spent[0] > self.budget:
            raise OverBudgetError(self.words)


def one_value(case: Case) -> float:
    """Processor time of one compiled ln P [ms], the shortest of ten groups of ten."""
    log_prob, start = jax.jit(lambda x: case.posterior.log_prob(x)), jnp.asarray(case.start)
    log_prob(start).block_until_ready()
    groups = []
    for _ in range(10):
        begun = time.process_time()
        for _ in range(10):
            log_prob(start).block_until_ready()
        groups.append(time.process_time() - begun)
    return 100.0 * min(groups)


def work(case_name: str, name: str, budget: float) -> None:
    """Run one method, in this process, and keep what it found."""
    folder = FOLDER / case_name
    folder.mkdir(parents=True, exist_ok=True)
    case = CASES[case_name]()
    clock = Clock(folder / "chains" / name / CLOCK, budget, one_value(case))
    try:
        found = _found(case, case_name, name, clock)
    except OverBudgetError as error:
        print(f"{case_name}, {name}: stopped after {clock.spent[0]:.0f} core seconds: {error}")
        return
    clock.keep()
    core, wall = clock.spent
    write_atomically(clock.path.with_name(MOCK.SECONDS), json.dumps(wall).encode())
    facts: dict[str, Any] = {}
    if not found.refused and name == "nuts":
        evidence = bridge(case.posterior, found, seed=1)
        facts |= {"log_evidence": evidence.log_z, "log_evidence_error": evidence.error}
    save_chains(folder / f"{name}.safetensors", replace(found, facts={**found.facts, **facts}))
    print(f"{case_name}, {name}: {core:.0f} core seconds, {wall:.0f} s")


def _found(case: Case, case_name: str, name: str, clock: Clock) -> Chains:
    if name == COBAYA:
        return by_cobaya(case, PROPOSALS[case_name], clock.say)
    method, chains, draws = METHODS[case_name][name]
    return sample(
        case.posterior,
        method,
        start=case.start,
        scale=case.scale,
        chains=chains,
        draws=draws,
        folder=FOLDER / case_name / "chains" / name,
        progress=clock.progress,
        watch=clock.watch,
        say=clock.say,
    )


@dataclass(frozen=True)
class Truth:
    """Means and widths to agree with, and what more is known."""

    mean: list[float]
    width: list[float]
    log_z: float | None = None
    upper: float | None = None


def integrate() -> None:
    """The truth of the bimodal case, unless it is there."""
    if not TRUTH.exists():
        log_z, mean, width, upper = quadrature(bimodal())
        numbers = [mean.tolist(), width.tolist(), log_z, upper]
        write_atomically(TRUTH, json.dumps(numbers).encode())


def truth_of(case_name: str) -> Truth | None:
    """By quadrature, or from the longest chains; None where these are not there."""
    if case_name == "bimodal":
        if not TRUTH.exists():
            return None
        mean, width, log_z, upper = json.loads(TRUTH.read_text())
        return Truth(mean, width, log_z, upper)
    found = read(case_name, LONGEST[case_name])
    if found is None:
        return None
    flat = found.flat
    return Truth(flat.mean(axis=0).tolist(), flat.std(axis=0).tolist())


def read(case_name: str, name: str) -> Chains | None:
    """What a method found, if it is there."""
    path = FOLDER / case_name / f"{name}.safetensors"
    return load_chains(path, names_of(case_name)) if path.exists() else None


@dataclass(frozen=True)
class Spent:
    """Seconds of a method, how far it was then, and milliseconds of one ln P beside it."""

    core: float
    wall: float
    words: str
    value: float


def spent_by(case_name: str, name: str) -> Spent | None:
    """What a method has taken until now."""
    path = FOLDER / case_name / "chains" / name / CLOCK
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    core, wall = kept["spent"]
    return Spent(core, wall, kept["words"], kept["value"])


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    good: bool
    rate: float
    """Worst ESS per core second."""
    cells: tuple[str, ...] | list[str]


COLUMNS = (
    "verdict", "R-hat", "worst ESS", "core min", "wall min", "one ln P [ms]", "calls",
    "ESS / core second", "ESS / call [%]", "of the draws [%]", "means off [sigma]",
    "widths / truth", "ln Z",
)  # fmt: skip


def row_of(case_name: str, name: str, truth: Truth | None) -> Row | None:
    """What the table says of a method; None if it has not run."""
    found, spent = read(case_name, name), spent_by(case_name, name)
    if spent is None:
        return None
    times = f"{spent.core / 60.0:.1f}", f"{spent.wall / 60.0:.1f}", f"{spent.value:.1f}"
    if found is None:
        cells = (f"not ended: {spent.words}", "-", "-", *times)
        more = len(COLUMNS) - len(cells) + (case_name == "bimodal")
        return Row(name, False, 0.0, cells + ("-",) * more)
    seen, facts, flat, seconds = found.diagnostics, found.facts, found.flat, spent.core
    good = not found.refused and seen.r_hat_max <= R_HAT and found.divergent <= 0.01
    calls = found.evaluations
    kind = "gradients" if 2 * found.gradients > calls else "values"
    verdict = "refused" if found.refused else ("converged" if good else "not converged")
    shift = ratio = evidence = "-"
    if truth is not None and name != LONGEST.get(case_name):
        mean, width = np.array(truth.mean), np.array(truth.width)
        shift = f"{np.max(np.abs(flat.mean(axis=0) - mean) / width):.2f}"
        ratios = flat.std(axis=0) / width
        ratio = f"{ratios.min():.2f} to {ratios.max():.2f}"
    if "log_evidence" in facts and not found.refused:
        evidence = f"{facts['log_evidence']:.2f} ± {facts['log_evidence_error']:.2f}"
    drawn = found.draw_evaluations
    cells = [
        verdict if "k_hat" not in facts else f"{verdict}, k-hat {facts['k_hat']:.2f}",
        f"{seen.r_hat_max:.3f}",
        f"{seen.ess_min:.0f}",
        *times,
        f"{calls} {kind}",
        *(
            "-" if found.refused else (text if good else f"({text})")
            for text in (
                f"{seen.ess_min / seconds:.2f}",
                f"{100.0 * seen.ess_min / calls:.2f}",
                f"{100.0 * seen.ess_min / drawn:.2f}" if drawn else "-",
            )
        ),
        shift,
        ratio,
        evidence,
    ]
    if case_name == "bimodal":
        cells.append(f"{100.0 * np.mean(flat[:, 2] > BETWEEN):.0f}%")
    rate = 0.0 if found.refused else seen.ess_min / seconds
    return Row(name, good, rate, tuple(cells))


LEGEND = """"one ln P" is the processor time of one compiled value in the process of that row, the
measure of its machine: rows of two machines are compared in units of it. Calls are evaluations of
ln P, most of them with its gradient (gradients) or without (values); the search for the maximum,
warm-up and fits are included, "of the draws" leaves these out. Numbers in brackets are of chains
that have not converged: an effective sample size from these is no measure. "means off" is the
largest distance of a mean from that of the chains to compare with, "widths" are standard
deviations."""


class Page:
    """Rows of every case and what they are compared with: those of this machine, and those kept."""

    def __init__(self) -> None:
        kept = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else {}
        self.truth: dict[str, Truth | None] = {}
        self.rows: dict[str, list[Row]] = {}
        for case_name in CASES:
            before = kept.get(case_name, {"truth": None, "rows": {}})
            truth = truth_of(case_name) or (before["truth"] and Truth(**before["truth"]))
            rows = []
            for name in methods_of(case_name):
                row = row_of(case_name, name, truth)
                if row is None and name in before["rows"]:
                    row = Row(**before["rows"][name])
                rows += [] if row is None else [row]
            self.truth[case_name], self.rows[case_name] = truth, rows

    def save(self) -> None:
        """For those who come after."""
        cases = {
            case_name: {
                "truth": truth and asdict(truth),
                "rows": {row.name: asdict(row) for row in self.rows[case_name]},
            }
            for case_name, truth in self.truth.items()
        }
        write_atomically(ROWS, (json.dumps(cases, indent=1, ensure_ascii=False) + "\n").encode())


def part_of(case_name: str, truth: Truth | None, rows: list[Row], axis: Any) -> list[str]:
    """The section of a case; its bars into the axis."""
    order = methods_of(case_name)
    columns = COLUMNS + (("upper mode",) if case_name == "bimodal" else ())
    text = [f"## {case_name}: {len(names_of(case_name))} parameters", ""]
    if truth is not None and truth.log_z is not None and truth.upper is not None:
        text += [
            f"By quadrature ln Z = {truth.log_z:.2f}, and {100 * truth.upper:.0f}% of the "
            "probability is in the upper mode.",
            "",
        ]
    elif truth is None and case_name == "bimodal":
        text += ["The quadrature that knows the truth has not been run yet.", ""]
    elif truth is not None:
        text += [f"Compared with the chains of {TITLES[LONGEST[case_name]]}, the longest.", ""]
    text += [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    text += [f"| {TITLES[row.name]} | {' | '.join(row.cells)} |" for row in rows] + [""]
    missing = [TITLES[name] for name in order if name not in {row.name for row in rows}]
    if missing:
        text += [f"Not run yet: {', '.join(missing)}.", ""]
    draw(axis, case_name, rows)
    return text


def page() -> None:
    """Write the page and its figure from what is there."""
    lines = (__doc__ or "").split("\n\n", 2)[2].strip()
    machine = (
        f"Made by `python benchmarks/methods.py`; Volvelle {volvelle.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores."
    )
    text = ["# Which method when, measured", "", machine, "", lines, "", LEGEND, ""]
    found = Page()
    found.save()
    run = [case_name for case_name in CASES if found.rows[case_name]]
    text += [f"Not run yet: the case {case_name}.\n" for case_name in CASES if case_name not in run]
    size = (4.0 * max(len(run), 1), 4.2)
    figure, axes = plt.subplots(1, max(len(run), 1), figsize=size, layout="constrained")
    for axis, case_name in zip(np.atleast_1d(axes), run, strict=False):
        text += part_of(case_name, found.truth[case_name], found.rows[case_name], axis)
    figure.savefig(FIGURE, dpi=110)
    plt.close(figure)
    text += [f"![worst effective sample size per core second]({FIGURE.name})", ""]
    PAGE.write_text("\n".join(text), encoding="utf-8")
    print(PAGE)


def draw(axis: Any, case_name: str, rows: list[Row]) -> None:
    """Bars of the worst ESS per core second; pale with a cross for what did not converge."""
    rows = sorted(rows, key=lambda row: (row.good, row.rate))
    place = np.arange(len(rows))
    colours = ["#1d5b94" if row.good else "#d9d9d9" for row in rows]
    axis.barh(place, [row.rate for row in rows], color=colours)
    for n, row in enumerate(rows):
        if not row.good:
            axis.plot(0.0, n, "x", color="#c0192c", clip_on=False)
    axis.set_yticks(place, [TITLES[row.name] for row in rows], fontsize=8)
    axis.set_xlim(left=0.0)
    axis.set_xlabel("worst ESS per core second")
    axis.set_title(f"{case_name}, {len(names_of(case_name))} parameters", fontsize=10)


def finished(case_name: str, name: str, budget: float) -> bool:
    """Whether a method has ended, or has spent this many core seconds."""
    if (FOLDER / case_name / f"{name}.safetensors").exists():
        return True
    spent = spent_by(case_name, name)
    return spent is not None and spent.core > budget


def budget_of(name: str, given: float | None) -> float:
    """Core minutes of a method: as given, or what it has."""
    return given or (LONG_BUDGET if name == COBAYA else BUDGET)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--method")
    parser.add_argument("--budget", type=float, help="core minutes of a method")
    parser.add_argument("--page", action="store_true", help="write the page and end")
    given = parser.parse_args()
    if given.method and not given.case:
        parser.error("--method needs --case")
    if given.method:
        work(given.case, given.method, 60.0 * budget_of(given.method, given.budget))
        return
    if not given.page:
        if given.case in (None, "bimodal"):
            integrate()
        for case_name in [given.case] if given.case else CASES:
            for name in methods_of(case_name):
                minutes = budget_of(name, given.budget)
                if not finished(case_name, name, 60.0 * minutes):
                    words = [sys.executable, __file__, "--case", case_name, "--method", name]
                    words += ["--budget", str(minutes)]
                    if subprocess.run(words, check=False).returncode:
                        print(f"{case_name}, {name}: failed", flush=True)
                    page()
    page()


if __name__ == "__main__":
    main()
