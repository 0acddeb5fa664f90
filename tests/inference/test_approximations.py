"""Laplace, variational guides and neural transport: right, or refused by k-hat."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from killing import killed_and_repeated, of_code
from scipy.integrate import trapezoid
from scipy.stats import halfnorm, truncnorm
from targets import COVARIANCE, LN_PRIOR, MEAN, WIDE, banana, gaussian, posterior_of, two_modes

from volvelle.inference import (
    NUTS,
    InferenceError,
    Laplace,
    LaplaceApproximation,
    NeuralTransport,
    Variational,
    draw,
    effective_sample_size,
    fit_guide,
    importance_evidence,
    laplace,
    sample,
    spline_flow,
)
from volvelle.inference.coordinates import Whitened
from volvelle.inference.guides import KINDS, Guide
from volvelle.inference.importance import FEWEST, settled, systematic, weigh

pytest.importorskip("numpyro")

HERE = Path(__file__).parent
SIGMAS = 4.5
SHORT = 0.1  # of a second moment: what a flow lacks of it with k-hat in order
WIDTHS = np.sqrt(np.diag(COVARIANCE))
LN_Z = 0.5 * np.linalg.slogdet(2.0 * np.pi * COVARIANCE)[1] - 3 * np.log(np.sqrt(2 * np.pi) * 1e6)


def bent() -> Whitened:
    posterior = banana().softened(np.array([1.0, 1.5]))
    return Whitened.of(posterior, laplace(posterior, np.array([[0.1, 0.1]]), np.ones(2)))


def straight() -> Whitened:
    posterior = gaussian()
    return Whitened.of(posterior, laplace(posterior, MEAN[None], 3.0 * WIDTHS))


@pytest.mark.parametrize("kind", KINDS)
def test_a_guide_knows_its_density(kind):
    """ln |dz/deps| is that of the Jacobian, also away from the first guess."""
    guide = Guide.start(kind, 3, jax.random.key(0))
    leaves, structure = jax.tree.flatten(guide)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [a + 0.1 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    guide = jax.tree.unflatten(structure, moved)
    eps = jax.random.normal(jax.random.key(2), (20, 3))
    jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda e: guide.forward(e)[0])))(eps)
    found = jax.jit(jax.vmap(lambda e: guide.forward(e)[1]))(eps)
    np.testing.assert_allclose(found, np.linalg.slogdet(np.asarray(jacobian))[1], atol=1e-9)


def test_a_spline_is_monotonic_and_starts_as_the_identity():
    x = jnp.linspace(-1.2 * spline_flow.BOUND, 1.2 * spline_flow.BOUND, 501)
    raw = 2.0 * jax.random.normal(jax.random.key(0), (3 * spline_flow.BINS - 1,))
    splines = jax.jit(jax.vmap(spline_flow.spline, in_axes=(0, None)))
    y, _ = splines(x, raw)
    assert np.all(np.diff(y) > 0)
    np.testing.assert_allclose(y[np.abs(x) > spline_flow.BOUND], x[np.abs(x) > spline_flow.BOUND])
    edge = spline_flow.BOUND
    fine = np.linspace(-edge, edge, 20_001)
    area = trapezoid(np.exp(splines(fine, raw)[1]), fine)
    assert area == pytest.approx(2 * edge, rel=1e-3)
    same, none = splines(x, jnp.zeros_like(raw))
    np.testing.assert_allclose(same, x, atol=1e-12)
    np.testing.assert_allclose(none, 0.0, atol=1e-12)
    for dimension in (2, 3, 4, 7):
        seen = [set(spline_flow._halves(dimension, layer)[1]) for layer in range(4)]
        assert set().union(*seen) == set(range(dimension)) and all(seen)


def test_a_fitted_normal_is_the_gaussian():
    target = straight()
    fitted = fit_guide(target, Variational("normal"), seed=1)
    assert fitted.settled
    assert fitted.elbo == pytest.approx(LN_Z, abs=SIGMAS * fitted.error + 0.01)
    found = settled(target, fitted.guide, chains=4, draws=1000, seed=2, uncorrected=False, name="")
    assert found.refused is None and found.facts["k_hat"] < 0.5
    z = (found.flat - MEAN) / WIDTHS
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=SIGMAS / np.sqrt(found.effective))
    np.testing.assert_allclose(np.cov(z.T), COVARIANCE / np.outer(WIDTHS, WIDTHS), atol=0.1)
    evidence = found.facts["log_evidence"], found.facts["log_evidence_error"]
    assert evidence[0] == pytest.approx(LN_Z, abs=SIGMAS * evidence[1])
    posterior = gaussian()
    for x, value in zip(found.flat[:5], found.log_prob.ravel()[:5], strict=True):
        assert float(posterior.log_prob(jnp.asarray(x))) == pytest.approx(value, abs=1e-8)


FIT = """
import sys
sys.path.insert(0, {here!r})
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from targets import MEAN
from test_approximations import WIDTHS, straight
from volvelle.inference import NUTS, NeuralTransport, Variational, draw, fit_guide, laplace
from volvelle.inference.importance import weigh
target, settings = straight(), Variational("normal", max_steps=500)
fitted = fit_guide(target, settings, seed=1)
drawn = weigh(target, fitted.guide, 1000, seed=2)
method = NeuralTransport(settings, NUTS(warmup=10))
start = laplace(target.posterior, MEAN[None], WIDTHS)
chains = draw(target.posterior, start, method, chains=4, draws=10, seed=1)
np.savez(sys.argv[1], devices=jax.local_device_count(), z=drawn.z, bounds=fitted.bounds,
         samples=chains.samples)
