"""What holds for every registered likelihood."""

import pickle
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.likelihood import (
    DATA_SETS,
    LIKELIHOODS,
    Likelihood,
    NuisanceError,
    NuisanceParameter,
    PrecisionError,
    TheoryError,
    get_likelihood,
)

OF_COSMOLOGY = ("des_y1_3x2pt", "two_point")
"""They read no output of a solver: their contract is kept in ``test_two_point``."""
USER_CLASS = f"{Path(__file__).with_name('line_likelihood.py')}:Line"
# The five-point difference is good to SIZE^4; what is left is rounding of chi2 ~ 1e6 over SIZE.
SIZE = 1e-3
GRADIENT_RTOL = 1e-6
# jit and vmap may sum in another order.
REORDERING_RTOL = 1e-10
# A chi2 that is 0 in theory, for whitened data as large as 1e3.
ROUNDING = 1e-9


def make(name: str, theory: dict[str, Any]) -> Likelihood:
    options: dict[str, dict[str, Any]] = {
        "gaussian": {
            "mean": [0.8, 0.3, 100.0, 90.0],
            "covariance": [0.01, 0.01, 4.0, 4.0],
            "outputs": ["sigma8", "Omega_m", "lensed_tt[30:32]"],
        },
        "external": {"python": USER_CLASS},
        "planck_2018_simulated": {"fiducial": theory},
    }
    return get_likelihood(name, **options.get(name, {}))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.real_data if name in DATA_SETS else ())
        for name in LIKELIHOODS
        if name not in OF_COSMOLOGY
    ],
)
def likelihood(request: pytest.FixtureRequest, theory: dict[str, Any]) -> Likelihood:
    return make(request.param, theory)


def values(likelihood: Likelihood) -> dict[str, Any]:
    return {name: jnp.asarray(p.ref + 0.001) for name, p in likelihood.nuisance.items()}


def used(likelihood: Likelihood, theory: dict[str, Any]) -> dict[str, Any]:
    """Only what the likelihood says that it reads."""
    return {name: theory[name] for name in likelihood.noise()}


def displacement(likelihood: Likelihood, theory: dict[str, Any], seed: int) -> dict[str, Any]:
    """A random direction: the likelihood's own noise, at most a tenth of the value."""
    rng = np.random.default_rng(seed)
    steps = {}
    for name, sigma in likelihood.noise().items():
        value = np.asarray(theory[name])
        inside = tuple(slice(0, n) for n in sigma.shape)  # the theory may reach further
        step = np.zeros(value.shape)
        step[inside] = np.minimum(sigma, 0.1 * np.abs(value[inside])) * rng.normal(size=sigma.shape)
        steps[name] = jnp.asarray(step)
    return steps


def test_describes_itself(likelihood: Likelihood) -> None:
    assert isinstance(likelihood.name, str) and isinstance(likelihood.simulated, bool)
    assert all(isinstance(key, str) for key in likelihood.cites)
    assert all(len(sha256) == 64 for sha256 in likelihood.data_sha256.values())
    for parameter in likelihood.nuisance.values():
        assert isinstance(parameter, NuisanceParameter) and parameter.label
        assert {"min", "max"} == set(parameter.prior) or "dist" in parameter.prior


def test_log_prob_is_a_finite_double(likelihood: Likelihood, theory: dict[str, Any]) -> None:
    value = likelihood.log_prob(used(likelihood, theory), values(likelihood))
    assert value.shape == () and value.dtype == jnp.float64 and jnp.isfinite(value)
    chi2 = likelihood.chi2(used(likelihood, theory), values(likelihood))
    assert chi2 >= 0.0
    assert float(chi2) == -2.0 * (float(value) - likelihood.max_log_prob)


def test_jit_with_the_likelihood_as_argument(
    likelihood: Likelihood, theory: dict[str, Any]
) -> None:
    traces = []

    @eqx.filter_jit
    def compiled(likelihood: Likelihood, theory: Any, nuisance: Any) -> Any:
        traces.append(1)
        return likelihood.chi2(theory, nuisance)

    eager = likelihood.chi2(used(likelihood, theory), values(likelihood))
    for _ in range(2):
        fast = compiled(likelihood, used(likelihood, theory), values(likelihood))
        np.testing.assert_allclose(fast, eager, rtol=REORDERING_RTOL)
    assert len(traces) == 1


