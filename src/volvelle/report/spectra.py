"""Data against theory: CMB bandpowers, BAO and supernova distances, with their residuals."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from .errors import MissingFileError
from .record import read_bandpowers, read_best_fit, read_distances, read_summary
from .style import BAD, EXACT, INK, PALETTE, QUIET, RULE, in_house_style, new_figure

SPECTRA = ("TT", "TE", "EE", "BB")
UPPER_CASE = {"tt": "TT", "te": "TE", "ee": "EE", "bb": "BB"}
# Planck's own figures change from a logarithmic to a linear axis here.
LOG_TO_LINEAR = 30
# Share of the axis left of LOG_TO_LINEAR when the linear part reaches to l = 2500.
LOG_SHARE = 0.22
LINEAR_REACH = 2500
# More bins than this hide each other: averages of neighbours are drawn on top.
CROWDED = 80
AVERAGES = 42
# The residual panels end here [sigma].
RESIDUAL_REACH = 3.9
RATIOS = ("DM_over_rs", "DH_over_rs", "DV_over_rs")
QUANTITY_LABELS = {
    "DM_over_rs": r"$D_M/r_\mathrm{d}$",
    "DH_over_rs": r"$D_H/r_\mathrm{d}$",
    "DV_over_rs": r"$D_V/r_\mathrm{d}$",
    "mu": r"distance modulus $\mu$",
    "magnitude": "magnitude",
}
TICKS = (2, 10, 30, 500, 1000, 1500, 2000, 2500, 3000)


def spectrum_of(name: str) -> str | None:
    """TT, TE, EE or BB in the name of a set of bandpowers (`lensed_tt`, `low-l TT`), or None."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((UPPER_CASE[word] for word in words if word in UPPER_CASE), None)


@in_house_style
def spectra(folder: Path) -> Figure:
    """Bandpowers D_l = l(l+1)C_l/2pi [muK^2] with the best-fit theory, and residuals in sigma.

    The axis of l is logarithmic to l = 30 and linear above.
    """
    folder = Path(folder)
    sets: dict[str, list[dict[str, np.ndarray]]] = {}
    for name, block in read_bandpowers(folder).items():
        kind = spectrum_of(name)
        if kind is not None:
            sets.setdefault(kind, []).append(block)
    kinds = [kind for kind in SPECTRA if kind in sets]
    if not kinds:
        raise MissingFileError(f"{folder / 'bandpowers.json'} holds no TT, TE, EE or BB bandpowers")
    try:
        theory = read_best_fit(folder)
    except MissingFileError:
        theory = {}
    every = [block for kind in kinds for block in sets[kind]]
    height = 2.75 * len(kinds) + 0.75
    figure = new_figure(8.2, height, bool(read_summary(folder).get("simulated")))
    outer = figure.add_gridspec(
        len(kinds), 1, left=0.095, right=0.985, top=1 - 0.42 / height, bottom=0.5 / height,
        hspace=0.2,
    )  # fmt: skip
    for number, kind in enumerate(kinds):
        upper, lower = outer[number].subgridspec(2, 1, height_ratios=(2.6, 1), hspace=0.05)
        above, below = figure.add_subplot(upper), figure.add_subplot(lower)
        _spectrum(above, kind, sets[kind], theory.get(f"lensed_{kind.lower()}"))
        _residual(below, sets[kind])
        for axes in (above, below):
            _multipole_axis(axes, every, labelled=axes is below)
        if number == len(kinds) - 1:
            below.set_xlabel(r"multipole $\ell$")
        if number == 0:
            above.legend(
                loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.2,
                handletextpad=0.5, columnspacing=1.4,
            )  # fmt: skip
    return figure


