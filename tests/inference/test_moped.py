"""Compression to as many numbers as parameters: lossless, and unbiased whatever made it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import two_samples as sky
from scipy.optimize import least_squares

from volvelle.inference import (
    NUTS,
    CompressedLikelihood,
    DerivativeError,
    Fisher,
    FisherError,
    Moped,
    Posterior,
    SingularFisherError,
    Uniform,
    fisher_from_jacobian,
    gaussian_log_likelihood,
    laplace,
    mean_derivatives,
    run_chains,
)
from volvelle.inference.information import from_derivatives
from volvelle.likelihood import Gaussian, Likelihood

EQUAL = 1e-6
SIMULATIONS = 400
POINTS = np.linspace(0.0, 1.0, 25)
TRUTH = np.array([1.2, 0.7, 0.3])
NAMES = ("amplitude", "tilt", "floor")


def curve(x: jax.Array) -> jax.Array:
    """A mean that is not linear in its parameters."""
    return x[0] * jnp.exp(-x[1] * jnp.asarray(POINTS)) + x[2] * jnp.asarray(POINTS) ** 2


def noise() -> np.ndarray:
    """Of correlated, unequal data."""
    distance = np.abs(POINTS[:, None] - POINTS)
    size = 0.01 * (1.0 + POINTS)
    return np.exp(-distance / 0.1) * np.outer(size, size)


def test_equations_14_to_16_on_angular_spectra() -> None:
    """b^T C b = 1, the Fisher matrix is kept, and with it the likelihood near its maximum."""
    covariance = sky.fixed_covariance()
    slope = mean_derivatives(sky.mean, sky.NAMES, sky.VALUES)
    made = Moped.from_derivatives(slope, covariance, sky.NAMES)
    np.testing.assert_allclose(made.covariance(covariance.dense()), np.eye(2), atol=1e-10)
    whole = Fisher(sky.NAMES, sky.VALUES, from_derivatives(slope, covariance))
    compressed = jnp.stack([made.compress(row) for row in slope])
    np.testing.assert_allclose(compressed @ compressed.T, whole.matrix, rtol=EQUAL)
    value = jax.jit(sky.mean)
    data = value(jnp.asarray(sky.VALUES))
    small, full = (
        made.log_likelihood(data, value),
        gaussian_log_likelihood(data, value, covariance),
    )
    step = jnp.asarray(0.3 * np.asarray(whole.marginal_errors) * [1.0, -1.0])
    near = jnp.asarray(sky.VALUES) + step
    assert float(small(near)) == pytest.approx(float(full(near)), rel=0.02)
    # A term for term reading of equation 14.
    first = covariance.solve(slope)[0] / jnp.sqrt(whole.matrix[0, 0])
    np.testing.assert_allclose(made.vectors[0], first, rtol=1e-10)


def test_order_and_names() -> None:
    """Any order of the parameters spans the same space, and makes the same likelihood."""
    data = curve(jnp.asarray(TRUTH)) + 0.01 * jnp.sin(40.0 * jnp.asarray(POINTS))
    slope = mean_derivatives(curve, NAMES, TRUTH)
    found = [
        Moped.from_derivatives(slope[np.asarray(order)], noise(), [NAMES[n] for n in order])
        for order in ((0, 1, 2), (2, 0, 1))
    ]
    assert found[1].names == ("floor", "amplitude", "tilt")
    at = jnp.asarray(TRUTH) + jnp.asarray([0.01, -0.02, 0.03])
    one, two = (float(each.log_likelihood(data, curve)(at)) for each in found)
    assert one == pytest.approx(two, rel=1e-9)


@pytest.mark.parametrize("wrong", ["nothing", "covariance", "fiducial"])
def test_unbiased_by_simulation(wrong: str) -> None:
    """Fits of compressed data scatter about the truth, whatever the compression was made with."""
    covariance = np.diag(np.diag(noise())[::-1]) if wrong == "covariance" else noise()
    fiducial = TRUTH * [1.3, 0.6, 1.5] if wrong == "fiducial" else TRUTH
    made = Moped.of(curve, covariance, NAMES, fiducial)
    rng = np.random.default_rng(3)
    data = np.asarray(curve(jnp.asarray(TRUTH))) + rng.multivariate_normal(
        np.zeros(POINTS.size), noise(), size=SIMULATIONS
    )
    compress = jax.jit(lambda x: made.compress(curve(x)))
    slope = jax.jit(jax.jacfwd(lambda x: made.compress(curve(x))))

    def fit(compressed: np.ndarray) -> np.ndarray:
        """As many numbers as parameters: the best fit gives them exactly."""
        found = least_squares(
            lambda x: np.asarray(compress(x)) - compressed,
            TRUTH,
            jac=lambda x: np.asarray(slope(x)),
            xtol=1e-12,
        )
        return found.x

    fits = np.array([fit(np.asarray(made.compress(row))) for row in data])
    scatter = np.std(fits, axis=0)
    assert np.all(np.abs(fits.mean(axis=0) - TRUTH) < 3.5 * scatter / np.sqrt(SIMULATIONS))
    best = fisher_from_jacobian(curve, noise(), NAMES, TRUTH).marginal_errors
    np.testing.assert_array_less(0.88 * np.asarray(best), scatter)  # nothing is gained
    if wrong == "nothing":
        np.testing.assert_allclose(scatter, best, rtol=0.15)
    # The true covariance of the compressed data says how much is lost.
    inner = np.linalg.inv(made.covariance(noise()))
    at = np.asarray(slope(jnp.asarray(TRUTH)))
    known = Fisher(NAMES, TRUTH, at.T @ inner @ at).marginal_errors
    np.testing.assert_allclose(scatter, known, rtol=0.15)


def posterior(likelihood: Likelihood | None = None) -> Posterior:
    base = Gaussian.from_values(curve(jnp.asarray(TRUTH)), noise(), f"lensed_tt[0:{POINTS.size}]")
    return Posterior(
        names=NAMES,
        priors=tuple(Uniform(-5.0, 5.0) for _ in NAMES),
        likelihoods=(likelihood or base,),
        theory=lambda x: {"lensed_tt": curve(x)},
        n_theory=3,
    )


def test_as_a_likelihood_of_a_posterior() -> None:
    """Fisher matrices are equal, and the names of the whole likelihood are kept."""
    whole = posterior()
    small = CompressedLikelihood.of(whole, TRUTH)
    assert small.basis.shape == (3, POINTS.size)
    np.testing.assert_allclose(small.basis @ small.basis.T, np.eye(3), atol=1e-12)
    squeezed = posterior(small)
    at = jnp.asarray(TRUTH)
    full = -np.asarray(jax.hessian(whole.log_prob)(at))
    np.testing.assert_allclose(-jax.hessian(squeezed.log_prob)(at), full, rtol=EQUAL)
    assert small.name == "gaussian (compressed)"
    base = whole.likelihoods[0]
    assert small.requires == base.requires and small.data_sha256 == base.data_sha256
    assert small.noise().keys() == base.noise().keys()
    # The same numbers as by equation 14, up to a rotation.
    made = Moped.of(curve, noise(), NAMES, TRUTH)
    other = jnp.asarray(TRUTH + 0.01)
    expected = made.log_likelihood(curve(at), curve)(other)
    found = squeezed.log_likelihood(other)
    assert float(found) == pytest.approx(float(expected), rel=1e-8)


def test_samplers_take_it() -> None:
    """The posterior of three numbers, by NUTS, has the widths of that of all data."""
    whole = posterior()
    squeezed = posterior(CompressedLikelihood.of(whole, TRUTH))
    errors = np.asarray(fisher_from_jacobian(curve, noise(), NAMES, TRUTH).marginal_errors)
    widths = []
    for each in (whole, squeezed):
        mode = laplace(each, TRUTH[None], errors)
        found = run_chains(each, mode, NUTS(warmup=150), chains=4, draws=1000, seed=1)
        flat = found.samples.reshape(-1, 3)
        assert np.all(np.abs(flat.mean(axis=0) - TRUTH) < 0.3 * errors)
        widths.append(flat.std(axis=0))
    # 4000 draws know a width to 2%, and that of a difference to 3%.
    np.testing.assert_allclose(widths[1], widths[0], rtol=0.1)


def test_refusals() -> None:
    slope = mean_derivatives(curve, NAMES, TRUTH)
    twice = jnp.stack([slope[0], 2.0 * slope[0]])
    with pytest.raises(SingularFisherError, match="information about b beside a"):
        Moped.from_derivatives(twice, noise(), ["a", "b"])
    with pytest.raises(SingularFisherError, match="about a beside no other"):
        Moped.from_derivatives(0.0 * twice, noise(), ["a", "b"])
    with pytest.raises(FisherError, match=r"data of shape \(3,\)"):
        Moped.of(curve, noise(), NAMES, TRUTH).compress(np.ones(3))
    from targets import gaussian as other  # a likelihood of its own class

    with pytest.raises(FisherError, match="only Gaussian likelihoods"):
        CompressedLikelihood.of(other(), np.zeros(3))
    whole = posterior()
    broken = Posterior(
        whole.names, whole.priors, whole.likelihoods, lambda x: {"lensed_tt": curve(x**0.5)}, 3
    )
    with pytest.raises(DerivativeError, match="gaussian by floor"):
        CompressedLikelihood.of(broken, [1.0, 1.0, 0.0])
