"""An ensemble of simulations in words, pictures and as a page, from its JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from safetensors.numpy import load_file

from .lightcone import lightcone_figures, lightcone_words
from .maps import maps_figures, maps_words
from .numbers import duration, significant
from .pages import configuration_of, write_page, written_and_inlined
from .simulation_content import FLOOR, read_simulation
from .style import EXACT, PALETTE, QUIET, in_house_style, new_figure

LAYERS = 6
"""Of tiles that are shown, at most."""


def simulation_words(content: dict[str, Any]) -> list[str]:
    """What was simulated, how it fares, what it took."""
    number = len(content["realisations"])
    settings = content["settings"]
    seconds = [sum(each["seconds"].values()) for each in content["realisations"].values()]
    memory = max(each["memory"] for each in content["realisations"].values())
    words = [
        f"{number} simulation{'s' if number > 1 else ''} of {settings['particles']} particles in "
        f"{settings['box']}: {settings['integrator']}, force {settings['force']} on "
        f"{settings['mesh']}."
    ]
    if content["snapshots"]:
        words += _judged(content)
    if content.get("tiles"):
        words.append(tiles_words(content["tiles"]))
    if content.get("lightcone"):
        words.append(lightcone_words(content["lightcone"]))
    if content.get("sky"):
        words += maps_words(content["sky"])
    words.append(
        f"Each took {duration(float(np.mean(seconds)))}; the largest process had "
        f"{memory / 2**30:.2f} GiB."
    )
    return words


def _judged(content: dict[str, Any]) -> list[str]:
    """What the snapshots say."""
    checks, words = content["checks"], []
    last = content["snapshots"][-1]
    near = _near(last, content)
    for name, what in (
        ("growth", f"The longest waves have the amplitude of {content['nonlinear']} to"),
        ("momentum", "The mean momentum over the rms is"),
    ):
        off, limit = checks[name]
        loud = "CHECK FAILED. " if limit is not None and off > limit else ""
        judged = (
            "not judged: the box is too small, or too coarse"
            if limit is None
            else f"limit {limit:g}"
        )
        words.append(f"{loud}{what} {off:.2g} ({judged}).")
    if near is not None:
        words.append(
            f"At redshift {last['z']:g} P(k) is {near[1]:.3f} of {content['nonlinear']} at "
            f"k = {near[0]:.2f} h/Mpc, half the particles' Nyquist wavenumber: the model's own "
            "error, the box's scatter and the missing resolution are in it."
        )
    return words


def tiles_words(tiles: dict[str, Any]) -> str:
    """How the box was cut, what that cost, and how right it is expected to be."""
    boost, number = tiles["boost"], sum(stages > 0 for stages in tiles["stages"])
    potential = tiles["potential"] * (1.0 if boost is None else boost)
    by = "without the hardware's factor" if boost is None else f"of which s = {boost:.2f}"
    return (
        f"{number} of {tiles['per_side'] ** 3} tiles were simulated apart, each with its buffers "
        f"{tiles['extent']:.2g} of the box: {tiles['overcompute']:.2f} times the particles, a "
        f"parallelisation potential of {potential:.3g} ({by}), a critical path of "
        f"{duration(tiles['critical_path'])}. Against the box as a whole P(k) is expected within "
        f"{100 * tiles['errors']['power']:.2g}% and 1 - r below "
        f"{tiles['errors']['correlation']:.1g} to k = 1 h/Mpc; a worker was predicted to need "
        f"{tiles['predicted_memory'] / 2**30:.2f} GiB." + _saved(tiles)
    )


def _saved(tiles: dict[str, Any]) -> str:
    """What a lightcone spares."""
    if not tiles["saved"]:
        return ""
    stopped = sum(0 < n < max(tiles["stages"]) for n in tiles["stages"])
    return (
        f" The lightcone spares {100 * tiles['saved']:.3g}% of the steps of tiles: "
        f"{tiles['stages'].count(0)} are never seen, {stopped} stop before the end."
    )


def _near(snapshot: dict[str, Any], content: dict[str, Any]) -> tuple[float, float] | None:
    k, ratio = _ratio(snapshot, "nonlinear")
    usable = np.isfinite(ratio)
    if not usable.any():
        return None
    i = int(np.nanargmin(np.where(usable, np.abs(k - 0.5 * content["nyquist"]), np.nan)))
    return float(k[i]), float(ratio[i])


def _numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


def _ratio(snapshot: dict[str, Any], model: str) -> tuple[np.ndarray, np.ndarray]:
    return _numbers(snapshot["k"]), _numbers(snapshot["power"]) / _numbers(snapshot[model])


@in_house_style
def power_figure(folder: Path) -> Figure:
    """P(k) of all snapshots beside linear theory and the non-linear model, and their ratio."""
    content = read_simulation(folder)
    figure = new_figure(6.4, 6.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    figure.subplots_adjust(left=0.13, right=0.97, top=0.97, bottom=0.09, hspace=0.05)
    many = len(content["realisations"]) > 1
    for number, snapshot in enumerate(content["snapshots"]):
        color = PALETTE[number % len(PALETTE)]
        k, power = _numbers(snapshot["k"]), _numbers(snapshot["power"])
        shown = k < content["nyquist"]
        above.loglog(k[shown], power[shown], color=color, label=f"z = {snapshot['z']:g}")
        above.loglog(k, _numbers(snapshot["nonlinear"]), color=color, linestyle="--", lw=0.9)
        above.loglog(k, _numbers(snapshot["linear"]), color=color, linestyle=":", lw=0.9)
        _, ratio = _ratio(snapshot, "nonlinear")
        below.semilogx(k[shown], ratio[shown], color=color)
        if many:
            spread = _numbers(snapshot["scatter"]) / _numbers(snapshot["nonlinear"])
            low, high = (ratio - spread)[shown], (ratio + spread)[shown]
            below.fill_between(k[shown], low, high, color=color, alpha=0.2, lw=0)
    above.plot([], [], color=QUIET, linestyle="--", lw=0.9, label=content["nonlinear"])
    above.plot([], [], color=QUIET, linestyle=":", lw=0.9, label="linear")
    above.legend(loc="lower left")
    above.set_ylabel(r"$P(k)$ [(Mpc/$h$)$^3$]")
    below.axhline(1.0, color=QUIET, lw=0.7)
    below.axvline(0.5 * content["nyquist"], color=QUIET, lw=0.7, linestyle=":")
    below.set_ylim(0.7, 1.3)
    below.set_ylabel(f"over {content['nonlinear']}")
    below.set_xlabel(r"$k$ [$h$/Mpc]")
    return figure


@in_house_style
def slices_figure(folder: Path) -> Figure:
    """A slab of the first simulation at every snapshot: log10(1 + delta)."""
    content = read_simulation(folder)
    snapshots = content["snapshots"]
    figure = new_figure(3.3 * len(snapshots) + 0.5, 3.6)
    grid = figure.subplots(1, len(snapshots), squeeze=False)[0]
    figure.subplots_adjust(left=0.02, right=0.98, top=0.91, bottom=0.08, wspace=0.04)
    for axes, snapshot in zip(grid, snapshots, strict=True):
        path = Path(folder) / content["first"] / f"{snapshot['name']}.safetensors"
        density = np.log10(np.maximum(1.0 + load_file(path)["slice"], FLOOR))
        top = float(np.quantile(density, 0.998))
        axes.imshow(density.T, origin="lower", cmap="magma", vmin=np.log10(FLOOR), vmax=top)
        axes.set_title(f"z = {snapshot['z']:g}")
        axes.set_xticks([])
        axes.set_yticks([])
    grid[0].set_xlabel(f"{content['box_size']:g} Mpc/h")
    return figure


@in_house_style
def times_figure(folder: Path) -> Figure:
    """Seconds of a simulation by what they went into, the mean of all, and the most memory that a
    process had by the end of it."""
    entries = list(read_simulation(folder)["realisations"].values())
    names = list(entries[0]["seconds"])[::-1]
    mean = [float(np.mean([each["seconds"].get(name, 0.0) for each in entries])) for name in names]
    most = [max(each["peaks"].get(name, 0) for each in entries) / 2**30 for name in names]
    figure = new_figure(6.4, 0.7 + 0.34 * len(names))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.28, right=0.95, top=0.95, bottom=0.3)
    bars = axes.barh(names, mean, height=0.6, color=EXACT)
    axes.bar_label(bars, [f"{peak:.2f} GiB" for peak in most], padding=4, fontsize="small")
    axes.set_xlim(right=1.25 * max(mean))
    axes.set_xlabel("seconds")
    return figure


@in_house_style
def tiles_figure(folder: Path) -> Figure:
    """Which tiles ran how far: a panel for each layer of tiles, coloured by the last redshift."""
    tiles = read_simulation(folder)["tiles"]
    n = tiles["per_side"]
    reached = np.array(tiles["a"]).reshape(n, n, n)
    layers = np.unique(np.linspace(0, n - 1, min(n, LAYERS)).round().astype(int))
    figure = new_figure(1.7 * len(layers) + 1.4, 2.3)
    grid = figure.subplots(1, len(layers), squeeze=False)[0]
    figure.subplots_adjust(left=0.02, right=0.98, top=0.86, bottom=0.04, wspace=0.08)
    image = None
    for axes, layer in zip(grid, layers, strict=True):
        image = axes.imshow(
            reached[:, :, layer].T, origin="lower", cmap="viridis", vmin=0.0, vmax=1.0
        )
        axes.set_title(f"layer {layer + 1} of {n}")
        axes.set_xticks(np.arange(n + 1) - 0.5, [""] * (n + 1))
        axes.set_yticks(np.arange(n + 1) - 0.5, [""] * (n + 1))
        axes.grid(color="white", lw=0.6)
    assert image is not None, "there is one layer at least"
    figure.colorbar(image, ax=list(grid), label="last scale factor", fraction=0.05)
    return figure


def write_simulation_report(folder: Path) -> Path:
    """Write the pictures and ``report.html`` into the folder of simulations; returns its path.

    Raises MissingFileError or ReportError when ``simulate.json`` cannot be read.
    """
    folder = Path(folder)
    content = read_simulation(folder)
    pictures = written_and_inlined(
        folder,
        {
            **(_snapshot_pictures(folder) if content["snapshots"] else {}),
            "times.png": times_figure(folder),
            **({"tiles.png": tiles_figure(folder)} if content.get("tiles") else {}),
            **(lightcone_figures(folder) if content.get("lightcone") else {}),
            **(maps_figures(folder) if content.get("sky") else {}),
        },
    )
    return write_page(
        folder,
        "simulation.html.j2",
        name=content["name"],
        version=content["version"],
        passed=content["passed"],
        sentences=simulation_words(content),
        pictures={name.removesuffix(".png"): code for name, code in pictures.items()},
        rows=_rows(content),
        settings=content["settings"],
        configuration=configuration_of(folder),
    )


def _snapshot_pictures(folder: Path) -> dict[str, Figure]:
    return {"slices.png": slices_figure(folder), "power.png": power_figure(folder)}


def _rows(content: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "z": f"{snapshot['z']:g}",
            "growth": f"{snapshot['amplitude']['linear']:.4f}",
            "momentum": significant(snapshot["momentum"]),
        }
        for snapshot in content["snapshots"]
    ]