def _spectrum(
    axes: Axes, kind: str, sets: list[dict[str, np.ndarray]], c_l: np.ndarray | None
) -> None:
    for block in sets:
        _points(axes, block["l"], block["D_l"], block["sigma"])
    reach = max(block["l"].max() for block in sets)
    if c_l is not None:
        multipole = np.arange(2, min(len(c_l), int(reach * 1.02) + 1))
        d_l = multipole * (multipole + 1) * c_l[multipole] / (2 * math.pi)
        axes.plot(multipole, d_l, color=BAD, linewidth=1.1, zorder=4, label="exact best fit")
    else:
        for number, block in enumerate(sets):
            axes.plot(
                block["l"], block["model"], color=BAD, linewidth=1.1, zorder=4,
                label="best fit, binned" if number == 0 else None,
            )  # fmt: skip
    axes.set_ylabel(rf"$D_\ell^{{{kind}}}$ [$\mu$K$^2$]")
    axes.axhline(0, color=RULE, linewidth=0.7, zorder=0)
    low, high = _visible_range(sets)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(6))


def _visible_range(sets: list[dict[str, np.ndarray]]) -> tuple[float, float]:
    """The range of the model and of the better-measured points, noisy bins left out."""
    model = np.concatenate([block["model"] for block in sets])
    data = np.concatenate([block["D_l"] for block in sets])
    error = np.concatenate([np.atleast_2d(block["sigma"]).mean(axis=0) for block in sets])
    clear = error < 0.15 * np.ptp(model) if np.ptp(model) > 0 else np.ones_like(error, bool)
    shown = np.concatenate([model, data[clear]])
    span = np.ptp(shown) or 1.0
    low = shown.min() - 0.09 * span
    return (max(low, -0.04 * span) if model.min() >= 0 else low), shown.max() + 0.1 * span


def _points(axes: Axes, x: np.ndarray, y: np.ndarray, error: np.ndarray) -> None:
    crowded = len(x) > CROWDED
    axes.errorbar(
        x, y, error, fmt="o", markersize=1.2 if crowded else 3.5, color=QUIET if crowded else EXACT,
        elinewidth=0.4 if crowded else 0.9, alpha=0.55 if crowded else 1.0, zorder=1,
        label="bandpowers" if crowded or x.max() > LOG_TO_LINEAR else r"low-$\ell$ bins",
    )  # fmt: skip
    if crowded:
        centre, mean, spread = _averages(x, y, error)
        axes.errorbar(
            centre, mean, spread, fmt="o", markersize=2.8, color=EXACT, elinewidth=0.9, zorder=3,
            label="averages of neighbouring bins (for the eye)",
        )  # fmt: skip


