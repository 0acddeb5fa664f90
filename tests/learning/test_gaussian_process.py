"""Gaussian process on a polynomial mean, against brute force and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.learning import LearningError, fit_gaussian_process
from volvelle.learning.gaussian_process import (
    LOG_LENGTH_PRIOR,
    LOG_NUGGET_PRIOR,
    _condition,
    _misfit,
)
from volvelle.learning.polynomial import design_matrix

CALIBRATION = 3.0  # factor within which the mean squared error agrees with its prediction
STEP = 1e-3  # round-off of the kernel sum is 1e-10: its weights are large where lengths are long


def smooth(x: np.ndarray) -> np.ndarray:
    a, b = x[:, 0], x[:, 1]
    return np.stack([np.sin(a + 0.5 * b) + 0.2 * a * b, np.exp(0.3 * a - 0.2 * b)], axis=1)


@pytest.fixture(scope="module")
def fitted():
    x = np.random.default_rng(0).normal(size=(35, 2))
    return x, *fit_gaussian_process(x, smooth(x), 1)


def test_predicts(fitted):
    x, process, left_out = fitted
    new = np.random.default_rng(1).normal(size=(100, 2))
    error = np.asarray(jax.vmap(process)(new)) - smooth(new)
    linear = np.std(smooth(x), axis=0)
    assert np.all(np.std(error, axis=0) < 0.02 * linear)
    assert np.all(np.std(left_out, axis=0) < 0.1 * linear)


def test_left_out_residuals_are_those_of_refits():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(15, 2)), rng.normal(size=15)
    theta, h = np.array([0.5, 1.0, -3.0]), design_matrix(x, 1)
    _, left_out = _condition(theta, x, y, h)
    for i in range(15):
        kept = np.arange(15) != i
        part, _ = _condition(theta, x[kept], y[kept], h[kept])
        kernel = np.exp(-0.5 * np.sum(((x[kept] - x[i]) * np.exp(-theta[:-1])) ** 2, axis=1))
        predicted = h[i] @ part["beta"] + kernel @ part["weights"]
        assert left_out[i] == pytest.approx(y[i] - predicted, abs=1e-9)


@pytest.mark.parametrize("theta", [(0.5, 1.0, -3.0), (2.0, 1.5, -9.0), (0.1, 3.0, -16.0)])
def test_hyperparameters_are_judged_by_the_restricted_likelihood(theta: tuple[float, ...]) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(15, 2)), rng.normal(size=15)
    h = design_matrix(x, 1)
    contrasts = np.linalg.qr(h, mode="complete")[0][:, h.shape[1] :]  # blind for the mean
    means = np.array([LOG_LENGTH_PRIOR[0]] * 2 + [LOG_NUGGET_PRIOR[0]])
    widths = np.array([LOG_LENGTH_PRIOR[1]] * 2 + [LOG_NUGGET_PRIOR[1]])

    def brute_force(theta: jax.Array) -> jax.Array:
        scaled = x * jnp.exp(-theta[:-1])
        square = jnp.sum((scaled[:, None] - scaled) ** 2, axis=-1)
        kernel = jnp.exp(-0.5 * square) + jnp.exp(theta[-1]) * jnp.eye(15)
        seen, left = contrasts.T @ kernel @ contrasts, contrasts.T @ y
        chi2 = left @ jnp.linalg.solve(seen, left) / len(left)
        value = 0.5 * len(left) * jnp.log(chi2) + 0.5 * jnp.linalg.slogdet(seen)[1]
        return value + 0.5 * jnp.sum(((theta - means) / widths) ** 2)

    constant = 0.5 * np.linalg.slogdet(h.T @ h)[1]
    value, gradient = _misfit(jnp.array(theta), y, x, h)
    expected, slope = jax.value_and_grad(brute_force)(jnp.array(theta))
    assert float(value) == pytest.approx(float(expected) + constant, rel=1e-9)
    np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-6)


def test_gradient_is_a_finite_difference(fitted):
    _, process, _ = fitted
    x = jnp.array([0.3, -0.4])
    jacobian = np.asarray(jax.jacfwd(process)(x))
    for i in range(2):
        e = STEP * jnp.eye(2)[i]
        numeric = (process(x + e) - process(x - e)) / (2.0 * STEP)
        np.testing.assert_allclose(jacobian[:, i], numeric, rtol=1e-5)
    reverse = np.asarray(jax.jacrev(process)(x))
    np.testing.assert_allclose(reverse, jacobian, rtol=1e-8)


def test_variance_is_calibrated(fitted):
    _, process, _ = fitted
    new = np.random.default_rng(3).normal(size=(300, 2))
    error = np.mean((np.asarray(jax.vmap(process)(new)) - smooth(new)) ** 2, axis=0)
    predicted = np.mean(np.asarray(jax.vmap(process.variance)(new)), axis=0)
    assert np.all(error < CALIBRATION**2 * predicted)
    # a function smoother than the prior thinks is predicted better than foretold, by how much
    # depends on the last digits of the lengths; what is foretold has to be small all the same
    assert np.all(predicted < 0.02 * np.var(smooth(new), axis=0))


def test_variance_is_calibrated_on_its_own_prior():
    """Functions drawn from the process itself, where the prediction must be right."""
    rng = np.random.default_rng(4)
    x, theta = rng.uniform(-2, 2, size=(41, 1)), np.array([0.0, -8.0])
    kernel = np.exp(-0.5 * (x - x.T) ** 2) + np.exp(theta[-1]) * np.eye(41)
    draws = np.linalg.cholesky(kernel + 1e-12 * np.eye(41)) @ rng.normal(size=(41, 60))
    ratio = []
    for y in draws.T:
        part, _ = _condition(theta, x[:-1], y[:-1], design_matrix(x[:-1], 1))
        k = kernel[-1, :-1]
        h = design_matrix(x, 1)
        rest = h[-1] - (k @ part["precision"]) @ h[:-1]
        variance = 1.0 - k @ part["precision"] @ k + rest @ part["mean_covariance"] @ rest
        variance = part["amplitude"] * (variance + np.exp(theta[-1]))
        predicted = h[-1] @ part["beta"] + k @ part["weights"]
        ratio.append((y[-1] - predicted) ** 2 / variance)
    # 60 squares of Gaussians: a relative error of sqrt(2/60) = 0.18
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.6)


def test_far_away_is_the_mean_and_uncertain(fitted):
    x, process, _ = fitted
    reach = 30.0 * float(jnp.max(jnp.exp(process.log_length)))
    far = jnp.array([reach, 0.0])
    expected = process.beta @ jnp.array([1.0, reach, 0.0])
    np.testing.assert_allclose(process(far), expected, rtol=1e-10)
    assert np.all(process.variance(far) > 10.0 * process.variance(jnp.asarray(x.mean(axis=0))))


def test_too_few_points():
    x = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(LearningError, match="at least 6 solutions, got 5"):
        fit_gaussian_process(x, np.ones((5, 1)), 1)


def test_coinciding_points_do_not_pass_for_information():
    """A repeated point is refused, or at least makes nothing worse and keeps everything finite."""
    x = np.random.default_rng(0).normal(size=(20, 2))
    doubled = np.concatenate([x, x])
    process, left_out = fit_gaussian_process(doubled, smooth(doubled), 1)
    new = np.random.default_rng(1).normal(size=(50, 2))
    assert np.all(np.isfinite(left_out))
    assert np.std(np.asarray(jax.vmap(process)(new)) - smooth(new)) < 0.1


def test_points_on_one_spot():
    x = np.zeros((10, 2))
    with pytest.raises(LearningError, match="coincide"):
        fit_gaussian_process(x, np.ones((10, 1)), 1)
