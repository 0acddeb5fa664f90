"""The lightcone of a simulation in words and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from safetensors.numpy import load_file

from .simulation_content import FLOOR, read_simulation
from .style import EXACT, QUIET, in_house_style, new_figure

ARRAYS = "lightcone.safetensors"
NAMES = "xyz"


def lightcone_words(cone: dict[str, Any]) -> str:
    """What was seen, and whether it is as much as it should be."""
    low, high = cone["redshifts"]
    share = cone["particles"] / cone["expected"]
    spread = float(np.std(cone["density"]))
    return (
        f"The lightcone from redshift {low:g} to {high:g}, {cone['sky_fraction']:.3g} of the sky "
        f"to {cone['far']:.4g} Mpc/h, has {cone['particles']:,} particles, {share:.4f} of those at "
        f"the mean density; shells of equal volume scatter by {spread:.2g} around it."
    )


def _shown(axes: Any, values: np.ndarray, reach: float, names: str) -> Any:
    image = axes.imshow(
        np.log10(np.maximum(values, FLOOR)).T,
        origin="lower",
        cmap="magma",
        vmin=np.log10(FLOOR),
        vmax=float(np.log10(max(np.quantile(values, 0.998), 2.0 * FLOOR))),
        extent=(-reach, reach, -reach, reach),
    )
    axes.set_xlabel(f"{names[0]} [Mpc/h]")
    return image


def _arrays(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray], str]:
    content = read_simulation(folder)
    arrays = load_file(Path(folder) / content["first"] / ARRAYS)
    return content, arrays, "".join(NAMES[axis] for axis in arrays["axes"])


@in_house_style
def cone_figure(folder: Path) -> Figure:
    """The whole cone in comoving coordinates, and the mean density of its shells."""
    content, arrays, names = _arrays(folder)
    cone = content["lightcone"]
    figure = new_figure(9.6, 4.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    figure.subplots_adjust(left=0.08, right=0.97, top=0.95, bottom=0.12, wspace=0.25)
    _shown(left, arrays["cone"], cone["far"], names)
    left.set_ylabel(f"{names[1]} [Mpc/h]")
    middles = 0.5 * (np.array(cone["edges"])[1:] + np.array(cone["edges"])[:-1])
    right.plot(middles, cone["density"], "o", color=EXACT)
    right.axhline(1.0, color=QUIET, lw=0.7)
    right.set_xlabel(r"distance [Mpc/$h$]")
    right.set_ylabel("particles over the mean")
    return figure


@in_house_style
def difference_figure(folder: Path) -> Figure:
    """The box around the observer at the end, as the lightcone has it, and their difference."""
    content, arrays, names = _arrays(folder)
    half = 0.5 * content["box_size"]
    figure = new_figure(10.4, 3.9)
    panels = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.06, right=0.99, top=0.91, bottom=0.13, wspace=0.16)
    last = content["snapshots"][-1]["z"]
    for axes, name, title in zip(
        panels, ("end", "inner"), (f"snapshot, z = {last:g}", "lightcone"), strict=False
    ):
        _shown(axes, arrays[name], half, names)
        axes.set_title(title)
    off = np.log10(np.maximum(arrays["inner"], FLOOR) / np.maximum(arrays["end"], FLOOR))
    panels[2].imshow(
        off.T, origin="lower", cmap="RdBu_r", vmin=-1.0, vmax=1.0, extent=(-half, half) * 2
    )
    panels[2].set_title("log lightcone / snapshot")
    panels[2].set_xlabel(f"{names[0]} [Mpc/h]")
    panels[0].set_ylabel(f"{names[1]} [Mpc/h]")
    return figure


def lightcone_figures(folder: Path) -> dict[str, Figure]:
    """All pictures there are, by the names of their files."""
    found = {"lightcone.png": cone_figure(folder)}
    if "end" in _arrays(folder)[1]:
        found["difference.png"] = difference_figure(folder)
    return found
