"""Profile likelihoods in the report: every one in the run's folder, as words, figure and table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from .errors import MissingFileError
from .labels import label_html
from .numbers import MISSING, decimals, fixed, significant
from .pages import inlined, read_content
from .profile import profile_figure, profile_words
from .record import is_finite

PATTERN = "profile_*.json"
KEYS = (
    "parameters",
    "simulated",
    "priors_left_out",
    "accuracy",
    "met",
    "axes",
    "best_fit",
    "points",
    "levels",
    "max_difference",
    "max_slack",
    "rounds",
)
SHARE_OF_STEP = 0.1  # of the grid's spacing: what the digits of a point show


def profile_sections(folder: Path, summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What the page shows of every profile, those of one parameter first.

    Raises ReportError when a file is damaged.
    """
    contents = [
        (path, read_content(path, KEYS, "profile")) for path in sorted(Path(folder).glob(PATTERN))
    ]
    contents.sort(key=lambda pair: len(pair[1]["parameters"]))
    return [_section(Path(folder), path, content, summary) for path, content in contents]


def _section(
    folder: Path, path: Path, content: dict[str, Any], summary: dict[str, Any]
) -> dict[str, Any]:
    names = content["parameters"]
    entries = summary["parameters"]
    labels = [Markup(label_html(entries.get(n, {}).get("label") or n, n)) for n in names]
    try:
        figure, note = inlined(profile_figure(folder, path), "svg"), ""
    except MissingFileError as error:
        figure, note = "", str(error)
    return {
        "name": ", ".join(names),
        "labels": labels,
        "met": content["met"] is True,
        "sentences": profile_words({**content, "simulated": False}),  # the page has its banner
        "figure": figure,
        "note": note,
        "file": path.name,
        "others": [n for n in content["best_fit"]["parameters"] if n not in names],
        "rows": _points(content, summary) if len(names) == 1 else [],
    }


def _points(content: dict[str, Any], summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Every point of a profile in one parameter, with the others at its maximum."""
    (name,), (axis,) = content["parameters"], content["axes"]
    places = decimals(SHARE_OF_STEP * abs(axis[-1] - axis[0]) / max(len(axis) - 1, 1))
    entries = summary["parameters"]
    others = [n for n in content["best_fit"]["parameters"] if n != name]
    digits = {n: decimals(entries.get(n, {}).get("std", 0.0)) for n in others}
    rows = []
    for point in content["points"]:
        difference = point["difference"]
        sign = "+" if is_finite(difference) and difference > 0 else ""
        rows.append(
            {
                "at": fixed(point["at"][0], places),
                "delta_chi2": fixed(point["delta_chi2"], 3),
                "difference": sign + fixed(difference, 3),
                "slack": significant(point["slack"], 2),
                "others": [fixed(point["parameters"].get(n), digits[n]) for n in others],
                "flags": "; ".join(point["flags"]) or MISSING,
                "bad": bool(point["flags"]),
            }
        )
    return rows
