"""The demo against every number that it promises: calls, certificate, published values, time.

Judges ``runs/planck-lcdm`` (which ``make demo`` writes; it is run first if it is not there) or the
finished run given by --from. With --quick CAMB solves in the place of CLASS.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from common import (
    DEMO,
    LABELS,
    PAGES,
    ROOT,
    Check,
    arguments,
    at_least,
    at_most,
    check_table,
    data_words,
    example,
    finish,
    holds,
    run,
    summary_of,
    table,
    versions,
    within,
)

MOST_CALLS = 120
MOST_SECONDS = 20 * 60.0
LIMIT = 0.05  # [sigma] |shift| + 2 errors
LARGEST_ERROR = 0.01  # [sigma] of a shift, with about 100 points
SCATTER = 0.1
EFFECTIVE = 0.98
WIDTH = 0.05
PLIK_LITE, PLIK_LITE_MARGIN = 585.0, 4.0
MEAN_MARGIN = 0.3  # [published sigma]
WIDTH_MARGIN = {"tau_reio": 0.2, "ln10A_s": 0.2}  # these low-l bins are not Planck's own likelihood
WIDTH_MARGIN_OTHERS = 0.1

# Planck 2018 VI (arXiv:1807.06209v4), table 2, column TT,TE,EE+lowE; 100 theta_* from the same
# column's derived parameters; the two sides of tau are averaged.
PUBLISHED = {
    "omega_b": (0.02236, 0.00015),
    "omega_cdm": (0.1202, 0.0014),
    "theta_star_100": (1.04109, 0.00030),
    "n_s": (0.9649, 0.0044),
    "ln10A_s": (3.045, 0.016),
    "tau_reio": (0.0544, 0.5 * (0.0070 + 0.0081)),
}
SHOWN_ONLY = {"H0": (67.27, 0.60)}


def checks_of(summary: dict[str, Any]) -> list[Check]:
    """Calls, certificate, best fit, convergence and time."""
    calls, certificate = summary["exact_calls"], summary["certificate"]
    shifts = certificate["parameters"]
    bound = {k: abs(p["mean_shift_sigma"]) + 2.0 * p["mean_shift_error"] for k, p in shifts.items()}
    width = {
        k: abs(p["width_ratio"] - 1.0) + 2.0 * p["width_ratio_error"] for k, p in shifts.items()
    }
    errors = {k: p["mean_shift_error"] for k, p in shifts.items()}
    worst, widest, loosest = (max(d, key=d.__getitem__) for d in (bound, width, errors))
    seconds = sum(summary["seconds"].values())
    return [
        holds("status", summary["status"], "converged", summary["status"] == "converged"),
        at_most("exact solutions for training, failed and held out included",
                calls["training_set"], MOST_CALLS, 0),
        at_most(f"largest abs(mean shift) + 2 errors [sigma] ({worst})", bound[worst], LIMIT, 4),
        at_most(f"largest error of a shift [sigma] ({loosest})",
                errors[loosest], LARGEST_ERROR, 4),
        at_most(f"largest abs(width ratio - 1) + 2 errors ({widest})", width[widest], WIDTH, 4),
        at_least("ESS fraction of the weights", certificate["ess_fraction"], EFFECTIVE, 5),
        at_most("scatter of the log-weights", certificate["log_weight_std"], SCATTER, 4),
        within("chi2 of plik-lite at the best fit, 613 bins",
               summary["best_fit"]["chi2"]["planck_2018_plik_lite"], PLIK_LITE, PLIK_LITE_MARGIN),
        at_most("time of all stages [s]", seconds, MOST_SECONDS, 0),
    ]  # fmt: skip


def published_checks(summary: dict[str, Any]) -> list[Check]:
    """Means and widths against Planck's own."""
    checks = []
    for name, (mean, sigma) in PUBLISHED.items():
        own = summary["parameters"][name]
        shift = abs(own["mean"] - mean) / sigma
        checks.append(at_most(f"{name}: distance of the means [published sigma]", shift,
                              MEAN_MARGIN))  # fmt: skip
        margin = WIDTH_MARGIN.get(name, WIDTH_MARGIN_OTHERS)
        ratio = own["std"] / sigma
        checks.append(within(f"{name}: width / published width", ratio, 1.0, margin, 3))
    return checks


