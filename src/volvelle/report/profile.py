"""A profile likelihood in a picture and in words, from its JSON file in a run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import curve, surface
from .densities import Marginals, marginals
from .errors import MissingFileError
from .labels import axis_label
from .numbers import decimals, fixed, significant
from .record import EMULATOR, REWEIGHTED, read_chain, read_json, read_summary
from .style import BAD, EMULATED, EXACT, QUIET, figure_bytes, in_house_style, new_figure
from .words import SIMULATED, SIMULATED_SENTENCE

HEADROOM = 1.15
FEWEST_SHOWN = 5.0  # of Delta chi2 on the axis, so that the level 4 is seen
SMALLEST_PROBABILITY = 1e-4  # of its maximum, up to which a chain knows its density


def figure_of_profile(folder: Path, path: Path) -> bytes:
    """The picture of a profile's JSON file, as PNG."""
    return figure_bytes(profile_figure(folder, path), "png")


@in_house_style
def profile_figure(folder: Path, path: Path) -> Figure:
    """Exact points, the curve or contours through them, and the marginalised posterior beside it.

    Raises MissingFileError or ReportError when the file or the run's chains cannot be read.
    """
    content, summary = read_json(Path(path)), read_summary(Path(folder))
    names = tuple(content["parameters"])
    figure = new_figure(5.4, 4.2, bool(content["simulated"]))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.14, right=0.97, top=0.93, bottom=0.13)
    marginal = _marginals(Path(folder), names)
    draw = _one if len(names) == 1 else _two
    draw(axes, content, marginal, names)
    chain = read_chain(Path(folder), EMULATOR)
    labels = [axis_label(n, summary["parameters"], chain.labels.get(n)) for n in names]
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1] if len(names) == 2 else r"$\Delta\chi^2$")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=3, columnspacing=1.2)
    return figure


def _marginals(folder: Path, names: tuple[str, ...]) -> Marginals:
    """Of the chains, corrected by their exact solutions where there are any."""
    emulator = read_chain(folder, EMULATOR)
    try:
        reweighted = read_chain(folder, REWEIGHTED)
    except MissingFileError:
        reweighted = None
    plain, exact = marginals(emulator, reweighted, names)
    return exact or plain


def _values(content: dict[str, Any]) -> np.ndarray:
    return np.array([np.nan if p["delta_chi2"] is None else p["delta_chi2"]
                     for p in content["points"]])  # fmt: skip


def _one(axes: Axes, content: dict[str, Any], marginal: Marginals, names: tuple[str, ...]) -> None:
    grid, values = np.array(content["axes"][0]), _values(content)
    fine = np.linspace(grid[0], grid[-1], 400)
    density = marginal.one(names[0])
    known = density.values > SMALLEST_PROBABILITY
    axes.plot(density.x[known], -2.0 * np.log(density.values[known]), color=EMULATED,
              dashes=(4, 2), label=r"posterior, $-2\ln P/P_\mathrm{max}$")  # fmt: skip
    axes.plot(fine, curve(grid, values)(fine), color=EXACT, label="profile")
    flagged = np.array([bool(p["flags"]) for p in content["points"]])
    axes.plot(grid[~flagged], values[~flagged], "o", ms=4.5, color=EXACT, label="exact solutions")
    if flagged.any():
        axes.plot(grid[flagged], values[flagged], "x", ms=6, color=BAD, label="flagged")
    for level in content["levels"]:
        axes.axhline(level["delta_chi2"], color=QUIET, linewidth=0.8, dashes=(5, 3))
    axes.set_xlim(grid[0], grid[-1])
    axes.set_ylim(0.0, HEADROOM * max(FEWEST_SHOWN, float(np.nanmax(values))))


