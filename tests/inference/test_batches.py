"""ln L at many points by one program: the same numbers, none evaluated in vain, compiled once."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.inference import (
    NUTS,
    Metropolis,
    Posterior,
    laplace,
    log_likelihoods_at,
    log_probs_at,
    make_prior,
    run_chains,
    sample,
)
from volvelle.inference.batches import BATCH, BLOCK, FEW, log_probs_real_at
from volvelle.inference.coordinates import Whitened, gradients_at, traced_once
from volvelle.inference.variational import Variational


@dataclass(frozen=True, eq=False)
class Counted:
    """A normal likelihood that counts its calls and traces; NaN beyond x = 3."""

    calls: list[int]
    traces: list[int]
    reads_cosmology: bool = False
    name: str = "counted"
    nuisance: tuple[str, ...] = ()

    def log_prob(self, theory: Any, nuisance: Any) -> jax.Array:
        self.traces.append(1)
        jax.debug.callback(lambda _: self.calls.append(1), theory["x"][0])
        x = theory["x"]
        return jnp.where(x[0] > 3.0, jnp.nan, -0.5 * jnp.sum(x**2))


def counted(projects: bool) -> tuple[Posterior, list[int], list[int]]:
    calls, traces = [], []
    priors = tuple(make_prior({"min": -5.0, "max": 4.0}) for _ in range(2))
    like: Any = Counted(calls, traces, projects)
    theory = lambda x: {"x": x}  # noqa: E731
    return Posterior(("a", "b"), priors, (like,), theory, 2), calls, traces


@pytest.mark.parametrize("projects", [False, True])
def test_the_numbers_are_those_of_the_posterior(projects: bool) -> None:
    posterior = counted(projects)[0].softened(np.ones(2))
    number = len(jax.local_devices()) * BLOCK + 70
    x = np.random.default_rng(1).uniform(-4.9, 3.9, size=(number, 2))
    u = np.asarray(jax.vmap(posterior.to_real)(jnp.asarray(x)))
    assert np.any(np.isnan(log_likelihoods_at(posterior, x)))
    one_by_one = jax.jit(jax.vmap(posterior.log_likelihood))(jnp.asarray(x))
    np.testing.assert_allclose(log_likelihoods_at(posterior, x), one_by_one, rtol=1e-14)
    one_by_one = jax.jit(jax.vmap(posterior.log_prob))(jnp.asarray(x))
    np.testing.assert_allclose(log_probs_at(posterior, x), one_by_one, rtol=1e-14)
    one_by_one = jax.jit(jax.vmap(posterior.log_prob_real))(jnp.asarray(u))
    np.testing.assert_allclose(log_probs_real_at(posterior, u), one_by_one, rtol=1e-10)


@pytest.mark.parametrize("projects", [False, True])
def test_no_point_is_evaluated_in_vain_and_nothing_is_traced_again(projects: bool) -> None:
    """A likelihood may be an exact solution of seconds."""
    posterior, calls, traces = counted(projects)
    log_likelihoods_at(posterior, np.zeros((3, 2)))
    jax.effects_barrier()
    traced = len(traces)
    most = len(jax.local_devices()) * BLOCK
    for number in (1, 2, BATCH - 1, BATCH, BATCH + 1, most + 3):
        calls.clear()
        log_likelihoods_at(posterior, np.zeros((number, 2)))
        log_probs_real_at(posterior.softened(np.ones(2)), np.zeros((number, 2)))
        jax.effects_barrier()
        assert len(calls) == 2 * number
    assert len(traces) == traced


@pytest.mark.parametrize("projects", [False, True])
def test_a_likelihood_in_single_precision(projects: bool) -> None:
    posterior, _, _ = counted(projects)
    single = replace(posterior, theory=lambda x: {"x": x.astype(jnp.float32)})
    x = np.full((BATCH + 1, 2), 0.5)
    np.testing.assert_allclose(log_likelihoods_at(single, x), -0.25, rtol=1e-6)


def test_no_points_at_all() -> None:
    assert log_likelihoods_at(counted(True)[0], np.zeros((0, 2))).shape == (0,)


def test_a_run_traces_its_likelihood_a_few_times() -> None:
    """The search, the values that all steps share, and the chains: chunk after chunk the same."""
    posterior, _, traces = counted(True)
    mode = laplace(posterior, np.zeros((1, 2)), np.ones(2))
    traces.clear()
    run_chains(posterior, mode, NUTS(warmup=100), chains=2, draws=200, seed=1)
    assert len(traces) <= 4


def test_a_fit_goes_on_with_the_same_program() -> None:
    posterior, _, traces = counted(True)
    seen = []
    sample(
        posterior,
        Variational(guide="normal", particles=4, max_steps=1000),
        start=np.zeros(2),
        scale=np.ones(2),
        draws=500,
        chains=2,
        say=lambda text: seen.append(len(traces)) if "guide, step" in text else None,
    )
    assert len(seen) >= 3
    assert len(set(seen)) == 1


@pytest.mark.parametrize("sampler", [NUTS(warmup=20), Metropolis(warmup=20, thin=2)])
def test_chains_one_by_one_are_those_at_once(sampler: NUTS | Metropolis) -> None:
    found = []
    mode = laplace(counted(False)[0], np.zeros((1, 2)), np.ones(2))
    for projects in (False, True):
        posterior, _, _ = counted(projects)
        chains = FEW + 1  # of fewer, none is evaluated at once
        found.append(run_chains(posterior, mode, sampler, chains=chains, draws=20, seed=1))
    np.testing.assert_allclose(found[1].samples, found[0].samples, rtol=1e-8, atol=1e-8)
    assert found[1].evaluations == found[0].evaluations
    assert found[1].gradients == found[0].gradients


def test_a_density_that_is_traced_once_has_its_gradient() -> None:
    posterior, _, traces = counted(True)
    target = Whitened(posterior, jnp.array([0.3, -0.2]), jnp.array([[1.0, 0.0], [0.4, 0.8]]))
    z = jnp.array([[0.1, 0.5], [-0.7, 0.2], [1.0, -1.0]])
    wanted = jax.vmap(jax.grad(target))(z)
    np.testing.assert_allclose(gradients_at(target, z), wanted, rtol=1e-13)
    numbers = []
    for density_of in (traced_once, lambda given: given):
        traces.clear()

        @eqx.filter_jit
        def twice(target: Whitened, z: jax.Array, density_of: Any = density_of) -> jax.Array:
            density = density_of(target)
            first = jnp.stack([jax.grad(density)(row) for row in z])
            return first + jax.grad(lambda y: jnp.sum(jax.lax.map(density, y)))(z)

        np.testing.assert_allclose(twice(target, z), 2.0 * wanted)
        numbers.append(len(traces))
    assert numbers[0] < numbers[1]
