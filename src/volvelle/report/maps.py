"""Maps of a lightcone in words and pictures: the sky, spectra beside the theory's, galaxies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import healpy
import numpy as np
from healpy.projector import GnomonicProj, MollweideProj
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import chi2

from .simulation_content import read_simulation
from .style import PALETTE, QUIET, in_house_style, new_figure

GROUPS = {
    "shell": ("shells of matter", r"$C_\ell^{\delta\delta}$"),
    "convergence": ("convergence", r"$C_\ell^{\kappa\kappa}$"),
    "galaxies": ("galaxies", r"$C_\ell^{\mathrm{gg}}$"),
}
WIDE = 0.15
"""Fraction of the sky above which all of it is drawn."""
UNLIKELY = 1e-3
"""Probability of a larger chi2 that is remarked on."""


def maps_words(sky: dict[str, Any]) -> list[str]:
    """What the maps are, and how far they are from the theory where both are valid."""
    words, maps = [], sky["maps"]
    if maps is not None:
        number = len(maps["edges"]) - 1
        words.append(
            f"Maps: {number} shells of matter and convergence of {len(maps['sources'])} "
            f"distribution{'s' if len(maps['sources']) > 1 else ''} of sources at nside "
            f"{maps['nside']}, {maps['f_sky']:.3g} of the sky."
        )
        for name, source in maps["sources"].items():
            if source["missing"]:
                words.append(
                    f"Of the lensing kernel of {name} {100 * source['missing']:.2g}% lies outside "
                    "of the shells: that matter is missing in the map, and in its theory."
                )
        words += [_compared(name, each, maps) for name, each in sky["spectra"].items()]
    for name, galaxies in sky["galaxies"].items():
        words.append(_galaxies(name, galaxies))
    if sky["mock"] is not None:
        words.append(_judged(sky["mock"]))
    return words


def _called(name: str, title: str) -> str:
    kind, _, which = name.partition(" ")
    return f"the shell from {title}" if kind == "shell" else f"{kind} {which}"


def _valid(spectrum: dict[str, Any], maps: dict[str, Any]) -> np.ndarray:
    """Bands that lie where the simulation resolves them."""
    low, high = spectrum["resolved"]
    bands = np.array(maps["bands"])
    return (bands[:-1] >= low) & (bands[1:] <= high + 1.0)


def _compared(name: str, spectrum: dict[str, Any], maps: dict[str, Any]) -> str:
    low, high = spectrum["resolved"]
    here, title = _valid(spectrum, maps), _called(name, spectrum["title"])
    if not here.any():
        where = f"l = {low:.0f} to {high:.0f}" if low < high else "no multipole"
        return (
            f"C_l of {title}: no band lies where the simulation has the waves that make it "
            f"({where}); the box is too small, or the particles too far apart."
        )
    theory = np.array(spectrum["theory"])
    ratio, error = np.array(spectrum["values"]) / theory, np.array(spectrum["error"]) / theory
    weight = here / error**2
    mean, of_mean = np.sum(weight * ratio) / np.sum(weight), 1.0 / np.sqrt(np.sum(weight))
    worst = int(np.argmax(np.where(here, np.abs(ratio - 1.0), -1.0)))
    bands = maps["bands"]
    return (
        f"C_l of {title} is {mean:.3f} ± {of_mean:.3f} of {maps['nonlinear']}'s where both are "
        f"valid, l = {low:.0f} to {high:.0f} (below, the box has few waves; above, the force's "
        f"mesh smooths), {ratio[worst]:.3f} ± {error[worst]:.3f} in its worst band, l = "
        f"{bands[worst]} to {bands[worst + 1] - 1}."
    )


def _galaxies(name: str, found: dict[str, Any]) -> str:
    words = f"Galaxies {name}: {found['number']:,.0f}, {found['expected']:,.0f} expected"
    if "achieved" not in found:
        return f"{words}; a bias of {found['bias']:g} was asked for."
    low, high = found["achieved_at"]
    return (
        f"{words}; against the matter their bias is {found['achieved']:.3f} ± "
        f"{found['achieved_error']:.3f} at l = {low} to {high}, {found['bias']:g} asked for."
    )


def _judged(mock: dict[str, Any]) -> str:
    exceeded = float(chi2.sf(mock["chi2"], mock["numbers"]))
    repeated = mock["repeated"]
    words = (
        f" The lightcone has {repeated:.3g} times the volume of the box, whose waves come again: "
        "they are fewer than the covariance counts."
        if repeated > 1.0
        else ""
    )
    remark = (
        " More than the covariance allows: bands beyond what the simulation resolves, or what "
        "linear bias describes, or a box that is repeated, are in it."
        if exceeded < UNLIKELY
        else ""
    )
    return (
        f"The data vector of {', '.join(mock['samples'])}, l = {mock['bands'][0]} to "
        f"{mock['bands'][-1] - 1}, has chi2 = {mock['chi2']:.1f} for {mock['numbers']} numbers at "
        f"the simulated universe, with the probability {exceeded:.2g} of more.{words}{remark}"
    )


@in_house_style
def spectra_figure(folder: Path) -> Figure:
    """C_l in bands beside the theory's, and their ratio; faint where a simulation is not valid."""
    content = read_simulation(folder)
    maps, spectra = content["sky"]["maps"], content["sky"]["spectra"]
    many = len(content["realisations"]) > 1
    groups = [kind for kind in GROUPS if any(name.startswith(kind) for name in spectra)]
    figure = new_figure(3.5 * len(groups) + 0.6, 4.9)
    panels = figure.subplots(2, len(groups), squeeze=False, sharex=True, height_ratios=(1.8, 1))
    figure.subplots_adjust(
        left=0.26 / len(groups), right=0.985, top=0.93, bottom=0.1, hspace=0.05, wspace=0.32
    )
    for column, kind in enumerate(groups):
        own = {name: each for name, each in spectra.items() if name.startswith(kind)}
        for number, each in enumerate(own.values()):
            color = PALETTE[number % len(PALETTE)]
            _draw(panels[0, column], panels[1, column], each, maps, color, many)
        title, label = GROUPS[kind]
        panels[0, column].set_title(title)
        panels[0, column].set_ylabel(label)
        panels[0, column].legend(loc="lower left")
        panels[1, column].axhline(1.0, color=QUIET, lw=0.7)
        panels[1, column].set_ylim(0.55, 1.45)
        panels[1, column].set_xlabel(r"$\ell$")
        panels[1, column].set_xlim(0.8 * maps["bands"][0], 1.2 * maps["bands"][-1])
    panels[1, 0].set_ylabel(f"over {maps['nonlinear']}")
    return figure