def _two(axes: Axes, content: dict[str, Any], marginal: Marginals, names: tuple[str, ...]) -> None:
    grids = [np.array(axis) for axis in content["axes"]]
    (x, y), values = surface(grids, _values(content).reshape(len(grids[0]), -1))
    levels = [level["delta_chi2"] for level in content["levels"]]
    axes.contour(x, y, values.T, levels, colors=EXACT, linewidths=(1.6, 1.0))
    density = marginal.two(*names)
    assert density.y is not None, "a density of two parameters has two axes"
    axes.contour(density.x, density.y, density.values, density.levels(), colors=EMULATED,
                 linewidths=1.0, linestyles="dashed")  # fmt: skip
    axes.plot([], [], color=EXACT, label=r"profile, $\Delta\chi^2=2.30,\,6.18$")
    axes.plot([], [], color=EMULATED, ls="--", label="posterior, 68%, 95%")
    at = np.array([p["at"] for p in content["points"]])
    flagged = np.array([bool(p["flags"]) for p in content["points"]])
    axes.plot(*at[~flagged].T, ".", ms=2.5, color=QUIET, label="exact solutions")
    if flagged.any():
        axes.plot(*at[flagged].T, "x", ms=5, color=BAD, label="flagged")
    axes.set_xlim(grids[0][0], grids[0][-1])
    axes.set_ylim(grids[1][0], grids[1][-1])


def profile_words(content: dict[str, Any]) -> list[str]:
    """The result in sentences: intervals, how exact they are, and what speaks against them."""
    names, best = content["parameters"], content["best_fit"]
    words = [f"{SIMULATED}. {SIMULATED_SENTENCE}"] if content["simulated"] else []
    values = ", ".join(f"{name} = {significant(best['parameters'][name], 6)}" for name in names)
    words.append(f"Best fit: {values}, chi2 = {fixed(best['chi2'], 2)}.")
    words += [_level_words(content, level) for level in content["levels"]]
    first = content["rounds"][0]
    words.append(
        "Every Delta chi2 is that of an exact solution. The run's own emulator, which had seen "
        f"none of them, differs by at most {significant(first['max_difference'], 2)} (asked for: "
        f"{significant(content['accuracy'])})."
    )
    if len(content["rounds"]) > 1:
        words.append(
            f"{first['unsettled']} points were found again by emulators refitted to the exact "
            "solutions; the last difference is at most "
            f"{significant(content['max_difference'], 2)}."
        )
    words.append(
        "Refitted to all exact solutions the emulator would lower chi2 nowhere by more than "
        f"{significant(content['max_slack'], 2)}."
    )
    if not content["met"]:
        words.append("NOT every point is within the accuracy and free of flags: see the file.")
    flags: dict[str, int] = {}
    for point in content["points"]:
        for flag in point["flags"]:
            flags[flag] = flags.get(flag, 0) + 1
    words += [f"{number} of {len(content['points'])} points FLAGGED: {flag}."
              for flag, number in flags.items()]  # fmt: skip
    if content["priors_left_out"]:
        words.append(
            f"The Gaussian prior of {', '.join(content['priors_left_out'])} is not part of the "
            "likelihood here (--priors gaussian takes it in)."
        )
    return words


def _level_words(content: dict[str, Any], level: dict[str, Any]) -> str:
    value = f"Delta chi2 <= {level['delta_chi2']:g}"
    if "intervals" not in level:
        boxes = [
            _stretch(name, low, high, ends)
            for name, low, high, *ends in zip(
                content["parameters"], level["low"], level["high"], level["low_end"],
                level["high_end"], strict=True,
            )
        ]  # fmt: skip
        return f"{value}: {'; '.join(boxes)}."
    if not level["intervals"]:
        return f"{value}: nowhere on the grid; refine it (--points)."
    name = content["parameters"][0]
    parts = [
        _stretch(name, part["low"], part["high"], [part["low_end"], part["high_end"]])
        for part in level["intervals"]
    ]
    return f"{value}: {' and '.join(parts)}."


def _stretch(name: str, low: float, high: float, ends: list[str]) -> str:
    places = decimals(0.3 * (high - low))
    notes = [
        f"the {side} end is {'the bound of the prior' if end == 'bound' else 'only the grid: widen it'}"  # noqa: E501
        for side, end in zip(("lower", "upper"), ends, strict=True)
        if end != "crossing"
    ]
    note = f" ({'; '.join(notes)})" if notes else ""
    return f"{fixed(low, places)} <= {name} <= {fixed(high, places)}{note}"
