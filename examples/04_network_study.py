"""The choices of a network and what they cost: figures 3, 4 and 5 of Nygaard et al. 2022.

    python examples/04_network_study.py
    python examples/04_network_study.py --solver class --points 1000 --epochs 1000

As in the paper, chains at temperature 5 (by a first emulator of a Latin hypercube) place the
solutions, one network per choice of loss, activation and scaling is trained on three quarters of
them, and percentiles of |D_l - D_l^exact| / rms(D^exact) over the last quarter are shown against l:
a page and three figures. Every choice is a key of ``emulator.network`` in a configuration file.
Solutions are in the ledger and networks in the output folder: interrupt and repeat the command, it
goes on.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import yaml
from PIL import Image

from volvelle import Configuration, build_emulator
from volvelle.boltzmann import Ledger
from volvelle.cli.computing import make_executor
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver, make_training
from volvelle.emulator import error_percentiles
from volvelle.learning import NetworkSettings
from volvelle.training import Exact, Problem

EXAMPLE = Path(__file__).with_name("01_planck_lcdm.yaml")
SPECTRA = ("lensed_tt", "lensed_te", "lensed_ee")
TEMPERATURE = 5.0  # of the chains
TEST = 0.25  # of the solutions
BATCH = 32
WINDOW = 0.1  # of l, on either side of it
COLOURS = 64  # of a figure
STUDIES = {
    "loss": ("mse", "cosmic_variance", "data_noise"),
    "activation": ("alsing", "silu", "relu", "leaky_relu", "gelu", "tanh"),
    "scaling": ("standardise", "min_max", "log", "double_log", "constant"),
}
FIGURES = {"loss": 3, "activation": 4, "scaling": 5}  # of the paper
BANDS = ((2, 30), (30, 800), (800, 2501))  # multipoles, for the tables
LOW, ALL, HIGH = BANDS[:1], BANDS, BANDS[-1:]
CLAIMS = (  # section 2 of the paper; the error of the first over that of the second is said to be
    ("loss", "cosmic_variance", "mse", LOW, "above 1"),
    ("loss", "cosmic_variance", "mse", HIGH, "below 1"),
    ("activation", "alsing", "relu", ALL, "below 1"),
    ("scaling", "standardise", "constant", ALL, "below 1"),
    ("scaling", "min_max", "constant", ALL, "below 1"),
    ("scaling", "log", "constant", ALL, "below 1"),
    ("scaling", "double_log", "log", ALL, "below 1"),
    ("scaling", "standardise", "min_max", ALL, "below 1"),
)

Theory = dict[str, np.ndarray]
Error = dict[str, np.ndarray]  # of a network: spectrum to [percentiles, l]
Errors = dict[tuple[str, str], Error]  # by study and choice


def configuration(given: argparse.Namespace) -> Configuration:
    """Example 1 with another solver, and the paper's iteration, once, as its design."""
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    content |= {"theory": {given.solver: {}}, "output": str(given.out), "workers": given.workers}
    content |= {"ledger": str(given.ledger)} if given.ledger else {}
    once = {"initial": given.start, "first": given.points, "most_iterations": 1}
    content["emulator"] = {
        "kind": "polynomial",
        "max_training": given.max_training or given.start + given.points,
        "design": {"iterative": once | {"temperature": TEMPERATURE}},
    }
    path = given.out / "network_study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Configuration.load(path, files=False)


def solved(given: argparse.Namespace) -> tuple[Problem, np.ndarray, list[Theory], bool]:
    """Points of the chains [n, d], their exact solutions, and whether the data are simulated."""
    read = configuration(given)
    ledger, solver = Ledger(read.ledger), make_solver(read)
    with make_executor(read.compute, print) as executor:
        likelihoods, _ = make_likelihoods(read, solver, ledger, executor, "network study")
        problem = make_problem(read, solver, likelihoods)
        exact = Exact(problem, ledger, executor, "network study")
        sizes = (given.start, given.points, read.emulator.max_training)
        folder = given.out / "-".join(["training", given.solver, *map(str, sizes)])
        training = make_training(
            read, exact, folder, lambda words: print(words, flush=True), lambda *_: None
        )
        training.run()
    return problem, training.x, training.theories, bool(read.missing_data)


def error_of(
    problem: Problem,
    x: np.ndarray,
    theories: list[Theory],
    settings: NetworkSettings,
    checkpoints: Path,
) -> Error:
    """Errors of one network over the first quarter of the solutions, trained on the others."""
    n = round(TEST * len(x))
    x = x[:, : problem.n_theory]
    emulator, _ = build_emulator(
        problem.theory_names,
        problem.fixed,
        x[n:],
        theories[n:],
        [likelihood.noise() for likelihood in problem.likelihoods],
        kind="network",
        network=settings,
        checkpoints=checkpoints,
    )
    predicted = emulator.batch(x[:n], SPECTRA)
    exact = {s: np.array([theory[s] for theory in theories[:n]]) for s in SPECTRA}
    return {s: error_percentiles(predicted[s][:, 2:], exact[s][:, 2:]) for s in SPECTRA}