def _draw(
    above: Axes, below: Axes, spectrum: dict[str, Any], maps: dict[str, Any], color: str, many: bool
) -> None:
    ell, theory = np.array(maps["ell"]), np.array(spectrum["theory"])
    values, here = np.array(spectrum["values"]), _valid(spectrum, maps)
    error = np.array(spectrum["scatter"]) if many else np.array(spectrum["error"])
    above.loglog(ell, theory, color=color, lw=1.0)
    for chosen, alpha in ((here, 1.0), (~here, 0.3)):
        style = {"color": color, "fmt": "o", "ms": 3.0, "lw": 1.0, "alpha": alpha}
        label = spectrum["title"] if chosen is here else None
        above.errorbar(ell[chosen], values[chosen], error[chosen], label=label, **style)
        ratio = values[chosen] / theory[chosen]
        below.errorbar(ell[chosen], ratio, error[chosen] / theory[chosen], **style)


@in_house_style
def sky_figure(folder: Path) -> Figure:
    """A shell, convergence and galaxies of the first simulation, as they stand in the sky."""
    content = read_simulation(folder)
    sky, first = content["sky"], Path(folder) / content["first"]
    shell = sky["maps"]["shell"]
    low, high = sky["maps"]["edges"][shell : shell + 2]
    shown = [(f"matter, {low:.0f} to {high:.0f} Mpc/h", "shells.fits", shell, "magma")]
    for name, source in list(sky["maps"]["sources"].items())[:1]:
        title = f"convergence {name}, sources {source['words']}"
        shown.append((title, f"convergence_{name}.fits", 0, "cividis"))
    for name in list(sky["galaxies"])[:1]:
        shown.append((f"galaxies {name}", f"counts_{name}.fits", 0, "viridis"))
    wide = sky["maps"]["f_sky"] > WIDE
    figure = new_figure(4.6 * len(shown), 2.75 if wide else 4.2)
    grid = figure.subplots(1, len(shown), squeeze=False)[0]
    figure.subplots_adjust(left=0.01, right=0.97, top=0.9, bottom=0.04, wspace=0.12)
    for axes, (title, name, field, colours) in zip(grid, shown, strict=True):
        values = np.asarray(healpy.read_map(first / name, field=field), np.float64)
        _projected(figure, axes, values, colours, wide, name.startswith("counts"))
        axes.set_title(title)
    return figure


