"""The contract of every sampler, on posteriors with known answers."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import halfnorm
from targets import COVARIANCE, MEAN, NAMES, gaussian, start_at

from volvelle.inference import (
    HMC,
    MCLMC,
    NUTS,
    AdjustedMCLMC,
    AffineEnsemble,
    InferenceError,
    Metropolis,
    diagnose,
    effective_sample_size,
    laplace,
    run_chains,
)
from volvelle.inference.adaptation import COVARIANCE as GATHER
from volvelle.inference.adaptation import LAST, STEP_SIZE, WINDOW_END, Moments, schedule
from volvelle.inference.sampler import _advance

SAMPLERS = {
    "nuts": NUTS(warmup=300),
    "nuts diagonal": NUTS(warmup=300, mass="diagonal"),
    "nuts block": NUTS(warmup=300, mass=(("a", "b"),)),
    "hmc": HMC(warmup=300),
    "metropolis": Metropolis(warmup=4000, thin=20),
    "ensemble": AffineEnsemble(warmup=1000, thin=20),
    "mclmc": MCLMC(warmup=500),
    "adjusted_mclmc": AdjustedMCLMC(warmup=500),
}
ACCEPTANCE = {"metropolis": (0.15, 0.4), "ensemble": (0.4, 0.9), "mclmc": (1.0, 1.0)}
DRAWS = {"ensemble": 200}  # of every walker
BIAS = {"mclmc": 0.05}  # of a second moment, by its step size; none of the others has any
SIGMAS = 4.5  # Monte-Carlo errors; of some thirty comparisons none is beyond that by chance
every_sampler = pytest.mark.parametrize("name", SAMPLERS)
WIDTHS = np.array([5.0, 0.002, 3.0])  # of the rough start: wrong by factors of 5 to 10


@pytest.fixture(scope="module")
def chains():
    posterior = gaussian()
    start = start_at(posterior, MEAN + 2.0 * np.sqrt(np.diag(COVARIANCE)), WIDTHS)
    return {
        name: run_chains(posterior, start, sampler, chains=4, draws=DRAWS.get(name, 1000), seed=5)
        for name, sampler in SAMPLERS.items()
    }


@every_sampler
def test_recovers_a_correlated_gaussian_from_a_bad_start(name, chains):
    found = chains[name]
    sigma = np.sqrt(np.diag(COVARIANCE))
    z = (found.samples - MEAN) / sigma
    correlation = COVARIANCE / np.outer(sigma, sigma)
    for i in range(3):
        ess = effective_sample_size(z[:, :, i])
        assert ess > 200.0
        assert abs(z[:, :, i].mean()) < SIGMAS / np.sqrt(ess), NAMES[i]
        for j in range(i + 1):
            product = z[:, :, i] * z[:, :, j]
            error = product.std() / np.sqrt(effective_sample_size(product))
            allowed = SIGMAS * error + BIAS.get(name, 0.0)
            assert product.mean() == pytest.approx(correlation[i, j], abs=allowed)


@every_sampler
def test_acceptance_is_near_its_target(name, chains):
    low, high = ACCEPTANCE.get(name, (0.7, 0.98))
    assert low <= chains[name].acceptance <= high


def test_nuts_learns_the_shape(chains):
    """With the mass matrix found, a Gaussian needs few steps and gives nearly independent draws."""
    found = chains["nuts"]
    assert found.divergences == 0
    assert diagnose(NAMES, found.samples).ess_min > 0.4 * found.flat.shape[0]
    assert diagnose(NAMES, found.samples).r_hat_max < 1.01


@every_sampler
def test_log_prob_is_that_of_the_parameters(name, chains):
    posterior = gaussian()
    for x, value in zip(chains[name].flat[:5], chains[name].log_prob.ravel()[:5], strict=True):
        assert float(posterior.log_prob(jnp.asarray(x))) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if "mclmc" not in name])
def test_bounded_prior(name):
    """A Gaussian cut at its maximum: the half-normal distribution, right up to the edge."""
    posterior = gaussian(np.zeros(1), np.eye(1), ({"min": 0.0, "max": 20.0},))
    mode = laplace(posterior, np.array([[1.0]]), np.array([1.0]))
    sampler = NUTS(warmup=300) if "nuts" in name else SAMPLERS[name]  # one parameter, one block
    found = run_chains(posterior, mode, sampler, chains=4, draws=DRAWS.get(name, 1000), seed=2)
    x = found.samples[:, :, 0]
    assert x.min() > 0.0
    for quantile in (0.02, 0.5, 0.95):
        below = (x < halfnorm.ppf(quantile)).astype(float)
        error = np.sqrt(quantile * (1 - quantile) / effective_sample_size(below, False))
        assert below.mean() == pytest.approx(quantile, abs=SIGMAS * error)


@every_sampler
def test_seed_decides(name):
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    sampler = replace(SAMPLERS[name], warmup=30)
    run = [
        run_chains(posterior, mode, sampler, chains=2, draws=20, seed=seed).samples
        for seed in (1, 1, 2)
    ]
    assert run[0].tobytes() == run[1].tobytes()
    assert not np.array_equal(run[0], run[2])


def test_number_of_draws_changes_none_of_them():
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    short, long = (
        run_chains(posterior, mode, NUTS(warmup=30), chains=2, draws=n, seed=1) for n in (15, 90)
    )
    assert short.samples.shape == (2, 15, 3) and long.samples.shape == (2, 90, 3)
    np.testing.assert_array_equal(short.samples, long.samples[:, :15])


def test_warm_up_and_sampling_are_compiled_once():
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    before = _advance._cached._cache_size()
    sampler = NUTS(warmup=31, target_accept=0.7)  # settings of its own, so that it must compile
    for draws in (20, 133):
        run_chains(posterior, mode, sampler, chains=2, draws=draws, seed=1)
    assert _advance._cached._cache_size() == before + 1


def test_progress():
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    seen: list[tuple[int, int]] = []
    run_chains(
        posterior,
        mode,
        NUTS(warmup=30),
        chains=2,
        draws=120,
        seed=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (120, 120)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_refuses():
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    with pytest.raises(InferenceError, match="at least 2 chains"):
        run_chains(posterior, mode, NUTS(), chains=1, draws=100, seed=1)
    nowhere = gaussian(np.full(3, np.nan))
    with pytest.raises(InferenceError, match="starting points"):
        run_chains(nowhere, mode, NUTS(warmup=30), chains=2, draws=20, seed=1)


@pytest.mark.parametrize("steps", [0, 1, 10, 47, 100, 300, 500, 2000])
def test_schedule(steps):
    phases = schedule(steps)
    assert len(phases) == steps
    if steps:
        assert phases[-1] == LAST and np.sum(phases == LAST) == 1
    if steps >= 100:
        ends = np.where(phases == WINDOW_END)[0]
        lengths = np.diff(ends)
        assert np.all(lengths[1:] >= 2 * lengths[:-1]), "windows double"
        assert phases[0] == STEP_SIZE and np.any(phases == GATHER)
        assert np.all(phases[ends[-1] + 1 : -1] == STEP_SIZE)


def test_moments():
    x = np.random.default_rng(0).normal([100.0, 0.0, -5.0], 1.0, size=(50, 3))
    moments = Moments.empty(3)
    for row in x:
        moments = moments.add(jnp.asarray(row))
    expected = (50 * np.cov(x.T, bias=True) + 20.0 * np.eye(3)) / 70.0
    np.testing.assert_allclose(moments.covariance(jnp.eye(3)), expected, rtol=1e-10)


def test_trajectories_that_are_cut_off_are_counted():
    """A tree of four steps is too short for a start ten times too narrow; one of 2^8 is not."""
    target = gaussian()
    start = start_at(target, MEAN, 0.1 * np.sqrt(np.diag(COVARIANCE)))
    given = {"chains": 2, "draws": 50, "seed": 1}
    short = run_chains(target, start, NUTS(warmup=20, max_depth=2), **given)
    assert 0.5 < short.facts["at_max_depth"] <= 1.0
    assert "at_max_depth" not in run_chains(target, start, NUTS(warmup=100), **given).facts


def test_long_trajectories_are_as_long_as_was_asked_for():
    target = gaussian(np.zeros(1), np.eye(1), ({"dist": "norm", "loc": 0.0, "scale": 1e6},))
    start = start_at(target, np.zeros(1), np.ones(1))
    method = HMC(warmup=50, length=1000.0)
    found = run_chains(target, start, method, chains=2, draws=40, seed=1)
    assert found.draw_evaluations / len(found.flat) > 256, "the mean, where the cut was"
