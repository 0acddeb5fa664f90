"""The general Gaussian: numbers, files, selections, and what it refuses."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volvelle.boltzmann import POWER_K, POWER_Z
from volvelle.likelihood import DataFormatError, Gaussian, LikelihoodOptionError, TheoryError

ROUNDING = 1e-12  # of differences of 1% between numbers of order one, in float64
MEAN = [0.81, 0.31]
COVARIANCE = [[4e-4, 1e-4], [1e-4, 9e-4]]
OUTPUTS = ["sigma8", "Omega_m"]


def test_is_the_quadratic_form(theory: dict[str, Any]) -> None:
    likelihood = Gaussian.from_values(MEAN, COVARIANCE, OUTPUTS)
    residual = np.array(MEAN) - [0.8, 0.3]
    expected = residual @ np.linalg.solve(np.array(COVARIANCE), residual)
    assert float(likelihood.chi2(theory, {})) == pytest.approx(expected, rel=ROUNDING)
    assert likelihood.requires.spectra == () and not likelihood.requires.background


@pytest.mark.parametrize("covariance", [0.04, [0.04, 0.04], [[0.04, 0.0], [0.0, 0.04]]])
def test_covariance_as_number_vector_or_matrix(covariance: Any, theory: dict[str, Any]) -> None:
    chi2 = Gaussian.from_values(MEAN, covariance, OUTPUTS).chi2(theory, {})
    assert float(chi2) == pytest.approx(2 * 0.01**2 / 0.04, rel=ROUNDING)


def test_files_are_read_and_hashed(tmp_path: Path, theory: dict[str, Any]) -> None:
    np.savetxt(tmp_path / "mean.txt", MEAN)
    np.savetxt(tmp_path / "covariance.txt", COVARIANCE)
    found = Gaussian.from_values(
        str(tmp_path / "mean.txt"), tmp_path / "covariance.txt", OUTPUTS, name="mine"
    )
    assert (
        found.data_sha256["mine/mean.txt"]
        == hashlib.sha256((tmp_path / "mean.txt").read_bytes()).hexdigest()
    )
    numbers = Gaussian.from_values(MEAN, COVARIANCE, OUTPUTS)
    assert found.chi2(theory, {}) == numbers.chi2(theory, {})


def test_selections_and_their_needs(theory: dict[str, Any]) -> None:
    outputs = ["lensed_tt[30:33]", "hubble[5]", "matter_power[2, 7]", "r_drag"]
    likelihood = Gaussian.from_values(np.zeros(6), np.ones(6), outputs)
    assert likelihood.requires.spectra == ("lensed_tt",) and likelihood.requires.lmax == 32
    assert likelihood.requires.background and "matter_power" in likelihood.requires.names()
    power = np.arange(len(POWER_Z) * len(POWER_K), dtype=float).reshape(len(POWER_Z), -1)
    model = likelihood.model(theory | {"matter_power": power})
    expected = [*theory["lensed_tt"][30:33], theory["hubble"][5], power[2, 7], theory["r_drag"]]
    np.testing.assert_array_equal(model, expected)
    noise = likelihood.noise()
    assert np.flatnonzero(np.isfinite(noise["lensed_tt"])).tolist() == [30, 31, 32]
    assert noise["matter_power"].shape == power.shape and noise["matter_power"][2, 7] == 1.0
    assert np.isinf(noise["matter_power"]).sum() == power.size - 1 and noise["r_drag"] == 1.0


def test_a_scalar_by_the_solvers_own_name(theory: dict[str, Any]) -> None:
    """What the registry does not have is asked of the solver: zeq of CAMB, 100*theta_s of CLASS."""
    likelihood = Gaussian.from_values([3400.0, 1.04], [900.0, 1e-6], ["zeq", "100*theta_s"])
    assert likelihood.requires.native == ("100*theta_s", "zeq")
    chi2 = likelihood.chi2(theory | {"zeq": 3430.0, "100*theta_s": 1.042}, {})
    assert float(chi2) == pytest.approx(1.0 + 4.0, rel=ROUNDING)
    noise = likelihood.noise()
    assert noise["zeq"] == pytest.approx(30.0) and noise["100*theta_s"] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ["sigma9[3]", "Omega_m"]}, "no theory output 'sigma9' with elements"),
        ({"outputs": ["luminosity_distance", "Omega_m"]}, "it is transverse_comoving_distance"),
        ({"outputs": ["sigma8[3]", "Omega_m"]}, "scalars without brackets"),
        ({"outputs": ["lensed_tt", "Omega_m"]}, "does not fit lensed_tt"),
        ({"outputs": ["lensed_tt[3,4]", "Omega_m"]}, "does not fit lensed_tt"),
        ({"outputs": ["matter_power[3]", "Omega_m"]}, "does not fit matter_power"),
        ({"outputs": ["hubble[159:161]"]}, "empty or off the grid"),
        ({"outputs": ["lensed_tt[9:9]", "sigma8"]}, "empty or off the grid"),
        ({"outputs": ["matter_power[0,999]", "sigma8"]}, "empty or off the grid"),
        ({"outputs": ["sigma8 +"]}, "is no output"),
        ({"outputs": [3]}, "is no output"),
        ({"outputs": []}, "at least one output"),
        ({"outputs": ["sigma8"]}, "outputs have 1 elements"),
        ({"mean": "absent.txt"}, "which is not there"),
        ({"mean": ["a", "b"]}, "mean is not numeric"),
        ({"covariance": [1.0, 2.0, 3.0]}, r"covariance \(3, 3\)"),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    given = {"mean": MEAN, "covariance": COVARIANCE, "outputs": OUTPUTS} | options
    with pytest.raises(LikelihoodOptionError, match=message):
        Gaussian.from_values(**given)


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (
            [np.nan, 0.3],
            COVARIANCE,
            "mean is not finite in 1 of 2 numbers, the first .* 1 .nan.",
        ),
        (
            MEAN,
            [[1.0, 0.5], [0.2, 1.0]],
            "not symmetric: .* is 0.5 above the diagonal, 0.2 below",
        ),
        (MEAN, [[1.0, 2.0], [2.0, 1.0]], "not positive definite"),
        (MEAN, [1.0, -1.0], "variances <= 0"),
    ],
)
def test_impossible_numbers(mean: Any, covariance: Any, message: str) -> None:
    with pytest.raises(DataFormatError, match=message):
        Gaussian.from_values(mean, covariance, OUTPUTS)


def test_scalar_is_not_a_spectrum(theory: dict[str, Any]) -> None:
    likelihood = Gaussian.from_values([1.0], [1.0], ["lensed_tt[5]"])
    with pytest.raises(TheoryError, match="needs 6 elements"):
        likelihood.log_prob(theory | {"lensed_tt": np.zeros(3)}, {})
