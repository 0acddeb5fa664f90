"""A bad start: the reference box displaced, far away, hardly touching the posterior, or too wide.

All have to converge to the posterior of the demo; only where the box lies twenty posterior sigma
away may a run say, in words, that it did not. The table says with how many exact solutions.
Prior bounds stay as in example 1: the box is a separate thing.

`--only` runs some of the cases; the page then holds these and those that were finished before.
"""

from __future__ import annotations

import sys
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
    at_most,
    bound,
    check_table,
    data_words,
    example,
    finish,
    holds,
    run,
    summary_of,
    table,
    versions,
)

# Width of the posterior of example 1, in whose units the boxes are set: Planck 2018 VI, table 2.
SIGMA = {
    "omega_b": 0.00015,
    "omega_cdm": 0.0014,
    "theta_star_100": 0.00031,
    "n_s": 0.0044,
    "ln10A_s": 0.016,
    "tau_reio": 0.0078,
}
CENTRE = {
    "omega_b": 0.02236,
    "omega_cdm": 0.1202,
    "theta_star_100": 1.0411,
    "n_s": 0.9649,
    "ln10A_s": 3.045,
    "tau_reio": 0.0544,
}
LIMIT = 0.05  # [sigma] what either certificate may leave
NOISE = 3.0  # Monte-Carlo errors of the two chains that a difference of means may have


# Directions in which a box far away stays within the priors; tau cannot go below its own.
SIGNS = {
    "omega_b": 1.0,
    "omega_cdm": -1.0,
    "theta_star_100": 1.0,
    "n_s": -1.0,
    "ln10A_s": -1.0,
    "tau_reio": 1.0,
}
TAU = 18.0  # [sigma] most by which tau is moved: its prior ends at 0.2, less than 19 sigma away


def box(displaced: float, half_width: float, mixed: bool = False) -> dict[str, dict[str, float]]:
    """ref of every parameter: centre moved and half width, both in sigma.

    ``mixed``: with the signs of SIGNS, and tau by no more than TAU.
    """
    moves = dict.fromkeys(SIGMA, displaced)
    if mixed:
        moves = {name: sign * displaced for name, sign in SIGNS.items()}
        moves["tau_reio"] = min(moves["tau_reio"], TAU)
    return {
        name: {"loc": CENTRE[name] + moves[name] * sigma, "scale": half_width * sigma}
        for name, sigma in SIGMA.items()
    }


CASES: dict[str, tuple[str, dict[str, dict[str, float]]]] = {
    "displaced": ("box of ± 5 sigma, displaced by + 5 sigma in every parameter", box(5.0, 5.0)),
    "opposite": ("box of ± 5 sigma, displaced by - 5 sigma in every parameter", box(-5.0, 5.0)),
    "wide": ("box of ± 50 sigma, ten times too wide (cut by the priors)", box(0.0, 50.0)),
    "corner": ("box of ± 5 sigma, displaced by 6, signs mixed: a corner comes near",
               box(6.0, 5.0, mixed=True)),
    "far": ("box of ± 5 sigma, displaced by 20 (tau: 18), signs mixed", box(20.0, 5.0, mixed=True)),
    "far-narrow": ("box of ± 1 sigma, displaced by 20 (tau: 18), signs mixed",
                   box(20.0, 1.0, mixed=True)),
}  # fmt: skip
MAY_SAY_NO = ("far", "far-narrow")  # but not be wrong


def content(case: str, solver: str) -> dict[str, Any]:
    """Example 1 with another solver and another reference box."""
    result = example()
    result["theory"] = {solver: {}}
    for name, ref in CASES[case][1].items():
        result["params"][name]["ref"] = ref
    return result


def difference(summary: dict[str, Any], reference: dict[str, Any]) -> dict[str, float]:
    """Distance of the means of every sampled parameter [sigma]."""
    return {
        name: (summary["parameters"][name]["mean"] - entry["mean"]) / entry["std"]
        for name, entry in reference["parameters"].items()
        if entry["kind"] == "sampled"
    }


def checks_of(case: str, summary: dict[str, Any], reference: dict[str, Any]) -> list[Check]:
    """Converged, certified, and the same posterior; or, where it may, a clear no."""
    if case in MAY_SAY_NO and summary["status"] != "converged":
        said = summary["diagnostics"]["training_ended"]
        words = f"{summary['status']}: {said or summary['certificate']['words']}"
        return [holds(f"{case}: status", words, "converged, or the reason why not", bool(said)
                      or not summary["certificate"]["passed"])]  # fmt: skip
    moved = difference(summary, reference)
    allowed = {
        name: LIMIT
        + NOISE
        * np.sqrt(sum(1.0 / s["diagnostics"]["parameters"][name]["ess"]
                      for s in (summary, reference)))
        for name in moved
    }  # fmt: skip
    worst = max(moved, key=lambda name: abs(moved[name]) / allowed[name])
    return [
        holds(f"{case}: status", summary["status"], "converged", summary["status"] == "converged"),
        at_most(f"{case}: distance from the demo's mean [sigma] ({worst})",
                abs(moved[worst]), round(float(allowed[worst]), 3)),
    ]  # fmt: skip


