"""The ensemble and the Laplace approximation on Gaussians, where the answers are exact."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from targets import COVARIANCE, MEAN, GaussianIn, gaussian

from volvelle.inference import InferenceError, Posterior, conditional, explore, laplace, make_prior

SIGMA = np.sqrt(np.diag(COVARIANCE))
WALKERS = 400
TAIL = 0.005  # five times what may have decayed
COVARIANCE_ERROR = 0.25  # of 400 walkers: sqrt(2/400) = 0.07 each, nine elements


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_ensemble_finds_the_tempered_covariance(temperature):
    start = MEAN + 3.0 * SIGMA * np.random.default_rng(0).normal(size=(WALKERS, 3))
    walkers, rate = explore(
        gaussian(), start, temperature=temperature, steps=300, seed=1, reach=1.0
    )
    assert walkers.shape == (WALKERS, 3) and 0.15 < rate < 0.7
    z = (walkers - MEAN) / SIGMA
    expected = temperature * COVARIANCE / np.outer(SIGMA, SIGMA)
    assert np.all(np.abs(z.mean(axis=0)) < 5.0 * np.sqrt(temperature / WALKERS))
    np.testing.assert_allclose(np.cov(z.T), expected, atol=COVARIANCE_ERROR * temperature)


def test_ensemble_is_decided_by_its_seed():
    start = MEAN + SIGMA * np.random.default_rng(0).normal(size=(20, 3))
    runs = [
        explore(gaussian(), start, temperature=2.0, steps=20, seed=seed, reach=1.0)[0]
        for seed in (3, 3, 4)
    ]
    assert runs[0].tobytes() == runs[1].tobytes() != runs[2].tobytes()


def test_ensemble_stays_in_the_priors():
    priors = tuple({"min": m, "max": m + s} for m, s in zip(MEAN, SIGMA, strict=True))
    start = MEAN + SIGMA * np.random.default_rng(0).uniform(0.01, 0.99, size=(40, 3))
    walkers, _ = explore(
        gaussian(priors=priors), start, temperature=1e5, steps=200, seed=1, reach=1.0
    )
    inside = (walkers >= MEAN) & (walkers <= MEAN + SIGMA)
    assert np.all(inside)
    # at so high a temperature what is left is the flat prior
    assert np.std((walkers - MEAN) / SIGMA) == pytest.approx(np.sqrt(1.0 / 12.0), rel=0.15)


class Decay(eqx.Module):
    """Of an amount a that decays at the rate 10^g what has decayed, and all there was before."""

    def __call__(self, x: Array) -> dict[str, Array]:
        a, g, c, *others = x
        return {"x": jnp.stack([a * -jnp.expm1(-(10.0 ** (g - 2.0))), c + a, *others])}


def test_ensemble_finds_a_tail_at_an_edge():
    """Slow decays, at the edge of a wide prior, allow large amounts: by quadrature how many.

    Over the whole range of the priors the coordinates bend so much that a hundred walkers in nine
    parameters find less than half of the tail.
    """
    others, walkers = 6, 96
    ends = [(0.0, 0.35), (1.0, 3.7), (0.0, 0.25)] + [(-50.0, 50.0)] * others
    sigma = np.array([0.001, 0.0005] + [1.0] * others)
    mean = jnp.array([0.0, 0.12] + [0.0] * others)
    like = GaussianIn(mean, jnp.asarray(np.diag(sigma**-2.0)))
    priors = tuple(make_prior({"min": low, "max": high}) for low, high in ends)
    posterior = Posterior(tuple("agcdefhij"), priors, (like,), Decay(), len(priors))
    a, g = (np.linspace(*end, 4001)[1:] for end in ends[:2])
    decayed = a[:, None] * -np.expm1(-(10.0 ** (g - 2.0)))
    density = np.exp(-0.5 * (decayed / sigma[0]) ** 2).sum(axis=1)
    expected = density[a > TAIL].sum() / density.sum()
    centre = np.array([0.001, 2.3, 0.119] + [0.0] * others)
    width = np.array([0.0003, 0.4, 0.0005] + [1.0] * others)
    found = []
    for seed in range(4):
        start = centre + width * np.random.default_rng(seed).normal(size=(walkers, len(ends)))
        start[:, :2] = np.maximum(start[:, :2], [1e-5, 1.01])
        last, _ = explore(posterior, start, temperature=1.0, steps=300, seed=seed, reach=1.0)
        found.append(np.mean(last[:, 0] > TAIL))
    assert np.mean(found) == pytest.approx(expected, rel=0.35)


def test_laplace_is_exact_for_a_gaussian():
    found = laplace(gaussian(), (MEAN + 3.0 * SIGMA)[None], 2.0 * SIGMA)
    np.testing.assert_allclose((found.x - MEAN) / SIGMA, 0.0, atol=1e-4)
    scaled = found.covariance / np.outer(SIGMA, SIGMA)
    np.testing.assert_allclose(scaled, COVARIANCE / np.outer(SIGMA, SIGMA), atol=1e-6)
    assert found.log_prob == pytest.approx(float(gaussian().log_prob(jnp.asarray(MEAN))), abs=1e-6)


def test_laplace_takes_the_best_start():
    starts = np.stack([MEAN + 30.0 * SIGMA, np.full(3, np.nan), MEAN])
    found = laplace(gaussian(), starts, SIGMA)
    np.testing.assert_allclose((found.x - MEAN) / SIGMA, 0.0, atol=1e-3)


def test_laplace_of_a_direction_that_nothing_constrains():
    flat = gaussian(np.zeros(2), np.diag([1.0, 1e30]), ({"min": -50, "max": 50},) * 2)
    found = laplace(flat, np.array([[0.5, 0.5]]), np.array([2.0, 3.0]))
    assert np.all(np.isfinite(found.factor))
    assert np.linalg.eigvalsh(found.covariance).min() > 0.0


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_conditional_is_exact_for_a_gaussian(temperature):
    """The rest given the first, wherever that is: S_nc S_cc^-1 and S_nn - S_nc S_cc^-1 S_cn."""
    start = MEAN + 3.0 * SIGMA
    found = conditional(gaussian(), start, 5.0 * SIGMA, 1, 1.0 / temperature)
    slope = COVARIANCE[1:, :1] / COVARIANCE[0, 0]
    left = COVARIANCE[1:, 1:] - slope @ COVARIANCE[:1, 1:]
    unit = np.outer(SIGMA[1:], SIGMA[1:])
    np.testing.assert_allclose(found.slope / SIGMA[1:, None], slope / SIGMA[1:, None], atol=1e-6)
    np.testing.assert_allclose(found.covariance / unit, temperature * left / unit, atol=1e-6)
    expected = MEAN[1:] + slope @ (start[:1] - MEAN[:1])
    np.testing.assert_allclose((found.mean - expected) / SIGMA[1:], 0.0, atol=1e-3)
    centre, scatter = found.joined(MEAN[:1], temperature * COVARIANCE[:1, :1])
    np.testing.assert_allclose((centre - MEAN) / SIGMA, 0.0, atol=1e-3)
    scaled = scatter / np.outer(SIGMA, SIGMA)
    expected = temperature * COVARIANCE / np.outer(SIGMA, SIGMA)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_conditional_in_bent_coordinates():
    """Inside a prior's interval: the units are those of the parameters."""
    covariance = np.array([[1.0, 0.6], [0.6, 1.0]])
    posterior = gaussian(np.zeros(2), covariance, ({"min": -30, "max": 30},) * 2)
    found = conditional(posterior, np.array([1.0, 3.0]), np.full(2, 8.0), 1)
    assert found.mean[0] == pytest.approx(0.6, abs=1e-2)
    assert found.slope[0, 0] == pytest.approx(0.6, abs=1e-2)
    assert found.covariance[0, 0] == pytest.approx(1.0 - 0.6**2, rel=1e-2)


def test_conditional_of_a_direction_that_nothing_constrains():
    flat = gaussian(np.zeros(2), np.diag([1.0, 1e30]), ({"min": -50, "max": 50},) * 2)
    found = conditional(flat, np.array([0.5, 0.5]), np.array([2.0, 3.0]), 1)
    assert found.covariance[0, 0] == pytest.approx(3.0**2, rel=0.1) and found.slope[0, 0] == 0.0


def test_conditional_nowhere():
    with pytest.raises(InferenceError, match="zero or undefined where its maximum"):
        conditional(gaussian(np.full(3, np.nan)), MEAN, SIGMA, 1)


def test_laplace_nowhere():
    with pytest.raises(InferenceError, match="zero or undefined at every starting point"):
        laplace(gaussian(np.full(3, np.nan)), MEAN[None], SIGMA)
