"""Do cheap exact solutions save time? Coarse ones, corrected by a few accurate ones, on the demo.

The demo's training set is solved again with coarse precision settings. An emulator of the coarse
solutions, plus a linear fit of the difference to the accurate ones at a few of the same points, is
compared with emulators of accurate solutions only, by the scatter of ln L's error at the demo's
certificate points, which neither has seen. Costs are processor times of this machine and run.

Needs a finished `make demo`. Writes docs/validation/multi_fidelity.md. About four minutes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import DEMO, arguments, data_words, finish, summary_of, table, versions
from safetensors.numpy import load_file

from volvelle import Configuration
from volvelle.boltzmann import ClassSolver, Ledger, local_rms, restrict, solve_many
from volvelle.cli.computing import make_executor
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.emulator import Emulator
from volvelle.training import Exact, Problem, fit_emulator
from volvelle.training.history import load_iterations

RUN = "multi-fidelity"
COARSE: dict[str, dict[str, float | int]] = {
    "mild": {
        "l_max_g": 12,
        "k_step_sub": 0.06,
        "tol_perturbations_integration": 3e-5,
        "q_linstep": 0.5,
    },
    "coarse": {
        "l_max_g": 8,
        "l_max_ur": 12,
        "l_max_pol_g": 6,
        "k_step_sub": 0.08,
        "tol_perturbations_integration": 1e-4,
        "q_linstep": 0.6,
    },
    "coarsest": {
        "l_max_g": 8,
        "l_max_ur": 12,
        "l_max_pol_g": 6,
        "k_step_sub": 0.1,
        "k_step_super": 0.004,
        "tol_perturbations_integration": 1e-4,
        "perturbations_sampling_stepsize": 0.2,
        "q_linstep": 0.9,
    },
}
ACCURATE = (8, 16, 32)  # accurate solutions that correct the coarse ones
ALONE = (24, 32, 40, 48, 56)  # accurate solutions without coarse ones; and all of them
WORTH = 0.25  # saving of the training's time from which an option would pay
SPECTRA = ("lensed_tt", "lensed_te", "lensed_ee")

Theory = dict[str, Any]


@dataclass(frozen=True)
class Solved:
    """Points [n, d] with their exact outputs and ln L [n]."""

    x: np.ndarray
    theories: list[Theory]
    log_like: np.ndarray

    def part(self, index: np.ndarray) -> Solved:
        """Some of the points."""
        return Solved(self.x[index], [self.theories[i] for i in index], self.log_like[index])


def accurate(exact: Exact, x: np.ndarray) -> Solved:
    """The solutions of the run, from the ledger."""
    entries = exact.solve(x)
    good = np.array([i for i, entry in enumerate(entries) if not entry.failed])
    theories = [exact.theory(entries[i]) for i in good]
    values = [exact.problem.log_likelihood(a, t) for a, t in zip(x[good], theories, strict=True)]
    return Solved(x[good], theories, np.array(values))


def coarse(exact: Exact, solver: ClassSolver, x: np.ndarray) -> list[Theory]:
    """The same models at coarse settings; all have to succeed."""
    problem = exact.problem
    cosmologies = [problem.cosmology(row) for row in x]
    entries = solve_many(solver, cosmologies, problem.request, exact.ledger, exact.executor, RUN)
    failed = [entry.failure for entry in entries if entry.failed]
    if failed:
        raise SystemExit(f"CLASS failed at coarse settings: {failed[0]}")
    return [restrict(entry.theory or {}, problem.request) for entry in entries]


def seconds(problem: Problem, solver: Any) -> float:
    """Processor time of one solution at the reference [s], the better of two."""
    cosmology = problem.cosmology(problem.ref_loc)
    spent = []
    for _ in range(2):
        start = time.process_time()
        solver.solve(cosmology, problem.request)
        spent.append(time.process_time() - start)
    return min(spent)


def predictions(emulator: Emulator, problem: Problem, x: np.ndarray) -> list[Theory]:
    """All outputs at points [n, d]."""
    found = emulator.batch(x[:, : problem.n_theory], problem.request.names())
    return [{name: values[i] for name, values in found.items()} for i in range(len(x))]


def corrected(
    problem: Problem, guesses: list[Theory], x: np.ndarray, few: Solved, cheap: list[Theory]
) -> list[Theory]:
    """Outputs plus the difference accurate - coarse, a ridge fit linear in the parameters."""
    k = problem.n_theory
    centre, scale = few.x[:, :k].mean(axis=0), few.x[:, :k].std(axis=0)

    def design(points: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(points)), (points[:, :k] - centre) / scale])

    a = design(few.x)
    ridge = 1e-6 * np.eye(a.shape[1])
    solve = np.linalg.solve(a.T @ a + ridge, a.T)
    result: list[Theory] = [dict(guess) for guess in guesses]
    for name in guesses[0]:
        pairs = zip(few.theories, cheap, strict=True)
        difference = np.array([np.asarray(t[name]) - np.asarray(c[name]) for t, c in pairs])
        slope = solve @ difference.reshape(len(few.x), -1)
        added = (design(x) @ slope).reshape(len(x), *difference.shape[1:])
        for guess, change in zip(result, added, strict=True):
            guess[name] = guess[name] + change
    return result


def scatter(problem: Problem, found: list[Theory], truth: Solved) -> float:
    """Standard deviation of ln L's error over the test points."""
    values = [problem.log_likelihood(a, t) for a, t in zip(truth.x, found, strict=True)]
    return float(np.std(np.array(values) - truth.log_like))


def likeliest(train: Solved, n: int) -> np.ndarray:
    """The n points of highest likelihood, where the correction matters."""
    return np.argsort(train.log_like)[::-1][:n]


