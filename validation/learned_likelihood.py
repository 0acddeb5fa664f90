"""The likelihood itself as the learned quantity, on real data: what it costs and where it ends.

Example 1 twice, once with learned spectra (the default) and once with `target: likelihood`, both
from nothing and both certified by exact solutions put through the likelihood itself. The second
posterior is compared with the first; both are timed in one process; and emulators of the first n
solutions of each run are tried at the first run's certificate points, which neither has seen.

CAMB is the solver unless --solver class is given. Writes docs/validation/learned_likelihood.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from common import (
    DEMO,
    LABELS,
    PAGES,
    ROOT,
    Check,
    arguments,
    at_most,
    bound,
    check_table,
    data_words,
    example,
    finish,
    holds,
    run,
    table,
    versions,
)
from reference import Reference
from safetensors.numpy import load_file

from volvelle import Configuration, SerialExecutor
from volvelle.boltzmann import Ledger
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.emulator import Emulator, load_emulator
from volvelle.inference import log_likelihoods_at
from volvelle.training import Exact, Problem, fit_emulator
from volvelle.training.history import load_iterations

SPECTRA, LIKELIHOOD = "learned spectra", "learned likelihood"
LIMIT = 0.05  # [sigma] what either certificate may leave of a mean
NOISE = 3.0  # errors that a difference of two certified means may have
QUICK = {"emulator": {"accuracy": 0.3}, "certificate": {"points": 30, "max_points": 60}}
REPEATS, CALLS, BATCH = 30, 20, 256  # of a timing; the best repeat counts, as other work runs too
LEAST_SOLUTIONS = 20  # below, nothing is fitted


@dataclass
class Case:
    """One finished run."""

    folder: Path
    summary: dict[str, Any]
    ledger: Path | None

    @cached_property
    def configuration(self) -> Configuration:
        """Its configuration, as it was run."""
        return Configuration.load(self.folder / "config.yaml", output=self.folder)

    @cached_property
    def exact(self) -> Exact:
        """Its problem, with the ledger that holds its solutions."""
        ledger, solver = (
            Ledger(self.ledger or self.configuration.ledger),
            make_solver(self.configuration),
        )
        executor = SerialExecutor()
        likelihoods, _ = make_likelihoods(self.configuration, solver, ledger, executor, "check")
        problem = make_problem(self.configuration, solver, likelihoods)
        return Exact(problem, ledger, executor, "check")

    @property
    def problem(self) -> Problem:
        """See ``exact``."""
        return self.exact.problem

    @cached_property
    def emulator(self) -> Emulator:
        """The one that it certified."""
        return load_emulator(self.folder / "emulator")[0]

    @cached_property
    def history(self) -> list[Any]:
        """Its iterations."""
        return load_iterations(self.folder / "training")

    @property
    def evaluations(self) -> int:
        """Of the density with its gradient, by the sampler, all rounds together."""
        files = sorted((self.folder / "sampling").glob("chains_*.safetensors"))
        return sum(int(load_file(path)["counts"][2]) for path in files)


def finished(target: str, options: Any) -> Case:
    """One of the two runs, made if need be."""
    solver, content = options.solver, example()
    content["theory"] = {solver: {}}
    if options.quick:
        content = {**content, "certificate": QUICK["certificate"]}
        content["emulator"] = {**content["emulator"], **QUICK["emulator"]}
    if options.workers:
        content["workers"] = options.workers
    kind = "demo" if target == "theory" else "learned-likelihood"
    folder = ROOT / "runs" / "validation" / f"{kind}-{solver}{'-quick' if options.quick else ''}"
    if target == "theory" and solver == "class" and not options.quick:
        folder = DEMO
    if target == "likelihood":
        content["emulator"] = {**content["emulator"], "target": "likelihood"}
    return Case(folder, run(content, folder, options.ledger), options.ledger)


def test_points(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The certificate's points [n, d] of a run and their exact ln L [n]."""
    x = load_file(case.folder / "certificate.safetensors")["points"]
    entries = case.exact.solve(x)
    good = np.array([not entry.failed for entry in entries])
    theories = [case.exact.theory(entry) for entry in entries if not entry.failed]
    pairs = zip(x[good], theories, strict=True)
    return x[good], np.array([case.problem.log_likelihood(row, theory) for row, theory in pairs])


