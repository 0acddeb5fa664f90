"""Samplers on curved and bounded posteriors; what they count; blocks, devices, resuming."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from killing import killed_and_repeated
from scipy.stats import halfnorm
from targets import COVARIANCE, MEAN, banana, gaussian, start_at, two_modes

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
from volvelle.inference.mass import groups_of, within_blocks

HERE = Path(__file__).parent
SIGMAS = 4.5
BIAS = 0.05  # of MCLMC, in standard deviations: its step size leaves one
SAMPLERS = {
    "nuts": NUTS(warmup=500, target_accept=0.95),
    "hmc": HMC(warmup=500, target_accept=0.95),
    "metropolis": Metropolis(warmup=6000, thin=20),
    "ensemble": AffineEnsemble(warmup=2000, thin=20),
    "mclmc": MCLMC(warmup=500),
    "adjusted_mclmc": AdjustedMCLMC(warmup=500, target_accept=0.95),
}
DRAWS = {"ensemble": 200}
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / np.sqrt(effective_sample_size(values)))


@every_sampler
def test_a_banana(name):
    """E[a] = 0, E[b] = E[a^2] = 1, E[(b - a^2)^2] = 1/4."""
    posterior = banana().softened(np.array([1.0, 1.5]))
    mode = laplace(posterior, np.array([[0.1, 0.1]]), np.ones(2))
    draws = DRAWS.get(name, 2000)
    found = run_chains(posterior, mode, SAMPLERS[name], chains=4, draws=draws, seed=3)
    a, b = found.samples[:, :, 0], found.samples[:, :, 1]
    bias = BIAS if name == "mclmc" else 0.0
    for values, expected in ((a, 0.0), (b, 1.0), (a**2, 1.0), ((b - a**2) ** 2, 0.25)):
        mean, error = mean_and_error(values)
        allowed = SIGMAS * error + bias * values.std()
        assert mean == pytest.approx(expected, abs=allowed)
    assert found.diagnostics.ess_min > 100.0


@pytest.mark.parametrize("name", ["mclmc", "adjusted_mclmc"])
def test_microcanonical_at_an_edge(name):
    """The half-normal distribution beside a free parameter (they need two)."""
    priors = ({"min": 0.0, "max": 20.0}, {"min": -20.0, "max": 20.0})
    posterior = gaussian(np.zeros(2), np.eye(2), priors).softened(np.ones(2))
    mode = laplace(posterior, np.array([[1.0, 0.1]]), np.ones(2))
    found = run_chains(posterior, mode, SAMPLERS[name], chains=4, draws=2000, seed=2)
    x = found.samples[:, :, 0]
    for quantile in (0.05, 0.5, 0.95):
        below = (x < halfnorm.ppf(quantile)).astype(float)
        error = np.sqrt(quantile * (1 - quantile) / effective_sample_size(below, False))
        bias = 0.02 if name == "mclmc" else 0.0
        assert below.mean() == pytest.approx(quantile, abs=SIGMAS * error + bias)


@pytest.mark.parametrize("name", ["nuts", "metropolis", "ensemble"])
def test_two_modes_are_not_called_converged(name):
    """No chain of these crosses; who started where shows in R-hat, or in the sample size."""
    posterior = two_modes()
    start = start_at(posterior, np.zeros(2), np.array([0.2, 0.05]))
    draws = DRAWS.get(name, 500)
    found = run_chains(posterior, start, SAMPLERS[name], chains=4, draws=draws, seed=1)
    upper = (found.samples[:, :, 0] > 0).mean(axis=1)
    assert upper.max() > 0.5 > upper.min()
    assert not found.diagnostics.converged(1.01, 400.0)


@every_sampler
def test_evaluations_are_counted_exactly(name):
    """A counter inside the density: what a step reports is what it called."""
    calls = []

    def density(z):
        jax.debug.callback(lambda _: calls.append(1), z)
        return -0.5 * jnp.sum(z**2)

    sampler = replace(SAMPLERS[name], warmup=20).bound(("a", "b", "c"))
    shape = (sampler.together, 3) if sampler.together else (3,)
    z = jax.random.normal(jax.random.key(0), shape)
    start = sampler.begin(z, -0.5 * jnp.sum(z**2, axis=-1), -z)
    state, tuning = start, sampler.start(3)
    step = jax.jit(lambda k, s: sampler.step(density, tuning, k, s))
    jax.effects_barrier()
    for i in range(5):
        calls.clear()
        state, info = step(jax.random.key(i), state)
        jax.effects_barrier()
        assert int(info.evaluations) == len(calls)
        assert int(info.gradients) == (0 if name in ("metropolis", "ensemble") else len(calls))


def test_totals_are_of_starts_warm_up_and_draws():
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    found = run_chains(posterior, mode, Metropolis(warmup=100, thin=5), chains=2, draws=30, seed=1)
    assert found.draw_evaluations == 2 * 30 * 5
    assert found.evaluations == 2 * 20 + 2 * (20 + 30) * 5
    assert found.gradients == 0
    found = run_chains(posterior, mode, MCLMC(warmup=20, thin=3), chains=2, draws=30, seed=1)
    assert found.gradients == 2 + 2 * (20 + 30) * 3 * 2
    assert found.evaluations == 2 * 20 + found.gradients


def test_blocks_by_name():
    names = ("a", "b", "c", "d")
    assert groups_of("dense", names) == ()
    assert groups_of("diagonal", names) == (0, 1, 2, 3)
    groups = groups_of((("c", "a"),), names)
    assert groups[0] == groups[2] and len(set(groups)) == 3
    for mass, words in (
        ((("a", "e"),), "names e; sampled are a, b, c, d"),
        ((("a", "b"), ("b", "c")), "b stands in two blocks"),
        ("full", "choose dense, diagonal or blocks"),
    ):
        with pytest.raises(InferenceError, match=words):
            groups_of(mass, names)


def test_coordinates_keep_to_their_blocks():
    start = laplace(gaussian(), MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    kept = within_blocks(start, groups_of((("a", "b"),), ("a", "b", "c")))
    scale = np.sqrt(np.diag(start.covariance))
    found, given = (m.covariance / np.outer(scale, scale) for m in (kept, start))
    np.testing.assert_allclose(found[:2, :2], given[:2, :2], atol=1e-9)
    assert np.all(kept.factor[2, :2] == 0.0) and np.all(kept.factor[:2, 2] == 0.0)


@pytest.mark.parametrize("mass", ["diagonal", (("a", "b"),)])
def test_no_mass_is_learned_across_blocks(mass):
    sampler = NUTS(warmup=100, mass=mass).bound(("a", "b", "c"))
    tuning = sampler.start(3)
    for i in range(40):
        z = jnp.asarray(np.random.default_rng(i).normal(size=3)) @ jnp.ones((3, 3))
        phase = jnp.asarray(3 if i == 39 else 2)
        tuning = tuning.adapted(phase, z, jnp.asarray(0.1), sampler.groups)
    inside = np.array(sampler.groups)[:, None] == np.array(sampler.groups)[None]
    assert np.all((np.asarray(tuning.inverse_mass) != 0.0) == inside)


def test_refusals():
    posterior = gaussian(np.zeros(1), np.eye(1), ({"min": -5.0, "max": 5.0},))
    mode = laplace(posterior, np.array([[0.1]]), np.ones(1))
    for sampler in (MCLMC(), AdjustedMCLMC()):
        with pytest.raises(InferenceError, match="a direction on a line cannot turn; choose nuts"):
            run_chains(posterior, mode, sampler, chains=2, draws=20, seed=1)
    for walkers in (4, 9):
        with pytest.raises(InferenceError, match="an even number of at least 6"):
            AffineEnsemble(walkers=walkers).bound(("a", "b", "c"))


def test_convergence_is_watched():
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    seen = []
    size = {"chains": 2, "draws": 600, "seed": 1}
    watch = lambda done, found: seen.append((done, found))  # noqa: E731
    chains = run_chains(posterior, mode, NUTS(warmup=50), **size, watch=watch)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert 5 <= len(seen) <= 10 and seen[-1][0] == 600
    last = diagnose(chains.names, chains.samples)
    assert seen[-1][1].ess_min == last.ess_min and seen[-1][1].r_hat_max == last.r_hat_max


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from targets import COVARIANCE, MEAN, gaussian
from volvelle.inference import {kind}, laplace, run_chains
posterior = gaussian()
mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
folder = None if sys.argv[2] == "none" else Path(sys.argv[2])
found = run_chains(posterior, mode, {kind}(warmup={warmup}), chains=4, draws={draws}, seed=1,
                   folder=folder)
np.savez(sys.argv[1], samples=found.samples, devices=jax.local_device_count(),
         counts=[found.evaluations, found.gradients, found.draw_evaluations])
"""


