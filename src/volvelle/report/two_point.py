"""Two-point functions of galaxies and shear beside the best fit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from .errors import MissingFileError
from .record import read_summary, read_two_point
from .style import BAD, EXACT, RULE, in_house_style, new_figure

COLUMNS = 6
WIDTH, HEIGHT = 1.6, 1.25
"""Of a panel [inch]."""
SYMBOLS = {
    "w_theta": "w",
    "gamma_t": r"\gamma_\mathrm{t}",
    "xi_plus": r"\xi_+",
    "xi_minus": r"\xi_-",
    "cl_counts": r"C_\ell",
    "cl_counts_shear": r"C_\ell",
    "cl_shear": r"C_\ell",
    "w_theta_kappa": "w",
    "gamma_t_kappa": r"\gamma_\mathrm{t}",
    "cl_counts_kappa": r"C_\ell",
    "cl_shear_kappa": r"C_\ell",
    "cl_kappa": r"C_\ell",
}


@in_house_style
def two_point(folder: Path) -> Figure:
    """Every pair in a panel: angle times correlation function, or l C_l, with the best fit."""
    folder = Path(folder)
    sets = read_two_point(folder)
    if not sets:
        raise MissingFileError(f"{folder / 'two_point.json'} holds no two-point functions")
    panels = [
        (block, (block["statistic"] == statistic) & (block["pair"] == pair))
        for block in sets.values()
        for statistic, pair in dict.fromkeys(zip(block["statistic"], block["pair"], strict=True))
    ]
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = WIDTH * min(COLUMNS, len(panels)) + 0.4, HEIGHT * rows + 0.7
    figure = new_figure(width, height, bool(read_summary(folder).get("simulated")))
    grid = figure.subplots(rows, min(COLUMNS, len(panels)), squeeze=False)
    figure.subplots_adjust(
        left=0.5 / width, right=1 - 0.08 / width, top=1 - 0.35 / height, bottom=0.45 / height,
        wspace=0.38, hspace=0.5,
    )  # fmt: skip
    for axes, (block, here) in zip(grid.flat, panels, strict=False):
        _panel(axes, block, here)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    axis = panels[-1][0]["axis"][0]
    figure.supxlabel(r"angle [arcmin]" if axis == "theta" else r"multipole $\ell$", fontsize=9)
    return figure


def _panel(axes: Axes, block: dict[str, np.ndarray], here: np.ndarray) -> None:
    order = np.argsort(block["at"][here])
    at, data, sigma, model = (block[key][here][order] for key in ("at", "data", "sigma", "model"))
    size = np.max(np.abs(at * model))
    power = math.floor(math.log10(size)) if size > 0 else 0
    factor = at / 10.0**power
    axes.errorbar(
        at, factor * data, factor * sigma, fmt="o", markersize=2.0, color=EXACT, elinewidth=0.7
    )
    axes.plot(at, factor * model, color=BAD, linewidth=1.0, zorder=3)
    axes.axhline(0.0, color=RULE, linewidth=0.6, zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(0.8 * block["at"].min(), 1.25 * block["at"].max())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=6, length=2, pad=1.5)
    statistic, pair = block["statistic"][here][0], block["pair"][here][0]
    ten = f"10^{{{-power}}}" if power else ""
    letter = r"\theta\," if block["axis"][here][0] == "theta" else r"\ell\,"
    symbol = SYMBOLS.get(statistic, statistic)
    axes.set_title(f"${ten}{letter}{symbol}$  {pair.replace(' x ', ' × ')}", fontsize=6.5, pad=2)
