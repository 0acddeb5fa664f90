"""Every figure of the report as a function of the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from .accounting import history, timing
from .errors import MissingFileError
from .spectra import distances, spectra
from .style import figure_bytes
from .triangle import derived, triangle
from .two_point import two_point

FIGURES: dict[str, Callable[[Path], Figure]] = {
    "triangle": triangle,
    "derived": derived,
    "spectra": spectra,
    "distances": distances,
    "two_point": two_point,
    "history": history,
    "timing": timing,
}

__all__ = [
    "FIGURES",
    "derived",
    "distances",
    "history",
    "spectra",
    "timing",
    "triangle",
    "two_point",
    "write_figures",
]


def write_figures(folder: Path) -> list[Path]:
    """Save every figure that the run's files allow as `FOLDER/figures/NAME.png`."""
    target = Path(folder) / "figures"
    target.mkdir(exist_ok=True)
    written = []
    for name, draw in FIGURES.items():
        try:
            figure = draw(Path(folder))
        except MissingFileError:
            continue
        path = target / f"{name}.png"
        path.write_bytes(figure_bytes(figure, "png"))
        written.append(path)
    return written
