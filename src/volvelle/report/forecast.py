"""A forecast in a table, in pictures and as a page, from its JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .ellipses import Gaussian, ellipse_triangle
from .errors import ReportError
from .labels import label_html, label_text
from .numbers import MISSING, decimals, duration, fixed, significant
from .pages import configuration_of, read_content, write_page, written_and_inlined
from .style import EMULATED, EXACT, QUIET, in_house_style, new_figure

FILE, PICTURE, DESIGN = "forecast.json", "triangle.png", "design.png"
AT_END = 0.01
"""Relative distance from an end of a range that is none."""
KEYS = ("parameters", "names", "covariance", "figures_of_merit", "systematics", "triangle", "data")


def holds_forecast(folder: Path) -> bool:
    """Whether a folder is that of a forecast."""
    return (Path(folder) / FILE).is_file()


def read_forecast(folder: Path) -> dict[str, Any]:
    """The content of ``forecast.json``; raises MissingFileError and ReportError."""
    return read_content(Path(folder) / FILE, KEYS, "forecast")


def forecast_triangle(folder: Path) -> Figure:
    """Ellipses of the parameters that the file chose."""
    content = read_forecast(folder)
    entries = content["parameters"]
    drawn = Gaussian(
        tuple(content["names"]),
        np.array([entries[name]["fiducial"] for name in content["names"]]),
        np.array(content["covariance"]),
    )
    labels = {name: entry["label"] for name, entry in entries.items()}
    return ellipse_triangle([drawn], content["triangle"], labels)


@in_house_style
def design_figure(folder: Path) -> Figure:
    """The way to the best design: figure of merit, area and edges along the steps.

    Raises ReportError for a forecast without ``optimise``.
    """
    found = read_forecast(folder).get("optimise")
    if not found:
        raise ReportError(f"{folder} holds no design; add optimise: to the file of the forecast")
    steps = found["steps"]
    samples = [key for key in steps[0] if key not in ("merit", "area", "depth", "density")]
    rows = 1 + ("area" in steps[0]) + len(samples)
    figure = new_figure(5.4, 1.2 + 1.7 * rows)
    grid = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.15, right=0.86, top=0.97, bottom=0.6 / (1.2 + 1.7 * rows))
    number = np.arange(len(steps))
    merit = np.array([step["merit"] for step in steps])
    grid[0].plot(number, merit / merit[0], ".-", color=EXACT)
    grid[0].set_ylabel("merit / start")
    used = 1
    if "area" in steps[0]:
        axes = grid[1]
        axes.plot(number, [step["area"] for step in steps], ".-", color=EXACT)
        axes.set_ylabel("area [deg$^2$]", color=EXACT)
        other = axes.twinx()
        other.plot(number, [step["depth"] for step in steps], ".--", color=EMULATED)
        other.set_ylabel(r"$\Delta$ depth [mag]", color=EMULATED)
        used = 2
    for axes, name in zip(grid[used:], samples, strict=True):
        edges = np.array([step[name] for step in steps])
        axes.plot(number, edges[:, 1:-1], ".-", color=EXACT)
        axes.plot(number, edges[:, [0, -1]], color=QUIET, linestyle="--")
        axes.set_ylabel(f"edges, {name}")
    grid[-1].set_xlabel("step")
    return figure


def forecast_sentences(content: dict[str, Any]) -> list[str]:
    """What the numbers rest on, and what speaks against them."""
    words = [
        f"{content['data']} data with a signal to noise of "
        f"{significant(content['signal_to_noise'])}; exact derivatives at the fiducial values. "
        "Errors are those of a Gaussian posterior."
    ]
    if content["covariance_varies"]:
        words.append("The covariance varies with the parameters, as the likelihood's would.")
    if content["hartlap"] < 1.0:
        words.append(
            f"The covariance will be estimated: the Fisher matrix is {content['hartlap']:.3f} of "
            "that with a known one."
        )
    if content["flagged"] > 0.0:
        words.append(
            f"FLAGGED: {content['flagged']:.1%} of the spectra reach beyond the edges of the power "
            "spectrum by more than 0.1%."
        )
    if content["doubtful"] > 0.0:
        words.append(
            f"FLAGGED: {content['doubtful']:.1%} of the spectra are Limber's approximation where "
            "it may err by more than 0.1%; write limber: auto for better ones."
        )
    return words


def design_sentences(content: dict[str, Any]) -> list[str]:
    """The best design in words."""
    found = content.get("optimise")
    if not found:
        return []
    words = [
        f"The figure of merit of {', '.join(found['maximise'])} is {found['gain']:.4g} times that "
        f"of the file after {len(found['steps']) - 1} steps."
    ]
    start, best = found["start"], found["best"]
    if "area" in best:
        words.append(
            f"Area {start['area']:.0f} to {best['area']:.0f} square degrees: "
            f"{best['depth']:+.2f} mag, {best['density']:.3g} times the density."
        )
    for name in (key for key in best if key not in ("area", "depth", "density")):
        edges = [", ".join(f"{edge:.3f}" for edge in each[name]) for each in (start, best)]
        words.append(f"Edges of {name}: {edges[0]} to {edges[1]}.")
    if any(abs(best["area"] / end - 1.0) < AT_END for end in found.get("area_range") or []):
        words.append("The area is at an end of its range, which decides it.")
    if not found["settled"]:
        words.append("NOT settled: the gradient is not 0 yet; raise optimise.steps.")
    return words


def forecast_table(content: dict[str, Any]) -> RenderableType:
    """Parameters, figures of merit, biases and flags for a terminal."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    systematics = list(content["systematics"])
    heads = ("parameter", "fiducial", "error", "others known", "prior")
    for head in (*heads, *(f"bias [sigma]: {name}" for name in systematics)):
        table.add_column(head, justify="left" if head == "parameter" else "right")
    derived_before = False
    for name, row in _rows(content):
        if row["kind"] == "derived" and not derived_before:
            table.add_section()
            derived_before = True
        label = label_text(content["parameters"][name]["label"], name)
        plain = label == name or row["kind"] == "nuisance"
        title = name if plain else f"{label}  [dim]{name}[/dim]"
        table.add_row(title, row["fiducial"], row["error"], row["conditional"], row["prior"],
                      *row["biases"])  # fmt: skip
    parts: list[RenderableType] = [table]
    for merit in content["figures_of_merit"]:
        parts.append(Text(f"figure of merit, {', '.join(merit['of'])}: {merit['value']:.5g}"))
    for sentence in (*forecast_sentences(content), *design_sentences(content)):
        loud = sentence.startswith(("FLAGGED", "NOT"))
        parts.append(Text(sentence, "bold red" if loud else ""))
    return Group(*parts)


