"""The evidence by nested sampling, bridge sampling and importance sampling, against known ones."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from killing import killed_and_repeated, of_code
from scipy.stats import multivariate_normal
from targets import (
    COVARIANCE,
    LN_PRIOR,
    MEAN,
    GaussianIn,
    banana,
    gaussian,
    posterior_of,
    two_modes,
)

from volvelle.inference import (
    NUTS,
    Chains,
    Evidence,
    InferenceError,
    LaplaceApproximation,
    Metropolis,
    Nested,
    Posterior,
    bridge,
    make_prior,
    sample,
)
from volvelle.inference.nested import run_nested

HERE = Path(__file__).parent
SIGMAS = 4.0
WIDTHS = np.sqrt(np.diag(COVARIANCE))
LIVE = 250
PRIORS = (
    {"min": -9.0, "max": 9.0},
    {"dist": "norm", "loc": -2.0, "scale": 0.05},
    {"dist": "norm", "loc": 0.0, "scale": 60.0},
)


def expected_gaussian() -> float:
    """A flat prior that contains the likelihood, and two Gaussian ones."""
    covariance = COVARIANCE + np.diag([0.0, 0.05**2, 60.0**2])
    # flat in a, so it integrates out: the rest is a convolution of two Gaussians in (b, c)
    norm = 0.5 * np.linalg.slogdet(2 * np.pi * COVARIANCE)[1]
    rest = multivariate_normal(MEAN[1:], covariance[1:, 1:]).logpdf([-2.0, 0.0])
    return float(norm - np.log(18.0) + rest)


def evidence_of(found: Chains) -> Evidence:
    return Evidence(found.facts["log_evidence"], found.facts["log_evidence_error"], "")


def test_a_gaussian_with_three_kinds_of_prior():
    posterior = gaussian(priors=PRIORS)
    found = run_nested(posterior, Nested(live=LIVE), chains=4, draws=1000, seed=1)
    value = evidence_of(found)
    assert 0.02 < value.error < 0.4
    assert value.log_z == pytest.approx(expected_gaussian(), abs=SIGMAS * value.error)
    combined = np.linalg.inv(np.linalg.inv(COVARIANCE) + np.diag([0.0, 0.05**-2, 60.0**-2]))
    sigma = np.sqrt(np.diag(combined))
    mean = combined @ (np.linalg.inv(COVARIANCE) @ MEAN + np.array([0.0, -2.0 / 0.05**2, 0.0]))
    z = (found.flat - mean) / sigma
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=SIGMAS / np.sqrt(found.effective))
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=SIGMAS / np.sqrt(2 * found.effective))
    for x, log_prob in zip(found.flat[:5], found.log_prob.ravel()[:5], strict=True):
        assert float(posterior.log_prob(jnp.asarray(x))) == pytest.approx(log_prob, abs=1e-9)
    assert found.gradients == 0 and found.diagnostics.ess_min <= found.effective


@pytest.mark.parametrize("target", [banana, two_modes])
def test_curved_and_bimodal(target):
    """Both modes in their shares, which no chain above finds; and the evidence."""
    found = run_nested(target(), Nested(live=LIVE), chains=4, draws=1000, seed=2)
    value = evidence_of(found)
    assert value.log_z == pytest.approx(LN_PRIOR, abs=SIGMAS * value.error)
    if target is two_modes:
        upper = float(np.mean(found.flat[:, 0] > 0))
        assert upper == pytest.approx(0.7, abs=SIGMAS * np.sqrt(0.21 / LIVE) / 2)
    else:
        assert found.flat[:, 0].var() == pytest.approx(1.0, abs=SIGMAS * np.sqrt(2 / 500))


def test_methods_agree():
    """Bridge sampling from chains, importance sampling, nested sampling: the same number."""
    posterior = gaussian(priors=PRIORS)
    given = {"start": MEAN, "scale": WIDTHS, "seed": 3}
    chains = sample(posterior, Metropolis(), **given, draws=1000)
    by_bridge = bridge(posterior, chains, seed=1)
    by_importance = evidence_of(sample(posterior, LaplaceApproximation(), **given))
    truth = Evidence(expected_gaussian(), 0.0, "analytic")
    for found in (by_bridge, by_importance):
        assert found.agrees(truth, SIGMAS) and found.error < 0.05
    assert by_bridge.agrees(by_importance)


def test_bridge_sampling_of_a_banana_and_an_edge():
    banana_chains = sample(
        banana(), NUTS(warmup=500), start=np.full(2, 0.1), scale=np.ones(2), draws=4000
    )
    found = bridge(banana(), banana_chains, seed=1)
    assert found.log_z == pytest.approx(LN_PRIOR, abs=SIGMAS * found.error)
    edge = gaussian(np.zeros(1), np.eye(1), ({"min": 0.0, "max": 20.0},))
    chains = sample(edge, NUTS(warmup=300), start=np.ones(1), scale=np.ones(1), draws=2000)
    found = bridge(edge, chains, seed=1)
    assert found.log_z == pytest.approx(np.log(np.sqrt(np.pi / 2) / 20), abs=SIGMAS * found.error)


def model(degree: int, seed: int = 0):
    """A polynomial through data with unit noise, coefficients of unit Gaussian priors; and ln Z."""
    t = np.linspace(-1.0, 1.0, 20)
    data = 0.5 + 1.0 * t + 2.0 * t**2 + np.random.default_rng(seed).normal(size=20)
    design = np.stack([t**i for i in range(degree + 1)], axis=1)
    covariance = np.eye(20) + design @ design.T
    norm = -0.5 * 20 * np.log(2 * np.pi)
    posterior = posterior_of(
        lambda x: norm - 0.5 * jnp.sum((data - design @ x) ** 2),
        ({"dist": "norm", "loc": 0.0, "scale": 1.0},) * (degree + 1),
    )
    return posterior, float(multivariate_normal(np.zeros(20), covariance).logpdf(data))


def test_a_bayes_factor_by_two_methods():
    """A line against a parabola: nested and bridge sampling against the analytic factor."""
    nested, bridged, truth = [], [], []
    for degree in (1, 2):
        posterior, log_z = model(degree)
        d = degree + 1
        found = run_nested(posterior, Nested(live=LIVE), chains=4, draws=500, seed=degree)
        nested.append(evidence_of(found))
        chains = sample(posterior, NUTS(warmup=200), start=np.zeros(d), scale=np.ones(d))
        bridged.append(bridge(posterior, chains, seed=1))
        truth.append(log_z)
    factor = truth[0] - truth[1]
    assert abs(factor) > 0.2
    for pair in (nested, bridged):
        found = pair[0].against(pair[1])
        assert found.error == pytest.approx(np.hypot(pair[0].error, pair[1].error))
        assert found.log_z == pytest.approx(factor, abs=SIGMAS * found.error)
    assert nested[0].against(nested[1]).agrees(bridged[0].against(bridged[1]))
    assert not Evidence(0.0, 0.1, "").agrees(Evidence(1.0, 0.1, ""))


def test_where_the_likelihood_is_undefined_the_prior_has_no_weight():
    """NaN over half of the prior: counted as nothing, not as an error or a number."""

    def holed(x):
        return jnp.where(x[0] < 0.0, jnp.nan, -0.5 * jnp.sum((x - 4.0) ** 2))

    box = ({"min": -10.0, "max": 10.0},) * 2
    found = run_nested(posterior_of(holed, box), Nested(live=LIVE), chains=2, draws=500, seed=1)
    value = evidence_of(found)
    expected = np.log(2 * np.pi) - 2 * np.log(20.0)
    assert value.log_z == pytest.approx(expected, abs=SIGMAS * value.error)
    assert found.flat[:, 0].min() > 0.0
    nowhere = posterior_of(lambda x: jnp.nan * x[0], box)
    with pytest.raises(InferenceError, match=r"only 0 of .* points of the prior have a finite"):
        run_nested(nowhere, Nested(live=20), chains=2, draws=100, seed=1)


class Learned(eqx.Module):
    """A theory that knows a domain, |x| < 4, and invents a peak outside of it."""

    def __call__(self, x):
        return {"x": jnp.where(self.distance(x) > 1.5, 0.0, x)}

    def distance(self, x):
        return jnp.max(jnp.abs(x)) / 4.0


def test_an_emulators_word_counts_for_nothing_far_from_what_it_has_learned():
    """The invented peak fills most of the prior, and neither evidence nor samples have it."""
    like = GaussianIn(jnp.zeros(2), jnp.eye(2))
    priors = tuple(make_prior({"min": -60.0, "max": 60.0}) for _ in range(2))
    posterior = Posterior(("a", "b"), priors, (like,), Learned(), 2)
    found = run_nested(posterior, Nested(live=LIVE), chains=2, draws=500, seed=1)
    value = evidence_of(found)
    expected = np.log(2 * np.pi) - 2 * np.log(120.0)
    assert value.log_z == pytest.approx(expected, abs=SIGMAS * value.error)
    assert np.max(np.abs(found.flat)) < 6.0


def test_evaluations_are_counted_exactly():
    """A counter inside the likelihood; lanes that wait in the loop are not counted as calls."""
    calls = []

    def counted(x):
        jax.debug.callback(lambda _: calls.append(1), x[0])
        return -0.5 * jnp.sum(x**2)

    posterior = posterior_of(counted, ({"min": -5.0, "max": 5.0},) * 2)
    # one point replaced at a time, so that no lane waits for another
    method = Nested(live=20, batch=1, remainder=0.5)
    found = run_nested(posterior, method, chains=2, draws=10, seed=1)
    jax.effects_barrier()
    assert found.evaluations == len(calls)


def test_an_approximations_own_draws_are_not_bridged():
    """The banana's ln Z came out 1.1 too small from the Gaussian's draws, with an error of 0.02."""
    given = {"start": np.array([0.1, 0.1]), "scale": np.ones(2), "draws": 1000}
    for uncorrected, words in ((True, "own draws, uncorrected"), (False, "is refused: Pareto")):
        found = sample(banana(), LaplaceApproximation(uncorrected=uncorrected), **given)
        with pytest.raises(InferenceError, match=f"not of the posterior .*{words}"):
            bridge(banana(), found, seed=1)


def test_refusals():
    posterior = gaussian(priors=PRIORS)
    for method in (Nested(live=20), Nested(batch=400), Nested(slices=0)):
        with pytest.raises(InferenceError, match="give live >= 30, 1 <= batch <= live/2"):
            run_nested(posterior, method, chains=2, draws=100, seed=1)
    few = Chains(("a",), np.zeros((2, 50, 1)), np.zeros((2, 50)), 1.0, 0, 0)
    with pytest.raises(InferenceError, match="bridge sampling needs at least 200"):
        bridge(posterior, few, seed=1)


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from test_evidence import PRIORS
from targets import gaussian
from volvelle.inference import Nested
from volvelle.inference.nested import run_nested
folder = None if sys.argv[2] == "none" else Path(sys.argv[2])
found = run_nested(gaussian(priors=PRIORS), Nested(live=100), chains=2, draws=100, seed=1,
                   folder=folder)
np.savez(sys.argv[1], samples=found.samples, log_prob=found.log_prob,
         numbers=[found.facts["log_evidence"], found.evaluations, found.effective])
"""


def test_a_killed_run_goes_on(tmp_path):
    """kill -9 loses one chunk, and changes no number of the result."""
    killed_and_repeated(of_code(RUN.format(here=str(HERE)), tmp_path), tmp_path, chunks=3)
