"""Bent posteriors that run into prior edges: decaying dark matter, massive neutrinos of any number.

The examples 05 and 06, with the priors of Nygaard et al. 2022 (arXiv:2205.15726), are run and
certified; their figures 7 to 14 are made again: where each iteration put its exact solutions, the
emulator's posterior against the exactly re-weighted one, the posteriors of earlier iterations, and
those of Latin hypercubes of as many solutions, over the reference box and over the priors.

    python validation/hard_posteriors.py --model dcdm
    python validation/hard_posteriors.py --model neutrinos

Without --model both. Writes docs/validation/hard_posteriors_MODEL.md and figures. Hours: some 500
calls of CLASS each for a run, as many again for the hypercubes; everything is kept and resumed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from common import (
    PAGES,
    ROOT,
    Check,
    arguments,
    at_least,
    at_most,
    bound,
    check_table,
    data_words,
    holds,
    run,
    summary_of,
    table,
    versions,
    write_page,
)
from getdist import MCSamples
from getdist import plots as getdist_plots
from reference import Distance, Reference, Samples
from scipy.stats import qmc

from volvelle import Configuration
from volvelle.boltzmann import Ledger
from volvelle.cli.computing import make_executor
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.report import plots
from volvelle.training import Exact, Problem, fit_emulator, latin_hypercube
from volvelle.training.history import Iteration, load_iterations


@dataclass(frozen=True)
class Model:
    """An example, the plane of its figures, the issue's bounds and the paper's number of calls."""

    example: str
    title: str
    plane: tuple[str, str]
    training: int
    certificate: int
    paper: str


MODELS = {
    "dcdm": Model(
        "05_decaying_dark_matter.yaml",
        "Decaying cold dark matter",
        ("omega_ini_dcdm", "log10_Gamma_dcdm"),
        800,
        400,
        "34,670 kept of about 5 x 10^4",
    ),
    "neutrinos": Model(
        "06_massive_neutrinos.yaml",
        "Massive neutrinos with a free degeneracy",
        ("m_ncdm", "deg_ncdm"),
        400,
        400,
        "38,959 kept of about 5 x 10^4",
    ),
}
SHIFT, WIDTH, SCATTER, EFFECTIVE = 0.1, 0.05, 0.4, 0.85
SHOWN = ("converged", "certificate failed")  # the re-weighted posterior is the result
SEED = 20221


@dataclass(frozen=True)
class Stage:
    """A training set, its posterior and how far that is from the exact one."""

    name: str
    calls: int
    samples: Samples
    distance: Distance


def trained(exact: Exact, x: np.ndarray) -> tuple[np.ndarray, list[dict[str, Any]], np.ndarray]:
    """Points that have a solution, the solutions and their ln L."""
    entries = exact.solve(x)
    good = [i for i, entry in enumerate(entries) if not entry.failed]
    theories = [exact.theory(entries[i]) for i in good]
    values = [exact.problem.log_likelihood(x[i], t) for i, t in zip(good, theories, strict=True)]
    return x[good], theories, np.array(values)


def stage(name: str, exact: Exact, reference: Reference, x: np.ndarray, calls: int) -> Stage:
    """The posterior of an emulator of these points."""
    emulator, _ = fit_emulator(exact.problem, *trained(exact, x))
    samples = reference.samples(exact.problem, emulator, SEED)
    result = Stage(name, calls, samples, reference.distance(samples))
    print(f"{name}: {calls} calls, {result.distance}", flush=True)
    return result


def over_the_priors(problem: Problem, n: int, seed: int) -> np.ndarray:
    """A Latin hypercube of the whole prior, as the paper's [n, d]."""
    k = problem.n_theory
    ends = np.array([prior.bounds for prior in problem.priors])[:k]
    x = np.tile(problem.ref_loc, (n, 1))
    unit = qmc.LatinHypercube(k, rng=np.random.default_rng(seed)).random(n)
    x[:, :k] = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * unit
    return x


HYPERCUBES: dict[str, Callable[[Problem, int, int], np.ndarray]] = {
    "reference box": lambda problem, n, seed: latin_hypercube(problem, n, 1.0, seed),
    "priors": over_the_priors,
}


