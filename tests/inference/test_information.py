"""Fisher matrices by two methods, of angular spectra and of toys; biases against refits."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import two_samples as sky
from scipy.optimize import least_squares

from volvelle.inference import (
    DenseCovariance,
    DerivativeError,
    Fisher,
    FisherError,
    InferenceError,
    NotPositiveDefiniteError,
    SingularFisherError,
    fisher_from_hessian,
    fisher_from_jacobian,
    gaussian_log_likelihood,
    mean_derivatives,
    parameter_bias,
)
from volvelle.inference.information import from_derivatives
from volvelle.probes import BlockCovariance, CovarianceError, LowRankCovariance

AGREE = 1e-6
"""What the two methods are asked to agree to at the fiducial; they do to rounding."""
BANDS, PAIRS = 4, 3
SIMULATIONS, GROUPS = 20_000, 50


def relative(one: Fisher, two: Fisher) -> float:
    """Largest difference in units of the conditional errors."""
    size = np.sqrt(np.diag(one.matrix))
    return float(np.max(np.abs(one.matrix - two.matrix) / np.outer(size, size)))


def test_both_methods_agree_on_angular_spectra() -> None:
    """Equations 12 and 13 of Campagne et al. 2023."""
    covariance = sky.fixed_covariance()
    data = jax.jit(sky.mean)(jnp.asarray(sky.VALUES))
    likelihood = gaussian_log_likelihood(data, sky.mean, covariance)
    curvature = fisher_from_hessian(likelihood, sky.NAMES, sky.VALUES)
    slope = fisher_from_jacobian(sky.mean, covariance, sky.NAMES, sky.VALUES)
    assert relative(slope, curvature) < AGREE
    # The blocks give what the whole matrix gives.
    rows = mean_derivatives(sky.mean, sky.NAMES, sky.VALUES).reshape(2, -1)
    flat = from_derivatives(rows, DenseCovariance.of(covariance.dense()))
    assert relative(slope, Fisher(sky.NAMES, sky.VALUES, flat)) < 1e-9
    assert np.all(slope.marginal_errors > slope.conditional_errors)


def test_a_covariance_that_varies_of_angular_spectra() -> None:
    """The trace by blocks is that of dense matrices, with derivatives by differences."""
    varying = fisher_from_jacobian(sky.mean, sky.covariance, sky.NAMES, sky.VALUES)
    slope = mean_derivatives(sky.mean, sky.NAMES, sky.VALUES)
    fixed = from_derivatives(slope, sky.fixed_covariance())
    dense = jax.jit(lambda x: sky.covariance(x).dense())
    inverse = np.linalg.inv(dense(jnp.asarray(sky.VALUES)))
    step = 1e-4
    slopes = [
        np.asarray(dense(jnp.asarray(sky.VALUES + up)) - dense(jnp.asarray(sky.VALUES - up)))
        / (2 * step)
        for up in step * np.eye(2)
    ]
    trace = [[0.5 * np.trace(inverse @ a @ inverse @ b) for b in slopes] for a in slopes]
    size = 1e-5 * np.sqrt(np.linalg.det(trace))  # errors of the differences
    np.testing.assert_allclose(varying.matrix - fixed, trace, rtol=1e-5, atol=size)


class Toy:
    """Means, and covariances of blocks, that are smooth functions of two parameters."""

    names, values = ("a", "b"), np.array([0.3, -0.2])

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.slope = rng.normal(size=(2, PAIRS, BANDS))
        roots = rng.normal(size=(2, BANDS, PAIRS, PAIRS))
        self.shapes = 0.3 * (roots @ np.swapaxes(roots, -1, -2))

    def mean(self, x: jax.Array) -> jax.Array:
        return jnp.einsum("i,ipl->pl", x, self.slope)

    def blocks(self, x: jax.Array) -> BlockCovariance:
        growth = jnp.exp(x)[:, None, None, None]
        return BlockCovariance.of(jnp.eye(PAIRS) + jnp.sum(growth * self.shapes, axis=0))

    def dense(self, x: jax.Array) -> jax.Array:
        return self.blocks(x).dense()

    def draws(self, number: int) -> np.ndarray:
        rng = np.random.default_rng(2)
        truth = jnp.asarray(self.values)
        factor = np.linalg.cholesky(self.dense(truth))
        flat = rng.normal(size=(number, PAIRS * BANDS)) @ factor.T
        return np.asarray(self.mean(truth)) + flat.reshape(-1, PAIRS, BANDS)


def test_signs_by_simulation() -> None:
    """The mean curvature, and the scatter of the slope, of ln L with its determinant over draws."""
    toy = Toy()
    expected = np.asarray(fisher_from_jacobian(toy.mean, toy.blocks, toy.names, toy.values).matrix)
    at, draws = jnp.asarray(toy.values), jnp.asarray(toy.draws(SIMULATIONS))

    def log_likelihoods(x: jax.Array) -> jax.Array:
        covariance, residual = toy.blocks(x), draws - toy.mean(x)
        chi2 = jnp.sum(residual * covariance.solve(residual), axis=(1, 2))
        return -0.5 * (chi2 + covariance.log_determinant)

    one = gaussian_log_likelihood(draws[7], toy.mean, toy.blocks)(at + 0.1)
    assert float(one) == pytest.approx(float(log_likelihoods(at + 0.1)[7]), rel=1e-12)
    slope = np.asarray(jax.jit(jax.jacfwd(log_likelihoods))(at))
    curvature = np.asarray(
        jax.jit(
            jax.jacfwd(jax.jacfwd(lambda x: log_likelihoods(x).reshape(GROUPS, -1).mean(axis=1)))
        )(at)
    )
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    error = np.std(curvature, axis=0) / np.sqrt(GROUPS)
    assert np.all(np.abs(-np.mean(curvature, axis=0) - expected) < 4 * error)
    assert np.all(error < 0.02 * size)  # so a wrong sign, or no determinant, is seen
    assert np.all(np.abs(np.cov(slope.T) - expected) < 0.05 * size)
    noise = np.std(slope, axis=0) / np.sqrt(SIMULATIONS)
    assert np.all(np.abs(np.mean(slope, axis=0)) < 4 * noise)  # the truth is the mean maximum
    fixed = fisher_from_jacobian(toy.mean, toy.blocks(at), toy.names, toy.values)
    assert np.all(np.diag(expected - fixed.matrix) > 0.1 * np.diag(size))  # the trace matters


def test_observed_information() -> None:
    """Of one noisy data set: its own curvature, and not that of the mean data set."""
    toy = Toy()
    at, data = jnp.asarray(toy.values), jnp.asarray(toy.draws(1)[0])
    log_likelihood = gaussian_log_likelihood(data, toy.mean, toy.blocks)
    observed = fisher_from_hessian(log_likelihood, toy.names, toy.values)
    step = 1e-4
    for n, up in enumerate(step * np.eye(2)):
        slope = jax.grad(log_likelihood)
        row = -(slope(at + up) - slope(at - up)) / (2 * step)
        np.testing.assert_allclose(observed.matrix[n], row, rtol=1e-5)


def test_blocks_and_matrices_give_the_same() -> None:
    toy = Toy()
    blocks = fisher_from_jacobian(toy.mean, toy.blocks, toy.names, toy.values)
    dense = fisher_from_jacobian(lambda x: toy.mean(x).ravel(), toy.dense, toy.names, toy.values)
    assert relative(blocks, dense) < 1e-12


def test_blocks_and_modes() -> None:
    """Super-sample covariance, by Woodbury's formula; varying it is refused."""
    toy = Toy()
    root = np.random.default_rng(5).normal(size=(2, PAIRS, BANDS))
    at = jnp.asarray(toy.values)
    both = toy.blocks(at).plus(LowRankCovariance(jnp.asarray(root)))
    found = fisher_from_jacobian(toy.mean, both, toy.names, toy.values)
    dense = fisher_from_jacobian(lambda x: toy.mean(x).ravel(), both.dense(), toy.names, toy.values)
    assert relative(found, dense) < 1e-12
    with pytest.raises(FisherError, match="blocks and modes that varies"):
        fisher_from_jacobian(toy.mean, lambda _: both, toy.names, toy.values)


