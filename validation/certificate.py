"""The certificate put to the test: an emulator spoilt on purpose by an error of one sigma.

All its outputs are those of an n_s that is off by one posterior sigma, so that the error is known.
The spoilt emulator is sampled and certified like any other: the certificate has to refuse it, and
the posterior corrected by its exact solutions has to be that of the unspoilt one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import matplotlib.pyplot as plt
import numpy as np
from common import (
    DEMO,
    LABELS,
    PAGES,
    Check,
    arguments,
    check_table,
    data_words,
    finish,
    holds,
    summary_of,
    table,
    versions,
)
from jaxtyping import Array, Float

from volvelle.boltzmann import Ledger
from volvelle.cli import Configuration
from volvelle.cli.computing import make_executor
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.emulator import Emulator, load_emulator
from volvelle.inference import NUTS, Chains, Laplace, diagnose, laplace, run_chains
from volvelle.training import Certificate, Exact, certify, smooth_log_weights

SPOILT = "n_s"
SIZES = (0.2, 1.0)  # [posterior sigma]
LIMIT = 0.05  # [sigma] asked of the certificate
ERRORS = 3.0  # of its own errors that a shift, or a corrected mean, may be off
POINTS = 200
SEED = 20181807
RUN = "validation"
DERIVED = ("H0", "sigma8", "r_drag")


class Spoilt(eqx.Module):
    """An emulator that answers for a universe with one parameter off by a step."""

    emulator: Emulator
    index: int = eqx.field(static=True)
    step: float = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d"]) -> dict[str, Array]:
        """theory(x + step e_i): the posterior moves by - step along the parameter."""
        return self.emulator(x.at[self.index].add(self.step))

    def batch(self, x: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """The scalars asked for, at many points [n, d]."""
        moved = np.array(x)
        moved[:, self.index] += self.step
        return self.emulator.batch(moved, names)


def sample(exact: Exact, theory: Any, centre: np.ndarray, seed: int) -> tuple[Laplace, Chains]:
    """Chains of the posterior with a theory in the solver's place."""
    posterior = exact.problem.posterior(theory)
    mode = laplace(posterior, centre[None], exact.problem.ref_scale)
    chains = run_chains(posterior, mode, NUTS(warmup=500), chains=4, draws=1000, seed=seed)
    return mode, chains


def spoil_and_certify(
    exact: Exact, emulator: Emulator, truth: Chains, known: np.ndarray, size: float, points: int
) -> tuple[Chains, Certificate]:
    """Chains of the spoilt emulator and what exact solutions say of them."""
    index = exact.problem.names.index(SPOILT)
    step = size * float(truth.flat[:, index].std())
    spoilt = Spoilt(emulator, index, step)
    _, chains = sample(exact, spoilt, truth.flat.mean(axis=0), SEED + 1)
    certificate = certify(
        exact,
        exact.problem.posterior(spoilt),
        chains,
        DERIVED,
        limit=LIMIT,
        points=points,
        max_points=points,
        seed=SEED,
        avoid=known,
        say=print,
    )
    return chains, certificate


def put_in(name: str, size: float) -> float:
    """The shift that the certificate has to find [sigma]: the posterior was moved by a step."""
    return size if name == SPOILT else 0.0


def smooth_left(
    truth: Chains, chains: Chains, certificate: Certificate
) -> dict[str, tuple[float, float]]:
    """What the re-weighted chain leaves of the error, and its Monte-Carlo error [sigma].

    Its weights are the fit to the log-weights that every run uses for its re-weighted chains.
    """
    log_weights = smooth_log_weights(certificate, chains)
    weights = np.exp(log_weights).ravel()
    kept = float(np.sum(weights) ** 2 / np.sum(weights**2)) / len(weights)
    sizes = [diagnose(each.names, each.samples).ess for each in (chains, truth)]
    result = {}
    for i, name in enumerate(chains.names):
        mean = float(np.average(chains.flat[:, i], weights=weights))
        left = (mean - truth.flat[:, i].mean()) / truth.flat[:, i].std()
        error = float(np.sqrt(1.0 / (kept * sizes[0][i]) + 1.0 / sizes[1][i]))
        result[name] = (float(left), error)
    return result


def rows_of(
    size: float, truth: Chains, chains: Chains, certificate: Certificate
) -> list[tuple[str, ...]]:
    """One row per parameter: the error put in, found, and left."""
    smooth = smooth_left(truth, chains, certificate)
    rows = []
    for i, name in enumerate(chains.names):
        scale, middle = truth.flat[:, i].std(), truth.flat[:, i].mean()
        shift = certificate.parameters[name]
        rows.append(
            (
                f"{size:g}",
                name,
                f"{-put_in(name, size):+.1f}",
                f"{(chains.flat[:, i].mean() - middle) / scale:+.3f}",
                f"{shift.mean_shift_sigma:+.3f} ± {shift.mean_shift_error:.3f}",
                f"{smooth[name][0]:+.3f} ± {smooth[name][1]:.3f}",
            )
        )
    return rows


