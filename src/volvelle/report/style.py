"""One look for every figure: colours, sizes and how a figure becomes bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .words import SIMULATED

P = ParamSpec("P")

INK = "#1c2733"
QUIET = "#8a94a0"
RULE = "#d5dae0"
EXACT = "#1d5b94"
EMULATED = "#e07b1a"
GOOD = "#1a7f4b"
BAD = "#c0192c"
PALETTE = ("#1d5b94", "#e07b1a", "#3a9a6b", "#8b5aa5", "#c0504d", "#6b7f92", "#b8962e", "#4aa3b8")
RESOLUTION = 160

SETTINGS = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#4c5966",
    "axes.linewidth": 0.7,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "text.color": INK,
    "xtick.color": "#4c5966",
    "ytick.color": "#4c5966",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.4,
    "svg.fonttype": "path",
    "svg.hashsalt": "volvelle",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Volvelle's matplotlib settings inside the block; the caller's come back after it."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def in_house_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A drawing function that runs in the house style."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with house_style():
            return draw(*args, **kwargs)

    return styled


def new_figure(width: float, height: float, simulated: bool = False) -> Figure:
    """An empty figure [inch] that belongs to no window, marked when the data are simulated."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    if simulated:
        figure.text(
            0.997, 0.997, SIMULATED, ha="right", va="top", color="white", weight="bold", size=8,
            bbox={"facecolor": BAD, "edgecolor": "none", "pad": 3.0},
        )  # fmt: skip
    return figure


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as PNG or SVG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with house_style():
        figure.savefig(buffer, format=kind, dpi=RESOLUTION, metadata=metadata)
    return buffer.getvalue()


def quiet_frame(axes: Axes) -> None:
    """Take the right and upper side away, where a frame adds nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", top=False, right=False)