def test_gradient_is_the_finite_difference(likelihood: Likelihood, theory: dict[str, Any]) -> None:
    point, nuisance = used(likelihood, theory), values(likelihood)
    both = jax.jit(jax.value_and_grad(lambda moved: likelihood.log_prob(moved, moved)))
    gradient = both(point | nuisance)[1]
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    steps = displacement(likelihood, theory, seed=1) | dict.fromkeys(nuisance, 0.01)
    for name, step in steps.items():  # one at a time: none hides behind a stronger one
        ahead2, ahead, behind, behind2 = (
            float(both(point | nuisance | {name: (point | nuisance)[name] + i * SIZE * step})[0])
            for i in (2, 1, -1, -2)
        )
        expected = (8 * (ahead - behind) - ahead2 + behind2) / (12 * SIZE)
        part = gradient[name] * step
        atol = GRADIENT_RTOL * float(jnp.abs(part).sum())
        np.testing.assert_allclose(float(part.sum()), expected, rtol=GRADIENT_RTOL, atol=atol)


def test_vmap_is_the_loop(likelihood: Likelihood, theory: dict[str, Any]) -> None:
    point, nuisance = used(likelihood, theory), values(likelihood)
    step = displacement(likelihood, theory, seed=2)
    points = [{n: v + 0.1 * i * step[n] for n, v in point.items()} for i in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
    batched = jax.vmap(likelihood.log_prob, in_axes=(0, None))(stacked, nuisance)
    single = [likelihood.log_prob(p, nuisance) for p in points]
    np.testing.assert_allclose(batched, jnp.stack(single), rtol=REORDERING_RTOL)


def test_noise_fits_the_theory(likelihood: Likelihood, theory: dict[str, Any]) -> None:
    noise = likelihood.noise()
    assert noise and set(noise) <= set(likelihood.requires.names())
    for name, sigma in noise.items():
        sigma = np.asarray(sigma)
        assert np.all(sigma > 0.0) and np.any(np.isfinite(sigma))
        if name in likelihood.requires.spectra:
            assert sigma.shape == (likelihood.requires.lmax + 1,)
        else:
            assert sigma.shape == np.shape(theory[name])


def test_simulated_data_agree_with_their_theory(
    likelihood: Likelihood, theory: dict[str, Any]
) -> None:
    if not hasattr(likelihood, "simulate"):
        assert likelihood.name == "line"  # a user's class need not be able to simulate
        return
    point, nuisance = used(likelihood, theory), values(likelihood)
    exact = likelihood.simulate(point, nuisance)
    assert exact.simulated and exact.name == likelihood.name
    assert abs(float(exact.chi2(point, nuisance))) < ROUNDING
    key = jax.random.key(5)
    noisy = likelihood.simulate(point, nuisance, key)
    again = likelihood.simulate(point, nuisance, key)
    chi2 = float(noisy.chi2(point, nuisance))
    assert chi2 == float(again.chi2(point, nuisance))
    assert 0.0 < chi2 < np.inf


def test_survives_pickling(likelihood: Likelihood, theory: dict[str, Any]) -> None:
    if likelihood.name == "line":
        return  # its module has no importable name here
    point, nuisance = used(likelihood, theory), values(likelihood)
    copy = pickle.loads(pickle.dumps(likelihood))
    assert copy.log_prob(point, nuisance) == likelihood.log_prob(point, nuisance)


def test_refuses_single_precision(likelihood: Likelihood, theory: dict[str, Any]) -> None:
    if likelihood.name == "line":
        return  # precision is the user's own affair
    point = {n: v.astype(jnp.float32) for n, v in used(likelihood, theory).items()}
    with pytest.raises(PrecisionError, match="float32"):
        likelihood.log_prob(point, values(likelihood))
    with jax.enable_x64(False), pytest.raises(PrecisionError, match="jax_enable_x64"):
        likelihood.log_prob(used(likelihood, theory), values(likelihood))


def test_names_what_is_missing(likelihood: Likelihood, theory: dict[str, Any]) -> None:
    if likelihood.name == "line":
        return  # its messages are the user's own
    with pytest.raises(TheoryError, match="needs the theory output"):
        likelihood.log_prob({}, values(likelihood))
    for name in likelihood.nuisance:
        with pytest.raises(NuisanceError, match=name):
            likelihood.log_prob(used(likelihood, theory), {})
    short = {n: v[:5] if v.ndim else v for n, v in used(likelihood, theory).items()}
    with pytest.raises(TheoryError, match="elements of"):
        likelihood.log_prob(short, values(likelihood))
