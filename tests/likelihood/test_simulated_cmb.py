"""Simulated bandpowers: their bins, their noise, and the real errors as a yardstick."""

from typing import Any

import jax
import numpy as np
import pytest

from volvelle import data
from volvelle.likelihood import LikelihoodOptionError, get_likelihood
from volvelle.likelihood.simulated_cmb import (
    NOISE_P,
    NOISE_T,
    noise_spectrum,
    plik_lite_binning,
)

# Without foregrounds, their marginalisation and the smaller sky of polarisation the simulated
# errors are below the real ones: median ratio per spectrum.
LARGEST_MEDIAN_RATIO = {"TT": 1.2, "TE": 1.3, "EE": 1.7}
ROUNDING = 1e-12  # of sums over at most 33 elements, in float64
N = 613


def test_bins_of_the_rule() -> None:
    window = plik_lite_binning(215).matrix(2509)
    np.testing.assert_allclose(window.sum(axis=1), 1.0, rtol=ROUNDING)
    inside = window > 0
    assert np.array_equal(inside.sum(axis=0), [0] * 30 + [1] * 2479)
    assert np.flatnonzero(plik_lite_binning(199).matrix(2509)[-1])[-1] == 1996


def test_noise_of_one_channel_and_of_three() -> None:
    one = np.array([np.inf, 33.0, np.inf])  # 143 GHz alone, 7.22 arcmin
    sigma = 7.22 * np.pi / 180 / 60 / np.sqrt(8 * np.log(2))
    l = np.array([2, 1000, 2000])  # noqa: E741
    expected = (33.0 * np.pi / 180 / 60) ** 2 * np.exp(l * (l + 1) * sigma**2)
    np.testing.assert_allclose(noise_spectrum(one)[l], expected, rtol=ROUNDING)
    assert np.all(noise_spectrum(NOISE_T) < noise_spectrum(one))
    assert np.all(noise_spectrum(NOISE_P) > noise_spectrum(NOISE_T))


def test_fiducial_is_the_minimum(theory: dict[str, Any]) -> None:
    likelihood = get_likelihood("planck_2018_simulated", fiducial=theory)
    assert likelihood.simulated
    assert float(likelihood.chi2(theory, {"A_planck": 1.0})) < ROUNDING
    assert float(likelihood.chi2(theory, {"A_planck": 1.001})) > 0.1


def test_scatter_and_sky(theory: dict[str, Any]) -> None:
    key = jax.random.key(1)
    noisy = get_likelihood("planck_2018_simulated", fiducial=theory, key=key)
    chi2 = float(noisy.chi2(theory, {"A_planck": 1.0}))
    assert abs(chi2 - N) < 5 * np.sqrt(2 * N)  # five standard deviations
    half = get_likelihood("planck_2018_simulated", fiducial=theory, f_sky=0.285)
    ratio = half.bandpowers.sigma / noisy.bandpowers.sigma
    np.testing.assert_allclose(ratio, np.sqrt(2.0), rtol=ROUNDING)


@pytest.mark.parametrize("f_sky", [0.0, 1.5, True, -1.0])
def test_impossible_sky(f_sky: Any, theory: dict[str, Any]) -> None:
    with pytest.raises(LikelihoodOptionError, match="f_sky"):
        get_likelihood("planck_2018_simulated", fiducial=theory, f_sky=f_sky)


@pytest.mark.real_data
def test_layout_and_errors_of_the_real_data(best_fit: dict[str, Any]) -> None:
    real = get_likelihood("planck_2018_plik_lite").bandpowers
    simulated = get_likelihood("planck_2018_simulated", fiducial=best_fit).bandpowers
    start = 0
    for name, a, b in zip(real.spectra, real.binnings, simulated.binnings, strict=True):
        np.testing.assert_allclose(a.matrix(2509), b.matrix(2509), rtol=ROUNDING)
        stop = start + len(a.matrix(2509))
        ratio = np.median(real.sigma[start:stop] / simulated.sigma[start:stop])
        assert 1.0 < ratio < LARGEST_MEDIAN_RATIO[name]
        start = stop
    assert data.bibtex(get_likelihood("planck_2018_simulated", fiducial=best_fit).cites)
