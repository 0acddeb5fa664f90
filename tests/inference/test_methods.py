"""One function for all methods: what it checks, what it refuses, what it keeps on disk."""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from targets import COVARIANCE, gaussian, posterior_of

from volvelle.inference import (
    HMC,
    MCLMC,
    NUTS,
    AdjustedMCLMC,
    AffineEnsemble,
    GradientError,
    InferenceError,
    LaplaceApproximation,
    Metropolis,
    Nested,
    NeuralTransport,
    StartError,
    UndefinedError,
    Variational,
    check_method,
    load_chains,
    methods,
    name_of,
    sample,
    save_chains,
)
from volvelle.inference import laplace as search
from volvelle.inference.methods import needs_gradients

WIDTHS = np.sqrt(np.diag(COVARIANCE))
SIGMAS = 4.5
FLAT = ({"min": -9.0, "max": 9.0},) * 2
METHODS = {
    "nuts": NUTS(warmup=200),
    "hmc": HMC(warmup=200),
    "metropolis": Metropolis(warmup=2000),
    "ensemble": AffineEnsemble(warmup=400),
    "mclmc": MCLMC(warmup=200),
    "adjusted_mclmc": AdjustedMCLMC(warmup=200),
    "svi": Variational(),
    "neural_transport": NeuralTransport(),
    "nested": Nested(live=100),
    "laplace": LaplaceApproximation(),
}
WITHOUT = ("metropolis", "ensemble", "nested")


def without_gradient(x):
    """A Gaussian that only NumPy can evaluate."""
    shape = jax.ShapeDtypeStruct((), x.dtype)
    value = lambda v: np.asarray(-0.5 * np.sum(np.asarray(v) ** 2), dtype=x.dtype)  # noqa: E731
    return jax.pure_callback(value, shape, x, vmap_method="sequential")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_what_a_run_needs(name):
    """Samples, ln P of them, diagnostics, counts; mean and width of a Gaussian."""
    method = METHODS[name]
    posterior = gaussian(
        priors=({"min": -9.0, "max": 9.0},) * 1, mean=np.ones(1), covariance=np.eye(1)
    )
    d = 1
    if name in ("mclmc", "adjusted_mclmc"):
        posterior, d = gaussian(np.ones(2), np.eye(2), FLAT), 2
    draws = 60 if name == "ensemble" else 500
    found = sample(posterior, method, start=np.zeros(d), scale=np.ones(d), draws=draws)
    assert name_of(method) == name
    assert found.samples.shape[1:] == (draws, d) and found.samples.shape[0] % 4 == 0
    assert found.log_prob.shape == found.samples.shape[:2]
    assert found.refused is None and found.evaluations > 0
    assert (found.gradients > 0) == needs_gradients(method)
    assert found.diagnostics.converged(1.05, 100.0)
    error = 1.0 / np.sqrt(found.diagnostics.ess_min)
    bias = 0.03 if name == "mclmc" else 0.0
    np.testing.assert_allclose(found.flat.mean(axis=0), 1.0, atol=SIGMAS * error)
    np.testing.assert_allclose(found.flat.std(axis=0), 1.0, atol=SIGMAS * error + bias)
    x, value = found.flat[7], found.log_prob.ravel()[7]
    assert float(posterior.log_prob(jnp.asarray(x))) == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in WITHOUT])
def test_without_gradients_the_others_are_offered(name):
    posterior = posterior_of(without_gradient, FLAT)
    words = f"has no gradient .*{name} needs gradients; without them there are metropolis, ensemble"
    with pytest.raises(GradientError, match=words + ", nested"):
        sample(posterior, METHODS[name], start=np.zeros(2), scale=np.ones(2))


@pytest.mark.parametrize("name", WITHOUT)
def test_the_others_do_without(name):
    posterior = posterior_of(without_gradient, FLAT)
    method = {"metropolis": Metropolis(warmup=500, thin=5), "ensemble": AffineEnsemble(200, 5)}
    chosen = method.get(name, Nested(live=40, slices=5))
    draws = 20 if name == "ensemble" else 300
    found = sample(posterior, chosen, start=np.ones(2), scale=np.ones(2), chains=2, draws=draws)
    error = 1.0 / np.sqrt(found.diagnostics.ess_min)
    assert np.all(np.abs(found.flat.mean(axis=0)) < SIGMAS * error)