def published_table(summary: dict[str, Any]) -> str:
    """Both sets of numbers side by side."""
    rows = []
    for name, (mean, sigma) in {**PUBLISHED, **SHOWN_ONLY}.items():
        own = summary["parameters"][name]
        digits = max(0, 1 - int(np.floor(np.log10(sigma))))
        rows.append(
            (
                name,
                f"{own['mean']:.{digits}f} ± {own['std']:.{digits}f}",
                f"{mean:.{digits}f} ± {sigma:.{digits}f}",
                f"{(own['mean'] - mean) / sigma:+.2f}",
                f"{own['std'] / sigma:.3f}",
            )
        )
    return table(("", "this run", "Planck 2018", "shift [sigma]", "width ratio"), rows)


def draw(summary: dict[str, Any], history: list[dict[str, Any]]) -> None:
    """Means and widths in published sigma; error against number of calls."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    shown = {**PUBLISHED, **SHOWN_ONLY}
    for i, (name, (mean, sigma)) in enumerate(shown.items()):
        own = summary["parameters"][name]
        left.errorbar(
            (own["mean"] - mean) / sigma, -i, xerr=own["std"] / sigma, fmt="o", color="C0"
        )
        left.errorbar(0.0, -i - 0.25, xerr=1.0, fmt="s", color="0.5")
    left.set_yticks(-np.arange(len(shown)), [LABELS[name] for name in shown])
    left.set_xlabel("distance from the published mean [published sigma]")
    left.set_title("this run (blue) and Planck 2018 TT,TE,EE+lowE (grey)", fontsize=10)
    calls = [row["exact_calls_total"] for row in history]
    for key, words in (
        ("left_out_log_likelihood_scatter", "left out, one at a time"),
        ("held_out_log_likelihood_scatter", "not yet seen"),
    ):
        pairs = [(n, row[key]) for n, row in zip(calls, history, strict=True) if row[key]]
        right.loglog(*zip(*pairs, strict=True), "o-", label=words)
    n, scatter = summary["exact_calls"]["training_set"], summary["certificate"]["log_weight_std"]
    right.plot([n], [scatter], "k*", ms=12, label="certificate")
    right.axhline(SCATTER, color="0.6", ls=":")
    right.axvline(MOST_CALLS, color="0.6", ls=":")
    right.set_xlabel("exact solutions")
    right.set_ylabel("scatter of the error of ln L")
    right.legend()
    figure.tight_layout()
    figure.savefig(PAGES / "demo.png", dpi=120)


def main() -> None:
    """Run if need be, judge, write."""
    parser = arguments(__doc__)
    parser.add_argument("--from", dest="folder", type=Path, help="folder of a finished run")
    options = parser.parse_args()
    if options.folder is not None:
        folder = options.folder
        summary = summary_of(folder)
    else:
        folder = ROOT / "runs" / "validation" / "demo-camb" if options.quick else DEMO
        content = example()
        if options.quick:
            content["theory"] = {"camb": {}}
        summary = run(content, folder, options.ledger)
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    checks = checks_of(summary)
    published = published_checks(summary)
    PAGES.mkdir(parents=True, exist_ok=True)
    draw(summary, history)
    finish(
        "demo",
        [
            "# The demo: Planck 2018 in LCDM",
            f"{data_words(summary)} Solved by {versions(summary)}. "
            f"{summary['exact_calls']['training_set']} solutions trained the emulator, "
            f"{summary['certificate']['n']} fresh ones certified it.",
            check_table(checks),
            "## Against the published posterior\n\nPlanck 2018 VI, table 2, TT,TE,EE+lowE; the "
            "theta_star value is that column's derived 100 theta_*. Planck's own low-l likelihoods "
            "are replaced by log-normal bins, which carry less information on tau.",
            published_table(summary),
            check_table(published),
            "![means, widths, and error against calls](demo.png)",
        ],
        [*checks, *published],
    )


if __name__ == "__main__":
    main()