def _averages(
    x: np.ndarray, y: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse-variance means of groups of neighbours, their correlation neglected."""
    weight = 1 / np.atleast_2d(error).mean(axis=0) ** 2
    groups = np.array_split(np.arange(len(x)), AVERAGES)
    total = np.array([weight[g].sum() for g in groups])
    centre = np.array([(weight[g] * x[g]).sum() for g in groups]) / total
    mean = np.array([(weight[g] * y[g]).sum() for g in groups]) / total
    return centre, mean, total**-0.5


def _residual(axes: Axes, sets: list[dict[str, np.ndarray]]) -> None:
    for level, shade in ((2, 0.10), (1, 0.16)):
        axes.axhspan(-level, level, color=INK, alpha=shade / 2, linewidth=0, zorder=0)
    axes.axhline(0, color=BAD, linewidth=0.9, zorder=2)
    for block in sets:
        below, above = np.broadcast_to(np.atleast_2d(block["sigma"]), (2, len(block["l"])))
        offset = block["D_l"] - block["model"]
        pull = offset / np.where(offset > 0, below, above)
        crowded = len(pull) > CROWDED
        axes.plot(
            block["l"], pull, "o", markersize=1.7 if crowded else 3.5,
            color=QUIET if crowded else EXACT, alpha=0.8, zorder=1, markeredgewidth=0,
        )  # fmt: skip
        if crowded:
            ones = np.ones_like(pull)
            centre, mean, spread = _averages(block["l"], pull, ones)
            axes.errorbar(
                centre, mean, spread, fmt="o", markersize=2.5, color=EXACT, elinewidth=0.9, zorder=3
            )
        _beyond(axes, block["l"], pull)
    axes.set_ylim(-RESIDUAL_REACH, RESIDUAL_REACH)
    axes.set_yticks([-2, 0, 2])
    axes.set_ylabel(r"$\Delta D_\ell/\sigma$")


def _beyond(axes: Axes, x: np.ndarray, pull: np.ndarray) -> None:
    """Arrows at the edge for residuals that lie outside the panel."""
    for sign, marker in ((1, "^"), (-1, "v")):
        far = x[sign * pull > RESIDUAL_REACH]
        edge = np.full(len(far), sign * (RESIDUAL_REACH - 0.5))
        axes.plot(far, edge, marker, color=BAD, markersize=4.5, markeredgewidth=0, zorder=5)


def _multipole_axis(axes: Axes, sets: list[dict[str, np.ndarray]], labelled: bool) -> None:
    """An axis of l that is logarithmic below 30 (when there are data there) and linear above."""
    low = min(block["l"].min() for block in sets)
    high = max(block["l"].max() for block in sets)
    slope = (LOG_SHARE / (1 - LOG_SHARE)) * (LINEAR_REACH - LOG_TO_LINEAR)
    logs = math.log(LOG_TO_LINEAR / 2)

    def forward(multipole: np.ndarray) -> np.ndarray:
        clipped = np.maximum(multipole, 1e-3)
        logarithmic = slope * (np.log(clipped / LOG_TO_LINEAR)) / logs
        return np.where(clipped < LOG_TO_LINEAR, logarithmic, clipped - LOG_TO_LINEAR)

    def inverse(place: np.ndarray) -> np.ndarray:
        below = LOG_TO_LINEAR * np.exp(np.minimum(place, 0) * logs / slope)
        return np.where(place < 0, below, place + LOG_TO_LINEAR)

    axes.set_xscale("function", functions=(forward, inverse))
    axes.set_xlim(1.8 if low < LOG_TO_LINEAR else LOG_TO_LINEAR - 4, high * 1.015)
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if t <= high * 1.015]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.tick_params(labelbottom=labelled)
    if low < LOG_TO_LINEAR:
        axes.axvline(LOG_TO_LINEAR, color=QUIET, linewidth=0.6, dashes=(2, 3), zorder=0)


@in_house_style
def distances(folder: Path) -> Figure:
    """BAO distances over their best-fit values, supernova magnitudes minus theirs, against z."""
    folder = Path(folder)
    sets = read_distances(folder)
    if not sets:
        raise MissingFileError(f"{folder / 'distances.json'} holds no distances")
    height = 2.5 * len(sets) + 0.7
    figure = new_figure(8.2, height, bool(read_summary(folder).get("simulated")))
    grid = figure.subplots(len(sets), 1, squeeze=False)
    figure.subplots_adjust(
        left=0.105, right=0.985, top=1 - 0.35 / height, bottom=0.5 / height, hspace=0.32
    )
    for axes, (name, block) in zip(grid.flat, sets.items(), strict=True):
        _distance_panel(axes, name, block)
    grid.flat[-1].set_xlabel("redshift $z$")
    return figure


def _distance_panel(axes: Axes, name: str, block: dict[str, np.ndarray]) -> None:
    kinds = sorted(set(block["quantity"].tolist()))
    ratio = all(kind in RATIOS for kind in kinds)
    axes.axhline(1 if ratio else 0, color=BAD, linewidth=1.1, label="exact best fit")
    for number, kind in enumerate(kinds):
        here = block["quantity"] == kind
        z, data, model = block["z"][here], block["data"][here], block["model"][here]
        error = np.atleast_2d(block["sigma"])[:, here]
        error = error[0] if len(error) == 1 else error
        y, spread = (data / model, error / model) if ratio else (data - model, error)
        axes.errorbar(
            z * (1 + 0.006 * (number - 1)), y, spread, fmt="os^Dv"[number % 5], markersize=4.5,
            color=PALETTE[(0, 2, 3, 4, 5)[number % 5]], elinewidth=1.0,
            label=QUANTITY_LABELS.get(kind, kind),
        )  # fmt: skip
    axes.set_ylabel("data / best fit" if ratio else "data − best fit [mag]")
    axes.set_title(name, loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=5, borderaxespad=0.15)