def test_the_search_for_the_maximum_is_counted(monkeypatch):
    """Every gradient of its steps, and d for each of the two Hessians."""
    module = sys.modules[search.__module__]
    calls = []
    searched = module.value_and_gradient
    monkeypatch.setattr(
        module, "value_and_gradient", lambda *given: (calls.append(1), searched(*given))[1]
    )
    posterior = posterior_of(lambda x: -jnp.sum((x - 1.0) ** 4 + (x - 1.0) ** 2), FLAT)
    given = {"start": np.zeros(2), "scale": np.ones(2), "draws": 300}
    found = sample(posterior, LaplaceApproximation(), **given)
    assert len(calls) > 2 and found.gradients == len(calls) + 2 * 2
    assert found.evaluations == found.draw_evaluations + found.gradients
    rough = sample(posterior, Metropolis(warmup=500, thin=2), **given)
    assert rough.evaluations > rough.draw_evaluations + 4 * 500 + 64 * 300


def test_a_gradient_that_is_not_finite():
    posterior = posterior_of(
        lambda x: -jnp.where(x[0] > 1.0, jnp.sqrt(x[0] - 1.0), 0.0) - x[1] ** 2, FLAT
    )
    with pytest.raises(GradientError, match="gradient for a is not finite at the start: nuts"):
        sample(posterior, NUTS(), start=np.array([0.0, 0.3]), scale=np.ones(2))


def test_what_jax_cannot_trace():
    posterior = posterior_of(lambda x: -(float(x[0]) ** 2), FLAT)
    with pytest.raises(InferenceError, match=r"cannot be traced by JAX; .* jax\.pure_callback"):
        sample(posterior, NUTS(), start=np.zeros(2), scale=np.ones(2))


@pytest.mark.parametrize("method", [NUTS(), Metropolis(), Nested(), LaplaceApproximation()])
def test_a_prior_that_excludes_the_start(method):
    posterior = gaussian(np.zeros(2), np.eye(2), FLAT)
    with pytest.raises(StartError, match=r"prior of b, from -9 to 9, excludes the start 9\.5"):
        sample(posterior, method, start=np.array([0.0, 9.5]), scale=np.ones(2))


@pytest.mark.parametrize("method", [NUTS(), Metropolis(), Nested(), LaplaceApproximation()])
def test_nan_at_the_start_names_the_parameters(method):
    posterior = posterior_of(lambda x: jnp.log(x[0]) - x[1] ** 2, FLAT)
    with pytest.raises(UndefinedError, match=r"ln L of gaussian is NaN .*a = -0\.25, b = 0\.5$"):
        sample(posterior, method, start=np.array([-0.25, 0.5]), scale=np.ones(2))


def test_nan_elsewhere_is_said():
    """It counts as no probability, which is right, and is not kept silent."""
    posterior = posterior_of(lambda x: jnp.log(x[0]) - jnp.sum((x - 1.0) ** 2), FLAT)
    said: list[str] = []
    given = {"start": np.ones(2), "scale": np.ones(2), "draws": 500, "say": said.append}
    found = sample(posterior, Metropolis(warmup=2000), **given)
    assert found.flat[:, 0].min() > 0.0
    (words,) = [text for text in said if "NaN" in text]
    assert (
        "points around the maximum, which count as of no probability; the first is a = -" in words
    )


def test_start_and_scale_have_the_parameters_shape():
    posterior = gaussian(np.zeros(2), np.eye(2), FLAT)
    for start, scale in ((np.zeros(3), np.ones(2)), (np.zeros(2), np.zeros(2))):
        with pytest.raises(InferenceError, match=r"expected \(2,\) for a, b, and positive scales"):
            sample(posterior, NUTS(), start=start, scale=scale)


def test_methods_are_checked_against_the_parameters():
    for method, words in (
        (NUTS(mass=(("a", "z"),)), "names z; sampled are a, b"),
        (NeuralTransport(Variational("spline")), None),
        (AffineEnsemble(walkers=3), "an even number"),
        (Nested(live=10), "give live >= 20"),
        (Variational("maf"), "unknown guide 'maf'"),
    ):
        if words is None:
            check_method(method, ("a", "b"), 4000)
            continue
        with pytest.raises(InferenceError, match=words):
            check_method(method, ("a", "b"), 4000)
    with pytest.raises(InferenceError, match="400 draws to judge an approximation by"):
        check_method(LaplaceApproximation(), ("a", "b"), 400)


