"""Maps from the real line onto an interval, and what they are for: posteriors at an edge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import halfnorm
from targets import GaussianIn, gaussian

from volvelle.inference import NUTS, Posterior, diagnose, laplace, make_prior, run_chains
from volvelle.inference.interval import from_line, log_slope, to_line

LOWER, UPPER = -1.0, 9.0
SOFT = [None, 0.03, 1.0, 200.0]
every_softness = pytest.mark.parametrize("softness", SOFT)
SIGMAS = 4.5  # Monte-Carlo errors
NECK = 0.05  # width of x at y = 0
WIDTH = 0.2  # of the posterior on the edge; the prior is fifty times wider


@every_softness
def test_there_and_back(softness):
    x = LOWER + (UPPER - LOWER) * np.array([1e-6, 1e-3, 0.2, 0.5, 0.9, 1 - 1e-4])
    u = to_line(jnp.asarray(x), LOWER, UPPER, softness)
    np.testing.assert_allclose(from_line(u, LOWER, UPPER, softness), x, rtol=1e-9)
    assert np.all(np.isfinite(to_line(jnp.array([LOWER, UPPER]), LOWER, UPPER, softness)))


@every_softness
def test_the_slope_is_the_derivative(softness):
    for x in (LOWER + 1e-3, LOWER + 0.3, 4.0, UPPER - 0.05):
        u = to_line(jnp.asarray(x), LOWER, UPPER, softness)
        slope = jax.grad(from_line)(u, LOWER, UPPER, softness)
        assert float(log_slope(u, LOWER, UPPER, softness)) == pytest.approx(np.log(slope), abs=1e-6)


def test_its_limits():
    """The identity far from the edges, the logistic function where it is as soft as it is wide."""
    u = jnp.array([2.0, 3.0, 5.0])
    np.testing.assert_allclose(from_line(u, LOWER, UPPER, 0.05), LOWER + u, rtol=1e-12)
    softness = 1e5
    x = jnp.array([0.0, 4.0, 8.0])
    logistic = to_line(x, LOWER, UPPER)
    np.testing.assert_allclose(to_line(x, LOWER, UPPER, softness) / softness, logistic, atol=1e-3)


def test_a_posterior_on_an_edge_of_a_wide_prior_is_no_funnel():
    priors = tuple({"min": 0.0, "max": 10.0} for _ in range(2))
    covariance = WIDTH**2 * np.array([[1.0, 0.5], [0.5, 1.0]])
    posterior = gaussian(np.array([0.0, 3.0]), covariance, priors)
    soft = posterior.softened(np.array([WIDTH, WIDTH]))
    mode = laplace(soft, np.array([[0.1, 3.0]]), np.array([WIDTH, WIDTH]))
    chains = run_chains(soft, mode, NUTS(warmup=500), chains=4, draws=1000, seed=2)
    found = diagnose(chains.names, chains.samples)
    assert found.r_hat_max < 1.01
    assert chains.divergences < 5
    z = chains.flat[:, 0] / WIDTH
    assert abs(z.mean() - halfnorm.mean()) < SIGMAS * halfnorm.std() / np.sqrt(found.ess[0])
    for q in (0.05, 0.5, 0.95):
        error = np.sqrt(q * (1.0 - q) / found.ess_min)
        assert abs(np.mean(z < halfnorm.ppf(q)) - q) < SIGMAS * error


def test_the_neck_of_a_posterior_is_sampled_to_its_end():
    """p(y) goes as the width of x at y: a hundredth of the bulk's at y = 2."""
    priors = tuple(make_prior({"min": 0.0, "max": top}) for top in (0.35, 2.0))
    narrow = GaussianIn(jnp.zeros(1), jnp.eye(1) / NECK**2)

    def theory(x):
        return {"x": x[:1] * 10.0 ** x[1]}

    posterior = Posterior(("x", "y"), priors, (narrow,), theory, 2)
    y = np.linspace(0.0, 2.0, 20001)
    p = 10.0**-y / np.sum(10.0**-y)
    mean_y, mean_rate = p @ y, p @ 10.0**y
    widths = np.array([0.5 * NECK, np.sqrt(p @ (y - mean_y) ** 2)])
    soft = posterior.softened(widths)
    mode = laplace(soft, np.array([[0.01, 0.3]]), widths)
    chains = run_chains(soft, mode, NUTS(warmup=500), chains=4, draws=2000, seed=5)
    found = diagnose(chains.names, chains.samples)
    assert found.r_hat_max < 1.01
    for value, exact, of in (
        (chains.flat[:, 1], mean_y, p @ y**2),
        (10.0 ** chains.flat[:, 1], mean_rate, p @ 100.0**y),
    ):
        error = np.sqrt((of - exact**2) / found.ess_min)
        assert abs(value.mean() - exact) < SIGMAS * error
