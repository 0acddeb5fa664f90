"""Triangles of ellipses: what Fisher matrices say, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .errors import ReportError
from .labels import label_math
from .numbers import mean_and_error
from .style import EXACT, INK, PALETTE, in_house_style
from .triangle import empty_triangle, finish_panel, lower_panels

WIDE = 3.2
"""Half width of an axis in standard deviations."""
LEVELS = (0.683, 0.954)


@dataclass(frozen=True)
class Gaussian:
    """Fiducial values [d] and covariance [d, d] of named parameters, to be drawn."""

    names: tuple[str, ...]
    values: np.ndarray
    covariance: np.ndarray
    title: str = ""

    def of(self, *names: str) -> tuple[np.ndarray, np.ndarray]:
        """Values and covariance of some; raises ReportError for a name that is not there."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ReportError(f"no parameter {missing[0]}; there are {', '.join(self.names)}")
        at = [self.names.index(name) for name in names]
        return self.values[at], self.covariance[np.ix_(at, at)]


def ellipse(
    values: np.ndarray, covariance: np.ndarray, level: float, number: int = 200
) -> np.ndarray:
    """[number, 2] points of the ellipse that holds a share ``level`` of a Gaussian in two.

    r^2 = -2 ln(1 - level): 2.30 for 68.3%, 6.17 for 95.4%.
    """
    angle = np.linspace(0.0, 2.0 * np.pi, number)
    circle = np.sqrt(-2.0 * np.log1p(-level)) * np.stack([np.cos(angle), np.sin(angle)])
    return values + (np.linalg.cholesky(covariance) @ circle).T


@in_house_style
def ellipse_triangle(
    drawn: Sequence[Gaussian], names: Sequence[str], labels: Mapping[str, str] | None = None
) -> Figure:
    """Ellipses (68.3%, 95.4%) of two or more parameters, one colour per Gaussian.

    Raises ReportError for fewer than two parameters or unknown ones.
    """
    chosen = tuple(names)
    if len(chosen) < 2 or not drawn:
        raise ReportError(f"parameters {chosen}; expected two or more, of one Gaussian or more")
    figure, grid = empty_triangle(len(chosen))
    spans = {name: _span(drawn, name) for name in chosen}
    known = dict(labels or {})
    written = [label_math(known.get(n, n), n) for n in chosen]
    for axes, row, column in lower_panels(grid, chosen):
        x, y = chosen[column], chosen[row]
        for n, each in enumerate(drawn):
            color = EXACT if len(drawn) == 1 else PALETTE[n % len(PALETTE)]
            (_density if row == column else _pair)(axes, each, x, y, color)
        axes.set_xlim(*spans[x])
        if row != column:
            axes.set_ylim(*spans[y])
        elif len(drawn) == 1:
            value, spread = drawn[0].of(y)
            title = mean_and_error(float(value[0]), float(np.sqrt(spread[0, 0])))
            axes.set_title(title, fontsize=8, pad=4)
        finish_panel(axes, row, column, written)
    _legend(figure, drawn)
    return figure


def _span(drawn: Sequence[Gaussian], name: str) -> tuple[float, float]:
    ends = []
    for each in drawn:
        value, spread = each.of(name)
        half = WIDE * float(np.sqrt(spread[0, 0]))
        ends.append((float(value[0]) - half, float(value[0]) + half))
    return min(low for low, _ in ends), max(high for _, high in ends)


def _density(axes: Axes, each: Gaussian, x: str, _: str, color: str) -> None:
    value, spread = each.of(x)
    sigma = float(np.sqrt(spread[0, 0]))
    z = np.linspace(-WIDE, WIDE, 200)
    axes.plot(float(value[0]) + sigma * z, np.exp(-0.5 * z**2), color=color)
    axes.set_ylim(0.0, 1.08)


def _pair(axes: Axes, each: Gaussian, x: str, y: str, color: str) -> None:
    values, covariance = each.of(x, y)
    for level, shade in zip(reversed(LEVELS), (0.15, 0.35), strict=True):
        points = ellipse(values, covariance, level)
        axes.fill(*points.T, color=color, alpha=shade, linewidth=0)
        axes.plot(*points.T, color=color, linewidth=1.0)
    axes.plot(*values, "+", color=INK, markersize=6, markeredgewidth=0.9)


def _legend(figure: Figure, drawn: Sequence[Gaussian]) -> None:
    handles = [
        Line2D([], [], color=EXACT if len(drawn) == 1 else PALETTE[n % len(PALETTE)], label=d.title)
        for n, d in enumerate(drawn)
        if d.title
    ]
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(0.985, 0.96), fontsize=9,
        title="68.3% and 95.4%", alignment="left",
    )  # fmt: skip
