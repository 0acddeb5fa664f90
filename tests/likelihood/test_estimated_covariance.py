"""Covariances from simulations: corrected, marginalised, and simulated again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from volvelle.likelihood import (
    Gaussian,
    HartlapLikelihood,
    LikelihoodOptionError,
    SellentinHeavensLikelihood,
    get_likelihood,
    hartlap_factor,
    options_of,
    sellentin_heavens,
)
from volvelle.likelihood.around import innermost

N_DATA, N_SIMULATIONS, TRIALS = 8, 24, 20_000
MODEL = np.stack([np.ones(N_DATA), np.linspace(-1.0, 1.0, N_DATA)], axis=1)
"""Of two parameters, linear."""


def truth() -> np.ndarray:
    """The true covariance."""
    distance = np.abs(np.arange(N_DATA)[:, None] - np.arange(N_DATA))
    size = 1.0 + 0.1 * np.arange(N_DATA)
    return 0.6**distance * np.outer(size, size)


def trials(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Data [t, n] of mean 0 and an estimated covariance for each [t, n, n]."""
    rng = np.random.default_rng(seed)
    factor = np.linalg.cholesky(truth())
    draws = rng.normal(size=(TRIALS, N_SIMULATIONS, N_DATA)) @ factor.T
    centred = draws - draws.mean(axis=1, keepdims=True)
    estimated = np.swapaxes(centred, 1, 2) @ centred / (N_SIMULATIONS - 1)
    return rng.normal(size=(TRIALS, N_DATA)) @ factor.T, estimated


def test_the_corrected_inverse_is_right_on_average() -> None:
    _, estimated = trials()
    inverse = np.linalg.inv(estimated)
    mean, error = inverse.mean(axis=0), inverse.std(axis=0) / np.sqrt(TRIALS)
    factor = hartlap_factor(N_SIMULATIONS, N_DATA)
    assert factor == 14.0 / 23.0
    exact = np.linalg.inv(truth())
    assert np.all(np.abs(factor * mean - exact) < 4.5 * factor * error)
    assert np.all(np.diag(mean) > 1.5 * np.diag(exact))  # what is left without it


def test_means_of_posteriors_scatter_as_predicted() -> None:
    """Dodelson & Schneider 2013: more than the corrected contours say, by a known factor."""
    data, estimated = trials()
    inverse = np.linalg.inv(estimated)
    fisher = np.einsum("ni,tnm,mj->tij", MODEL, inverse, MODEL)
    means = np.linalg.solve(fisher, np.einsum("ni,tnm,tm->ti", MODEL, inverse, data)[..., None])
    scatter = np.cov(means[..., 0].T)
    n_s, n_d, n_p = N_SIMULATIONS, N_DATA, MODEL.shape[1]
    factor = 1.0 + (n_d - n_p) * (n_s - n_d - 2) / ((n_s - n_d - 1) * (n_s - n_d - 4))
    exact = np.linalg.inv(MODEL.T @ np.linalg.inv(truth()) @ MODEL)
    # The prediction is of second order in 1 / n_s; its exact form has no B.
    beta = (n_s - 2.0) / (n_s - n_d + n_p - 2.0)
    np.testing.assert_allclose(np.diag(scatter), beta * np.diag(exact), rtol=0.04)
    assert factor == pytest.approx(beta, rel=0.1) and factor > 1.3


def shares(name: str, level: float) -> float:
    """How often the truth lies within the region of a level of the mean's posterior."""
    data, estimated = trials(seed=2)
    chi2 = np.einsum("tn,tnm,tm->t", data, np.linalg.inv(estimated), data)
    if name == "gaussian":
        return float(np.mean(chi2 < stats.chi2(N_DATA).ppf(level)))
    if name == "hartlap":
        corrected = hartlap_factor(N_SIMULATIONS, N_DATA) * chi2
        return float(np.mean(corrected < stats.chi2(N_DATA).ppf(level)))
    # The posterior of the mean under a flat prior, by its own density: chi2 within which a share
    # of it lies, by integrating over shells of N_DATA dimensions.
    x = np.geomspace(1e-4, 1e5, 200_001)  # chi2
    shells = x ** (N_DATA / 2.0 - 1.0)
    density = np.exp(np.asarray(sellentin_heavens(x, N_SIMULATIONS, N_DATA))) * shells
    pieces = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(x))])
    return float(np.mean(chi2 < np.interp(level, pieces / pieces[-1], x)))


@pytest.mark.parametrize("level", [0.683, 0.954])
def test_regions_of_the_t_likelihood_hold_what_they_say(level: float) -> None:
    """A Gaussian is too sure of itself; with the corrected covariance its tails still are."""
    error = np.sqrt(level * (1.0 - level) / TRIALS)
    assert shares("sellentin_heavens", level) == pytest.approx(level, abs=4 * error)
    assert shares("gaussian", level) < level - 0.1
    if level > 0.9:
        assert shares("hartlap", level) < level - 10 * error


