"""The choices of a network and what they cost: figures 3, 4 and 5 of Nygaard et al. 2022.

    python examples/04_network_study.py
    python examples/04_network_study.py --solver class --solutions 400 --epochs 1000

One set of exact solutions of example 1 (a Latin hypercube in its reference box) trains one network
per choice of loss, activation and scaling; a quarter of it is kept apart as test. Percentiles of
|D_l - D_l^exact| / rms(D^exact) over the test, against l, go to a page and a figure. Solutions are
in the ledger and networks in the output folder: interrupt and repeat the command, it goes on.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from dataclasses import replace
from pathlib import Path

import jax
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import yaml

from volvelle import Configuration, ProcessExecutor, build_emulator
from volvelle.boltzmann import Ledger
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.emulator import error_percentiles
from volvelle.learning import NetworkSettings
from volvelle.training import Exact, Problem, latin_hypercube

EXAMPLE = Path(__file__).with_name("01_planck_lcdm.yaml")
SPECTRA = ("lensed_tt", "lensed_te", "lensed_ee")
TEST = 0.25  # of the solutions
STUDIES = {
    "loss": ("mse", "cosmic_variance", "data_noise"),
    "activation": ("alsing", "relu", "tanh", "sigmoid", "silu", "gelu"),
    "scaling": ("standardise", "min_max", "log", "double_log", "constant"),
}
FIGURES = {"loss": 3, "activation": 4, "scaling": 5}  # of the paper
BANDS = ((2, 30), (30, 800), (800, 2501))  # multipoles, for the table

Theory = dict[str, np.ndarray]
Errors = dict[tuple[str, str], dict[str, np.ndarray]]


def configuration(solver: str, out: Path, ledger: Path | None) -> Configuration:
    """Example 1 with another solver, ledger and folder."""
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    content |= {"theory": {solver: {}}, "output": str(out)}
    content |= {"ledger": str(ledger)} if ledger else {}
    path = out / "network_study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Configuration.load(path, files=False)


def solved(given: argparse.Namespace, out: Path) -> tuple[Problem, np.ndarray, list[Theory]]:
    """Points of a Latin hypercube and their exact solutions; failures are left out."""
    read = configuration(given.solver, out, given.ledger)
    ledger, solver = Ledger(read.ledger), make_solver(read)
    with ProcessExecutor(read.workers) as executor:
        likelihoods, _ = make_likelihoods(read, solver, ledger, executor, "network study")
        problem = make_problem(read, solver, likelihoods)
        exact = Exact(problem, ledger, executor, "network study")
        x = latin_hypercube(problem, given.solutions, read.emulator.width, read.seed)
        print(f"{len(x)} exact solutions of {given.solver}", flush=True)
        entries = exact.solve(x)
    good = [i for i, entry in enumerate(entries) if not entry.failed]
    return problem, x[good], [exact.theory(entries[i]) for i in good]


def study(
    problem: Problem, x: np.ndarray, theories: list[Theory], base: NetworkSettings, folder: Path
) -> Errors:
    """Errors [percentiles, l] of every spectrum, for every choice of every study."""
    n = round(TEST * len(x))
    noises = [likelihood.noise() for likelihood in problem.likelihoods]
    x = x[:, : problem.n_theory]
    known: dict[NetworkSettings, dict[str, np.ndarray]] = {}
    errors: Errors = {}
    for name, choices in STUDIES.items():
        for choice in choices:
            settings = replace(base, **{name: choice})
            if settings not in known:  # the paper's own choice stands in all three
                emulator, _ = build_emulator(
                    problem.theory_names,
                    problem.fixed,
                    x[n:],
                    theories[n:],
                    noises,
                    kind="network",
                    network=settings,
                    checkpoints=folder,
                )
                predicted = emulator.batch(x[:n], SPECTRA)
                known[settings] = {
                    s: error_percentiles(
                        predicted[s][:, 2:], np.array([t[s][2:] for t in theories[:n]])
                    )
                    for s in SPECTRA
                }
                print(f"{name} {choice}: {_words(known[settings])}", flush=True)
            errors[name, choice] = known[settings]
    return errors


def _words(error: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{s[-2:].upper()} {np.median(error[s][0]):.1e}" for s in SPECTRA)


def draw(path: Path, errors: Errors) -> None:
    """A row per study, a column per spectrum; full lines 68%, dotted ones 95%."""
    figure, axes = plt.subplots(
        len(STUDIES), len(SPECTRA), figsize=(12, 9), sharex=True, sharey="row", layout="constrained"
    )
    for row, (name, choices) in zip(axes, STUDIES.items(), strict=True):
        for axis, spectrum in zip(row, SPECTRA, strict=True):
            for i, choice in enumerate(choices):
                one, two = errors[name, choice][spectrum]
                ell = np.arange(2, 2 + len(one))
                axis.plot(ell, one, color=f"C{i}", lw=1.0, label=choice)
                axis.plot(ell, two, color=f"C{i}", lw=0.8, ls=":")
            axis.set(xscale="log", yscale="log", title=f"{spectrum[-2:].upper()}, by {name}")
        row[0].set_ylabel(r"$|\Delta D_\ell|\,/\,\mathrm{rms}(D_\ell)$")
        row[0].legend(fontsize=7, frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel(r"$\ell$")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def page(given: argparse.Namespace, n: int, training: int, errors: Errors) -> str:
    """The table in Markdown."""
    edges = [f"l = {low}-{high - 1}" for low, high in BANDS]
    head = [f"{s[-2:].upper()}, {edge}" for s in SPECTRA for edge in edges]
    lines = [
        "# The choices of a network",
        "",
        f"Made by `examples/04_network_study.py --solver {given.solver} --solutions "
        f"{given.solutions} --epochs {given.epochs} --width {given.width}`:",
        "figures 3 to 5 of Nygaard et al. 2022 (arXiv:2205.15726) with",
        f"{training} solutions of {given.solver.upper()} for training and {n} for the test, by",
        "a Latin hypercube over ± 5 posterior widths in six parameters (the paper: tens of",
        "thousands, placed by chains). Numbers are the 68th percentile over the test of",
        "abs(D_l - D_l^exact) / rms(D^exact) in units of 10^-3, its median over the multipoles.",
        "",
        f"| figure | choice | {' | '.join(head)} |",
        "|---" * (len(head) + 2) + "|",
    ]
    for (name, choice), error in errors.items():
        cells = [
            f"{1e3 * np.median(error[s][0][low - 2 : high - 2]):.3g}"
            for s in SPECTRA
            for low, high in BANDS
        ]
        lines.append(f"| {FIGURES[name]}, {name} | {choice} | {' | '.join(cells)} |")
    lines += ["", "Full lines: 68%, dotted lines: 95% of the test solutions.", ""]
    return "\n".join([*lines, "![errors against l](network_study.png)", ""])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solver", choices=("class", "camb"), default="camb")
    parser.add_argument("--solutions", type=int, default=200, help="test included")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--width", type=int, default=512, help="nodes per hidden layer")
    parser.add_argument("--ledger", type=Path, help="ledger of exact solutions")
    parser.add_argument("--out", type=Path, default=Path("runs/network-study"))
    parser.add_argument("--pages", type=Path, help="where page and figure go (default: --out)")
    return parser.parse_args()


def main() -> None:
    """Solve, train, compare, write."""
    jax.config.update("jax_enable_x64", True)
    given = arguments()
    pages = given.pages or given.out
    for folder in (given.out, pages):
        folder.mkdir(parents=True, exist_ok=True)
    problem, x, theories = solved(given, given.out)
    # as many epochs as were asked for: early stopping would end the choices at different ones
    base = NetworkSettings(
        width=given.width, epochs=given.epochs, patience=given.epochs, folds=0, seed=1
    )
    errors = study(problem, x, theories, base, given.out / "networks")
    n = round(TEST * len(x))
    draw(pages / "network_study.png", errors)
    text = page(given, n, len(x) - n, errors)
    (pages / "network_study.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
