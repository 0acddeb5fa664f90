"""Ellipses and triangles of Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from volvelle.report import Gaussian, ReportError, ellipse, ellipse_triangle

VALUES = np.array([0.3, -1.0, 70.0])
COVARIANCE = np.array([[0.01, 0.02, 0.0], [0.02, 0.09, 0.1], [0.0, 0.1, 4.0]])
NAMES = ("Omega_m", "w0", "H0")


def test_an_ellipse_holds_its_share() -> None:
    inverse = np.linalg.inv(COVARIANCE[:2, :2])
    points = ellipse(VALUES[:2], COVARIANCE[:2, :2], 0.683)
    off = points - VALUES[:2]
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", off, inverse, off), 2.2977, rtol=1e-4)
    draws = np.random.default_rng(1).multivariate_normal(VALUES[:2], COVARIANCE[:2, :2], 100_000)
    off = draws - VALUES[:2]
    inside = np.einsum("ni,ij,nj->n", off, inverse, off) <= 2.2977
    assert inside.mean() == pytest.approx(0.683, abs=0.005)


def test_a_triangle() -> None:
    one = Gaussian(NAMES, VALUES, COVARIANCE, "one")
    two = Gaussian(NAMES[::-1], VALUES[::-1], COVARIANCE[::-1, ::-1] / 4.0, "two")
    figure = ellipse_triangle([one, two], NAMES[:2], {"Omega_m": r"\Omega_\mathrm{m}"})
    axes = figure.axes
    assert len(axes) == 4 and not axes[1].axison
    assert axes[2].get_xlabel() == r"$\Omega_\mathrm{m}$" and axes[2].get_ylabel() == "$w0$"
    # Both are drawn around the same values: two fills and two outlines each, and a cross.
    assert len(axes[2].patches) == 4 and len(axes[2].lines) == 6
    low, high = axes[2].get_xlim()
    assert low == pytest.approx(0.3 - 0.32) and high == pytest.approx(0.3 + 0.32)
    single = ellipse_triangle([one], NAMES)
    assert single.axes[0].get_title() == "0.30 ± 0.10"


def test_refusals() -> None:
    one = Gaussian(NAMES, VALUES, COVARIANCE)
    with pytest.raises(ReportError, match="two or more"):
        ellipse_triangle([one], ["w0"])
    with pytest.raises(ReportError, match="no parameter wa"):
        ellipse_triangle([one], ["w0", "wa"])
