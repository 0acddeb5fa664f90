"""What a warm start saves: a sum of neutrino masses added to a model that was learned without it.

    python validation/warm_start.py --solver camb

Example 1 is run (or read, --from); then the same with the sum of the neutrino masses free, once
from its solutions and once from nothing. Writes docs/validation/warm_start.md (warm_start_camb with
CAMB).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import (
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

LIMIT = 0.05  # [sigma] |shift| + 2 errors
AGREEMENT = 4.0  # Monte-Carlo errors that two chains' means may differ by
ADDED = {"prior": {"min": 0.0, "max": 1.5}, "ref": {"loc": 0.1, "scale": 0.1}}


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Largest difference of the means of two certified posteriors, in its own error."""
    found = []
    for name, a in one["parameters"].items():
        b = other["parameters"][name]
        if a["std"] == 0.0:
            continue
        error = sum(
            (summary["certificate"]["parameters"][name]["mean_shift_error"]) ** 2
            + 1.0 / summary["diagnostics"]["ess_min"]
            for summary in (one, other)
        )
        found.append(abs(a["mean"] - b["mean"]) / a["std"] / error**0.5)
    return max(found)


def row(name: str, summary: dict[str, Any]) -> tuple[str, ...]:
    """A line of the table."""
    calls = summary["exact_calls"]
    m_nu = summary["parameters"].get("m_nu")
    return (
        name,
        str(calls["reused"]),
        str(calls["training"]),
        str(calls["certificate"]),
        f"{bound(summary):.3f}",
        f"{m_nu['limits_95'][1]:.3f}" if m_nu else "",
    )


def main() -> None:
    """Run, compare, write."""
    parser = arguments(__doc__, solver=True)
    parser.add_argument("--from", dest="folder", type=Path, help="a finished run of example 1")
    given = parser.parse_args()
    content = {**example(), "theory": {given.solver: {}}}
    work = ROOT / "runs" / "validation"
    first = given.folder or work / f"warm-start-{given.solver}-first"
    base = summary_of(first) if given.folder else run(content, first, given.ledger)
    larger = {**content, "params": {**content["params"], "m_nu": ADDED}}
    # from nothing first: a ledger's solutions are new to a run that asks for them by itself
    cold = run(larger, work / f"warm-start-{given.solver}-cold", given.ledger)
    larger["emulator"] = {**content.get("emulator", {}), "warm_start": [str(first.resolve())]}
    warm = run(larger, work / f"warm-start-{given.solver}-warm", given.ledger)
    used, needed = warm["exact_calls"]["training"], cold["exact_calls"]["training"]
    checks: list[Check] = [
        holds("new solutions for training, warm against cold", f"{used} : {needed}", "fewer",
              used < needed),
        at_most("warm: largest abs(shift) + 2 errors [sigma]", bound(warm), LIMIT),
        at_most("cold: largest abs(shift) + 2 errors [sigma]", bound(cold), LIMIT),
        at_most("difference of the two posteriors' means [errors]", difference(warm, cold),
                AGREEMENT, digits=1),
    ]  # fmt: skip
    head = ("", "solutions reused", "new for training", "for the certificate")
    head += ("largest shift + 2 errors [sigma]", "m_nu, 95% [eV]")
    rows = [
        row("LCDM, from nothing", base),
        row("with m_nu, from nothing", cold),
        row("with m_nu, from the LCDM run", warm),
    ]
    finish(
        "warm_start" if given.solver == "class" else f"warm_start_{given.solver}",
        [
            "# A parameter added to a learned model",
            f"{versions(base)}, example 1 with and without the sum of the neutrino masses as a "
            f"parameter. {data_words(base)} Both runs with it end in a certificate of their own. "
            "What the ledger had from other runs of the same model counts as reused.",
            table(head, rows),
            check_table(checks),
        ],
        checks,
    )


if __name__ == "__main__":
    main()