def main() -> None:
    """Solve, fit, compare, write."""
    parser = arguments(__doc__)
    parser.add_argument("--from", dest="folder", type=Path, default=DEMO, help="a finished run")
    given = parser.parse_args()
    summary = summary_of(given.folder)
    read = Configuration.load(given.folder / "config.yaml", files=False)
    ledger, solver = Ledger(given.ledger or read.ledger), make_solver(read)
    if not isinstance(solver, ClassSolver):
        raise SystemExit("this comparison is of CLASS's settings; name a run made with CLASS")
    points = np.concatenate([i.points for i in load_iterations(given.folder / "training")])
    fresh = load_file(given.folder / "certificate.safetensors")["points"]
    names = ("coarsest",) if given.quick else tuple(COARSE)
    with make_executor(read.compute, print) as executor:
        likelihoods, _ = make_likelihoods(read, solver, ledger, executor, RUN)
        problem = make_problem(read, solver, likelihoods)
        exact = Exact(problem, ledger, executor, RUN)
        train, test = accurate(exact, points), accurate(exact, fresh)
        solvers = {name: ClassSolver(solver.non_linear, COARSE[name]) for name in names}
        cheap = {name: coarse(exact, each, train.x) for name, each in solvers.items()}
    full = seconds(problem, solver)
    spent = {name: seconds(problem, each) for name, each in solvers.items()}
    rows = alone(problem, train, test, full)
    for name in names:
        rows += both(problem, train, test, cheap[name], name, (spent[name], full))
    finish("multi_fidelity", page(summary, train, cheap, spent, full, rows), [])


def alone(problem: Problem, train: Solved, test: Solved, full: float) -> list[tuple[str, ...]]:
    """Emulators of accurate solutions only."""
    rows = []
    for n in (*ALONE, len(train.x)):
        some = train.part(np.arange(n))  # in the order in which the run asked for them
        emulator, _ = fit_emulator(problem, some.x, some.theories, some.log_like)
        error = scatter(problem, predictions(emulator, problem, test.x), test)
        rows.append(("none", "0", str(n), f"{n * full:.0f}", f"{error:.3f}"))
        print(*rows[-1], flush=True)
    return rows


def both(
    problem: Problem,
    train: Solved,
    test: Solved,
    cheap: list[Theory],
    name: str,
    spent: tuple[float, float],
) -> list[tuple[str, ...]]:
    """An emulator of coarse solutions, corrected by more and more accurate ones."""
    log_like = [problem.log_likelihood(a, t) for a, t in zip(train.x, cheap, strict=True)]
    emulator, _ = fit_emulator(problem, train.x, cheap, np.array(log_like))
    guesses = predictions(emulator, problem, test.x)
    rows = []
    for n in ACCURATE:
        index = likeliest(train, n)
        few = train.part(index)
        found = corrected(problem, guesses, test.x, few, [cheap[i] for i in index])
        cost = len(train.x) * spent[0] + n * spent[1]
        error = scatter(problem, found, test)
        rows.append((name, str(len(train.x)), str(n), f"{cost:.0f}", f"{error:.3f}"))
        print(*rows[-1], flush=True)
    return rows


def page(
    summary: dict[str, Any],
    train: Solved,
    cheap: dict[str, list[Theory]],
    spent: dict[str, float],
    full: float,
    rows: list[tuple[str, ...]],
) -> list[str]:
    """The page."""
    best = int(np.argmax(train.log_like))
    settings = []
    for name, theories in cheap.items():
        off = [
            np.max(
                np.abs(theories[best][s] - train.theories[best][s])[2:]
                / local_rms(train.theories[best][s])[2:]
            )
            for s in SPECTRA
        ]
        words = ", ".join(f"`{key} = {value:g}`" for key, value in COARSE[name].items())
        settings.append((name, f"{spent[name]:.1f} s", *(f"{o:.1e}" for o in off), words))
    settings.append(("ours", f"{full:.1f} s", "", "", "", ""))
    head = ("coarse settings", "coarse", "accurate", "processor time [s]", "scatter of ln L")
    return [
        "# Cheap solutions, corrected by accurate ones",
        f"{versions(summary)}. {data_words(summary)} The demo's {len(train.x)} training points, "
        "solved at coarse settings; the difference to the accurate solutions is a linear function "
        "of the parameters, fitted to a few of them. Scatter of the error of ln L at the demo's "
        "certificate points, which no fit has seen.",
        f"**{_conclusion(rows)}**",
        "Time of one call, and the largest difference from ours at the best point in units of the "
        "local rms of TT, TE and EE:",
        table(("", "one call", "TT", "TE", "EE", "settings"), settings),
        table(head, rows),
    ]


def _conclusion(rows: list[tuple[str, ...]]) -> str:
    """The largest saving of any combination over accurate solutions alone of no larger error."""
    alone = [(float(row[3]), float(row[4])) for row in rows if row[0] == "none"]
    saving, words = 0.0, ""
    for name, _, n, cost, error in rows:
        equal = [c for c, e in alone if e <= float(error)]
        if name != "none" and equal and 1.0 - float(cost) / min(equal) > saving:
            saving = 1.0 - float(cost) / min(equal)
            words = f" ({name}, {n} accurate ones, against {min(equal):.0f} s)"
    if saving < WORTH:
        return (
            f"At equal error no combination saves more than {100.0 * saving:.0f}% of the solver's "
            f"time for training{words}; the certificate, the larger part of a run, takes accurate "
            "solutions in any case. Volvelle therefore has no such option."
        )
    return f"{100.0 * saving:.0f}% of the solver's time for training is saved{words}."


if __name__ == "__main__":
    main()
