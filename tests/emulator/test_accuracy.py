"""Percentiles of errors: their definition, written out."""

from __future__ import annotations

import numpy as np
import pytest

from volvelle.emulator import (
    EmulatorError,
    also_needed,
    error_percentiles,
    error_unit,
    largest_error,
)
from volvelle.emulator.accuracy import HALF_WINDOW

LMAX = 700
ELL = np.arange(2, LMAX + 1)
FACTOR = ELL * (ELL + 1.0)


def spectra(n: int, seed: int = 0) -> np.ndarray:
    amplitude = np.random.default_rng(seed).uniform(0.5, 2.0, (n, 1))
    return amplitude * np.cos(ELL / 60.0) * np.exp(-ELL / 300.0) / FACTOR


def test_of_the_whole_spectrum():
    exact = spectra(50)
    rms = np.array([np.sqrt(np.mean((FACTOR * row) ** 2)) for row in exact])
    size = np.random.default_rng(1).normal(size=50)
    predicted = exact + (size * rms)[:, None] / FACTOR
    expected = np.percentile(np.abs(size), [68.0, 95.0])[:, None]
    found = error_percentiles(predicted, exact)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-9)


def test_local_rms_is_that_of_a_window():
    exact = spectra(3)
    (found,) = error_percentiles(1.01 * exact, exact, [50.0], unit="local")
    d = FACTOR * exact
    for i in (0, 40, 300, len(ELL) - 1):
        window = slice(max(0, i - HALF_WINDOW), i + HALF_WINDOW + 1)
        rms = np.sqrt(np.mean(d[:, window] ** 2, axis=1))
        np.testing.assert_allclose(found[i], np.median(0.01 * np.abs(d[:, i]) / rms), rtol=1e-6)


def test_the_amplitude_of_a_model_is_no_error():
    exact = spectra(20)
    for unit in ("spectrum", "local"):
        found = error_percentiles(1.02 * exact, exact, unit=unit)
        np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"predicted": spectra(2)}, "give as many of both"),
        ({"predicted": spectra(3)[0], "exact": spectra(3)[0]}, "give as many of both"),
        ({"unit": "mean"}, "unknown unit 'mean'; choose spectrum or local"),
        ({"exact": 0.0 * spectra(3)}, "is zero or not a number"),
        ({"exact": np.nan * spectra(3)}, "is zero or not a number"),
    ],
)
def test_refusals(change: dict, words: str):
    with pytest.raises(EmulatorError, match=words):
        error_percentiles(**{"predicted": spectra(3), "exact": spectra(3), **change})


def test_errors_in_cosmic_variance():
    """One multipole off by a part of its own scatter; TE by that which T and E give it."""
    ell = np.arange(6)
    tt, ee = 100.0 / (ell + 1.0), 4.0 / (ell + 1.0)
    te = np.array([0.0, 0.0, 5.0, 0.0, -3.0, 2.0])
    exact = {"lensed_tt": tt, "lensed_ee": ee, "lensed_te": te, "phiphi": tt}
    off = tt * (1.0 + 0.1 * (ell == 4))
    assert largest_error("lensed_tt", off, exact) == pytest.approx(0.1 / np.sqrt(2.0 / 9.0))
    assert largest_error("phiphi", off, exact) == pytest.approx(0.1 / np.sqrt(2.0 / 9.0))
    moved = te + 0.2 * (ell == 3)
    sigma = np.sqrt(tt[3] * ee[3] / 7.0)
    assert largest_error("lensed_te", moved, exact) == pytest.approx(0.2 / sigma)
    assert also_needed(["lensed_te", "lensed_tt"]) == ("lensed_ee",)
    assert also_needed(["sigma8", "mine_te"]) == ()


def test_relative_errors_and_zeros():
    exact = {"transverse_comoving_distance": np.array([0.0, 10.0, 20.0]), "sigma8": np.array(0.8)}
    found = largest_error("transverse_comoving_distance", np.array([0.0, 10.1, 20.0]), exact)
    assert found == pytest.approx(0.01)
    assert largest_error("sigma8", np.array(0.88), exact) == pytest.approx(0.1)
    assert error_unit("sigma8") == "relative" and error_unit("lensed_bb") == "cosmic variance"
    wrong = largest_error("transverse_comoving_distance", np.array([1.0, 10.0, 20.0]), exact)
    assert wrong == np.inf, "a zero that is none"
    assert largest_error("sigma8", np.array(np.nan), exact) == np.inf
    with pytest.raises(EmulatorError, match=r"has shape \(1,\), its exact one \(\)"):
        largest_error("sigma8", np.ones(1), exact)
    visibility = {"visibility": np.array([1.0, 1e-30])}
    assert largest_error("visibility", np.array([1.0, 1e-3]), visibility) == pytest.approx(0.1)
