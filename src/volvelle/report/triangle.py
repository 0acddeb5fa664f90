"""Posterior figures: the triangle of the sampled parameters and the row of the derived ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, ScalarFormatter

from .densities import Density, Marginals, marginals
from .errors import MissingFileError, ReportError
from .labels import axis_label
from .numbers import mean_and_error
from .record import EMULATOR, REWEIGHTED, Chain, is_finite, read_chain, read_summary
from .style import EMULATED, EXACT, INK, in_house_style, new_figure

PANEL = 1.45
COLUMNS_OF_DERIVED = 4
# Part of an axis at each end that carries no tick.
TICKLESS_EDGE = 0.12


@in_house_style
def triangle(folder: Path, names: tuple[str, ...] | None = None) -> Figure:
    """Contours (68%, 95%) of the sampled parameters, by the emulator and re-weighted exactly.

    `names` chooses parameters; without it, all sampled ones are drawn.
    """
    summary, emulator, reweighted = _inputs(folder)
    chosen = names or tuple(n for n in emulator.names if n not in emulator.derived)
    unknown = [name for name in chosen if name not in emulator.names]
    if unknown:
        raise ReportError(
            f"{Path(folder) / 'chains'} has no parameter {', '.join(unknown)}; "
            f"choose from {', '.join(emulator.names)}"
        )
    chosen = tuple(name for name in chosen if _varies(emulator, name))
    plain, exact = marginals(emulator, reweighted, chosen)
    size = len(chosen)
    figure, grid = empty_triangle(size, bool(summary.get("simulated")))
    spans = _diagonal(grid, chosen, plain, exact, summary)
    _lower_half(grid, chosen, plain, exact, spans, summary)
    for row in range(size):
        for column in range(size):
            _finish_panel(grid[row][column], row, column, chosen, summary, emulator)
    _legend(figure, exact is not None, size)
    return figure


def empty_triangle(size: int, simulated: bool = False) -> tuple[Figure, Any]:
    """A figure with panels [size, size] for so many parameters."""
    side = max(PANEL * size + 0.9, 3.6)
    figure = new_figure(side, side, simulated)
    grid = figure.subplots(size, size, squeeze=False)
    figure.subplots_adjust(
        left=0.85 / side, right=1 - 0.12 / side, bottom=0.75 / side, top=1 - 0.42 / side,
        wspace=0.05, hspace=0.05,
    )  # fmt: skip
    return figure, grid


def lower_panels(grid: Any, names: Sequence[str]) -> Iterator[tuple[Axes, int, int]]:
    """Panels on and below the diagonal with their row and column; the others are emptied."""
    for row in range(len(names)):
        for column in range(len(names)):
            if column > row:
                grid[row][column].set_axis_off()
            else:
                yield grid[row][column], row, column


@in_house_style
def derived(folder: Path) -> Figure:
    """One-dimensional densities of the derived parameters, by the emulator and re-weighted."""
    summary, emulator, reweighted = _inputs(folder)
    chosen = tuple(name for name in emulator.derived if _varies(emulator, name))
    if not chosen:
        raise MissingFileError(f"{Path(folder) / 'chains'} has no derived parameter to draw")
    plain, exact = marginals(emulator, reweighted, chosen)
    columns = min(COLUMNS_OF_DERIVED, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    height = 1.95 * rows + 0.35
    figure = new_figure(2.35 * columns, height, bool(summary.get("simulated")))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.025, right=0.975, top=1 - 0.55 / height, bottom=0.5 / height,
        wspace=0.12, hspace=0.75,
    )  # fmt: skip
    for axes, name in zip(grid.flat, chosen, strict=False):
        axes.set_xlim(*_draw_one(axes, name, plain, exact))
        axes.set_title(_headline(name, summary), fontsize=8)
        axes.set_xlabel(axis_label(name, summary["parameters"], emulator.labels[name]))
        axes.set_yticks([])
        set_ticks(axes.xaxis)
    for axes in list(grid.flat)[len(chosen) :]:
        axes.set_axis_off()
    figure.legend(
        handles=_handles(exact is not None), loc="upper left", ncols=2, borderaxespad=0.2,
        bbox_to_anchor=(0.015, 1.0),
    )  # fmt: skip
    return figure


def _inputs(folder: Path) -> tuple[dict[str, Any], Chain, Chain | None]:
    folder = Path(folder)
    emulator = read_chain(folder, EMULATOR)
    try:
        reweighted = read_chain(folder, REWEIGHTED)
    except MissingFileError:
        reweighted = None
    return read_summary(folder), emulator, reweighted


def _varies(chain: Chain, name: str) -> bool:
    column = chain.column(name)
    return bool(column.max() > column.min())


def _diagonal(
    grid: Any,
    names: tuple[str, ...],
    plain: Marginals,
    exact: Marginals | None,
    summary: dict[str, Any],
) -> dict[str, tuple[float, float]]:
    spans = {}
    for i, name in enumerate(names):
        axes = grid[i][i]
        spans[name] = _draw_one(axes, name, plain, exact)
        axes.set_xlim(*spans[name])
        axes.set_title(_headline(name, summary), fontsize=8, pad=4)
    return spans


def _draw_one(
    axes: Axes, name: str, plain: Marginals, exact: Marginals | None
) -> tuple[float, float]:
    """Draw one density and return the range of the axis."""
    low, high = math.inf, -math.inf
    if exact is not None:
        density = exact.one(name)
        axes.fill_between(density.x, density.values, color=EXACT, alpha=0.18, linewidth=0)
        axes.plot(density.x, density.values, color=EXACT, linewidth=1.3)
        low, high = density.support()
    density = plain.one(name)
    axes.plot(density.x, density.values, color=EMULATED, linewidth=1.2, dashes=(4, 2))
    axes.set_ylim(0, 1.08)
    return min(low, density.support()[0]), max(high, density.support()[1])


def _lower_half(
    grid: Any,
    names: tuple[str, ...],
    plain: Marginals,
    exact: Marginals | None,
    spans: dict[str, tuple[float, float]],
    summary: dict[str, Any],
) -> None:
    best = (summary.get("best_fit") or {}).get("parameters") or {}
    for row, y in enumerate(names):
        for column, x in enumerate(names[:row]):
            axes = grid[row][column]
            if exact is not None:
                density = exact.two(x, y)
                _filled(axes, density)
            density = plain.two(x, y)
            axes.contour(
                density.x, density.y, density.values, density.levels(), colors=[EMULATED],
                linewidths=1.0, linestyles=[(0, (4, 2))],
            )  # fmt: skip
            if is_finite(best.get(x)) and is_finite(best.get(y)):
                axes.plot(best[x], best[y], "+", color=INK, markersize=6, markeredgewidth=0.9)
            axes.set_xlim(*spans[x])
            axes.set_ylim(*spans[y])


def _filled(axes: Axes, density: Density) -> None:
    outer, inner = density.levels()
    axes.contourf(
        density.x, density.y, density.values, [outer, inner, 1.01], colors=["#b4cfe6", "#5c93c4"]
    )
    axes.contour(
        density.x, density.y, density.values, [outer, inner], colors=[EXACT], linewidths=0.7
    )


def _finish_panel(
    axes: Axes,
    row: int,
    column: int,
    names: tuple[str, ...],
    summary: dict[str, Any],
    chain: Chain,
) -> None:
    if column > row:
        axes.set_axis_off()
        return
    labels = [axis_label(n, summary["parameters"], chain.labels[n]) for n in names]
    finish_panel(axes, row, column, labels)


def finish_panel(axes: Axes, row: int, column: int, labels: Sequence[str]) -> None:
    """Ticks, and labels at the left and below, of one panel of a triangle."""
    last = row == len(labels) - 1
    set_ticks(axes.xaxis)
    axes.tick_params(labelsize=7, length=2.5)
    axes.tick_params(axis="x", labelrotation=40, labelbottom=last)
    if last:
        axes.set_xlabel(labels[column])
    if row == column:
        axes.set_yticks([])
        return
    set_ticks(axes.yaxis)
    axes.tick_params(axis="y", labelleft=column == 0)
    if column == 0:
        axes.set_ylabel(labels[row])


def set_ticks(axis: Any) -> None:
    """Two or three ticks, none so near the end that its label meets the neighbour's."""
    low, high = axis.get_view_interval()
    edge = TICKLESS_EDGE * (high - low)
    for wanted in (3, 4, 5, 6):
        places = MaxNLocator(wanted, steps=[1, 2, 4, 5, 10]).tick_values(low, high)
        inside = [place for place in places if low + edge <= place <= high - edge]
        if len(inside) >= 2:
            break
    axis.set_major_locator(FixedLocator(inside))
    axis.set_major_formatter(ScalarFormatter(useOffset=False))


def _headline(name: str, summary: dict[str, Any]) -> str:
    entry = summary["parameters"].get(name)
    return mean_and_error(entry["mean"], entry["std"]) if entry else ""


def _handles(with_exact: bool) -> list[Any]:
    handles: list[Any] = []
    if with_exact:
        handles.append(
            Patch(facecolor="#5c93c4", edgecolor=EXACT, label="re-weighted by exact solutions")
        )
    handles.append(Line2D([], [], color=EMULATED, dashes=(4, 2), label="emulator"))
    return handles


def _legend(figure: Figure, with_exact: bool, size: int) -> None:
    handles = _handles(with_exact)
    handles.append(Line2D([], [], color=INK, marker="+", linestyle="", label="best fit"))
    anchor = (0.5, 0.93) if size > 2 else (0.5, 0.995)
    figure.legend(
        handles=handles, loc="upper left" if size > 2 else "upper center", bbox_to_anchor=anchor,
        fontsize=9.5 if size > 3 else 8, ncols=1 if size > 2 else 3,
        title="68% and 95% of the posterior" if size > 2 else None, alignment="left",
    )  # fmt: skip