def _projected(
    figure: Figure, axes: Axes, values: np.ndarray, colours: str, wide: bool, counts: bool
) -> None:
    seen = ~healpy.mask_bad(values)
    nside = healpy.npix2nside(values.size)
    if counts:  # of few galaxies to a pixel
        values = _over_mean(values, seen)
    projection = MollweideProj(xsize=1000) if wide else _gnomonic(nside, seen)
    picture = projection.projmap(
        np.where(seen, values, np.nan), lambda x, y, z: healpy.vec2pix(nside, x, y, z)
    )
    picture = np.ma.masked_invalid(picture)
    low, high = np.quantile(values[seen], (0.01, 0.995))
    image = axes.imshow(picture, origin="lower", cmap=colours, vmin=low, vmax=high)
    axes.set_axis_off()
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.01)
    bar.formatter.set_powerlimits((-2, 4))  # pyright: ignore[reportAttributeAccessIssue]


def _over_mean(counts: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Contrast in pixels that have some galaxies each."""
    nside, mean = healpy.npix2nside(counts.size), float(counts[seen].mean())
    while nside > 8 and mean < 4.0:
        nside, mean = nside // 2, 4.0 * mean
    coarse = healpy.ud_grade(np.where(seen, counts, healpy.UNSEEN), nside)
    fine = healpy.ud_grade(coarse, healpy.npix2nside(counts.size))
    good = ~healpy.mask_bad(fine)
    return np.where(good, fine / np.mean(fine[seen & good]) - 1.0, 0.0)


def _gnomonic(nside: int, seen: np.ndarray) -> GnomonicProj:
    """Around the middle of what is seen, wide enough for all of it."""
    directions = np.stack(healpy.pix2vec(nside, np.flatnonzero(seen)), axis=-1)
    middle = directions.mean(axis=0)
    middle /= np.linalg.norm(middle)
    widest = np.degrees(np.arccos(np.clip((directions @ middle).min(), 0.1, 1.0)))
    right, up = np.degrees(np.arctan2(middle[1], middle[0])), np.degrees(np.arcsin(middle[2]))
    pixels = 600
    across = 2.0 * np.degrees(np.tan(np.radians(widest))) * 60.0 / pixels
    return GnomonicProj(rot=(right, up, 0.0), xsize=pixels, ysize=pixels, reso=across)


def maps_figures(folder: Path) -> dict[str, Figure]:
    """All pictures there are, by the names of their files."""
    if read_simulation(folder)["sky"]["maps"] is None:
        return {}
    return {"sky.png": sky_figure(folder), "sky_spectra.png": spectra_figure(folder)}
