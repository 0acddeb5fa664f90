"""The figures: drawn without a window, right in what they show, quiet about global state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from volvelle.report import (
    MissingFileError,
    ReportError,
    derived,
    distances,
    history,
    read_chain,
    spectra,
    timing,
    triangle,
    two_point,
    write_figures,
)
from volvelle.report.densities import ENOUGH_FOR_CONTOURS, Density, marginals
from volvelle.report.record import Chain
from volvelle.report.spectra import spectrum_of

# Half the grid spacing and the noise of 200 points: what a kernel estimate can show of a mean.
KERNEL_TOLERANCE = 0.08
PNG = b"\x89PNG\r\n"


def gaussian_chain(size: int, seed: int, tilt: float = 0.0) -> Chain:
    """A unit Gaussian in x and y, with weights that move the mean of x by `tilt`."""
    samples = np.random.default_rng(seed).normal(size=(size, 2))
    return Chain(
        names=("x", "y"),
        labels={"x": "x", "y": "y"},
        derived=(),
        samples=samples,
        weights=np.exp(tilt * samples[:, 0]),
        lengths=(size,),
        ranges={},
    )


def mean_of(density: Density) -> float:
    values = density.values if density.y is None else density.values.sum(axis=0)
    return float((density.x * values).sum() / values.sum())


def test_every_figure_is_written(run_folder: Path) -> None:
    before = dict(mpl.rcParams)
    paths = write_figures(run_folder)
    assert [p.stem for p in paths] == [
        "triangle", "derived", "spectra", "distances", "two_point", "history", "timing"
    ]  # fmt: skip
    assert all(p.read_bytes().startswith(PNG) for p in paths)
    assert dict(mpl.rcParams) == before


def test_triangle_has_a_panel_for_each_pair(run_folder: Path) -> None:
    figure = triangle(run_folder, names=("omega_b", "n_s", "H0"))
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 6
    labels = {axes.get_xlabel() for axes in shown}
    assert {r"$H_0$ [km/s/Mpc]", r"$n_\mathrm{s}$"} <= labels


def test_triangle_of_one_parameter(run_folder: Path) -> None:
    assert len(triangle(run_folder, names=("n_s",)).axes) == 1


def test_triangle_refuses_unknown_names(run_folder: Path) -> None:
    with pytest.raises(ReportError, match=r"no parameter omega_x; choose from omega_b"):
        triangle(run_folder, names=("omega_x",))


@pytest.mark.parametrize(
    ("draw", "file"),
    [
        (spectra, "bandpowers.json"),
        (distances, "distances.json"),
        (two_point, "two_point.json"),
        (history, "history.json"),
        (triangle, "chains/emulator.paramnames"),
        (derived, "chains/emulator.paramnames"),
    ],
)
def test_missing_file_is_named(run_folder: Path, draw: Any, file: str) -> None:
    assert isinstance(draw(run_folder), Figure)
    (run_folder / file).unlink()
    with pytest.raises(MissingFileError, match=Path(file).name):
        draw(run_folder)


def test_timing_needs_stages(run_folder: Path, change_summary: Any) -> None:
    assert len(timing(run_folder).axes[0].patches) == 5
    change_summary(lambda s: s.pop("seconds"))
    with pytest.raises(MissingFileError, match="seconds"):
        timing(run_folder)


def test_simulated_data_are_marked_in_every_figure(run_folder: Path, change_summary: Any) -> None:
    change_summary(lambda s: s.update(simulated=True))
    for draw in (spectra, distances, two_point, history, timing, derived):
        assert any("SIMULATED" in text.get_text() for text in draw(run_folder).texts)


def test_two_point_functions_have_a_panel_per_pair(run_folder: Path) -> None:
    figure = two_point(run_folder)
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 7 and len(figure.axes) == 12
    assert shown[0].get_title() == r"$10^{3}\theta\,w$  lens0 × lens0"
    points, model = shown[2].lines[0], shown[2].lines[1]
    assert len(points.get_xdata()) == len(model.get_xdata()) == 12
    # theta gamma_t in units of the power of ten that the title names
    assert 0.1 < np.max(np.abs(model.get_ydata())) < 10.0
    ratio = np.asarray(points.get_ydata()) / np.asarray(model.get_ydata())
    assert 0.02 < np.std(ratio) < 0.2


def test_spectra_show_theory_and_residuals_in_sigma(run_folder: Path) -> None:
    figure = spectra(run_folder)
    assert len(figure.axes) == 6
    assert [axes.get_ylabel().split("{")[1][:2] for axes in figure.axes[::2]] == ["TT", "TE", "EE"]
    curve = next(line for line in figure.axes[0].lines if line.get_label() == "exact best fit")
    multipole, d_l = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    assert multipole[0] == 2
    assert 4000 < d_l.max() < 6000
    pulls = max((line for line in figure.axes[1].lines), key=lambda line: len(line.get_xdata()))
    assert 0.8 < np.std(np.asarray(pulls.get_ydata(), float)) < 1.2


@pytest.mark.parametrize(
    ("name", "kind"),
    [("lensed_tt", "TT"), ("planck_2018_low_l EE", "EE"), ("TE", "TE"), ("phiphi", None)],
)
def test_spectrum_of_a_name(name: str, kind: str | None) -> None:
    assert spectrum_of(name) == kind


def test_equal_weights_give_the_emulators_contours_exactly() -> None:
    plain, exact = marginals(gaussian_chain(4000, 1), gaussian_chain(100, 2), ("x", "y"))
    assert exact is not None
    np.testing.assert_allclose(exact.one("x").values, plain.one("x").values, atol=1e-12)
    np.testing.assert_allclose(exact.two("x", "y").values, plain.two("x", "y").values, atol=1e-12)


@pytest.mark.parametrize("size", [200, 4 * ENOUGH_FOR_CONTOURS])
def test_weights_move_the_contours_by_what_they_say(size: int) -> None:
    tilt = 0.5
    reweighted = gaussian_chain(size, 3, tilt)
    plain, exact = marginals(gaussian_chain(6000, 4), reweighted, ("x", "y"))
    assert exact is not None
    assert mean_of(plain.one("x")) == pytest.approx(0, abs=KERNEL_TOLERANCE)
    assert mean_of(exact.one("x")) == pytest.approx(tilt, abs=KERNEL_TOLERANCE)
    assert mean_of(exact.two("x", "y")) == pytest.approx(tilt, abs=KERNEL_TOLERANCE)
    assert mean_of(exact.one("y")) == pytest.approx(0, abs=KERNEL_TOLERANCE)


def test_levels_hold_their_share_of_a_gaussian() -> None:
    x = np.linspace(-5, 5, 201)
    values = np.exp(-0.5 * (x[None, :] ** 2 + x[:, None] ** 2))
    outer, inner = Density(x, values, x).levels()
    assert outer == pytest.approx(1 - 0.954, rel=0.02)
    assert inner == pytest.approx(1 - 0.683, rel=0.02)


def test_chain_is_read_as_written(run_folder: Path) -> None:
    chain = read_chain(run_folder, "emulator")
    assert chain.lengths == (500,) * 4
    assert chain.derived == ("H0", "age")
    assert chain.ranges == {"tau_reio": (0.01, 0.8), "A_planck": (None, None)}
    assert chain.column("H0").mean() == pytest.approx(67.27, abs=0.05)
    assert read_chain(run_folder, "reweighted").effective_size() == pytest.approx(99.4, abs=1)
