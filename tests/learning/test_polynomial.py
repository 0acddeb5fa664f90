"""Polynomial least squares against what must hold exactly."""

import jax
import numpy as np
import pytest

from volvelle.learning import LearningError, fit_polynomial
from volvelle.learning.polynomial import design_matrix, evaluate_monomials

ROUND_OFF = 1e-9  # float64 least squares with conditions of some thousands


def cubic(x: np.ndarray) -> np.ndarray:
    a, b, c = x.T
    return np.stack([1.0 + a - 2.0 * b * c + a**3, c**2 * a - b, 3.0 * a * b * c], axis=1)


def test_cubic_is_reproduced():
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(40, 3)), rng.normal(size=(10, 3))
    fit, left_out = fit_polynomial(x, cubic(x), 3)
    np.testing.assert_allclose(jax.vmap(fit)(new), cubic(new), atol=ROUND_OFF)
    assert np.max(np.abs(left_out)) < ROUND_OFF


def test_quadratic_is_no_cubic():
    x = np.random.default_rng(0).normal(size=(40, 3))
    _, left_out = fit_polynomial(x, cubic(x), 2)
    assert np.std(left_out) > 0.1


def test_monomials_have_one_order():
    x = np.random.default_rng(1).normal(size=(5, 4))
    rows = [np.asarray(evaluate_monomials(row, 3)) for row in jax.numpy.asarray(x)]
    np.testing.assert_allclose(rows, design_matrix(x, 3), rtol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
def test_left_out_residuals_are_those_of_refits(weighted):
    rng = np.random.default_rng(2)
    x, s = rng.normal(size=(25, 2)), rng.normal(size=(25, 2))
    weights = rng.uniform(0.1, 3.0, 25) if weighted else None
    _, left_out = fit_polynomial(x, s, 2, weights)
    for i in range(25):
        kept = np.arange(25) != i
        fit, _ = fit_polynomial(x[kept], s[kept], 2, None if weights is None else weights[kept])
        np.testing.assert_allclose(left_out[i], s[i] - fit(x[i]), atol=ROUND_OFF)


def test_variance_is_that_of_new_noise():
    """The mean squared error of predictions of pure noise is the variance it gives itself."""
    rng = np.random.default_rng(3)
    errors, variances = [], []
    for _ in range(200):
        x, new = rng.normal(size=(15, 2)), rng.normal(size=2)
        fit, _ = fit_polynomial(x, rng.normal(size=(15, 1)), 1)
        errors.append(float(fit(new)[0] - rng.normal()) ** 2)
        variances.append(float(fit.variance(new)[0]))
    # 200 squares of Gaussians: a relative error of sqrt(2/200) = 0.1
    assert np.mean(errors) / np.mean(variances) == pytest.approx(1.0, abs=0.35)


def test_too_few_points():
    with pytest.raises(LearningError, match="needs more than 10 solutions, got 10"):
        fit_polynomial(np.random.default_rng(0).normal(size=(10, 3)), np.ones((10, 1)), 2)


def test_points_in_a_line():
    x = np.linspace(0.0, 1.0, 20)[:, None] * np.ones(3)
    with pytest.raises(LearningError, match="coincide or lie in a subspace"):
        fit_polynomial(x, np.ones((20, 1)), 1)
