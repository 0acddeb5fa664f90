"""The posterior of DES Y1's 3x2pt beside the published one (arXiv:1708.01530, LCDM).

Example 9, run here unless it is there (`--from`). Its priors are flat in omega_cdm, omega_b, h,
ln A_s and m_nu, DES's in Omega_m, Omega_b, h, A_s and Omega_nu h^2: samples are weighted by the
Jacobian, A_s / h^4. What remains different: the ends of the priors, which are those of the linear
power's training (omega_cdm 0.07 to 0.2, omega_b 0.017 to 0.028, m_nu to 0.6 eV), the curved sky,
and halofit of a spectrum with one massive neutrino. Writes docs/validation/des_y1_posterior.md with
its figure.
"""

from __future__ import annotations

from dataclasses import replace
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

from volvelle.report import Chain, overlay, read_chain

PUBLISHED = {"S8": (0.773, 0.026, 0.020), "Omega_m": (0.267, 0.030, 0.017)}
"""Mean, and distances to the upper and lower ends of 68%."""
LIMIT, MINUTES, LENGTH = 0.5, 45.0, 457
SHOWN = ("Omega_m", "sigma8", "S8", "h", "A_IA")


def interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Weighted mean and the central 68.3%."""
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / np.sum(weights)
    low, high = values[order][np.searchsorted(share, (0.1585, 0.8415))]
    return float(np.average(values, weights=weights)), float(low), float(high)


def weighted(chain: Chain, weights: np.ndarray) -> Chain:
    """The same samples with other weights."""
    return replace(chain, weights=weights)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--from", dest="folder", type=Path, help="folder of the run")
    given = parser.parse_args()
    content = yaml.safe_load((ROOT / "examples" / "09_des_y1_3x2pt.yaml").read_text())
    folder = given.folder or ROOT / "runs" / "des-y1-3x2pt"
    summary = summary_of(folder) if given.folder else run(content, folder, given.ledger)
    chain = read_chain(folder, "reweighted")
    jacobian = np.exp(chain.column("ln10A_s")) / chain.column("h") ** 4
    weights = chain.weights * jacobian
    checks: list[Check] = []
    rows = []
    for name, (mean, above, below) in PUBLISHED.items():
        found, low, high = interval(chain.column(name), weights)
        plain, _, _ = interval(chain.column(name), chain.weights)
        sigma = 0.5 * (above + below)
        off = abs(found - mean) / sigma
        checks.append(at_most(f"{name} off the published one [sigma]", off, LIMIT))
        rows.append(
            [name, f"{mean:.3f} +{above:.3f} -{below:.3f}",
             f"{found:.3f} +{high - found:.3f} -{found - low:.3f}", f"{plain:.3f}"]
        )  # fmt: skip
    minutes = sum(summary["seconds"].values()) / 60.0
    checks.append(at_most("minutes on this machine", minutes, MINUTES, 1))
    effective = np.sum(weights) ** 2 / np.sum(weights**2)
    chi2 = sum(summary["best_fit"]["chi2"].values())
    figure = overlay(
        {"as sampled": chain, "DES's priors": weighted(chain, weights)}, SHOWN,
        truth={name: value[0] for name, value in PUBLISHED.items()},
    )  # fmt: skip
    figure.savefig(PAGES / "des_y1_posterior.png", dpi=120)
    diagnostics, certificate = summary["diagnostics"], summary["certificate"]
    parts = [
        "# DES Y1 3x2pt: the posterior beside the published one",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        check_table(checks),
        table(["", "published", "here, DES's priors", "here, as sampled"], rows),
        f"Status: {summary['status']}. Best fit: chi2 = {chi2:.1f} of {LENGTH} data. Worst R-hat "
        f"{diagnostics['r_hat_max']:.4f}, smallest effective sample size "
        f"{diagnostics['ess_min']:.0f}, {diagnostics['gradients']} gradients, "
        f"{diagnostics['divergences']} divergences; "
        f"{100.0 * effective / len(weights):.0f}% of the samples are left by the weights. "
        f"Certificate: {certificate['words']}",
        "![Contours of 68% and 95%; crosses: published means](des_y1_posterior.png)",
    ]
    finish("des_y1_posterior", parts, checks)


if __name__ == "__main__":
    main()