def learning_curve(case: Case, x: np.ndarray, log_like: np.ndarray) -> list[tuple[int, float]]:
    """Solutions that an emulator was fitted to, and the scatter of its ln L's error at points."""
    rows: list[np.ndarray] = []
    learned: list[dict[str, Any]] = []
    values: list[float] = []
    found = []
    for iteration in case.history:
        entries = case.exact.solve(iteration.points)
        for row, entry in zip(iteration.points, entries, strict=True):
            if not entry.failed:
                rows.append(row)
                learned.append(case.problem.learned(row, case.exact.theory(entry)))
                values.append(case.problem.log_likelihood_of(row, learned[-1]))
        if len(rows) < LEAST_SOLUTIONS:
            continue
        emulator, _ = fit_emulator(case.problem, np.array(rows), learned, np.array(values))
        error = log_likelihoods_at(case.problem.posterior(emulator), x) - log_like
        found.append((len(rows), float(np.std(error))))
        print(f"{case.folder.name}: {len(rows)} solutions, scatter {found[-1][1]:.4f}", flush=True)
    return found


def best(functions: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds per call of each, interleaved; the best of the repeats, compilation left out."""
    for function in functions.values():
        jax.block_until_ready(function())
    least = dict.fromkeys(functions, float("inf"))
    for _ in range(REPEATS):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                jax.block_until_ready(function())
            least[name] = min(least[name], (time.perf_counter() - start) / CALLS)
    return least


@eqx.filter_jit
def _value(posterior: Any, x: jax.Array) -> jax.Array:
    return posterior.log_likelihood(x)


@eqx.filter_jit
def _gradient(posterior: Any, x: jax.Array) -> Any:
    return jax.value_and_grad(posterior.log_likelihood)(x)


@eqx.filter_jit
def _batch(posterior: Any, x: jax.Array) -> jax.Array:
    return jax.vmap(posterior.log_likelihood)(x)


def timings(cases: dict[str, Case], x: np.ndarray) -> dict[str, dict[str, float]]:
    """Of each run's ln L [s]: one value, a value with its gradient, one of a batch."""
    one, many = jnp.asarray(x[0]), jnp.asarray(np.resize(x, (BATCH, x.shape[1])))
    functions: dict[str, Callable[[], Any]] = {}
    for name, case in cases.items():
        posterior = case.problem.posterior(case.emulator)
        functions[f"{name}: value"] = lambda p=posterior: _value(p, one)
        functions[f"{name}: gradient"] = lambda p=posterior: _gradient(p, one)
        functions[f"{name}: batch"] = lambda p=posterior: _batch(p, many)
    found = best(functions)
    return {
        name: {
            "value": found[f"{name}: value"],
            "gradient": found[f"{name}: gradient"],
            "batch": found[f"{name}: batch"] / BATCH,
        }
        for name in cases
    }


def emulators_distance(cases: dict[str, Case], reference: Reference) -> dict[str, Any]:
    """Shift [sigma] and relative width of the learned likelihood's own posterior, by parameter.

    The reference's points re-weighted by the ratio of the two emulators' likelihoods, so that the
    noise of two sets of chains does not enter.
    """
    case = cases[LIKELIHOOD]
    samples = reference.samples(case.problem, case.emulator, seed=1)
    mean = np.average(samples.x, axis=0, weights=samples.weights)
    std = np.sqrt(np.average((samples.x - mean) ** 2, axis=0, weights=samples.weights))
    if samples.how == "re-weighted":
        mean = mean - reference.x.mean(axis=0) + reference.emulator_mean
        std = std / reference.x.std(axis=0) * reference.emulator_std
    return {
        "shift": dict(zip(reference.names, (mean - reference.mean) / reference.std, strict=True)),
        "width": dict(zip(reference.names, std / reference.std, strict=True)),
        "how": samples.how,
        "effective": samples.effective,
    }


def certified_distance(cases: dict[str, Case]) -> dict[str, tuple[float, float]]:
    """Difference of the two certified means [sigma] with its error, by sampled parameter.

    The error: of both certificates, and of the means of two sets of chains.
    """
    one, two = (cases[name].summary for name in (SPECTRA, LIKELIHOOD))
    found = {}
    for name, entry in one["parameters"].items():
        if entry["kind"] != "sampled":
            continue
        parts = [
            part
            for summary in (one, two)
            for part in (
                summary["certificate"]["parameters"][name]["mean_shift_error"],
                1.0 / np.sqrt(summary["diagnostics"]["parameters"][name]["ess"]),
            )
        ]
        shift = (two["parameters"][name]["mean"] - entry["mean"]) / entry["std"]
        found[name] = (float(shift), float(np.sqrt(np.sum(np.square(parts)))))
    return found


def microseconds(value: float) -> str:
    """A time per call."""
    return f"{1e6 * value:.3g}"


def cost_table(
    cases: dict[str, Case],
    seconds: dict[str, dict[str, float]],
    curves: dict[str, list[tuple[int, float]]],
) -> str:
    """What each run took and how exact its emulator is."""

    def row(what: str, of: Callable[[str, Case], str]) -> tuple[str, ...]:
        return (what, *(of(name, case) for name, case in cases.items()))

    def certificate(key: str) -> Callable[[str, Case], str]:
        return lambda name, case: f"{case.summary['certificate'][key]:.4f}"

    def timed(key: str) -> Callable[[str, Case], str]:
        return lambda name, case: microseconds(seconds[name][key])

    rows = [
        row("status", lambda name, case: case.summary["status"]),
        row("training set", lambda name, case: str(case.summary["exact_calls"]["training_set"])),
        row("iterations", lambda name, case: str(len(case.history))),
        row("certificate", lambda name, case: str(case.summary["certificate"]["n"])),
        row("scatter of ln w at the certificate's points", certificate("log_weight_std")),
        row(
            f"scatter of ln L at the points of the certificate of the {SPECTRA}",
            lambda name, case: f"{curves[name][-1][1]:.4f}",
        ),
        row("ESS fraction", certificate("ess_fraction")),
        row(
            "largest abs(shift) + 2 errors [sigma]",
            lambda name, case: f"{bound(case.summary):.4f}",
        ),
        row("one value of ln L [us]", timed("value")),
        row("value and gradient [us]", timed("gradient")),
        row(f"one of a batch of {BATCH} [us]", timed("batch")),
        row("values and gradients that the sampler took", lambda n, case: str(case.evaluations)),
    ]
    return table(("", *cases), rows)


def distance_table(
    own: dict[str, Any], certified: dict[str, tuple[float, float]], names: tuple[str, ...]
) -> str:
    """By parameter, in sigma of the run with learned spectra."""
    rows = [
        (
            name,
            f"{own['shift'][name]:+.4f}",
            f"{own['width'][name]:.4f}",
            f"{certified[name][0]:+.4f} ± {certified[name][1]:.4f}",
        )
        for name in names
    ]
    headers = ("", "emulator alone: shift", "emulator alone: ratio of widths", "certified: shift")
    return table(headers, rows)


def pays_words(cases: dict[str, Case], seconds_per_solution: float) -> str:
    """From which time of a likelihood on learning it is cheaper."""
    calls = {name: case.summary["exact_calls"]["training_set"] for name, case in cases.items()}
    more = calls[LIKELIHOOD] - calls[SPECTRA]
    evaluations = cases[SPECTRA].evaluations
    least = 1e3 * more * seconds_per_solution / evaluations
    return (
        f"**When it pays.** The learned likelihood took {more:+d} exact solutions of "
        f"{seconds_per_solution:.1f} s (mean of the ledger) in training; the sampler with learned "
        f"spectra called the likelihood and its gradient {evaluations} times. A likelihood with "
        f"gradient that takes longer than {least:.2g} ms would have cost more than these "
        "solutions; those here take less. One that has no gradient needs a sampler "
        "without, or has to be learned."
    )


def draw(
    curves: dict[str, list[tuple[int, float]]],
    own: dict[str, Any],
    certified: dict[str, tuple[float, float]],
) -> None:
    """Error against solutions, and the distance of the two posteriors."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, curve), marker in zip(curves.items(), "os", strict=True):
        left.plot(*np.array(curve).T, marker=marker, label=name)
    left.set(yscale="log", xlabel="exact solutions in training", ylabel="scatter of ln L's error")
    left.legend(frameon=False)
    names = list(certified)
    x = np.arange(len(names))
    values = np.array([certified[name] for name in names])
    right.axhspan(-LIMIT, LIMIT, color="0.92")
    right.plot(x - 0.1, [own["shift"][n] for n in names], "s", mfc="none", label="emulator alone")
    right.errorbar(x + 0.1, values[:, 0], values[:, 1], fmt="o", ms=4, label="certified")
    right.set_xticks(x, [LABELS.get(name, name) for name in names])
    right.set_ylabel(r"shift from learned spectra [$\sigma$]")
    right.legend(frameon=False)
    figure.savefig(PAGES / "learned_likelihood.png", dpi=120)
    plt.close(figure)


def checks_of(cases: dict[str, Case], certified: dict[str, tuple[float, float]]) -> list[Check]:
    """Both certified, and the same posterior."""
    checks = []
    for name, case in cases.items():
        status = case.summary["status"]
        checks.append(holds(f"{name}: status", status, "converged", status == "converged"))
    allowed = {name: LIMIT + NOISE * error for name, (_, error) in certified.items()}
    worst = max(certified, key=lambda name: abs(certified[name][0]) / allowed[name])
    shift, limit = abs(certified[worst][0]), round(allowed[worst], 3)
    checks.append(at_most(f"distance of the certified means [sigma] ({worst})", shift, limit))
    return checks


def main() -> None:
    """Both runs, compared and written."""
    parser = arguments(__doc__, solver=True)
    parser.set_defaults(solver="camb")
    parser.add_argument("--workers", type=int, help="processes that solve (default: all cores)")
    options = parser.parse_args()
    targets = {SPECTRA: "theory", LIKELIHOOD: "likelihood"}
    cases = {name: finished(target, options) for name, target in targets.items()}
    first = cases[SPECTRA]
    x, log_like = test_points(first)
    curves = {name: learning_curve(case, x, log_like) for name, case in cases.items()}
    seconds = timings(cases, x)
    reference = Reference.load(first.folder, first.problem)
    own, certified = emulators_distance(cases, reference), certified_distance(cases)
    checks = checks_of(cases, certified)
    PAGES.mkdir(parents=True, exist_ok=True)
    draw(curves, own, certified)
    counts = [c for c in first.exact.ledger.status().solvers if c.solver == options.solver]
    per_solution = sum(c.seconds for c in counts) / sum(c.solutions for c in counts)
    curve_rows = [
        (name, str(n), f"{scatter:.4f}") for name, curve in curves.items() for n, scatter in curve
    ]
    finish(
        "learned_likelihood",
        [
            "# The likelihood itself, learned",
            f"{data_words(first.summary)} Solved by {versions(first.summary)}. Example 1 with "
            "learned spectra and with `target: likelihood`: ln L of every likelihood as a function "
            f"of all {len(first.problem.names)} parameters. Both start from nothing; both are "
            "certified by fresh exact solutions, put through the likelihood itself.",
            check_table(checks),
            cost_table(cases, seconds, curves),
            "Times are the best of interleaved repeats in one process.",
            pays_words(cases, per_solution),
            "## Distance of the two posteriors\n\nIn sigma of the run with learned spectra, whose "
            f"certified means are the reference. Emulator alone: {own['how']} points of its chains "
            f"(effective fraction {own['effective']:.2f}). Certified: with both corrections; the "
            "error is that of both certificates and of two sets of chains.",
            distance_table(own, certified, first.problem.names),
            "## Error against exact solutions\n\nEmulators of the first n solutions of each run, "
            f"at the {len(x)} points of the certificate of the {SPECTRA}.",
            table(("", "solutions", "scatter of ln L"), curve_rows),
            "![error against solutions, and distance of the posteriors](learned_likelihood.png)",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
