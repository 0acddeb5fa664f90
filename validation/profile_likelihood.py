"""Profile likelihoods on the demo: emulator against exact solver, and against the posterior.

n_s in one dimension, n_s and tau_reio in two, on ``runs/planck-lcdm`` or the finished run given by
--from, into whose folder they are written. With --quick only n_s, on five points.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from common import (
    DEMO,
    PAGES,
    Check,
    arguments,
    at_most,
    check_table,
    data_words,
    finish,
    holds,
    summary_of,
    table,
    versions,
)

from volvelle.cli.profile_job import ProfileRequest, profile_run
from volvelle.report import profile_words

ONE, TWO = ("n_s",), ("n_s", "tau_reio")
POINTS = {ONE: 11, TWO: 5}
DIFFERENCE = 0.1  # of Delta chi2: what is asked of the profile, and of the run's own emulator
SLACK = 0.1  # of chi2
ROUNDS = 4


def profiled(folder: Path, names: tuple[str, ...], points: int) -> dict[str, Any]:
    """The content of a profile's file, computed now (its exact solutions may be known)."""
    request = ProfileRequest(folder, names, points, accuracy=DIFFERENCE)
    profile_run(request)
    return json.loads(request.path.read_text(encoding="utf-8"))


def checks_of(content: dict[str, Any]) -> list[Check]:
    """How exact the run's own emulator was, and the profile in the end.

    Only the first round is a blind test: a point that is found again lies next to one that the
    refitted emulator was given.
    """
    what, rounds = ", ".join(content["parameters"]), content["rounds"]
    flagged = sum(bool(point["flags"]) for point in content["points"])
    again = [
        at_most(f"{what}: the same at the end (refits: {len(rounds) - 1}; not blind)",
                content["max_difference"], DIFFERENCE)
    ] if len(rounds) > 1 else []  # fmt: skip
    return [
        at_most(f"{what}: largest abs(Delta chi2 exact - emulator), the run's emulator, blind",
                rounds[0]["max_difference"], DIFFERENCE),
        *again,
        at_most(f"{what}: largest gain of chi2 that the refitted emulator still sees",
                content["max_slack"], SLACK, 5),
        at_most(f"{what}: rounds of exact solutions", len(rounds), ROUNDS, 0),
        holds(f"{what}: flagged points", str(flagged), "0", flagged == 0),
    ]  # fmt: skip


def against_the_posterior(content: dict[str, Any], summary: dict[str, Any]) -> str:
    """Both kinds of interval; they need not agree where the posterior is not Gaussian."""
    (name,) = content["parameters"]
    own, rows = summary["parameters"][name], []
    for level, key in zip(content["levels"], ("limits_68", "limits_95"), strict=True):
        (interval,) = level["intervals"]
        profile = interval["low"], interval["high"]
        away = [(a - b) / own["std"] for a, b in zip(profile, own[key], strict=True)]
        rows.append(
            (
                f"Delta chi2 = {level['delta_chi2']:g}, {key[-2:]}%",
                *(f"[{low:.4f}, {high:.4f}]" for low, high in (profile, own[key])),
                f"{away[0]:+.3f}, {away[1]:+.3f}",
            )
        )
    return table(("", "profile", "posterior", "distance of the ends [sigma]"), rows)


def points_table(content: dict[str, Any]) -> str:
    """The points of a profile in one dimension."""
    name = content["parameters"][0]
    rows = [
        (
            f"{point['at'][0]:.5f}",
            f"{point['delta_chi2']:.3f}",
            f"{point['difference']:+.3f}",
            f"{point['slack']:.5f}",
            f"{point['parameters']['tau_reio']:.4f}",
            f"{point['parameters']['A_planck']:.4f}",
        )
        for point in content["points"]
    ]
    headers = (name, "Delta chi2 (exact)", "emulator - exact", "slack", "tau_reio", "A_planck")
    return table(headers, rows)


def main() -> None:
    """Both profiles, judged and written."""
    parser = arguments(__doc__)
    parser.add_argument("--from", dest="folder", type=Path, default=DEMO, help="a finished run")
    options = parser.parse_args()
    if options.ledger is not None:
        os.environ["VOLVELLE_LEDGER"] = str(options.ledger)
    summary = summary_of(options.folder)
    chosen = {ONE: 5} if options.quick else POINTS
    contents = {names: profiled(options.folder, names, n) for names, n in chosen.items()}
    checks = [check for content in contents.values() for check in checks_of(content)]
    PAGES.mkdir(parents=True, exist_ok=True)
    parts = [
        "# Profile likelihoods",
        f"{data_words(summary)} Solved by {versions(summary)}. The emulator is that of the run, "
        f"trained on {summary['exact_calls']['training_set']} solutions of the posterior; none "
        "of the points below was among them.",
        check_table(checks),
    ]
    for names, content in contents.items():
        picture = "profile_likelihood.png" if names == ONE else "profile_likelihood_2d.png"
        source = options.folder / f"profile_{'_'.join(names)}.png"
        (PAGES / picture).write_bytes(source.read_bytes())
        parts.append(f"## {', '.join(names)}\n\n{' '.join(profile_words(content))}")
        if len(names) == 1:
            parts += [points_table(content), against_the_posterior(content, summary)]
        parts.append(f"![profile likelihood of {', '.join(names)}]({picture})")
    finish("profile_likelihood", parts, checks)


if __name__ == "__main__":
    main()
