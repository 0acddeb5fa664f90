"""One file for galaxies, shear, the CMB, BAO and supernovae: the joint analysis of example 14.

It starts from the solutions of example 1, which is run first unless it is there. Both posteriors
are certified by CLASS. Writes docs/validation/joint.md and .png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from common import (
    DEMO,
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

from volvelle.report import overlay, read_chain

JOINT = ROOT / "examples" / "14_des_planck_bao_sn.yaml"
LIMIT = 0.05  # [sigma] |shift| + 2 errors
SHOWN = ("omega_b", "omega_cdm", "H0", "n_s", "ln10A_s", "tau_reio", "Omega_m", "sigma8", "S8")
DRAWN = ("Omega_m", "sigma8", "S8", "H0")


def checks_of(what: str, summary: dict[str, Any]) -> list[Check]:
    """Converged, and certified."""
    status = summary["status"]
    return [
        holds(f"{what}: status", status, "converged", status == "converged"),
        at_most(f"{what}: largest abs(shift) + 2 errors [sigma]", bound(summary), LIMIT),
    ]


def cost_of(what: str, summary: dict[str, Any]) -> str:
    """What it took."""
    calls, diagnostics = summary["exact_calls"], summary["diagnostics"]
    minutes = sum(summary["seconds"].values()) / 60.0
    return (
        f"{what}: {data_words(summary)} {versions(summary)}; exact solutions: {calls['training']} "
        f"new for training, {calls['reused']} reused, {calls['certificate']} for the certificate; "
        f"{minutes:.0f} minutes of a shared machine of two cores; worst R-hat "
        f"{diagnostics['r_hat_max']:.4f}, smallest effective sample size "
        f"{diagnostics['ess_min']:.0f}. {summary['certificate']['words']}"
    )


def limits(summary: dict[str, Any], name: str) -> str:
    """Mean and standard deviation."""
    entry = summary["parameters"].get(name)
    return "" if entry is None else f"{entry['mean']:.5g} ± {entry['std']:.2g}"


def main() -> None:
    """Run or read, check, draw, write."""
    parser = arguments(__doc__)
    parser.add_argument("--demo", type=Path, default=DEMO, help="folder of example 1")
    given = parser.parse_args()
    alone = run(example(), given.demo, given.ledger)
    content = yaml.safe_load(JOINT.read_text(encoding="utf-8"))
    content["emulator"]["warm_start"] = [str(given.demo.resolve())]
    folder = ROOT / content["output"]
    joint = run(content, folder, given.ledger)
    figure = overlay(
        {"Planck": read_chain(given.demo, "reweighted"), "joint": read_chain(folder, "reweighted")},
        DRAWN,
    )
    figure.savefig(PAGES / "joint.png", dpi=120)
    checks = [*checks_of("example 1", alone), *checks_of("example 14", joint)]
    rows = [(name, limits(alone, name), limits(joint, name)) for name in SHOWN]
    chi2 = joint["best_fit"]["chi2"]
    parts = [
        "# DES, Planck, BAO and supernovae in one file",
        check_table(checks),
        table(("", "example 1: Planck", "example 14: joint"), rows),
        "chi2 at the best fit of all: "
        + ", ".join(f"{name} {value:.1f}" for name, value in chi2.items())
        + ".",
        cost_of("Example 1", alone),
        cost_of("Example 14", joint),
        "![Contours of 68% and 95%](joint.png)",
    ]
    finish("joint", parts, checks)


if __name__ == "__main__":
    main()
