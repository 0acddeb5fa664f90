"""Several posteriors in one triangle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .densities import LEVELS, Marginals
from .errors import ReportError
from .labels import label_math
from .record import Chain
from .style import INK, PALETTE, in_house_style
from .triangle import empty_triangle, finish_panel, lower_panels

DASHES = ("-", (0, (4, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)))


def chain_of(
    names: Sequence[str],
    samples: np.ndarray,
    labels: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> Chain:
    """Samples in memory [chains, draws, d], or [n, d], as a chain to be drawn.

    ``labels``: LaTeX without dollars; ``ranges``: edges of priors, None for none.
    """
    given = np.asarray(samples, dtype=float)
    columns = given if given.ndim == 3 else given[None]
    if columns.ndim != 3 or columns.shape[2] != len(names):
        raise ReportError(
            f"samples of shape {given.shape} for {len(names)} names; expected [chains, draws, "
            f"{len(names)}]"
        )
    flat = columns.reshape(-1, len(names))
    return Chain(
        names=tuple(names),
        labels={name: (labels or {}).get(name, name) for name in names},
        derived=(),
        samples=flat,
        weights=np.ones(len(flat)),
        lengths=(columns.shape[1],) * columns.shape[0],
        ranges=dict(ranges or {}),
    )


@in_house_style
def overlay(
    chains: Mapping[str, Chain],
    names: Sequence[str],
    *,
    levels: Sequence[float] = LEVELS,
    truth: Mapping[str, float] | None = None,
) -> Figure:
    """Contours that hold ``levels`` of every chain, by its title; crosses at ``truth``.

    Raises ReportError for fewer than two parameters or one that a chain lacks.
    """
    chosen = tuple(names)
    if len(chosen) < 2 or not chains:
        raise ReportError(f"parameters {chosen} of {len(chains)} chains; expected two and one")
    for title, chain in chains.items():
        missing = [name for name in chosen if name not in chain.names]
        if missing:
            raise ReportError(
                f"{title} has no parameter {missing[0]}; there are {', '.join(chain.names)}"
            )
    drawn = [Marginals(chain, chosen) for chain in chains.values()]
    figure, grid = empty_triangle(len(chosen))
    spans = {name: _span(drawn, name) for name in chosen}
    first = next(iter(chains.values()))
    written = [label_math(first.labels[name], name) for name in chosen]
    for axes, row, column in lower_panels(grid, chosen):
        x, y = chosen[column], chosen[row]
        for n, each in enumerate(drawn):
            if row == column:
                _density(axes, each, x, n)
            else:
                _contours(axes, each, (x, y), levels, n)
        axes.set_xlim(*spans[x])
        if row != column:
            axes.set_ylim(*spans[y])
        _mark(axes, truth or {}, x, None if row == column else y)
        finish_panel(axes, row, column, written)
    _legend(figure, list(chains), levels)
    return figure


def _style(n: int) -> tuple[str, object]:
    return PALETTE[n % len(PALETTE)], DASHES[n % len(DASHES)]


def _span(drawn: Sequence[Marginals], name: str) -> tuple[float, float]:
    ends = [each.one(name).support() for each in drawn]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _density(axes: Axes, each: Marginals, x: str, n: int) -> None:
    color, dashes = _style(n)
    density = each.one(x)
    axes.plot(density.x, density.values, color=color, linestyle=dashes, linewidth=1.3)  # pyright: ignore[reportArgumentType]
    axes.set_ylim(0.0, 1.08)


def _contours(
    axes: Axes, each: Marginals, pair: tuple[str, str], levels: Sequence[float], n: int
) -> None:
    color, dashes = _style(n)
    density = each.two(*pair)
    axes.contour(
        density.x, density.y, density.values, density.levels(levels),
        colors=[color], linestyles=[dashes], linewidths=1.1,
    )  # fmt: skip


def _mark(axes: Axes, truth: Mapping[str, float], x: str, y: str | None) -> None:
    if x not in truth:
        return
    if y is None:
        axes.axvline(truth[x], color=INK, linewidth=0.7)
    elif y in truth:
        axes.plot(truth[x], truth[y], "+", color=INK, markersize=6, markeredgewidth=0.9)


def _legend(figure: Figure, titles: Sequence[str], levels: Sequence[float]) -> None:
    handles = []
    for n, title in enumerate(titles):
        color, dashes = _style(n)
        handles.append(Line2D([], [], color=color, linestyle=dashes, label=title))  # pyright: ignore[reportArgumentType]
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(0.985, 0.96), fontsize=9,
        title=", ".join(f"{100 * level:g}%" for level in levels), alignment="left",
    )  # fmt: skip