def test_bias_against_a_refit() -> None:
    """Sources that are further away than assumed: what a fit of their spectra makes of it."""
    covariance = sky.fixed_covariance()
    value, slope = jax.jit(sky.mean), mean_derivatives(sky.mean, sky.NAMES, sky.VALUES)
    fisher = Fisher(sky.NAMES, sky.VALUES, from_derivatives(slope, covariance))
    fiducial = value(jnp.asarray(sky.VALUES))
    offset = 0.002 * fiducial * jnp.linspace(0.5, 1.5, sky.ELL.size)
    bias = parameter_bias(fisher, slope, covariance, offset)
    factor = jnp.asarray(covariance.factor)

    def residual(x: np.ndarray) -> np.ndarray:
        difference = (fiducial + offset - value(jnp.asarray(x))).T[..., None]
        return np.asarray(jax.scipy.linalg.solve_triangular(factor, difference, lower=True)).ravel()

    refit = least_squares(residual, sky.VALUES, x_scale=np.asarray(fisher.marginal_errors))
    np.testing.assert_allclose(bias, refit.x - sky.VALUES, rtol=0.02)
    # A prior pulls back, and a larger one less.
    tight = parameter_bias(fisher.with_priors({"sigma8": 1e-6}), slope, covariance, offset)
    assert abs(tight[1]) < 1e-3 * abs(bias[1])