"""


def test_a_fit_over_devices(tmp_path):
    """Sixteen draws per step on one device and on four, and chains in the guide's coordinates: the
    same numbers, up to rounding."""
    found = {}
    for number in (1, 4):
        environment = {
            **os.environ,
            "XLA_FLAGS": "",
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(number),
        }
        path = tmp_path / f"{number}.npz"
        code = FIT.format(here=str(Path(__file__).parent))
        subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True)
        found[number] = np.load(path)
    assert (int(found[1]["devices"]), int(found[4]["devices"])) == (1, 4)
    np.testing.assert_allclose(found[1]["bounds"], found[4]["bounds"], rtol=1e-10)
    np.testing.assert_allclose(found[1]["z"], found[4]["z"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[1]["samples"], found[4]["samples"], rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def spline():
    target = bent()
    return target, fit_guide(target, Variational("spline"), seed=3)


def test_a_flow_bends_with_the_banana(spline):
    """Means, and the evidence, which is known. The tail of a flow is short: of variances it may
    lack some per cent with k-hat in order (docs/sampling.md)."""
    target, fitted = spline
    assert fitted.settled
    assert LN_PRIOR - 0.1 < fitted.elbo < LN_PRIOR + SIGMAS * fitted.error, "a lower bound"
    found = settled(target, fitted.guide, chains=4, draws=2000, seed=2, uncorrected=False, name="")
    assert found.refused is None and found.facts["k_hat"] < 0.7
    a, b = found.samples[:, :, 0], found.samples[:, :, 1]
    for values, expected in ((a, 0.0), (a**2, 1.0), ((b - a**2) ** 2, 0.25)):
        error = values.std() / np.sqrt(found.effective)
        assert values.mean() == pytest.approx(expected, abs=SIGMAS * error + SHORT * expected)
    evidence = importance_evidence(target, fitted.guide, number=8000, seed=3)
    assert evidence.log_z == pytest.approx(LN_PRIOR, abs=SIGMAS * evidence.error + 0.01)


@pytest.mark.parametrize("method", [LaplaceApproximation(), Variational("normal")])
def test_a_gaussian_of_a_banana_is_refused(method):
    given = {"start": np.array([0.1, 0.1]), "scale": np.ones(2), "draws": 2000}
    found = sample(banana(), method, **given)
    assert found.facts["k_hat"] >= 0.7 and found.facts["correction"] == "none"
    assert "is refused: Pareto k-hat is" in found.refused
    assert "log_evidence" not in found.facts
    wanted = sample(banana(), replace(method, uncorrected=True), **given)
    assert wanted.refused is None and wanted.facts["k_hat"] >= 0.7
    assert wanted.facts["correction"] == "none, as was asked for"


def test_uncorrected_draws_are_the_guides_own():
    """Not those that k-hat is found with, which are wider; refused draws likewise."""
    given = {"start": MEAN, "scale": WIDTHS, "draws": 5000}
    found = sample(gaussian(), LaplaceApproximation(uncorrected=True), **given)
    n = len(found.flat)
    assert n == 20_000 and found.evaluations >= 2 * n
    error = SIGMAS / np.sqrt(2 * n)
    np.testing.assert_allclose(found.flat.std(axis=0), WIDTHS, rtol=error)
    narrow = Guide.start("normal", 3, jax.random.key(0))
    narrow = eqx.tree_at(lambda g: g.parameters["log_scale"], narrow, jnp.full(3, np.log(0.1)))
    refused = settled(
        straight(), narrow, chains=4, draws=5000, seed=2, uncorrected=False, name="narrow"
    )
    assert refused.refused is not None
    np.testing.assert_allclose(refused.flat.std(axis=0), 0.1 * WIDTHS, rtol=error)


def narrow_in(direction: np.ndarray, factor: float) -> tuple[Whitened, Guide]:
    """A round Gaussian with a guide that is narrower than it in one direction."""
    d = len(direction)
    posterior = posterior_of(lambda x: -0.5 * jnp.sum(x**2), WIDE[:1] * d)
    along = direction / np.linalg.norm(direction)
    factors = np.eye(d) + (factor - 1.0) * np.outer(along, along)
    start = Laplace(np.zeros(d), factors, np.zeros(d), 0.0)
    return Whitened.of(posterior, start), Guide.start("normal", d, jax.random.key(0))


MANY = 21


@pytest.mark.parametrize("direction", [np.eye(MANY)[0], np.ones(MANY)], ids=["axis", "oblique"])
def test_a_guide_narrow_in_one_direction_of_many(direction):
    """Half as wide as the posterior there; the mean of a few runs, each with its own draws."""
    target, guide = narrow_in(direction, 0.5)
    along = direction / np.linalg.norm(direction)
    widths, effective, evidence = [], [], []
    for seed in range(6):
        given = {"chains": 4, "draws": 1000, "uncorrected": False, "name": ""}
        found = settled(target, guide, seed=10 * seed, **given)
        assert found.refused is None, found.refused
        widths.append(np.std(found.flat @ along))
        effective.append(found.effective)
        evidence.append(found.facts["log_evidence"])
    assert 1500 < np.mean(effective) < 2500, "what the weights of that direction leave"
    error = SIGMAS / np.sqrt(2 * np.sum(effective))
    assert np.mean(widths) == pytest.approx(1.0, abs=error)
    assert np.mean(evidence) == pytest.approx(-MANY * np.log(1e6), abs=0.03)


def test_an_approximation_too_narrow_is_seen():
    """The draws themselves never come where it is wrong; the wider ones do."""
    target = straight()
    guide = Guide.start("normal", 3, jax.random.key(0))
    narrow = eqx.tree_at(lambda g: g.parameters["log_scale"], guide, jnp.full(3, np.log(0.1)))
    assert weigh(target, guide, 2000, seed=1).fit
    found = weigh(target, narrow, 2000, seed=1)
    assert not found.fit
    with pytest.raises(InferenceError, match=r"k-hat is .* bridge sampling, or nested sampling"):
        importance_evidence(target, narrow, number=2000, seed=1)


@pytest.mark.parametrize("beyond", [1.0, 2.0])
def test_laplace_leaning_on_an_edge(beyond):
    """The maximum of the likelihood is outside the prior: one side of the Gaussian is missing."""
    box = ({"min": 0.0, "max": 100.0}, {"min": -50.0, "max": 50.0})
    posterior = gaussian(np.array([-beyond, 0.0]), np.eye(2), box)
    given = {"start": np.array([0.3, 0.0]), "scale": np.ones(2)}
    truth = truncnorm(beyond, np.inf, loc=-beyond)
    found = sample(posterior, LaplaceApproximation(), **given)
    assert found.refused is None and found.effective > 3000
    x = found.flat[:, 0]
    assert x.mean() == pytest.approx(truth.mean(), abs=SIGMAS * truth.std() / found.effective**0.5)
    of_squares = np.sqrt((truth.stats("k") + 2.0) / found.effective)  # a variance, relative
    assert x.var() == pytest.approx(truth.var(), rel=SIGMAS * of_squares)


def test_laplace_at_an_edge_is_corrected():
    """A half-normal: the Gaussian is wrong and its weights mend it."""
    posterior = gaussian(np.zeros(1), np.eye(1), ({"min": 0.0, "max": 20.0},))
    given = {"start": np.array([1.0]), "scale": np.ones(1), "draws": 2000}
    found = sample(posterior, LaplaceApproximation(), **given)
    assert found.refused is None
    x = found.flat[:, 0]
    for quantile in (0.1, 0.5, 0.9):
        error = np.sqrt(quantile * (1 - quantile) / found.effective)
        below = np.mean(x < halfnorm.ppf(quantile))
        assert below == pytest.approx(quantile, abs=SIGMAS * error)
    assert found.diagnostics.ess_min <= found.effective


def test_a_guide_that_is_right_loses_little_to_the_wider_draws():
    found = weigh(straight(), Guide.start("normal", 3, jax.random.key(0)), 1000, seed=1)
    assert found.k_hat < 0.3 and found.effective > 800


def test_systematic_resampling():
    weights = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        chosen = systematic(np.log(weights), 1000, np.random.default_rng(0))
    counts = np.bincount(chosen, minlength=4)
    assert counts[1] == 0 and np.all(np.abs(counts - 1000 * weights) <= 1)


def test_transport_of_a_banana(spline):
    """Chains in the guide's coordinates: exact, whatever the guide."""
    target, _ = spline
    method = NeuralTransport(Variational("bnaf", max_steps=500), NUTS(warmup=300))
    posterior = target.posterior
    start = laplace(posterior, np.array([[0.1, 0.1]]), np.ones(2))
    found = draw(posterior, start, method, chains=4, draws=1500, seed=5)
    a, b = found.samples[:, :, 0], found.samples[:, :, 1]
    for values, expected in ((a, 0.0), (b, 1.0), ((b - a**2) ** 2, 0.25)):
        error = values.std() / np.sqrt(effective_sample_size(values))
        assert values.mean() == pytest.approx(expected, abs=SIGMAS * error)
    assert found.facts["guide_steps"] == 500 and found.facts["guide_settled"] == "no"
    for x, value in zip(found.flat[:5], found.log_prob.ravel()[:5], strict=True):
        assert float(posterior.log_prob(jnp.asarray(x))) == pytest.approx(value, abs=1e-8)
    assert found.gradients > 500 * 16


