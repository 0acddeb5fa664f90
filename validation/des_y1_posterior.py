"""The posterior of DES Y1's 3x2pt beside the published one (arXiv:1708.01530, LCDM).

Example 22, run here unless it is there (`--from`): the priors of the published analysis, samples by
the learned linear power and what it goes on with beyond its box, weights by CLASS's own. Means are
compared with what is published, and so are peaks: a published interval as lopsided as that of
Omega_m is one around a peak, and the shortest interval of 68% here is beside it. What remains
different: the curved sky, and halofit of a spectrum with one massive neutrino. Writes
docs/validation/des_y1_posterior.md with its figure.
"""

from __future__ import annotations

from pathlib import Path

from common import (  # isort: skip
    PAGES,
    ROOT,
    Check,
    arguments,
    at_most,
    check_table,
    finish,
    run,
    summary_of,
    table,
)

import numpy as np
import yaml
from scipy.stats import gaussian_kde

from volvelle.report import Chain, overlay, read_chain
from volvelle.training.linear_power_design import (
    BOX,
)

PUBLISHED = {"S8": (0.773, 0.026, 0.020), "Omega_m": (0.267, 0.030, 0.017)}
"""Mean, and distances to the upper and lower ends of 68%."""
LIMIT, MINUTES, LENGTH = 0.5, 45.0, 457
SMOOTHING = 0.25  # of the density, in standard deviations
EV = 93.14  # [eV] of a mass over omega_nu
SHOWN = ("Omega_m", "sigma8", "S8", "h", "A_IA")


def interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Weighted mean and the central 68.3%."""
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / np.sum(weights)
    low, high = values[order][np.searchsorted(share, (0.1585, 0.8415))]
    return float(np.average(values, weights=weights)), float(low), float(high)


def around_peak(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Peak of the smoothed density, and the ends of the shortest interval with 68.3%."""
    grid = np.linspace(values.min(), values.max(), 2000)
    density = gaussian_kde(values, weights=weights, bw_method=SMOOTHING)(grid)
    falling = np.argsort(density)[::-1]
    share = np.cumsum(density[falling]) / np.sum(density)
    inside = grid[falling[: np.searchsorted(share, 0.683) + 1]]
    return float(grid[falling[0]]), float(inside.min()), float(inside.max())


def in_box(chain: Chain) -> np.ndarray:
    """Which samples are within the box of the linear power's training [n]."""
    h2 = chain.column("h") ** 2
    neutrinos = chain.column("omega_nu")
    values = {
        "omega_b": chain.column("Omega_b") * h2,
        "omega_cdm": (chain.column("Om") - chain.column("Omega_b")) * h2 - neutrinos,
        "m_nu": EV * neutrinos,
    }
    edges = {name: BOX[name] for name in values}
    return np.all([(values[n] >= low) & (values[n] <= high) for n, (low, high) in edges.items()], 0)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--from", dest="folder", type=Path, help="folder of the run")
    given = parser.parse_args()
    content = yaml.safe_load((ROOT / "examples" / "22_des_y1_own_priors.yaml").read_text())
    folder = given.folder or ROOT / "runs" / "des-y1-own-priors"
    summary = summary_of(folder) if given.folder else run(content, folder, given.ledger)
    chain, sampled = read_chain(folder, "reweighted"), read_chain(folder, "emulator")
    within = in_box(chain)
    checks: list[Check] = []
    rows = []
    for name, (mean, above, below) in PUBLISHED.items():
        found, low, high = interval(chain.column(name), chain.weights)
        plain, _, _ = interval(sampled.column(name), sampled.weights)
        inside, _, _ = interval(chain.column(name)[within], chain.weights[within])
        off = abs(found - mean) / (0.5 * (above + below))
        checks.append(at_most(f"{name} off the published one [sigma]", off, LIMIT))
        top, left, right = around_peak(chain.column(name), chain.weights)
        off = abs(top - mean) / (0.5 * (above + below))
        checks.append(at_most(f"{name}, its peak off the published one [sigma]", off, LIMIT))
        rows.append(
            [name, f"{mean:.3f} +{above:.3f} -{below:.3f}",
             f"{found:.3f} +{high - found:.3f} -{found - low:.3f}",
             f"{top:.3f} +{right - top:.3f} -{top - left:.3f}", f"{plain:.3f}", f"{inside:.3f}"]
        )  # fmt: skip
    minutes = sum(summary["seconds"].values()) / 60.0
    checks.append(at_most("minutes on this machine", minutes, MINUTES, 1))
    share = float(np.sum(chain.weights[within]) / np.sum(chain.weights))
    chi2 = sum(summary["best_fit"]["chi2"].values())
    figure = overlay(
        {"as sampled": sampled, "weighted by CLASS": chain}, SHOWN,
        truth={name: value[0] for name, value in PUBLISHED.items()},
    )  # fmt: skip
    figure.savefig(PAGES / "des_y1_posterior.png", dpi=120)
    diagnostics, certificate = summary["diagnostics"], summary["certificate"]
    parts = [
        "# DES Y1 3x2pt: the posterior beside the published one",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        check_table(checks),
        table(
            [
                "",
                "published",
                "mean here",
                "peak here",
                "mean before CLASS's weights",
                "mean within the box",
            ],
            rows,
        ),
        f"Status: {summary['status']}. Best fit: chi2 = {chi2:.1f} of {LENGTH} data. Worst R-hat "
        f"{diagnostics['r_hat_max']:.4f}, smallest effective sample size "
        f"{diagnostics['ess_min']:.0f}, {diagnostics['gradients']} gradients, "
        f"{diagnostics['divergences']} divergences; "
        f"{100.0 * share:.0f}% of the probability lies within the box of the training. "
        f"Certificate: {certificate['words']}",
        "![Contours of 68% and 95%; crosses: published means](des_y1_posterior.png)",
    ]
    finish("des_y1_posterior", parts, checks)


if __name__ == "__main__":
    main()
