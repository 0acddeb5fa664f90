"""BAO and supernovae against CAMB's background at Planck's best fit, and their algebra."""

from typing import Any

import camb
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from volvelle import data
from volvelle.boltzmann import BACKGROUND_Z
from volvelle.likelihood import DataFormatError, get_likelihood
from volvelle.likelihood.interpolation import spline_matrix
from volvelle.likelihood.supernovae import DATA_SETS as SUPERNOVAE

# chi2 and number of data at Planck's best fit, from the registry of data sets. The best fit's H0
# is published to 0.01, and the DESI DR2 chi2 moves by 0.3 with the last digit.
PUBLISHED = {
    "desi_dr2_bao": (31.3, 13),
    "desi_dr1_bao": (21.7, 12),
    "union3": (26.3, 22),
    "pantheon_binned": (40.1, 40),
}
CHI2_TOLERANCE = 0.35
# An error of a distance below a hundredth of the best datum's (DESI DR2: 0.5%) would do; the
# spline must not be what limits it.
INTERPOLATION_RTOL = 1e-6
INVERSE_RTOL = 1e-7  # the inverse by NumPy loses digits to the large common mode
ROUNDING = 1e-10  # chi2 takes differences of nearly equal distances
REFERENCE_RTOL = 0.1  # the metric is taken at slightly other parameters


@pytest.fixture(scope="module")
def planck_background() -> dict[str, Any]:
    """CAMB's background at Planck 2018 VI, table 1, best fit of TT,TE,EE+lowE+lensing."""
    model = camb.set_params(
        ombh2=0.022383, omch2=0.12011, H0=67.32, mnu=0.06, nnu=3.046, num_massive_neutrinos=1
    )
    results = camb.get_background(model)
    return {
        "hubble": results.hubble_parameter(BACKGROUND_Z),
        "transverse_comoving_distance": results.angular_diameter_distance(BACKGROUND_Z)
        * (1 + BACKGROUND_Z),
        "r_drag": results.get_derived_params()["rdrag"],
    }


@pytest.mark.real_data
@pytest.mark.parametrize("name", PUBLISHED)
def test_chi2_at_the_best_fit(name: str, planck_background: dict[str, Any]) -> None:
    likelihood = get_likelihood(name)
    chi2, n = PUBLISHED[name]
    assert len(likelihood.data) == n
    found = float(likelihood.chi2(planck_background, {}))
    assert found == pytest.approx(chi2, abs=CHI2_TOLERANCE)


@pytest.mark.real_data
@pytest.mark.parametrize("name", SUPERNOVAE)
def test_offset_is_marginalised(name: str, planck_background: dict[str, Any]) -> None:
    """The projected form equals the textbook one, and a constant magnitude changes nothing."""
    likelihood = get_likelihood(name)
    data_set, _, systematics = SUPERNOVAE[name]
    numbers = np.array(data.locate(data_set).files[systematics].read_text().split(), dtype=float)
    n = int(numbers[0])
    table = np.loadtxt(
        data.locate(data_set).files[SUPERNOVAE[name][1]], usecols=(1, 2, 4, 5), comments="#"
    )
    z, z_hel, magnitude, error = table.T
    inverse = np.linalg.inv(numbers[1:].reshape(n, n) + np.diag(error**2))
    distance = spline_matrix(z) @ planck_background["transverse_comoving_distance"]
    residual = magnitude - 5 * np.log10((1 + z_hel) * distance)
    ones = np.ones(n)
    along = ones @ inverse @ residual
    expected = residual @ inverse @ residual - along**2 / (ones @ inverse @ ones)
    assert float(likelihood.chi2(planck_background, {})) == pytest.approx(
        expected, rel=INVERSE_RTOL
    )
    scaled = planck_background | {
        "transverse_comoving_distance": 1.3 * planck_background["transverse_comoving_distance"]
    }
    assert float(likelihood.chi2(scaled, {})) == pytest.approx(expected, rel=INVERSE_RTOL)


@pytest.mark.real_data
def test_bao_sees_only_ratios(planck_background: dict[str, Any]) -> None:
    likelihood = get_likelihood("desi_dr2_bao")
    scaled = {
        "hubble": planck_background["hubble"] / 1.1,
        "transverse_comoving_distance": planck_background["transverse_comoving_distance"] * 1.1,
        "r_drag": planck_background["r_drag"] * 1.1,
    }
    expected = float(likelihood.chi2(planck_background, {}))
    assert float(likelihood.chi2(scaled, {})) == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.real_data
def test_noise_bounds_a_common_change(planck_background: dict[str, Any]) -> None:
    """All distances off by a part e: the metric gives the sum of the data's information."""
    likelihood = get_likelihood("desi_dr2_bao")
    noise = likelihood.noise()["r_drag"]
    moved = planck_background | {"r_drag": planck_background["r_drag"] + 1e-3 * float(noise)}
    change = np.asarray(likelihood.model(moved) - likelihood.model(planck_background))
    inverse = np.asarray(likelihood.whitener.T @ likelihood.whitener)
    information = np.sum(change**2 * np.diag(inverse)) / 1e-6
    assert information == pytest.approx(1.0, rel=REFERENCE_RTOL)


def test_interpolation_of_an_integrated_background() -> None:
    def hubble(z: Any) -> Any:
        return 67.0 * np.sqrt(0.315 * (1 + z) ** 3 + 9.2e-5 * (1 + z) ** 4 + 0.684908)

    def distance(z: float) -> float:
        in_log = lambda x: np.exp(x) / hubble(np.expm1(x))  # noqa: E731
        return quad(in_log, 0, np.log1p(z), epsabs=0, epsrel=1e-12)[0] if z else 0.0

    z = np.array([0.014, 0.02, 0.033, 0.05, 0.1, 0.295, 0.51, 0.706, 0.934, 1.321, 1.484, 2.33])
    matrix = spline_matrix(z)
    exact = [distance(v) for v in z]
    nodes = np.array([distance(v) for v in BACKGROUND_Z])
    np.testing.assert_allclose(matrix @ nodes, exact, rtol=INTERPOLATION_RTOL)
    found = matrix @ (1 / hubble(BACKGROUND_Z))
    np.testing.assert_allclose(found, 1 / hubble(z), rtol=INTERPOLATION_RTOL)


def test_redshift_outside_of_the_grid() -> None:
    with pytest.raises(DataFormatError, match="from 0 to 1200"):
        spline_matrix(jnp.array([0.5, 1300.0]))
