"""Measured statistics in a table, in a picture and as a page, from their JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .numbers import duration, significant
from .pages import read_content, write_page, written_and_inlined
from .style import EXACT, QUIET, in_house_style, new_figure

FILE, PICTURE = "measurements.json", "measurements.png"
KEYS = ("files", "settings", "universe", "realisations", "invertible", "blocks")
TITLES = {
    "power": "Power spectrum",
    "multipole_0": "Monopole",
    "multipole_2": "Quadrupole",
    "multipole_4": "Hexadecapole",
    "bispectrum": "Bispectrum",
    "reduced_bispectrum": "Reduced bispectrum",
    "pdf": "Density in spheres",
    "voids": "Voids",
    "xi": "Correlation function",
}
SYMBOLS = {
    "power": "$P$ [(Mpc/h)$^3$]",
    "multipole_0": "$k P_0$ [(Mpc/h)$^2$]",
    "multipole_2": "$k P_2$ [(Mpc/h)$^2$]",
    "multipole_4": "$k P_4$ [(Mpc/h)$^2$]",
    "bispectrum": "$B$ [(Mpc/h)$^6$]",
    "reduced_bispectrum": "$Q$",
    "pdf": r"$dP/d\delta$",
    "voids": "$dn/dR$ [(h/Mpc)$^4$]",
    "xi": r"$r^2 \xi$ [(Mpc/h)$^2$]",
}
NOISE = "taken from power, multipoles and bispectra; it is in the PDF."
LOGARITHMIC = ("power",)
TIMES = {"multipole_0": 1, "multipole_2": 1, "multipole_4": 1, "xi": 2}
"""Power of the axis by which a statistic is multiplied in the picture."""


def holds_measurements(folder: Path) -> bool:
    """Whether a folder is that of measurements."""
    return (Path(folder) / FILE).is_file()


def read_measurements(folder: Path) -> dict[str, Any]:
    """The content of ``measurements.json``; raises MissingFileError and ReportError."""
    return read_content(Path(folder) / FILE, KEYS, "measure")


@in_house_style
def measurements_figure(folder: Path) -> Figure:
    """Every statistic with the scatter of one realisation as a band, and that of the mean as bars.

    Raises MissingFileError and ReportError.
    """
    content = read_measurements(folder)
    blocks, count = content["blocks"], content["realisations"]
    rows = (len(blocks) + 1) // 2
    columns = min(len(blocks), 2)
    figure = new_figure(4.4 * columns, 3.0 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.subplots_adjust(left=0.17 / columns + 0.02, right=0.97, top=1 - 0.3 / (3.0 * rows),
                           bottom=0.5 / (3.0 * rows), wspace=0.32, hspace=0.42)  # fmt: skip
    for axes, block in zip(grid, blocks, strict=False):
        _draw(axes, block, count)
    for axes in grid[len(blocks) :]:
        axes.set_visible(False)
    return figure


def _draw(axes: Axes, block: dict[str, Any], count: int) -> None:
    name = block["name"]
    at, mean = (np.array(block[key], float) for key in ("at", "mean"))
    factor = at ** TIMES.get(name, 0)
    if block["scatter"] is not None:
        scatter = np.array(block["scatter"], float) * factor
        axes.fill_between(at, mean * factor - scatter, mean * factor + scatter, color=EXACT,
                          alpha=0.2, linewidth=0)  # fmt: skip
        axes.errorbar(at, mean * factor, scatter / np.sqrt(count), color=EXACT, linewidth=1.0)
    else:
        axes.plot(at, mean * factor, color=EXACT, linewidth=1.0)
    noise = np.array(block["shot_noise"], float)
    if block["axis"] == "k":
        axes.set_xscale("log")
    if name in LOGARITHMIC:
        axes.set_yscale("log")
        if noise.any():
            axes.plot(at, noise, color=QUIET, linestyle="--", linewidth=0.8)
    unit = f" [{block['axis_unit']}]" if block["axis_unit"] else ""
    axes.set_xlabel(f"{block['axis']}{unit}")
    axes.set_ylabel(SYMBOLS[name])
    axes.set_title(TITLES[name])


def measurement_sentences(content: dict[str, Any]) -> list[str]:
    """What the numbers rest on, and what speaks against them."""
    universe, settings, count = (content[k] for k in ("universe", "settings", "realisations"))
    seen = (
        f", in redshift space along axis {settings['axis']}" if settings["redshift_space"] else ""
    )
    words = [
        f"{count} realisation{'s' if count > 1 else ''} at z = {1 / universe['a'] - 1:.3f} in a "
        f"box of {universe['box_size']:.6g} Mpc/h with {universe['particles']:.0f} particles "
        f"(Omega_m = {universe['Omega_m']:.4f}), painted on {settings['cells']}^3 points by "
        f"{settings['assignment'].upper()}, interlaced{seen}.",
        "Poisson's shot noise is " + ("not taken off." if settings["keep_noise"] else NOISE),
    ]
    numbers = sum(len(block["at"]) for block in content["blocks"])
    if count == 1:
        words.append("FLAGGED: one realisation has no scatter and no covariance.")
    elif not content["invertible"]:
        words.append(
            f"FLAGGED: the covariance of {numbers} numbers from {count} realisations has no "
            f"inverse; {numbers + 3} or more are needed."
        )
    empty = sum(value is None for block in content["blocks"] for value in block["mean"])
    if empty:
        words.append(f"FLAGGED: {empty} of {numbers} numbers are missing: their bins are empty.")
    return words


def measurements_table(content: dict[str, Any]) -> RenderableType:
    """The statistics and their signal for a terminal."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("statistic", "bins", "from", "to", "first value", "scatter"):
        table.add_column(head, justify="left" if head == "statistic" else "right")
    for row in _rows(content):
        table.add_row(*row.values())
    parts: list[RenderableType] = [table]
    for sentence in measurement_sentences(content):
        parts.append(Text(sentence, "bold red" if sentence.startswith("FLAGGED") else ""))
    return Group(*parts)


def _rows(content: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for block in content["blocks"]:
        at, unit = block["at"], block["axis_unit"]
        known = [i for i, value in enumerate(block["mean"]) if value is not None]
        first = known[0] if known else None
        value = "none" if first is None else significant(block["mean"][first])
        if first is not None and block["unit"]:
            value += f" {block['unit']}"
        scatter = block["scatter"]
        spread = None if first is None or scatter is None else scatter[first]
        rows.append(
            {
                "name": TITLES[block["name"]],
                "bins": str(len(at)),
                "low": f"{significant(at[0])} {unit}".strip(),
                "high": f"{significant(at[-1])} {unit}".strip(),
                "value": value,
                "scatter": "none" if spread is None else significant(spread),
            }
        )
    return rows


def write_measurements_report(folder: Path) -> Path:
    """Write the picture and ``report.html`` into the folder; returns its path.

    Raises MissingFileError or ReportError when ``measurements.json`` cannot be read.
    """
    folder = Path(folder)
    content = read_measurements(folder)
    inline = written_and_inlined(folder, {PICTURE: measurements_figure(folder)})
    return write_page(
        folder,
        "measurements.html.j2",
        name=folder.resolve().name,
        version=content.get("version", ""),
        seconds=duration(content.get("seconds")),
        sentences=measurement_sentences(content),
        rows=_rows(content),
        picture=inline[PICTURE],
        files=content["files"],
        settings=content["settings"],
    )