def test_a_matrix_keeps_its_digits() -> None:
    """Variances of any size."""
    size = np.array([1e-9, 1.0, 1e9])
    scaled = np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 1.0]])
    covariance = DenseCovariance.of(scaled * np.outer(size, size))
    vector = jnp.asarray(size * [1.0, -2.0, 3.0])
    unit = np.array([1.0, -2.0, 3.0])
    assert covariance.chi2(vector) == pytest.approx(unit @ np.linalg.solve(scaled, unit), rel=1e-12)
    expected = np.linalg.slogdet(scaled)[1]
    assert covariance.log_determinant == pytest.approx(expected, abs=1e-9)


def line(x: jax.Array) -> jax.Array:
    return x[0] + x[1] * jnp.arange(3.0)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: fisher_from_jacobian(line, np.ones((3, 3)), "ab", [0, 1]),
            NotPositiveDefiniteError,
            "eigenvalue",
        ),
        (
            lambda: fisher_from_jacobian(line, [1.0, -1.0, 1.0], "ab", [0, 1]),
            NotPositiveDefiniteError,
            "datum 1",
        ),
        (
            lambda: fisher_from_jacobian(line, [1.0, np.nan, 1.0], "ab", [0, 1]),
            NotPositiveDefiniteError,
            "not finite",
        ),
        (
            lambda: DenseCovariance.of([[1.0, 0.2], [0.1, 1.0]]),
            NotPositiveDefiniteError,
            "not symmetric",
        ),
        (lambda: DenseCovariance.of(np.ones((2, 3))), NotPositiveDefiniteError, "shape"),
        (
            lambda: fisher_from_jacobian(lambda x: jnp.sqrt(line(x)), [1, 1, 1], "ab", [0, 1]),
            DerivativeError,
            "mean by a is not finite in 1 of 3",
        ),
        (
            lambda: fisher_from_hessian(lambda x: jnp.abs(x[0]) ** 1.5, "a", [0.0]),
            DerivativeError,
            "not finite",
        ),
        (
            lambda: fisher_from_jacobian(
                line, lambda x: jnp.ones(3) + jnp.sqrt(x[0]), "ab", [0, 1]
            ),
            DerivativeError,
            "covariance by a",
        ),
        (lambda: fisher_from_jacobian(line, [1, 1], "ab", [0, 1]), FisherError, "of shape"),
        (lambda: fisher_from_jacobian(line, [1, 1, 1], "ab", [0]), FisherError, "one per name"),
        (lambda: fisher_from_hessian(line, "ab", [0, 1]), FisherError, "one number"),
        (
            lambda: parameter_bias(
                Fisher("ab", [0, 1], np.eye(2)), jnp.ones((2, 3)), np.ones(3), np.ones(2)
            ),
            FisherError,
            "offset",
        ),
        (
            lambda: (
                fisher_from_jacobian(
                    lambda x: line(x[:2] + x[2]), [1, 1, 1], "abc", [0, 1, 0]
                ).marginal_errors
            ),
            SingularFisherError,
            "no information along",
        ),
    ],
)
def test_refusals(make: Callable[[], object], error: type[InferenceError], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_blocks_are_refused_as_their_own_folder_does() -> None:
    toy = Toy()
    with pytest.raises(CovarianceError, match="positive definite"):
        fisher_from_jacobian(
            toy.mean, lambda x: BlockCovariance.of(-toy.blocks(x).blocks), toy.names, toy.values
        )