def stages(
    exact: Exact, reference: Reference, iterations: list[Iteration], hypercubes: Sequence[str]
) -> list[Stage]:
    """Iterations 1, a middle one and the last, then the hypercubes of as many points."""
    last = len(iterations) - 1
    found = []
    for number in sorted({1, (1 + last) // 2, last}):
        x = np.concatenate([each.points for each in iterations[: number + 1]])
        found.append(stage(f"iteration {number}", exact, reference, x, len(x)))
    n = sum(len(each.points) for each in iterations)
    for name in hypercubes:
        x = HYPERCUBES[name](exact.problem, n, SEED)
        found.append(stage(f"Latin hypercube of the {name}", exact, reference, x, n))
    return found


def draw_data(
    path: Path, model: Model, problem: Problem, iterations: list[Iteration], reference: Reference
) -> None:
    """Figures 7 and 11: the solutions of each group of iterations over the posterior."""
    import matplotlib.pyplot as plt

    i, j = (problem.names.index(name) for name in model.plane)
    groups = [g for g in np.array_split(np.arange(len(iterations)), 6) if len(g)]
    figure, axes = plt.subplots(
        1, len(groups), figsize=(2.3 * len(groups), 2.8), sharex=True, sharey=True,
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for axis, group in zip(axes[0], groups, strict=True):
        axis.plot(reference.x[:, i], reference.x[:, j], ",", color="0.75", zorder=0)
        before = [iterations[k].points for k in range(group[0])]
        if before:
            old = np.concatenate(before)
            axis.plot(old[:, i], old[:, j], ".", ms=2, color="0.45")
        new = np.concatenate([iterations[k].points for k in group])
        axis.plot(new[:, i], new[:, j], ".", ms=4, color="C3")
        span = f"{group[0]}" if len(group) == 1 else f"{group[0]}-{group[-1]}"
        axis.set_title(f"iterations {span}" if len(group) > 1 else f"iteration {span}", fontsize=9)
        axis.set_xlabel(model.plane[0])
    axes[0][0].set_ylabel(model.plane[1])
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_stages(
    path: Path, model: Model, reference: Reference, problem: Problem, shown: list[Stage]
) -> None:
    """Figures 9, 10, 13 and 14: contours of several trainings over the reference's."""
    names = [*problem.names]
    ranges = {
        name: [end if np.isfinite(end) else None for end in prior.bounds]
        for name, prior in zip(problem.names, problem.priors, strict=True)
    }
    sets = [("re-weighted", reference.x, np.ones(len(reference.x)))]
    sets += [(f"{s.name} ({s.calls})", s.samples.x, s.samples.weights) for s in shown]
    drawn = [
        MCSamples(
            samples=x, weights=w, names=names, labels=[n.replace("_", r"\_") for n in names],
            ranges=ranges, label=label, settings={"smooth_scale_2D": 0.4, "smooth_scale_1D": 0.4},
        )
        for label, x, w in sets
    ]  # fmt: skip
    plotter = getdist_plots.get_subplot_plotter(width_inch=6.0)
    plotter.settings.num_plot_contours = 2
    filled: Any = [True] + [False] * len(shown)  # GetDist takes a list, its types do not say so
    plotter.triangle_plot(drawn, [*model.plane, "H0"], filled=filled)
    plotter.export(str(path))


def checks(model: Model, summary: dict[str, Any], asked: int) -> list[Check]:
    """The run, which asked for so many solutions for its training, against its bounds."""
    certificate = summary["certificate"]
    shifts = certificate["parameters"].values()
    width = max(abs(p["width_ratio"] - 1.0) for p in shifts)
    scatter = certificate["log_weight_std"]
    return [
        holds("the run", summary["status"], "converged", summary["status"] == "converged"),
        at_most("exact solutions for training", asked, model.training, 0),
        at_most("exact solutions for the certificate", certificate["n"], model.certificate, 0),
        at_most("largest abs(shift) + 2 errors [sigma]", bound(summary), SHIFT),
        at_most("largest change of a width", width, WIDTH),
        at_most("scatter of ln w", float("inf") if scatter is None else scatter, SCATTER),
        at_least("effective fraction", certificate["ess_fraction"], EFFECTIVE),
    ]


def posterior_table(summary: dict[str, Any]) -> str:
    """Means and widths, and the certificate, of every parameter."""
    rows = []
    for name, shift in summary["certificate"]["parameters"].items():
        p = summary["parameters"][name]
        rows.append(
            (
                f"`{name}`",
                f"{p['mean']:.5g} ± {p['std']:.2g}",
                f"{shift['mean_shift_sigma']:+.3f} ± {shift['mean_shift_error']:.3f}",
                f"{shift['width_ratio']:.3f} ± {shift['width_ratio_error']:.3f}",
            )
        )
    return table(("parameter", "re-weighted posterior", "shift [sigma]", "width ratio"), rows)


def validate(key: str, given: Any) -> bool:
    """One model: run, compare, draw, write; whether all bounds are met."""
    model = MODELS[key]
    content = yaml.safe_load((ROOT / "examples" / model.example).read_text(encoding="utf-8"))
    folder = given.folder or ROOT / content["output"]
    summary = summary_of(folder) if given.folder else run(content, folder, given.ledger)
    read = Configuration.load(folder / "config.yaml", files=False)
    solver = make_solver(read)
    with make_executor(read.compute, print) as executor:
        ledger = Ledger(given.ledger or read.ledger)
        likelihoods, _ = make_likelihoods(read, solver, ledger, executor, "hard posteriors")
        problem = make_problem(read, solver, likelihoods)
        exact = Exact(problem, ledger, executor, "hard posteriors")
        reference = Reference.load(folder, problem, SHOWN)
        iterations = load_iterations(folder / "training")
        found = stages(exact, reference, iterations, () if given.quick else given.hypercubes)
    stem = f"hard_posteriors_{key}"
    draw_data(PAGES / f"{stem}_data.png", model, problem, iterations, reference)
    plots.triangle(folder).savefig(PAGES / f"{stem}_triangle.png", dpi=70)
    own = [each for each in found if each.name.startswith("iteration")]
    others = [own[-1], *(each for each in found if each not in own)]
    shown = {"iterations": own} | ({"hypercubes": others} if len(others) > 1 else {})
    for name, each in shown.items():
        draw_stages(PAGES / f"{stem}_{name}.png", model, reference, problem, each)
    made = checks(model, summary, sum(len(each.points) for each in iterations))
    pictures = [f"![{name}]({stem}_{name}.png)" for name in ("data", "triangle", *shown)]
    return write_page(stem, page(model, summary, found, made, pictures), made)


def page(
    model: Model,
    summary: dict[str, Any],
    found: list[Stage],
    made: list[Check],
    pictures: list[str],
) -> list[str]:
    """The page."""
    rows = [
        (
            each.name,
            str(each.calls),
            f"{each.distance.shift:.3f} ({each.distance.parameter})",
            f"{each.distance.width:+.3f} ({each.distance.width_parameter})",
            each.samples.how,
        )
        for each in found
    ]
    head = ("training set", "exact solutions", "largest shift [sigma]", "width", "by")
    data, triangle, *contours = pictures
    return [
        f"# {model.title}",
        f"`examples/{model.example}`: {versions(summary)}, the priors of Nygaard et al. 2022 "
        f"(arXiv:2205.15726), which took {model.paper} solutions. {data_words(summary)} Shifts are "
        "against the posterior re-weighted by fresh exact solutions.",
        check_table(made),
        summary["certificate"]["words"],
        posterior_table(summary),
        "Emulators of parts of the training set, and of Latin hypercubes of as many solutions "
        "(those that CLASS refuses are left out), fitted in the same way:",
        table(head, rows),
        "Exact solutions of each group of iterations (red; earlier ones grey) over the posterior:",
        data,
        "The emulator's posterior and the exactly re-weighted one:",
        triangle,
        "Contours of these trainings (in parentheses: solutions) over the exactly re-weighted one:",
        *contours,
    ]


def main() -> None:
    """Both models, or the one that is named."""
    parser = arguments(__doc__)
    parser.add_argument("--model", choices=tuple(MODELS), help="one of the two only")
    parser.add_argument(
        "--hypercubes", nargs="*", choices=tuple(HYPERCUBES), default=list(HYPERCUBES),
        help="which of them are solved beside the run",
    )  # fmt: skip
    parser.add_argument("--from", dest="folder", type=Path, help="finished run of that model")
    given = parser.parse_args()
    if given.folder and not given.model:
        parser.error("--from is the run of one model; name it with --model")
    wanted = [given.model] if given.model else list(MODELS)
    met = [validate(key, given) for key in wanted]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