def run_apart(tmp_path: Path, out: str, folder: str, devices: int = 1, **given) -> subprocess.Popen:
    code = RUN.format(here=str(HERE), **given)
    environment = {
        **os.environ,
        "XLA_FLAGS": "",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    words = [sys.executable, "-c", code, str(tmp_path / out), folder]
    return subprocess.Popen(words, env=environment)


@pytest.mark.parametrize("kind", ["NUTS", "AffineEnsemble"])
def test_chains_over_devices(kind, tmp_path):
    """Four chains on one device and on four: the same numbers, up to rounding."""
    size = {"kind": kind, "warmup": 20, "draws": 30}
    assert run_apart(tmp_path, "one.npz", "none", **size).wait() == 0
    assert run_apart(tmp_path, "four.npz", "none", 4, **size).wait() == 0
    one, many = np.load(tmp_path / "one.npz"), np.load(tmp_path / "four.npz")
    assert (int(one["devices"]), int(many["devices"])) == (1, 4)
    np.testing.assert_allclose(one["samples"], many["samples"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(one["counts"], many["counts"])


def test_a_killed_run_goes_on(tmp_path):
    """kill -9 in the middle: the chunks that were finished are not drawn again."""
    size = {"kind": "NUTS", "warmup": 100, "draws": 4000}
    run = partial(run_apart, tmp_path, **size)
    killed_and_repeated(run, tmp_path, chunks=10)


def test_another_runs_files_are_not_taken_over(tmp_path):
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    size = {"chains": 2, "draws": 30, "folder": tmp_path / "kept"}
    run_chains(posterior, mode, NUTS(warmup=30), **size, seed=1)
    second = run_chains(posterior, mode, NUTS(warmup=30), **size, seed=2)
    alone = run_chains(posterior, mode, NUTS(warmup=30), chains=2, draws=30, seed=2)
    np.testing.assert_array_equal(second.samples, alone.samples)
    moved = gaussian(MEAN + 0.1)
    third = run_chains(moved, mode, NUTS(warmup=30), **size, seed=2)
    alone = run_chains(moved, mode, NUTS(warmup=30), chains=2, draws=30, seed=2)
    np.testing.assert_array_equal(third.samples, alone.samples)


def test_damaged_files_are_refused(tmp_path):
    posterior = gaussian()
    mode = laplace(posterior, MEAN[None], np.sqrt(np.diag(COVARIANCE)))
    size = {"chains": 2, "draws": 30, "seed": 1, "folder": tmp_path / "kept"}
    run_chains(posterior, mode, NUTS(warmup=30), **size)
    (tmp_path / "kept" / "part_0.safetensors").write_bytes(json.dumps({}).encode())
    with pytest.raises(InferenceError, match=r"cannot be read .* the computation starts anew"):
        run_chains(posterior, mode, NUTS(warmup=30), **size)
