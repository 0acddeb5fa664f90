"""Several posteriors in one triangle."""

from __future__ import annotations

import numpy as np
import pytest

from volvelle.report import ReportError, chain_of, overlay

NAMES = ("Omega_m", "w0", "H0")
MEAN, COVARIANCE = np.array([0.3, -1.0]), np.array([[0.01, 0.02], [0.02, 0.09]])


def drawn(factor: float, seed: int):
    rng = np.random.default_rng(seed)
    pair = rng.multivariate_normal(MEAN, factor * COVARIANCE, (4, 5000))
    samples = np.concatenate([pair, rng.normal(70.0, 1.0, (4, 5000, 1))], axis=-1)
    return chain_of(NAMES, samples, {"Omega_m": r"\Omega_\mathrm{m}"})


def test_contours_hold_their_shares() -> None:
    figure = overlay(
        {"wide": drawn(1.0, 1), "narrow": drawn(0.25, 2)}, NAMES[:2], truth={"Omega_m": 0.3}
    )
    assert len(figure.axes) == 4 and not figure.axes[1].axison
    below = figure.axes[2]
    assert below.get_xlabel() == r"$\Omega_\mathrm{m}$" and below.get_ylabel() == "$w0$"
    inverse = np.linalg.inv(COVARIANCE)
    # Delta chi2 of 68.3% and 95.4% in two dimensions; outer contours first
    for contours, factor in zip(below.collections, (1.0, 0.25), strict=True):
        for path, wanted in zip(contours.get_paths(), (6.16, 2.30), strict=True):
            off = path.vertices - MEAN
            found = np.einsum("ni,ij,nj->n", off, inverse, off) / factor
            assert np.median(found) == pytest.approx(wanted, rel=0.12)
    lines = figure.axes[0].lines
    assert len(lines) == 3 and lines[2].get_xdata()[0] == 0.3  # two densities and the truth
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["wide", "narrow"]


def test_levels() -> None:
    figure = overlay({"one": drawn(1.0, 3)}, NAMES, levels=(0.3, 0.68, 0.9))
    assert figure.legends[0].get_title().get_text() == "30%, 68%, 90%"
    assert len(figure.axes) == 9
    assert len(figure.axes[3].collections[0].get_paths()) == 3


def test_resampled_draws_are_copies() -> None:
    """Draws that were resampled by weights come several times, in no order: no spikes where."""
    rng = np.random.default_rng(4)
    pool = rng.multivariate_normal(MEAN, 1.5 * COVARIANCE, 4000)
    off = pool - MEAN
    square = np.einsum("ni,ij,nj->n", off, np.linalg.inv(COVARIANCE), off)
    weights = np.exp(-0.5 * square * (1.0 - 1.0 / 1.5))
    found = pool[rng.choice(len(pool), (4, 1000), p=weights / weights.sum())]
    figure = overlay({"resampled": chain_of(NAMES[:2], found)}, NAMES[:2])
    outer, inner = figure.axes[2].collections[0].get_paths()
    for path, wanted in ((outer, 6.16), (inner, 2.30)):
        assert len(path.to_polygons()) == 1
        apart = path.vertices - MEAN
        value = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(COVARIANCE), apart)
        assert np.median(value) == pytest.approx(wanted, rel=0.15)


def test_refusals() -> None:
    one = drawn(1.0, 1)
    with pytest.raises(ReportError, match="expected two and one"):
        overlay({"one": one}, ["w0"])
    with pytest.raises(ReportError, match="one has no parameter wa; there are Omega_m, w0, H0"):
        overlay({"one": one}, ["w0", "wa"])
    with pytest.raises(ReportError, match=r"shape \(2, 3\) for 2 names; expected \[chains"):
        chain_of(NAMES[:2], np.zeros((2, 3)))