def reference_of(folder: Path | None, solver: str, ledger: Path | None) -> dict[str, Any]:
    """The demo's summary, of the same solver: two codes differ by more than two starts may."""
    if folder is not None:
        summary = summary_of(folder)
    elif solver == "class":
        summary = summary_of(DEMO)
    else:
        demo = {**example(), "theory": {solver: {}}}
        summary = run(demo, ROOT / "runs" / "validation" / f"demo-{solver}", ledger)
    if summary["solver"]["solver"] != solver:
        sys.exit(
            f"the reference was solved by {summary['solver']['solver']} and the cases are to be "
            f"solved by {solver}; give --from a run of the same solver, or none"
        )
    return summary


def row(case: str, summary: dict[str, Any]) -> tuple[str, ...]:
    """What the case cost."""
    calls, certificate = summary["exact_calls"], summary["certificate"]
    return (
        CASES[case][0] if case in CASES else case,
        summary["status"],
        str(calls["training_set"]),
        str(certificate["n"]),
        str(calls["failed"]),
        f"{certificate['log_weight_std']:.4f}",
        f"{certificate['ess_fraction']:.4f}",
        f"{bound(summary):.4f}",
    )


def draw(summaries: dict[str, dict[str, Any]], reference: dict[str, Any]) -> None:
    """Means and widths of every case in units of the demo's."""
    figure, axis = plt.subplots(figsize=(8, 4))
    names = [n for n, e in reference["parameters"].items() if e["kind"] == "sampled"]
    for i, (case, summary) in enumerate(summaries.items()):
        x = np.arange(len(names)) + 0.11 * (i + 1)
        moved = difference(summary, reference)
        width = [summary["parameters"][n]["std"] / reference["parameters"][n]["std"] for n in names]
        axis.errorbar(x, [moved[n] for n in names], yerr=width, fmt="o", ms=4, label=case)
    axis.errorbar(np.arange(len(names)), np.zeros(len(names)), yerr=1.0, fmt="ks", ms=4,
                  label="demo")  # fmt: skip
    axis.set_xticks(np.arange(len(names)) + 0.3, [LABELS[n] for n in names])
    axis.set_ylabel("mean and width [sigma of the demo]")
    axis.legend(ncol=4, fontsize=8)
    figure.tight_layout()
    figure.savefig(PAGES / "robustness.png", dpi=120)


def main() -> None:
    """Run the cases, compare, write."""
    parser = arguments(__doc__, solver=True)
    parser.add_argument("--from", dest="folder", type=Path, help="the demo's run, same solver")
    parser.add_argument("--only", nargs="+", choices=tuple(CASES), metavar="CASE",
                        help=f"run these only, of {', '.join(CASES)}")  # fmt: skip
    options = parser.parse_args()
    reference = reference_of(options.folder, options.solver, options.ledger)
    chosen = options.only or (["displaced"] if options.quick else list(CASES))
    summaries, checks = {}, []
    for case in CASES:
        folder = ROOT / "runs" / "validation" / f"robustness-{case}-{options.solver}"
        if case in chosen:
            summaries[case] = run(content(case, options.solver), folder, options.ledger)
        elif options.only and (folder / "summary.json").exists():
            summaries[case] = summary_of(folder)
        else:
            continue
        checks += checks_of(case, summaries[case], reference)
    missing = [case for case in CASES if case not in summaries]
    PAGES.mkdir(parents=True, exist_ok=True)
    draw(summaries, reference)
    rows = [row("the demo itself", reference)]
    rows += [row(case, summary) for case, summary in summaries.items()]
    headers = ("start", "status", "training", "certificate", "failed", "scatter of ln w",
               "ESS fraction", "largest abs(shift) + 2 errors [sigma]")  # fmt: skip
    finish(
        "robustness",
        [
            "# Robust to the start",
            f"{data_words(reference)} Solved by {versions(summaries[chosen[0]])}; the demo by "
            f"{versions(reference)}.",
            table(headers, rows),
            check_table(checks),
            *([f"Not run: {', '.join(missing)}."] if missing else []),
            "The distance of two means is allowed the limit of the certificates and three "
            "Monte-Carlo errors of the two sets of chains.",
            "![posteriors from the bad starts](robustness.png)",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
