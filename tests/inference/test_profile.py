"""Profile likelihoods and best fits where the answer is known."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from targets import COVARIANCE, MEAN, NAMES, GaussianIn, Identity, gaussian

from volvelle.inference import (
    InferenceError,
    Optima,
    Posterior,
    best_fit,
    make_prior,
    profile,
)

SIGMA = np.sqrt(np.diag(COVARIANCE))
CHI2 = 1e-5  # of Delta chi2: the search stops at a gradient of 1e-3 sigma, which is worth 1e-6
EDGE = 2e-3  # [sigma] of an interval's end: a cubic through 15 points of a parabola, and the above


def draws(n: int = 2000, mean: np.ndarray = MEAN, covariance: np.ndarray = COVARIANCE):
    return np.random.default_rng(5).multivariate_normal(mean, covariance, n)


def axis(i: int, width: float = 3.0, points: int = 15) -> np.ndarray:
    return MEAN[i] + width * SIGMA[i] * np.linspace(-1.0, 1.0, points)


def conditional(fixed: list[int], values: np.ndarray) -> tuple[np.ndarray, float]:
    """Optimum and chi2 of a Gaussian with some coordinates held."""
    among = COVARIANCE[np.ix_(fixed, fixed)]
    away = np.linalg.solve(among, values - MEAN[fixed])
    return MEAN + COVARIANCE[:, fixed] @ away, float((values - MEAN[fixed]) @ away)


@pytest.mark.parametrize("name", NAMES)
def test_profile_of_a_correlated_gaussian(name):
    i = NAMES.index(name)
    found = profile(gaussian(), [name], [axis(i)], draws())
    for value, x, chi2 in zip(axis(i), found.optima.x, found.delta_chi2, strict=True):
        optimum, exact = conditional([i], np.array([value]))
        assert x[i] == value
        assert chi2 == pytest.approx(exact, abs=CHI2)
        np.testing.assert_allclose((x - optimum) / SIGMA, 0.0, atol=2e-3)
    np.testing.assert_allclose((found.best.x[0] - MEAN) / SIGMA, 0.0, atol=2e-3)
    assert not any(found.flags)
    for level in (1.0, 4.0):
        (interval,) = found.intervals(level)
        half = np.sqrt(level) * SIGMA[i]
        ends = (np.array([interval.low, interval.high]) - MEAN[i]) / SIGMA[i]
        np.testing.assert_allclose(ends, np.array([-half, half]) / SIGMA[i], atol=EDGE)
        assert (interval.low_end, interval.high_end) == ("crossing", "crossing")


def test_profile_is_the_marginal_of_a_gaussian():
    """-2 ln P / P_max of the marginal is Delta chi2 of the profile, if all is Gaussian."""
    found = profile(gaussian(), ["b"], [axis(1)], draws())
    marginal = ((axis(1) - MEAN[1]) / SIGMA[1]) ** 2
    np.testing.assert_allclose(found.delta_chi2, marginal, atol=CHI2)


def test_profile_in_two_dimensions():
    grids = [axis(0, points=7), axis(1, points=9)]
    found = profile(gaussian(), ["a", "b"], grids, draws())
    assert found.delta_chi2.shape == (7, 9)
    for j, a in enumerate(grids[0]):
        for k, b in enumerate(grids[1]):
            expected = conditional([0, 1], np.array([a, b]))[1]
            assert found.delta_chi2[j, k] == pytest.approx(expected, rel=1e-6, abs=CHI2)
    box = found.region(6.18)
    half = np.sqrt(6.18) * SIGMA[:2]
    # the region is measured on a grid of 200 points over 6 sigma, its curve cubic in triangles
    np.testing.assert_allclose((np.array(box.high) - MEAN[:2]) / half, 1.0, atol=0.05)
    np.testing.assert_allclose((np.array(box.low) - MEAN[:2]) / half, -1.0, atol=0.05)


def test_bounds_are_reached_exactly():
    """b must not exceed its mean - 1 sigma: at the bound the others follow it."""
    bound = float(MEAN[1] - SIGMA[1])
    wide = {"dist": "norm", "loc": 0.0, "scale": 1e6}
    bounded = gaussian(priors=(wide, {"min": bound - 50.0, "max": bound}, wide))
    samples = draws()[draws()[:, 1] < bound]
    optimum, chi2 = conditional([1], np.array([bound]))
    for differences in (True, False):  # as without gradients, and with them
        best = best_fit(bounded, samples, differences=differences)
        assert best.x[0, 1] == bound and not best.flags(0)
        np.testing.assert_allclose((best.x[0] - optimum) / SIGMA, 0.0, atol=2e-3)
        assert 2.0 * best.minus_log_like[0] == pytest.approx(chi2, abs=CHI2)
    found = profile(bounded, ["c"], [axis(2)], samples)
    for value, x, minus in zip(axis(2), found.optima.x, found.optima.minus_log_like, strict=True):
        free, at_bound = (conditional(k, v) for k, v in (
            ([2], np.array([value])), ([1, 2], np.array([bound, value]))
        ))  # fmt: skip
        expected = free if free[0][1] < bound else at_bound
        assert 2.0 * minus == pytest.approx(expected[1], abs=CHI2)
        assert (x[1] == bound) == (free[0][1] >= bound)
    assert not any(found.flags)


def test_an_interval_that_ends_at_a_bound():
    wide = {"dist": "norm", "loc": 0.0, "scale": 1e6}
    low = float(MEAN[0] - 0.5 * SIGMA[0])
    bounded = gaussian(priors=({"min": low, "max": 50.0}, wide, wide))
    grid = np.linspace(low, MEAN[0] + 1.5 * SIGMA[0], 11)
    found = profile(bounded, ["a"], [grid], draws())
    ((one,), (two,)) = (found.intervals(level) for level in (1.0, 4.0))
    assert (one.low, one.low_end, one.high_end) == (low, "bound", "crossing")
    assert one.high == pytest.approx(MEAN[0] + SIGMA[0], abs=EDGE * SIGMA[0])
    assert (two.low_end, two.high_end) == ("bound", "grid")


class TwoPeaks(GaussianIn):
    """Two Gaussians in b that a and c do not know, the second lower by Delta chi2 = 2."""

    def log_prob(self, theory, nuisance):
        d = theory["x"] - self.mean
        first = d @ self.precision @ d
        shifted = d - jnp.array([0.0, 12.0, 0.0])
        second = shifted @ self.precision @ shifted + 2.0
        return jnp.logaddexp(-0.5 * first, -0.5 * second)


def bimodal() -> tuple[Posterior, np.ndarray]:
    like = TwoPeaks(jnp.zeros(3), jnp.eye(3))
    priors = tuple(make_prior({"min": -30.0, "max": 30.0}) for _ in NAMES)
    rng = np.random.default_rng(2)
    samples = rng.normal(size=(1000, 3))
    samples[:250, 1] += 12.0
    return Posterior(NAMES, priors, (like,), Identity(), 3), samples


def test_one_start_misses_the_better_maximum_and_many_find_it():
    posterior, samples = bimodal()
    worse = samples[:250]
    assert best_fit(posterior, worse, starts=1).x[0, 1] == pytest.approx(12.0, abs=0.01)
    best = best_fit(posterior, samples)
    assert best.x[0, 1] == pytest.approx(0.0, abs=0.01)
    assert 2 <= best.reached[0] < best.starts[0]
    grid = np.linspace(-3.0, 3.0, 9)
    found = profile(posterior, ["a"], [grid], samples)
    np.testing.assert_allclose(found.delta_chi2, grid**2, atol=CHI2)
    assert not any(found.flags)


def test_two_maxima_give_two_intervals():
    posterior, samples = bimodal()
    grid = np.linspace(-4.0, 16.0, 41)
    found = profile(posterior, ["b"], [grid], samples)
    assert len(found.intervals(1.0)) == 1
    first, second = found.intervals(4.0)
    assert (first.low, first.high) == pytest.approx((-2.0, 2.0), abs=0.01)
    half = np.sqrt(2.0)
    assert (second.low, second.high) == pytest.approx((12.0 - half, 12.0 + half), abs=0.01)


class Shifted(eqx.Module):
    """Identity with a domain: an emulator that was trained within two units of zero."""

    def __call__(self, x: Array) -> dict[str, Array]:
        return {"x": x}

    def distance(self, x: Array) -> Array:
        return jnp.max(jnp.abs(x)) / 2.0


def test_points_outside_the_domain_are_flagged():
    like = GaussianIn(jnp.zeros(2), jnp.eye(2))
    priors = tuple(make_prior({"min": -30.0, "max": 30.0}) for _ in range(2))
    posterior = Posterior(("a", "b"), priors, (like,), Shifted(), 2)
    samples = np.random.default_rng(1).normal(size=(500, 2))
    found = profile(posterior, ["a"], [np.array([-3.0, -1.0, 0.0, 1.0, 3.0])], samples)
    outside = ["outside the emulator's domain" in flags for flags in found.flags]
    assert outside == [True, False, False, False, True]
    # the wall that holds the search back is no part of the result
    np.testing.assert_allclose(found.delta_chi2, [9.0, 1.0, 0.0, 1.0, 9.0], atol=CHI2)


def test_flags_of_single_starts_and_bad_gradients():
    one, none = np.ones(3), np.zeros(3)
    optima = Optima(
        np.zeros((3, 2)), np.array([1.0, 1.0, np.inf]), np.array([1e-4, 0.1, np.nan]), none,
        np.array([1, 5, 0]), 5 * one,
    )  # fmt: skip
    assert optima.flags(0) == ("reached by one start only",)
    assert optima.flags(1) == ("not converged",)
    assert optima.flags(2)[0] == "no start has a finite likelihood"


def with_calibration() -> tuple[Posterior, np.ndarray]:
    """One parameter and a calibration A that the likelihood sees only in a + A."""

    class Sum(GaussianIn):
        def log_prob(self, theory, nuisance):
            return -0.5 * (theory["x"][0] + nuisance["A"]) ** 2

    ends = {"min": -50.0, "max": 50.0}
    priors = (
        make_prior({"dist": "truncnorm", "loc": 5.0, "scale": 1.0, **ends}),
        make_prior({"dist": "norm", "loc": 0.0, "scale": 2.0}),
    )
    posterior = Posterior(("a", "A"), priors, (Sum(jnp.zeros(1), jnp.eye(1)),), Identity(), 1)
    samples = np.random.default_rng(1).normal(size=(500, 2))
    return posterior, samples


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("nuisance", lambda a: a**2 / 5.0),  # 1 + 2^2: the calibration's prior is data
        ("none", lambda a: 0.0 * a),  # the calibration takes everything up
        ("gaussian", lambda a: a**2 / 5.0 + (a - 5.0) ** 2),
        ("all", lambda a: a**2 / 5.0 + (a - 5.0) ** 2),
    ],
)
def test_priors_that_count_as_data(terms, expected):
    posterior, samples = with_calibration()
    grid = np.linspace(-3.0, 6.0, 10)
    found = profile(posterior, ["a"], [grid], samples, priors=terms)
    absolute = 2.0 * (found.optima.minus_log_like - found.optima.minus_log_like[0])
    np.testing.assert_allclose(absolute, expected(grid) - expected(grid[0]), atol=CHI2)


def test_the_same_call_gives_the_same_bits():
    runs = [profile(gaussian(), ["a"], [axis(0)], draws(), seed=s).optima.x for s in (3, 3)]
    assert runs[0].tobytes() == runs[1].tobytes()


@pytest.mark.parametrize(
    ("names", "axes", "words"),
    [
        (["d"], [axis(0)], "unknown parameter d; choose from a, b, c"),
        (["a", "a"], [axis(0), axis(0)], "one or two different parameters"),
        (["a"], [axis(0), axis(1)], "one or two different parameters"),
        (["a"], [np.array([1.0, 0.0])], "rising"),
        (["a"], [np.array([0.0, 1e9])], "keep the grid inside"),
    ],
)
def test_wrong_input(names, axes, words):
    priors = tuple({"min": -1e6, "max": 1e6} for _ in NAMES)
    with pytest.raises(InferenceError, match=words):
        profile(gaussian(priors=priors), names, axes, draws())


def test_unusable_samples():
    with pytest.raises(InferenceError, match="do not vary in b"):
        best_fit(gaussian(), draws() * np.array([1.0, 0.0, 1.0]))
    with pytest.raises(InferenceError, match="expected more than 3 rows"):
        best_fit(gaussian(), draws(3))
    with pytest.raises(InferenceError, match="choose nuisance, gaussian, none, all"):
        best_fit(gaussian(), draws(), priors="flat")  # type: ignore[arg-type]
    with pytest.raises(InferenceError, match="zero or undefined at every starting point"):
        best_fit(gaussian(np.full(3, np.nan)), draws())