def study(
    problem: Problem,
    x: np.ndarray,
    theories: list[Theory],
    base: NetworkSettings,
    checkpoints: Path,
) -> tuple[Errors, Error]:
    """Errors of every choice of every study; and of ``base`` with another seed."""
    known: dict[NetworkSettings, Error] = {}  # the paper's own choice stands in all three

    def error(settings: NetworkSettings, words: str) -> Error:
        if settings not in known:
            known[settings] = error_of(problem, x, theories, settings, checkpoints)
            print(f"{words}: {mean(known[settings]):.3g}", flush=True)
        return known[settings]

    errors = {
        (name, choice): error(replace(base, **{name: choice}), f"{name} {choice}")
        for name, choices in STUDIES.items()
        for choice in choices
    }
    return errors, error(replace(base, seed=base.seed + 1), "another seed")


def cells(error: Error, bands: Sequence[tuple[int, int]] = BANDS) -> list[float]:
    """Median over each band of the 68th percentile, in units of 10^-3, spectrum by spectrum."""
    return [
        1e3 * float(np.median(error[s][0][low - 2 : high - 2]))
        for s in SPECTRA
        for low, high in bands
    ]


def mean(error: Error, bands: Sequence[tuple[int, int]] = BANDS) -> float:
    """Geometric mean of the cells of a row."""
    return float(np.exp(np.mean(np.log(cells(error, bands)))))


def smooth(ell: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Geometric mean over the multipoles within a tenth of l."""
    total = np.concatenate([[0.0], np.cumsum(np.log(values))])
    low = np.searchsorted(ell, (1.0 - WINDOW) * ell)
    high = np.searchsorted(ell, (1.0 + WINDOW) * ell, side="right")
    return np.exp((total[high] - total[low]) / (high - low))


def draw(path: Path, name: str, errors: Errors) -> None:
    """One of the paper's figures: a column per spectrum, a row per percentile."""
    figure, axes = plt.subplots(
        2, len(SPECTRA), figsize=(11, 6), sharex=True, sharey=True, layout="constrained"
    )
    for row, (axis_row, percent) in enumerate(zip(axes, ("68%", "95%"), strict=True)):
        for axis, spectrum in zip(axis_row, SPECTRA, strict=True):
            for i, choice in enumerate(STUDIES[name]):
                values = errors[name, choice][spectrum][row]
                ell = np.arange(2, 2 + len(values))
                axis.plot(ell, values, color=f"C{i}", lw=0.6, alpha=0.3)
                axis.plot(ell, smooth(ell, values), color=f"C{i}", lw=1.4, label=choice)
            axis.set(xscale="log", yscale="log", xlim=(2, ell[-1]))
            axis.grid(alpha=0.3)
            axis.set_title(f"{spectrum[-2:].upper()}, {percent} of the test", fontsize=10)
        axis_row[0].set_ylabel(r"$|D_\ell - D_\ell^\mathrm{exact}|\,/\,\mathrm{rms}$")
    for axis in axes[-1]:
        axis.set_xlabel(r"$\ell$")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=90)
    plt.close(figure)
    with Image.open(path) as image:  # drawn lines need few colours, and half the bytes
        few = image.convert("RGB").quantize(COLOURS)
    few.save(path, optimize=True)


def table(name: str, errors: Errors) -> list[str]:
    """Medians of the 68th percentiles, a row per choice."""
    edges = [f"{low}-{high - 1}" for low, high in BANDS]
    head = [f"{s[-2:].upper()}, l = {edge}" for s in SPECTRA for edge in edges]
    lines = [f"| {name} | {' | '.join(head)} | mean |", "|---" * (len(head) + 2) + "|"]
    for choice in STUDIES[name]:
        row = [
            f"{value:.3g}" for value in [*cells(errors[name, choice]), mean(errors[name, choice])]
        ]
        lines.append(f"| {choice} | {' | '.join(row)} |")
    return lines


def order(name: str, errors: Errors) -> str:
    """The choices of a study in words, the smallest error first."""
    found = sorted((mean(errors[name, choice]), choice) for choice in STUDIES[name])
    least = found[0][0]
    ratios = ", ".join(f"`{choice}` {value / least:.3g}" for value, choice in found[1:])
    return (
        f"`{found[0][1]}` has the smallest error by the mean of its row; the others in units of "
        f"it: {ratios}."
    )


