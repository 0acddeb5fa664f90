"""The evidence of wCDM against LCDM by two methods, as example 15 has it.

DESI DR2 BAO and Union3 supernovae; nested sampling from the prior, and bridge sampling of NUTS's
chains, both corrected by the mean weight of fresh exact solutions. Runs what is missing in
runs/lcdm-or-wcdm. Writes docs/validation/evidence.md. Minutes on two cores.
"""

from __future__ import annotations

import runpy

from common import ROOT, Check, arguments, at_most, check_table, finish, holds, table

from volvelle.inference import Evidence

LIMIT = 2.0
"""Errors of both by which two methods may differ."""


def main() -> None:
    """Run what is missing, compare, write."""
    arguments(__doc__).parse_args()
    example = runpy.run_path(str(ROOT / "examples" / "15_lcdm_or_wcdm.py"))
    models, ways, folder = example["MODELS"], example["WAYS"], ROOT / "runs" / "lcdm-or-wcdm"
    found, checks = {}, []
    for model in models:
        for way in ways:
            found[model, way], good = example["evidence"](model, way, folder)
            words = "usable" if good else "not converged, or refused by its certificate"
            checks.append(holds(f"run of {model} by {way}", words, "usable", good))
    rows = []
    for model in models:
        one, other = (found[model, way] for way in ways)
        rows.append([f"ln Z, {model}", *_both(one, other)])
        checks.append(_apart(f"ln Z of {model}", one, other))
    one, other = (found["wCDM", way].against(found["LCDM", way]) for way in ways)
    rows.append(["ln B, wCDM against LCDM", *_both(one, other)])
    checks.append(_apart("ln B", one, other))
    finish(
        "evidence",
        [
            "# Evidence by two methods",
            (__doc__ or "").split("\n\n", 1)[1].strip(),
            check_table(checks),
            table(["", *(str(way) for way in ways)], rows),
            "w0 is flat from -2 to -1/3; a prior twice as wide costs wCDM ln 2.",
        ],
        checks,
    )


def _both(*values: Evidence) -> list[str]:
    return [f"{each.log_z:+.3f} ± {each.error:.3f}" for each in values]


def _apart(what: str, one: Evidence, other: Evidence) -> Check:
    errors = abs(one.log_z - other.log_z) / (one.error**2 + other.error**2) ** 0.5
    return at_most(f"{what}: apart [errors of both]", errors, LIMIT)


if __name__ == "__main__":
    main()
