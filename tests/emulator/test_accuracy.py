"""Percentiles of errors: their definition, written out."""

from __future__ import annotations

import numpy as np
import pytest

from volvelle.emulator import EmulatorError, error_percentiles
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