@pytest.mark.parametrize("name", ["nuts", "svi"])
def test_a_finished_run_is_read_back(name, tmp_path):
    posterior = gaussian(np.ones(2), np.eye(2), FLAT)
    given = {"start": np.zeros(2), "scale": np.ones(2), "draws": 250, "folder": tmp_path}
    calls: list[str] = []
    first = sample(posterior, METHODS[name], **given, say=calls.append)
    said = len(calls)
    again = sample(posterior, METHODS[name], **given, say=calls.append)
    assert len(calls) == said
    np.testing.assert_array_equal(first.samples, again.samples)
    assert dict(first.facts) == dict(again.facts) and first.effective == again.effective
    assert (first.evaluations, first.gradients) == (again.evaluations, again.gradients)
    assert not (tmp_path / "unfinished").exists(), "nothing is kept twice"
    other = sample(posterior, METHODS[name], **given, seed=2)
    assert not np.array_equal(first.samples, other.samples)
    # the same maximum and curvature there, and another likelihood
    heavier = posterior_of(lambda x: -2.0 * jnp.sum(jnp.log1p((x - 1.0) ** 2 / 4.0)), FLAT)
    given |= {"folder": tmp_path / "two"}
    sample(gaussian(np.ones(2), np.eye(2), FLAT), METHODS[name], **given)
    not_it = sample(heavier, METHODS[name], **given)
    value = heavier.log_prob(jnp.asarray(not_it.flat[3]))
    assert float(value) == pytest.approx(not_it.log_prob.ravel()[3], abs=1e-8)


def test_a_kill_after_the_chains_leaves_no_name_of_others(tmp_path, monkeypatch):
    """One posterior's chains replace another's; whatever was to be written next never is."""
    given = {"start": np.zeros(2), "scale": np.ones(2), "draws": 250, "folder": tmp_path}
    here, there = (gaussian(m * np.ones(2), np.eye(2), FLAT) for m in (1.0, -4.0))
    sample(here, LaplaceApproximation(), **given)

    def killed(*given, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(methods, "write_atomically", killed, raising=False)
        patched.setattr(methods.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            sample(there, LaplaceApproximation(), **given)
    again = sample(here, LaplaceApproximation(), **given)
    np.testing.assert_allclose(again.flat.mean(axis=0), 1.0, atol=0.2)
    # a file that does not say what it is of is drawn again
    save_chains(tmp_path / methods.DONE, replace(again, samples=again.samples + 9.0))
    anew = sample(here, LaplaceApproximation(), **given)
    np.testing.assert_array_equal(anew.samples, again.samples)


def test_chains_on_disk_keep_everything(tmp_path):
    posterior = gaussian(np.ones(2), np.eye(2), FLAT)
    given = {"start": np.zeros(2), "scale": np.ones(2), "draws": 300}
    found = sample(posterior, LaplaceApproximation(), **given)
    save_chains(tmp_path / "chains.safetensors", found)
    read = load_chains(tmp_path / "chains.safetensors", found.names)
    np.testing.assert_array_equal(read.samples, found.samples)
    assert read.facts == found.facts and read.refused == found.refused
    assert read.effective == found.effective
    assert read.diagnostics.ess_min == found.diagnostics.ess_min


@pytest.mark.parametrize("keep", [0, 40, 900])
def test_damaged_chains_are_named(tmp_path, keep):
    given = {"start": np.zeros(2), "scale": np.ones(2), "draws": 300, "folder": tmp_path}
    sample(gaussian(np.ones(2), np.eye(2), FLAT), LaplaceApproximation(), **given)
    path = tmp_path / methods.DONE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InferenceError, match=f"{path.name} is damaged .* drawn again"):
        load_chains(path, ("a", "b"))
    with pytest.raises(InferenceError, match=f"{path.name} is damaged .* drawn again"):
        sample(gaussian(np.ones(2), np.eye(2), FLAT), LaplaceApproximation(), **given)