def test_transport_of_a_gaussian_draws_independently():
    method = NeuralTransport(Variational("normal"), NUTS(warmup=200, target_accept=0.8))
    found = sample(gaussian(), method, start=MEAN, scale=WIDTHS, draws=500)
    assert found.diagnostics.ess_min > 0.5 * len(found.flat)
    z = (found.flat - MEAN) / WIDTHS
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=SIGMAS / np.sqrt(1000))


def test_a_bound_that_has_not_settled_is_refused():
    found = sample(
        gaussian(), Variational("normal", max_steps=250), start=MEAN, scale=WIDTHS, draws=500
    )
    assert "its bound had not settled after 250 steps; raise max_steps" in found.refused


def test_one_mode_of_two_is_not_seen_by_k_hat():
    """What the page says of k-hat: a mode that no draw reaches is in no weight."""
    found = sample(
        two_modes(), LaplaceApproximation(), start=np.array([7.0, 0.1]), scale=np.ones(2)
    )
    assert found.refused is None and found.flat[:, 0].min() > 0.0
    assert found.facts["log_evidence"] == pytest.approx(LN_PRIOR + np.log(0.7), abs=0.02)


def test_refusals():
    with pytest.raises(InferenceError, match="unknown guide 'flow'; choose normal, bnaf, spline"):
        Guide.start("flow", 3, jax.random.key(0))
    for kind in ("bnaf", "spline"):
        with pytest.raises(InferenceError, match="one parameter has nothing to couple"):
            Guide.start(kind, 1, jax.random.key(0))
    target = straight()
    guide = Guide.start("normal", 3, jax.random.key(0))
    with pytest.raises(InferenceError, match=f"give at least {FEWEST}"):
        weigh(target, guide, 100, seed=1)
    nowhere = posterior_of(lambda x: jnp.full((), -jnp.inf), ({"min": -1.0, "max": 1.0},) * 3)
    lost = Whitened(nowhere, target.mode * 0, jnp.eye(3))
    with pytest.raises(InferenceError, match="zero or undefined at all 1000 draws"):
        weigh(lost, guide, 1000, seed=1)
    hole = posterior_of(
        lambda x: jnp.where(x[0] > 1.0, jnp.nan, -0.5 * jnp.sum(x**2)),
        ({"min": -9.0, "max": 9.0},) * 2,
    )
    mode = laplace(hole, np.zeros((1, 2)), np.ones(2))
    with pytest.raises(InferenceError, match=r"bound is not finite: ln P is not at \d+ of 1024"):
        fit_guide(Whitened.of(hole, mode), Variational("normal", max_steps=250), seed=1)


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from test_approximations import bent
from volvelle.inference import Variational, fit_guide
folder = None if sys.argv[2] == "none" else Path(sys.argv[2])
fitted = fit_guide(bent(), Variational("spline", max_steps=1500), seed=1, folder=folder)
leaves = jax.tree.leaves(fitted.guide)
np.savez(sys.argv[1], *leaves, bounds=fitted.bounds, elbo=fitted.elbo)
"""


def test_a_killed_fit_goes_on(tmp_path):
    """kill -9 loses one chunk, and changes no number of the result."""
    run = of_code(RUN.format(here=str(HERE)), tmp_path)
    killed_and_repeated(run, tmp_path, chunks=2, most=6)