def claims(errors: Errors, again: Error) -> list[str]:
    """What the paper says of its choices, and what is found here."""
    usual = errors["scaling", "standardise"]
    lines = [
        "| error of | over that of | multipoles | paper | here | another seed | as in the paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, first, second, bands, said in CLAIMS:
        ratio = mean(errors[name, first], bands) / mean(errors[name, second], bands)
        seed = mean(again, bands) / mean(usual, bands)
        as_said = (ratio < 1.0) == (said == "below 1")
        verdict = "yes" if as_said else "no"
        if abs(np.log(ratio)) <= abs(np.log(seed)):
            verdict = "not to be told from a seed"
        edges = f"{bands[0][0]}-{bands[-1][1] - 1}"
        row = (f"{name} {first}", second, edges, said, f"{ratio:.3g}", f"{seed:.3g}", verdict)
        lines.append(f"| {' | '.join(row)} |")
    return lines


def page(
    given: argparse.Namespace, simulated: bool, solutions: int, errors: Errors, again: Error
) -> str:
    """The whole page in Markdown."""
    n = round(TEST * solutions)
    kept = solutions - n - max(2, round(NetworkSettings().held_out * (solutions - n)))
    steps = -(-kept // min(BATCH, kept)) * given.epochs
    data = "simulated data like Planck's" if simulated else "Planck 2018 plik-lite and low-l"
    cut = f"--max-training {given.max_training} " if given.max_training else ""
    lines = [
        "# The choices of a network",
        "",
        f"Made by `examples/04_network_study.py --solver {given.solver} --start {given.start} "
        f"--points {given.points} {cut}--epochs {given.epochs} --width {given.width}`:",
        "figures 3 to 5 of Nygaard et al. 2022 (arXiv:2205.15726), in LCDM with",
        f"{given.solver.upper()}, {solutions - n} solutions for training and {n} for the test",
        "(the paper: decaying dark matter, tens of thousands and 20,000). As in the paper, all are",
        f"points of chains at temperature 5, here by {data},",
        f"with an emulator of {given.start} other solutions. Every network has 6 hidden layers of",
        f"{given.width} nodes and is trained for {given.epochs} epochs in batches of {BATCH},",
        f"{steps} steps of the optimiser (the paper: 512 nodes, and 20,400 steps with the batches "
        "of",
        "512 in the input file published with it). Scaled values far from 0, the logarithms near "
        "-20 and",
        "the larger ones of `constant`, take more steps to reach.",
        "What a figure does not vary is the paper's own: `cosmic_variance`, `alsing` (its equation",
        "2.3), `standardise`.",
        "",
        "Thin curves are percentiles over the test of abs(D_l - D_l^exact) / rms(D^exact), thick "
        "ones",
        "their mean over a tenth of l on either side. Tables have the median over multipoles of "
        "the",
        "68th, in units of 10^-3, and the geometric mean of each row.",
        "",
        "Section 2 of the paper says which choices are better. `another seed` is the paper's own",
        "choice trained with another seed, over itself: ratios no farther from 1 say nothing.",
        "",
        *claims(errors, again),
    ]
    for name in STUDIES:
        lines += ["", f"## Figure {FIGURES[name]}: {name}", "", order(name, errors), ""]
        lines += [*table(name, errors), "", f"![errors by {name}](network_study_{name}.png)"]
    return "\n".join([*lines, ""])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solver", choices=("class", "camb"), default="camb")
    parser.add_argument("--start", type=int, default=60, help="solutions of the Latin hypercube")
    parser.add_argument("--points", type=int, default=200, help="of the chains, test included")
    parser.add_argument("--max-training", type=int, help="most solutions: cuts the chains' points")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--width", type=int, default=512, help="nodes per hidden layer")
    parser.add_argument("--workers", type=int, help="processes that solve (default: all cores)")
    parser.add_argument("--ledger", type=Path, help="ledger of exact solutions")
    parser.add_argument("--out", type=Path, default=Path("runs/network-study"))
    parser.add_argument("--pages", type=Path, help="where page and figures go (default: --out)")
    return parser.parse_args()


def main() -> None:
    """Solve, train, compare, write."""
    jax.config.update("jax_enable_x64", True)
    given = arguments()
    pages = given.pages or given.out
    for folder in (given.out, pages):
        folder.mkdir(parents=True, exist_ok=True)
    problem, x, theories, simulated = solved(given)
    # as many epochs as were asked for: early stopping would end the choices at different ones
    base = NetworkSettings(
        width=given.width,
        epochs=given.epochs,
        batch=BATCH,
        patience=given.epochs,
        folds=0,
    )
    errors, again = study(problem, x, theories, base, given.out / "networks")
    for name in STUDIES:
        draw(pages / f"network_study_{name}.png", name, errors)
    text = page(given, simulated, len(x), errors, again)
    (pages / "network_study.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
