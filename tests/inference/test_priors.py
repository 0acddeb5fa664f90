"""Priors: normalisation, quantiles and the map from the real line, by quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from volvelle.inference import InferenceError, make_prior

SETTINGS = {
    "uniform": {"min": -1.0, "max": 3.0},
    "loguniform": {"dist": "loguniform", "min": 1e-3, "max": 10.0},
    "norm": {"dist": "norm", "loc": 1.0, "scale": 0.2},
    "truncated": {"dist": "truncnorm", "loc": 1.0, "scale": 0.2, "min": 0.7, "max": 1.1},
    "from below": {"dist": "truncnorm", "loc": 0.0, "scale": 1.0, "min": 0.5, "max": np.inf},
    "from above": {"dist": "truncnorm", "loc": 0.0, "scale": 1.0, "min": -np.inf, "max": -0.5},
    "upper tail": {"dist": "truncnorm", "loc": 0.0, "scale": 1.0, "min": 8.5, "max": 10.0},
    "lower tail": {"dist": "truncnorm", "loc": 0.0, "scale": 1.0, "min": -10.0, "max": -8.5},
}
every_prior = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
BEYOND = 12.0  # standard deviations that stand for infinity


def ends(prior) -> tuple[float, float]:
    low, high = prior.bounds
    loc, scale = getattr(prior, "loc", 0.0), getattr(prior, "scale", 1.0)
    return max(low, loc - BEYOND * scale), min(high, loc + BEYOND * scale)


def density(prior):
    function = jax.jit(lambda x: jnp.exp(prior.log_prob(x)))
    return lambda x: float(function(x))


@every_prior
def test_is_normalised(settings):
    prior = make_prior(settings)
    low, high = ends(prior)
    assert quad(density(prior), low, high, epsabs=1e-10, limit=200)[0] == pytest.approx(1, rel=1e-6)


@every_prior
def test_quantile_inverts_the_distribution(settings):
    prior = make_prior(settings)
    low, _ = ends(prior)
    for p in (0.01, 0.3, 0.5, 0.99):
        x = float(prior.quantile(jnp.asarray(p)))
        below = quad(density(prior), low, x, epsabs=1e-10, limit=200)[0]
        assert below == pytest.approx(p, abs=1e-6)


@every_prior
def test_nothing_outside(settings):
    low, high = make_prior(settings).bounds
    for edge, side in ((low, -1e-3), (high, 1e-3)):
        if np.isfinite(edge):
            assert make_prior(settings).log_prob(jnp.asarray(edge + side)) == -jnp.inf


@every_prior
def test_map_from_the_real_line(settings):
    prior = make_prior(settings)
    low, high = prior.bounds
    for u in (-3.0, -0.2, 0.0, 1.7):
        x = prior.from_real(jnp.asarray(u))
        assert low < x < high
        assert prior.to_real(x) == pytest.approx(u, abs=1e-7)
        step = 1e-5
        slope = prior.from_real(jnp.asarray(u + step)) - prior.from_real(jnp.asarray(u - step))
        slope = float(slope) / (2.0 * step)
        assert prior.log_jacobian(jnp.asarray(u)) == pytest.approx(np.log(abs(slope)), abs=1e-7)


@every_prior
def test_density_on_the_real_line_is_normalised(settings):
    prior = make_prior(settings)
    function = jax.jit(
        lambda u: jnp.exp(prior.log_prob(prior.from_real(u)) + prior.log_jacobian(u))
    )
    total = quad(lambda u: float(function(u)), -40.0, 40.0, limit=400, points=[-5.0, 0.0, 5.0])[0]
    assert total == pytest.approx(1.0, rel=1e-6)


@every_prior
def test_gradient_on_the_edge_is_finite(settings):
    prior = make_prior(settings)
    low, high = ends(prior)
    for x in (low, high):
        assert np.isfinite(prior.to_real(jnp.asarray(x)))
        assert np.isfinite(jax.grad(prior.to_real)(jnp.asarray(x)))
    for u in (-30.0, 30.0):
        assert np.isfinite(jax.grad(prior.from_real)(jnp.asarray(u)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min": 1.0, "max": 1.0}, "has no width"),
        ({"min": 2.0, "max": 1.0}, "give min < max"),
        ({"min": 2.0}, "needs max"),
        ({"dist": "norm", "loc": 1.0, "scale": 0.0}, "give scale > 0"),
        ({"dist": "norm", "loc": 1.0}, "needs scale"),
        ({"dist": "loguniform", "min": 0.0, "max": 1.0}, "give min > 0"),
        ({"dist": "cauchy", "loc": 0.0}, "unknown prior 'cauchy'"),
        ({"dist": "truncnorm", "loc": 0.0, "scale": 1.0, "min": 1.0, "max": 0.0}, "has no width"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(InferenceError, match=message):
        make_prior(settings)