def base(covariance: np.ndarray) -> Gaussian:
    return Gaussian.from_values(
        np.zeros(N_DATA), covariance, f"lensed_tt[0:{N_DATA}]", name="estimated"
    )


def test_as_likelihoods() -> None:
    _, estimated = trials()
    whole = base(estimated[0])
    theory = {"lensed_tt": jnp.asarray(MODEL @ [1.0, 0.5])}
    chi2 = float(whole.chi2(theory, {}))
    corrected = HartlapLikelihood(whole, N_SIMULATIONS)
    assert float(corrected.chi2(theory, {})) == pytest.approx(chi2 * 14 / 23, rel=1e-12)
    marginal = SellentinHeavensLikelihood(whole, N_SIMULATIONS)
    expected = -12.0 * np.log(1.0 + chi2 / 23.0)
    assert float(marginal.log_prob(theory, {})) == pytest.approx(expected, rel=1e-12)
    assert marginal.max_log_prob == 0.0
    # Many simulations know the covariance: both become the Gaussian.
    for kind in (HartlapLikelihood, SellentinHeavensLikelihood):
        many = kind(whole, 10**9)
        assert float(many.log_prob(theory, {})) == pytest.approx(-0.5 * chi2, rel=1e-6)
        assert many.name == whole.name and many.requires == whole.requires
        assert many.data_sha256 == whole.data_sha256 and many.nuisance == {}
        assert many.noise().keys() == whole.noise().keys()
        assert many.cites == () and many.simulated is False
        slope = jax.grad(lambda t, many=many: many.log_prob({"lensed_tt": t}, {}))
        assert np.all(np.isfinite(slope(theory["lensed_tt"])))


@pytest.mark.parametrize(
    "make",
    [
        lambda: hartlap_factor(N_DATA + 2, N_DATA),
        lambda: sellentin_heavens(1.0, N_DATA + 2, N_DATA),
        lambda: HartlapLikelihood(base(truth()), N_DATA + 2),
        lambda: SellentinHeavensLikelihood(base(truth()), N_DATA),
    ],
)
def test_too_few_simulations(make: Callable[[], object]) -> None:
    with pytest.raises(LikelihoodOptionError, match=f"simulations for {N_DATA} data.*{N_DATA + 3}"):
        make()


def from_file(**options: object) -> Any:
    return get_likelihood(
        "gaussian",
        mean=np.zeros(N_DATA),
        covariance=trials()[1][0],
        outputs=f"lensed_tt[0:{N_DATA}]",
        **options,
    )


def test_by_the_options_of_a_file() -> None:
    theory = {"lensed_tt": jnp.asarray(MODEL @ [1.0, 0.5])}
    whole = base(trials()[1][0])
    for options, kind in (
        ({}, SellentinHeavensLikelihood),
        ({"correction": "sellentin_heavens"}, SellentinHeavensLikelihood),
        ({"correction": "hartlap"}, HartlapLikelihood),
    ):
        made = from_file(simulations=N_SIMULATIONS, **options)
        expected = kind(whole, N_SIMULATIONS)
        assert type(made) is kind
        assert float(made.log_prob(theory, {})) == float(expected.log_prob(theory, {}))
        assert isinstance(innermost(made), Gaussian)
    assert type(from_file()) is Gaussian
    assert {"simulations", "correction"} <= set(options_of("two_point"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"correction": "hartlap"}, "a correction without simulations; say how many"),
        ({"simulations": 100, "correction": "Wishart"}, "choose sellentin_heavens or hartlap"),
        ({"simulations": 100, "correction": ["hartlap"]}, "choose sellentin_heavens or hartlap"),
        ({"simulations": 100.5}, "simulations is 100.5; expected how many"),
        ({"simulations": True}, "simulations is True; expected how many"),
        ({"simulations": N_DATA}, f"{N_DATA} simulations for {N_DATA} data.*{N_DATA + 3}"),
    ],
)
def test_options_that_say_nothing_of_an_estimate(options: dict[str, object], words: str) -> None:
    with pytest.raises(LikelihoodOptionError, match=words):
        from_file(**options)
    with pytest.raises(LikelihoodOptionError, match="simulations"):
        get_likelihood("desi_dr2_bao", simulations=100)


def test_no_gaussian_likelihood() -> None:
    user = f"{__file__.rsplit('/', 1)[0]}/line_likelihood.py:Line"
    with pytest.raises(LikelihoodOptionError, match="is no Gaussian likelihood"):
        SellentinHeavensLikelihood(get_likelihood("external", python=user), 100)
