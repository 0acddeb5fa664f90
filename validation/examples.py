"""The examples after the first: other data with the demo's solutions, and two more parameters.

Example 2 starts from the demo's ledger and emulator and must train further only if its certificate
asks for it; example 3 samples the neutrinos' mass and number. Runs that are there are only read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import (
    DEMO,
    ROOT,
    Check,
    arguments,
    at_most,
    bound,
    check_table,
    data_words,
    finish,
    holds,
    summary_of,
    table,
    versions,
)

import volvelle

EXAMPLES = {
    2: (ROOT / "examples" / "02_planck_bao_sn.yaml", ROOT / "runs" / "planck-bao-sn"),
    3: (ROOT / "examples" / "03_nu_mass_neff.yaml", ROOT / "runs" / "nu-mass-neff"),
}
LIMIT = 0.05  # [sigma] |shift| + 2 errors
SHOWN = ("omega_b", "omega_cdm", "H0", "Omega_m", "sigma8", "S8", "m_nu", "N_eff")


def made(number: int, folder: Path | None) -> dict[str, Any]:
    """The summary of an example, run now if it was not."""
    file, usual = EXAMPLES[number]
    folder = folder or usual
    if not (folder / "summary.json").exists():
        volvelle.run(file)
    return summary_of(folder)


def checks_of(number: int, summary: dict[str, Any]) -> list[Check]:
    """Converged and certified; the second without solutions that the certificate did not want."""
    what, calls = f"example {number}", summary["exact_calls"]
    checks = [
        holds(f"{what}: status", summary["status"], "converged", summary["status"] == "converged"),
        at_most(f"{what}: largest abs(shift) + 2 errors [sigma]", bound(summary), LIMIT),
    ]
    if number == 2:
        checks.append(
            holds(f"{what}: new solutions for training", str(calls["training"]), "0",
                  calls["training"] == 0)
        )  # fmt: skip
    return checks


def words_of(number: int, summary: dict[str, Any]) -> str:
    """A section: what it cost, and the posterior."""
    calls = summary["exact_calls"]
    rows = []
    for name in (name for name in SHOWN if name in summary["parameters"]):
        entry = summary["parameters"][name]
        low, high = entry["limits_95"]
        rows.append((name, f"{entry['mean']:.5g} ± {entry['std']:.2g}", f"[{low:.5g}, {high:.5g}]"))
    return "\n\n".join(
        [
            f"## Example {number}",
            f"{data_words(summary)} Solved by {versions(summary)}. Exact solutions: "
            f"{calls['training']} new for training, {calls['reused']} reused, "
            f"{calls['certificate']} for the certificate, {calls['failed']} failed. "
            f"{summary['certificate']['words']}",
            table(("parameter", "mean ± sigma", "95%"), rows),
        ]
    )


def main() -> None:
    """Read or run, check, write."""
    parser = arguments(__doc__)
    parser.add_argument("--second", type=Path, help="a finished run of example 2")
    parser.add_argument("--third", type=Path, help="a finished run of example 3")
    options = parser.parse_args()
    second = options.second or EXAMPLES[2][1]
    if not (second / "summary.json").exists() and not (DEMO / "summary.json").exists():
        raise SystemExit("example 2 starts from the demo: run `make demo` first")
    folders = {2: options.second, 3: options.third}
    summaries = {number: made(number, folder) for number, folder in folders.items()}
    checks = [c for number, summary in summaries.items() for c in checks_of(number, summary)]
    sections = [words_of(number, summary) for number, summary in summaries.items()]
    finish("examples", ["# The other examples", check_table(checks), *sections], checks)


if __name__ == "__main__":
    main()
