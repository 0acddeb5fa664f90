"""The lognormal bins against the public Python code and SciPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import lognorm

from volvelle.likelihood import LikelihoodOptionError, get_likelihood
from volvelle.likelihood.low_l import LognormalBins

# ln P of the best-fit spectra (data set planck-2018-best-fit) by planck-low-py, commit e5982cf2
# (Prince & Dunkley 2021); the rest is rounding.
PUBLIC_CODE = {"TT": -12.152620023312213, "EE": 9.611769073176255}
PUBLIC_CODE_RTOL = 1e-12
ROUNDING = 1e-12  # of some ten float64 operations
QUADRATURE = 1e-6  # SciPy asks for 1.5e-8; the tail beyond 1 muK^2 holds 1e-10
TABLE = np.array([[2.0, 5.0, -3.2, 0.5, 0.0], [6.0, 9.0, -4.0, 0.35, -0.0185]])


def spectrum_with_bands(*bands: float) -> np.ndarray:
    """C_l whose D_l [muK^2] is constant in each bin of `TABLE`."""
    l = np.arange(30)  # noqa: E741
    band = np.where(l < 6, bands[0], bands[1])
    return np.where(l > 1, 2 * np.pi * band / np.maximum(l * (l + 1), 1), 0.0)


@pytest.mark.real_data
@pytest.mark.parametrize("spectrum", ["TT", "EE"])
def test_equals_the_public_code(spectrum: str, best_fit: dict[str, Any]) -> None:
    options = {"TT": spectrum == "TT", "EE": spectrum == "EE"}
    likelihood = get_likelihood("planck_2018_low_l", **options)
    value = float(likelihood.log_prob(best_fit, {}))
    assert value == pytest.approx(PUBLIC_CODE[spectrum], rel=PUBLIC_CODE_RTOL)
    assert likelihood.requires.spectra == (f"lensed_{spectrum.lower()}",)


@pytest.mark.real_data
def test_both_are_the_sum(best_fit: dict[str, Any]) -> None:
    total = float(get_likelihood("planck_2018_low_l").log_prob(best_fit, {}))
    assert total == pytest.approx(sum(PUBLIC_CODE.values()), rel=PUBLIC_CODE_RTOL)


def test_density_is_the_shifted_lognormal() -> None:
    bins = LognormalBins.from_table(TABLE)
    x = (0.05, 0.004)
    expected = sum(
        lognorm.logpdf(v, s=sigma, loc=loc, scale=np.exp(mu))
        for v, (_, _, mu, sigma, loc) in zip(x, TABLE, strict=True)
    )
    assert float(bins.log_prob(spectrum_with_bands(*x))) == pytest.approx(expected, rel=ROUNDING)


def test_density_is_normalised() -> None:
    bins = LognormalBins.from_table(TABLE[:1])
    total, _ = quad(lambda x: np.exp(float(bins.log_prob(spectrum_with_bands(x, 0.0)))), 0, 1)
    assert total == pytest.approx(1.0, abs=QUADRATURE)


def test_maximum_is_at_the_mode() -> None:
    bins = LognormalBins.from_table(TABLE)
    mode = TABLE[:, 4] + np.exp(TABLE[:, 2] - TABLE[:, 3] ** 2)
    at_mode = float(bins.log_prob(spectrum_with_bands(*mode)))
    assert at_mode == pytest.approx(float(bins.max_log_prob), rel=ROUNDING)
    for factor in (0.99, 1.01):
        assert float(bins.log_prob(spectrum_with_bands(*(mode * factor)))) < at_mode


def test_impossible_bands_have_no_probability_and_finite_gradients() -> None:
    bins = LognormalBins.from_table(TABLE)
    impossible = jnp.asarray(spectrum_with_bands(-0.01, 0.004))
    value, gradient = jax.value_and_grad(bins.log_prob)(impossible)
    assert value == -jnp.inf and jnp.all(jnp.isfinite(gradient))


def test_noise_reproduces_the_bin() -> None:
    bins = LognormalBins.from_table(TABLE)
    noise = bins.noise()
    window = np.asarray(bins.window)
    finite = np.where(np.isfinite(noise), noise, 0.0)
    sigma = TABLE[:, 3] * np.exp(TABLE[:, 2])
    np.testing.assert_allclose(np.sqrt(((window * finite) ** 2).sum(axis=1)), sigma, rtol=ROUNDING)


def test_needs_one_spectrum() -> None:
    with pytest.raises(LikelihoodOptionError, match="at least one true"):
        get_likelihood("planck_2018_low_l", TT=False, EE=False)
