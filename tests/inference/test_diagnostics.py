"""R-hat, effective sample size and Pareto k against ArviZ and against known answers."""

import warnings

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import genpareto

from volvelle.inference import diagnose, effective_sample_size, pareto_smooth, split_r_hat
from volvelle.inference.pareto import generalised_pareto

SAME = 1e-6  # relative, between two codes of one formula


@pytest.fixture(scope="module")
def arviz():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing a major refactor")
        return pytest.importorskip("arviz")


def autoregressive(rho: float, chains: int, n: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(chains, n + 200))
    return lfilter([np.sqrt(1.0 - rho**2)], [1.0, -rho], noise, axis=1)[:, 200:]


CHAINS = {
    "independent": autoregressive(0.0, 4, 500),
    "correlated": autoregressive(0.9, 4, 1000),
    "anticorrelated": autoregressive(-0.5, 4, 500),
    "odd length": autoregressive(0.5, 3, 333),
    "heavy tails": np.random.default_rng(1).standard_cauchy((4, 400)),
    "shifted": autoregressive(0.3, 4, 500) + np.array([[0.0], [0.0], [0.0], [1.5]]),
    "wider": autoregressive(0.3, 4, 500) * np.array([[1.0], [1.0], [1.0], [4.0]]),
    "repeats": np.round(autoregressive(0.8, 4, 500), 1),
}
every_case = pytest.mark.parametrize("case", CHAINS)


@every_case
def test_r_hat_is_that_of_arviz(case, arviz):
    expected = float(arviz.rhat(CHAINS[case], method="rank"))
    assert split_r_hat(CHAINS[case]) == pytest.approx(expected, rel=SAME)


@every_case
def test_ess_is_that_of_arviz(case, arviz):
    expected = float(arviz.ess(CHAINS[case], method="bulk"))
    assert effective_sample_size(CHAINS[case]) == pytest.approx(expected, rel=SAME)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_ess_of_an_autoregression(rho):
    """(1 - rho)/(1 + rho) of the number, known exactly."""
    chains = autoregressive(rho, 8, 4000)
    expected = chains.size * (1.0 - rho) / (1.0 + rho)
    assert effective_sample_size(chains) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("case", ["shifted", "wider"])
def test_chains_that_disagree(case):
    assert split_r_hat(CHAINS[case]) > 1.1
    both = np.stack([CHAINS["independent"], CHAINS[case][:, :500]], axis=-1)
    found = diagnose(("good", "bad"), both)
    assert found.r_hat_max == found.r_hat[1] > 1.1 > found.r_hat[0]
    assert not found.converged(1.1, 10.0)
    assert found.ess_min == found.ess.min()


def test_drifting_chain():
    chains = autoregressive(0.0, 4, 500) + np.linspace(0.0, 2.0, 500)
    assert split_r_hat(chains) > 1.1, "halves of one chain differ"


def test_chains_that_stand_still():
    assert np.isnan(effective_sample_size(np.ones((4, 100))))
    assert not diagnose(("a",), np.ones((4, 100, 1))).converged(1.01, 100.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("n", [100, 137, 1000])
def test_pareto_is_that_of_arviz(n, scale, seed, arviz):
    log_weights = scale * np.random.default_rng(seed).normal(size=n)
    smooth, k = pareto_smooth(log_weights)
    expected, expected_k = arviz.psislw(log_weights)
    assert k == pytest.approx(float(expected_k), abs=SAME)
    total = np.log(np.sum(np.exp(smooth - smooth.max()))) + smooth.max()
    np.testing.assert_allclose(smooth - total, np.asarray(expected), atol=1e-6)


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.8])
def test_pareto_shape_is_found(k):
    x = genpareto.rvs(k, size=20000, random_state=np.random.default_rng(3))
    found, sigma = generalised_pareto(x)
    assert found == pytest.approx(k, abs=0.04)
    assert sigma == pytest.approx(1.0, abs=0.05)


def test_pareto_without_tail():
    for log_weights in (np.zeros(50), np.array([0.0, -1.0, -2.0])):
        smooth, k = pareto_smooth(log_weights)
        assert np.isnan(k)
        np.testing.assert_array_equal(smooth, log_weights)
