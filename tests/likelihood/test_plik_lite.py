"""plik-lite against the public Python code and Planck's published best fit."""

from typing import Any

import jax
import numpy as np
import pytest

from volvelle.likelihood import Likelihood, LikelihoodOptionError, get_likelihood
from volvelle.likelihood.bandpowers import Binning

# ln P of the best-fit spectra (data set planck-2018-best-fit, A_planck = 1) by planck-lite-py,
# commit 2c0d0f67 (Prince & Dunkley 2019). Rounding of the two inversions of the covariance.
PUBLIC_CODE = {"TTTEEE": -292.7372829435112, "TT": -104.01917230497246}
PUBLIC_CODE_RTOL = 1e-11
# The same spectra with the calibration of that best fit; 584.8 is the value of a CAMB solution
# of the same parameters, and the file's spectra have six digits.
BEST_FIT_CALIBRATION = 1.000442
BEST_FIT_CHI2 = 584.8
BEST_FIT_TOLERANCE = 0.5
ROUNDING = 1e-12  # of sums over at most 33 elements, in float64
N_BINS = 613


@pytest.fixture(scope="module")
def plik_lite() -> Likelihood:
    return get_likelihood("planck_2018_plik_lite")


@pytest.mark.real_data
@pytest.mark.parametrize("spectra", ["TTTEEE", "TT"])
def test_equals_the_public_code(spectra: str, best_fit: dict[str, Any]) -> None:
    likelihood = get_likelihood("planck_2018_plik_lite", spectra=spectra)
    value = float(likelihood.log_prob(best_fit, {"A_planck": 1.0}))
    assert value == pytest.approx(PUBLIC_CODE[spectra], rel=PUBLIC_CODE_RTOL)


@pytest.mark.real_data
def test_best_fit(plik_lite: Likelihood, best_fit: dict[str, Any]) -> None:
    chi2 = float(plik_lite.chi2(best_fit, {"A_planck": BEST_FIT_CALIBRATION}))
    assert chi2 == pytest.approx(BEST_FIT_CHI2, abs=BEST_FIT_TOLERANCE)
    assert len(plik_lite.bandpowers.data) == N_BINS


@pytest.mark.real_data
def test_calibration_divides_by_its_square(plik_lite: Likelihood, best_fit: dict[str, Any]) -> None:
    larger = {name: c * 1.01**2 for name, c in best_fit.items()}
    assert float(plik_lite.chi2(larger, {"A_planck": 1.01})) == pytest.approx(
        float(plik_lite.chi2(best_fit, {"A_planck": 1.0})), rel=PUBLIC_CODE_RTOL
    )


@pytest.mark.real_data
def test_scatter_has_the_covariance(plik_lite: Likelihood, best_fit: dict[str, Any]) -> None:
    nuisance = {"A_planck": 1.0}
    keys = jax.random.split(jax.random.key(3), 20)
    chi2 = [
        float(plik_lite.simulate(best_fit, nuisance, key).chi2(best_fit, nuisance)) for key in keys
    ]
    error = np.sqrt(2 * N_BINS / len(keys))  # of the mean of chi2 with 613 degrees of freedom
    assert abs(np.mean(chi2) - N_BINS) < 4 * error


@pytest.mark.real_data
def test_noise_is_that_of_the_bins(plik_lite: Likelihood) -> None:
    """One bin's elements together carry the information of that bin, given all others."""
    noise = plik_lite.noise()["lensed_tt"]
    window = plik_lite.bandpowers.binnings[0].matrix(len(noise))
    finite = np.where(np.isfinite(noise), noise, 0.0)
    found = np.sqrt(np.sum((window * finite) ** 2, axis=1))
    inverse = np.asarray(plik_lite.bandpowers.whitener.T @ plik_lite.bandpowers.whitener)
    np.testing.assert_allclose(found, np.diag(inverse)[:215] ** -0.5, rtol=ROUNDING)
    assert np.all(np.isinf(noise[:30])) and np.all(np.isfinite(noise[30:2509]))
    assert np.all(np.isinf(plik_lite.noise()["lensed_te"][1997:]))


def test_unknown_spectra_are_refused() -> None:
    with pytest.raises(LikelihoodOptionError, match="TTTEEE or TT"):
        get_likelihood("planck_2018_plik_lite", spectra="EE")


def test_binning_is_its_matrix() -> None:
    rng = np.random.default_rng(0)
    first, last = np.array([3, 5, 7, 11, 15]), np.array([4, 6, 10, 14, 20])
    weights, spectrum = rng.normal(size=25), rng.normal(size=25)
    binning = Binning.from_edges(first, last, weights)
    expected = [np.sum((weights * spectrum)[a : b + 1]) for a, b in zip(first, last, strict=True)]
    np.testing.assert_allclose(binning.bin(spectrum), expected, rtol=ROUNDING)
    np.testing.assert_allclose(binning.matrix(25) @ spectrum, expected, rtol=ROUNDING)