def judge(size: float, truth: Chains, chains: Chains, certificate: Certificate) -> list[Check]:
    """Whether the error is caught and mended."""
    found = certificate.parameters[SPOILT]
    significance = abs(found.mean_shift_sigma) / found.mean_shift_error
    words = "refused" if not certificate.passed else "passed"
    smooth = smooth_left(truth, chains, certificate)
    worst = max(abs(left) / error for left, error in smooth.values())
    what = f"error of {size:g} sigma"
    checks = [
        holds(f"{what}: certificate", words, "refused", not certificate.passed),
        holds(f"{what}: shift of {SPOILT} that it finds", f"{significance:.1f} of its errors",
              f"more than {ERRORS:g}", significance > ERRORS),
        holds(f"{what}: re-weighted chain, worst mean from the unspoilt one",
              f"{worst:.2f} of its errors", f"at most {ERRORS:g}", worst <= ERRORS),
    ]  # fmt: skip
    off = {
        name: abs(shift.mean_shift_sigma - put_in(name, size)) / shift.mean_shift_error
        for name, shift in certificate.parameters.items()
        if name in chains.names
    }
    name = max(off, key=off.__getitem__)
    checks.append(
        holds(f"{what}: every shift found, from the one put in ({name} is worst)",
              f"{off[name]:.2f} of its errors", f"at most {ERRORS:g}", off[name] <= ERRORS)
    )  # fmt: skip
    return checks


def draw(truth: Chains, found: dict[float, tuple[Chains, Certificate]]) -> None:
    """The spoilt parameter's posterior: unspoilt, spoilt, re-weighted."""
    figure, axes = plt.subplots(1, len(found), figsize=(5.5 * len(found), 4), squeeze=False)
    index = truth.names.index(SPOILT)
    for axis, (size, (chains, certificate)) in zip(axes[0], found.items(), strict=True):
        weights = np.exp(smooth_log_weights(certificate, chains)).ravel()
        edges = np.linspace(*np.quantile(truth.flat[:, index], [0.0005, 0.9995]), 45)
        edges = np.linspace(edges[0] - size * truth.flat[:, index].std(), edges[-1], 50)
        options: dict[str, Any] = {"bins": edges, "density": True, "histtype": "step"}
        axis.hist(truth.flat[:, index], color="k", label="unspoilt emulator", **options)
        axis.hist(chains.flat[:, index], color="C3", label="spoilt", **options)
        axis.hist(chains.flat[:, index], weights=weights, color="C0", ls="--",
                  label=f"spoilt, re-weighted by {certificate.n} exact solutions",
                  **options)  # fmt: skip
        axis.set_xlabel(LABELS[SPOILT])
        axis.set_title(f"spectra of an n_s off by {size:g} sigma", fontsize=10)
        axis.legend(fontsize=7, loc="upper left")
        axis.set_ylim(0, 1.45 * axis.get_ylim()[1])
        axis.set_yticks([])
    figure.tight_layout()
    figure.savefig(PAGES / "certificate.png", dpi=120)


def main() -> None:
    """Spoil, sample, certify, compare, write."""
    parser = arguments(__doc__)
    parser.add_argument("--from", dest="folder", type=Path, default=DEMO, help="a finished run")
    options = parser.parse_args()
    summary = summary_of(options.folder)
    configuration = Configuration.load(options.folder / "config.yaml", output=options.folder)
    emulator, record = load_emulator(options.folder / "emulator")
    ledger = Ledger(options.ledger or configuration.ledger)
    solver = make_solver(configuration)
    sizes, points = (SIZES[-1:], 60) if options.quick else (SIZES, POINTS)
    found: dict[float, tuple[Chains, Certificate]] = {}
    checks, rows = [], []
    with make_executor(configuration.compute, print) as executor:
        likelihoods, _ = make_likelihoods(configuration, solver, ledger, executor, RUN)
        problem = make_problem(configuration, solver, likelihoods)
        exact = Exact(problem, ledger, executor, RUN)
        centre = np.array([summary["parameters"][name]["mean"] for name in problem.names])
        _, truth = sample(exact, emulator, centre, SEED)
        known = np.array(record["points"])
        for size in sizes:
            found[size] = spoil_and_certify(exact, emulator, truth, known, size, points)
            checks += judge(size, truth, *found[size])
            rows += rows_of(size, truth, *found[size])
    PAGES.mkdir(parents=True, exist_ok=True)
    draw(truth, found)
    words = [
        f"- {size:g} sigma: {certificate.words()} Effective points: "
        f"{certificate.ess_fraction * certificate.n:.0f}; Pareto k = {certificate.pareto_k:.2f}."
        for size, (_, certificate) in found.items()
    ]
    headers = ("error put in [sigma]", "parameter", "moved by [sigma]",
               "spoilt - unspoilt chain [sigma]", "shift found by the certificate [sigma]",
               "left by the re-weighted chain [sigma]")  # fmt: skip
    finish(
        "certificate",
        [
            "# The certificate put to the test",
            f"{data_words(summary)} Solved by {versions(summary)}. The emulator of the demo is "
            f"spoilt: it answers with the outputs of an {SPOILT} that is too high by a fraction of "
            "that parameter's posterior width, which moves its posterior down by as much. Its "
            "chains are then certified by fresh exact solutions as in every run.",
            check_table(checks),
            "What the certificate says:\n\n" + "\n".join(words),
            table(headers, rows),
            "The spoilt posterior is the true one moved by a known step, so the shift that the "
            "certificate has to find is known: the step with the other sign, and nothing in the "
            "other parameters. The two chains are independent, so that their means differ from the "
            "step by their Monte-Carlo errors, which the last column's errors include; its "
            "re-weighted chain is the one that every run writes.",
            "![the spoilt parameter](certificate.png)",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