def _rows(content: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for name in content["names"]:
        entry = content["parameters"][name]
        error = entry["error"]
        biases = [
            f"{each[name]['in_errors']:+.2f}".replace("-", "\u2212") if name in each else MISSING
            for each in content["systematics"].values()
        ]
        rows.append(
            (
                name,
                {
                    "label": Markup(label_html(entry["label"], name)),
                    "fiducial": fixed(entry["fiducial"], decimals(error)),
                    "error": significant(error),
                    "conditional": significant(entry["conditional_error"]),
                    "prior": significant(entry["prior"]),
                    "biases": biases,
                    "kind": entry["kind"],
                },
            )
        )
    return rows


def write_forecast_report(folder: Path) -> Path:
    """Write the pictures and ``report.html`` into the folder of a forecast; returns its path.

    Raises MissingFileError or ReportError when ``forecast.json`` cannot be read.
    """
    folder = Path(folder)
    content = read_forecast(folder)
    pictures = {PICTURE: forecast_triangle(folder)}
    if content.get("optimise"):
        pictures[DESIGN] = design_figure(folder)
    inline = written_and_inlined(folder, pictures)
    return write_page(
        folder,
        "forecast.html.j2",
        name=content["name"],
        version=content["version"],
        seconds=duration(content.get("seconds")),
        rows=[row | {"name": name} for name, row in _rows(content)],
        systematics=list(content["systematics"]),
        merits=[
            {"of": ", ".join(each["of"]), "value": f"{each['value']:.5g}"}
            for each in content["figures_of_merit"]
        ],
        sentences=forecast_sentences(content),
        design=design_sentences(content),
        triangle=inline[PICTURE],
        design_picture=inline.get(DESIGN),
        settings=content["settings"],
        configuration=configuration_of(folder),
    )
