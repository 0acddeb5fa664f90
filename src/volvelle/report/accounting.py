"""What the run cost: the error against the number of exact solutions, and where the time went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .errors import MissingFileError
from .numbers import duration
from .record import is_finite, read_history, read_summary
from .style import (
    BAD,
    EMULATED,
    EXACT,
    GOOD,
    INK,
    QUIET,
    in_house_style,
    new_figure,
    quiet_frame,
)
from .words import largest_shift

# A shift of exactly zero has no place on a logarithmic axis.
SMALLEST_SHOWN = 1e-4


@in_house_style
def history(folder: Path) -> Figure:
    """Error in sigma and held-out scatter of the log-likelihood against exact solutions."""
    rows = read_history(Path(folder))
    if not rows:
        raise MissingFileError(f"{Path(folder) / 'history.json'} holds no iteration")
    summary = read_summary(Path(folder))
    figure = new_figure(8.2, 3.3, bool(summary.get("simulated")))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.09, right=0.975, top=0.87, bottom=0.155)
    calls = np.array([row["exact_calls_total"] for row in rows], float)
    _series(axes, calls, rows, "posterior_shift_sigma", "o", EXACT,
            r"posterior shift between iterations [$\sigma$]")  # fmt: skip
    _series(axes, calls, rows, "held_out_log_likelihood_scatter", "s", EMULATED,
            r"held-out scatter of $\ln L$")  # fmt: skip
    certificate = summary.get("certificate") or {}
    _certified(axes, calls[-1], certificate)
    limit = certificate.get("limit_sigma")
    if is_finite(limit):
        axes.axhline(limit, color=QUIET, linewidth=0.9, dashes=(5, 3))
        axes.annotate(
            rf"requested: {limit:g} $\sigma$", (0.012, limit), xycoords=("axes fraction", "data"),
            ha="left", va="top", fontsize=8, color="#4c5966", xytext=(0, -2),
            textcoords="offset points",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("exact solutions used for training")
    axes.set_ylabel("error")
    low, high = calls.min(), calls.max()
    margin = 0.06 * (high - low) if high > low else 0.1 * high + 1
    axes.set_xlim(low - margin, high + 1.6 * margin)
    quiet_frame(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, borderaxespad=0.1,
                columnspacing=1.2, handletextpad=0.5)  # fmt: skip
    return figure


def _series(
    axes: Axes,
    calls: np.ndarray,
    rows: list[dict[str, Any]],
    key: str,
    marker: str,
    color: str,
    label: str,
) -> None:
    values = [row.get(key) for row in rows]
    here = np.array([is_finite(value) and value > 0 for value in values])
    if here.any():
        shown = np.array([v for v, use in zip(values, here, strict=True) if use], float)
        axes.plot(calls[here], shown, marker=marker, markersize=4.5, color=color, label=label)


def _certified(axes: Axes, calls: float, certificate: dict[str, Any]) -> None:
    worst = largest_shift(certificate)
    if worst is None:
        return
    _, shift, error = worst
    color = GOOD if certificate.get("passed") is True else BAD
    centre = max(shift, SMALLEST_SHOWN)
    low = max(centre - error, SMALLEST_SHOWN / 2)
    axes.errorbar(
        [calls], [centre], [[centre - low], [error]], fmt="*", markersize=11, color=color,
        elinewidth=1.3, capsize=3, label=r"certified shift [$\sigma$]", zorder=5,
    )  # fmt: skip


@in_house_style
def timing(folder: Path) -> Figure:
    """Where the time went: one bar for each stage of the run."""
    summary = read_summary(Path(folder))
    stages = {n: float(s) for n, s in (summary.get("seconds") or {}).items() if is_finite(s)}
    total = stages.pop("total", None)
    if not stages:
        raise MissingFileError(f"{Path(folder) / 'summary.json'} has no 'seconds' per stage")
    whole = total if total is not None else sum(stages.values())
    height = 0.34 * len(stages) + 0.95
    figure = new_figure(8.2, height, bool(summary.get("simulated")))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.2, right=0.84, top=1 - 0.4 / height, bottom=0.45 / height)
    names = list(stages)
    axes.barh(range(len(names)), list(stages.values()), height=0.62, color="#5c93c4")
    longest = max(max(stages.values()), 1e-9)
    for place, seconds in enumerate(stages.values()):
        share = f"  ({100 * seconds / whole:.0f}%)" if whole > 0 else ""
        axes.text(
            seconds + 0.012 * longest, place, duration(seconds) + share, va="center", color=INK,
            fontsize=8.5,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, longest)
    axes.set_xlabel("wall-clock time [s]")
    axes.set_title(f"{duration(whole)} in all", loc="left")
    quiet_frame(axes)
    axes.tick_params(axis="y", length=0)
    return figure
