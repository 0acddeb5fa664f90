"""Linear nuisance parameters: the closed form against the dense integral and against sampling."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.stats import multivariate_normal
from targets import GaussianIn, Identity

from volvelle.inference import NUTS, InferenceError, Posterior, make_prior, marginalise, sample
from volvelle.inference.linear_nuisance import LinearNuisance
from volvelle.likelihood import NuisanceParameter
from volvelle.likelihood.base import GaussianLikelihood

SIGMAS = 4.5
T = np.linspace(0.0, 1.0, 12)
NOISE = 0.15


class Line(GaussianLikelihood):
    """x0 exp(x1 t) plus an offset and, where ``varies``, a slope whose column depends on x1."""

    data: jax.Array
    hashes: tuple[tuple[str, str], ...] = eqx.field(static=True, default=())
    name: str = eqx.field(static=True, default="line")
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    simulated: bool = eqx.field(static=True, default=True)
    bent: bool = eqx.field(static=True, default=False)

    requires = GaussianIn.requires
    noise = GaussianIn.noise

    @property
    def nuisance(self):
        return {
            name: NuisanceParameter({"dist": "norm", "loc": 0.0, "scale": 1.0}, 0.0, name)
            for name in ("offset", "slope")
        }

    def whitened_residual(self, theory, nuisance):
        x, slope = theory["x"], nuisance["slope"]
        column = jnp.asarray(T) * jnp.exp(2.0 * x[1])
        mean = x[0] * jnp.exp(x[1] * T) + nuisance["offset"] + slope * column
        if self.bent:
            mean = mean + 0.1 * slope**2
        return (self.data - mean) / NOISE


DATA = (
    1.0 * np.exp(0.5 * T) + 0.2 - 0.3 * T * np.e + NOISE * np.random.default_rng(1).normal(size=12)
)
NUISANCE = ({"dist": "norm", "loc": 0.1, "scale": 0.5}, {"dist": "norm", "loc": -0.2, "scale": 0.2})


def full(nuisance=NUISANCE, likelihoods=None, **given) -> Posterior:
    priors = ({"min": -3.0, "max": 3.0}, {"min": -1.0, "max": 1.5}, *nuisance)
    made = tuple(make_prior(p) for p in priors)
    likes = (Line(jnp.asarray(DATA), **given),) if likelihoods is None else likelihoods
    return Posterior(("a", "b", "offset", "slope"), made, likes, Identity(), 2)


AT = np.array([1.0, 0.4, 0.0, 0.1])


def integral(posterior: Posterior, x: np.ndarray, box: float = 8.0, flat: bool = False) -> float:
    """ln of the integral of the likelihood times the priors of offset and slope, by quadrature."""
    like = posterior.likelihoods[0]
    inside = LinearNuisance(like, ("offset", "slope"), jnp.zeros(2), jnp.zeros(2))
    theory = {"x": jnp.asarray(x)}
    centre, covariance = inside.conditional(theory, {})
    width = np.sqrt(np.diag(covariance))

    @jax.jit
    def value(offset, slope):
        nuisance = {"offset": offset, "slope": slope}
        prior = sum(
            posterior.priors[i].log_prob(v) for i, v in ((2, offset), (3, slope)) if not flat
        )
        return jnp.exp(like.log_prob(theory, nuisance) + prior - peak)

    peak = float(like.log_prob(theory, dict(zip(("offset", "slope"), centre, strict=True))))
    low, high = np.asarray(centre) - box * width, np.asarray(centre) + box * width
    found, _ = dblquad(
        lambda s, o: float(value(o, s)), low[0], high[0], low[1], high[1], epsabs=0, epsrel=1e-7
    )
    return float(np.log(found) + peak)


@pytest.mark.parametrize("x", [(1.0, 0.4), (0.5, -0.8)])
def test_the_closed_form_is_the_integral(x):
    """At two points whose designs differ: the determinant is in it."""
    x = np.array(x)
    posterior = marginalise(full(), ("offset", "slope"), AT)
    assert posterior.names == ("a", "b")
    found = float(posterior.log_likelihood(jnp.asarray(x)))
    assert found == pytest.approx(integral(full(), x), abs=1e-5)
    # and the Gaussian of the data whose covariance holds the nuisance parameters
    design = np.stack([np.ones(12), T * np.exp(2.0 * x[1])], axis=1)
    mean = x[0] * np.exp(x[1] * T) + design @ [0.1, -0.2]
    covariance = NOISE**2 * np.eye(12) + design @ np.diag([0.5**2, 0.2**2]) @ design.T
    dense = multivariate_normal(mean, covariance).logpdf(DATA)
    assert found == pytest.approx(dense + 12 * np.log(NOISE * np.sqrt(2 * np.pi)), abs=1e-9)


def test_flat_priors():
    for x in ((1.0, 0.4), (0.5, -0.8)):
        posterior = marginalise(full(), ("offset", "slope"), AT, flat=("offset", "slope"))
        found = float(posterior.log_likelihood(jnp.asarray(x)))
        assert found == pytest.approx(integral(full(), np.array(x), flat=True), abs=1e-5)
    # one of each, against a Gaussian so wide that it is flat
    wide = full(({"dist": "norm", "loc": 0.0, "scale": 1e4}, NUISANCE[1]))
    limit = marginalise(wide, ("offset", "slope"), AT)
    one = marginalise(full(), ("offset", "slope"), AT, flat=("offset",))
    difference = one.log_likelihood(jnp.array(x)) - limit.log_likelihood(jnp.array(x))
    assert float(difference) == pytest.approx(np.log(1e4 * np.sqrt(2 * np.pi)), abs=1e-6)


def test_the_posterior_is_that_of_sampling_everything():
    """Means and widths of the rest agree, and of what was integrated out, by its conditional."""
    given = {"start": AT, "scale": np.array([0.3, 0.3, 0.2, 0.1]), "draws": 2500, "seed": 4}
    whole = sample(full(), NUTS(warmup=500, target_accept=0.95), **given)
    marginal = marginalise(full(), ("offset", "slope"), AT)
    given |= {"start": AT[:2], "scale": np.array([0.3, 0.3])}
    found = sample(marginal, NUTS(warmup=500), **given)
    for i in range(2):
        ess = [c.diagnostics.ess[i] for c in (whole, found)]
        sigma = found.flat[:, i].std()
        error = sigma * np.sqrt(1 / ess[0] + 1 / ess[1])
        assert whole.flat[:, i].mean() == pytest.approx(found.flat[:, i].mean(), abs=SIGMAS * error)
        assert whole.flat[:, i].std() == pytest.approx(sigma, abs=SIGMAS * error)
    like = marginal.likelihoods[0]
    means = jax.vmap(lambda x: like.conditional({"x": x}, {})[0])(jnp.asarray(found.flat))
    for i in range(2):
        column = whole.samples[:, :, 2 + i]
        error = column.std() * np.sqrt(1 / whole.diagnostics.ess[2 + i] + 1 / min(ess))
        assert column.mean() == pytest.approx(float(means[:, i].mean()), abs=SIGMAS * error)


def test_without_the_determinant_it_would_be_another_posterior():
    """The determinant varies with b by far more than any tolerance above."""
    like = marginalise(full(), ("offset", "slope"), AT).likelihoods[0]
    rest = [
        float(like.log_prob({"x": jnp.array([1.0, b])}, {}))
        + 0.5 * float(like.chi2({"x": jnp.array([1.0, b])}, {}))
        for b in (-0.5, 1.0)
    ]
    assert abs(rest[0] - rest[1]) > 0.5


def test_one_of_two():
    posterior = marginalise(full(), ("slope",), AT)
    assert posterior.names == ("a", "b", "offset") and posterior.n_theory == 2
    assert set(posterior.likelihoods[0].nuisance) == {"offset"}
    softened = marginalise(full().softened(np.arange(1.0, 5.0)), ("offset",), AT)
    np.testing.assert_allclose(softened.softness, [0.1, 0.2, 0.4])


def test_gradients_pass_through():
    posterior = marginalise(full(), ("offset", "slope"), AT)
    x = jnp.array([0.9, 0.3])
    gradient = jax.grad(posterior.log_prob)(x)
    for i in range(2):
        step = 1e-5 * jnp.eye(2)[i]
        numeric = (posterior.log_prob(x + step) - posterior.log_prob(x - step)) / 2e-5
        assert float(gradient[i]) == pytest.approx(float(numeric), rel=1e-6)


def test_refusals():
    flat = {"min": -1.0, "max": 1.0}
    cases = [
        (full(), ("b",), {}, "b is not among the sampled nuisance parameters: offset, slope"),
        (full((NUISANCE[0], flat)), ("slope",), {}, "prior of slope is no Gaussian without edges"),
        (full(bent=True), ("offset", "slope"), {}, "does not depend linearly on slope"),
        (full(), ("slope",), {"flat": ("offset",)}, "flat names offset, which names does not"),
        (full(likelihoods=full().likelihoods * 2), ("slope",), {}, "belongs to 2 likelihoods"),
    ]
    for posterior, names, given, words in cases:
        with pytest.raises(InferenceError, match=words):
            marginalise(posterior, names, AT, **given)


def test_what_the_data_do_not_fix_needs_a_prior():
    class Twice(Line):
        def whitened_residual(self, theory, nuisance):
            both = {"offset": nuisance["offset"] + nuisance["slope"], "slope": 0.0}
            return super().whitened_residual(theory, both)

    posterior = full(likelihoods=(Twice(jnp.asarray(DATA)),))
    marginalise(posterior, ("offset", "slope"), AT)
    with pytest.raises(InferenceError, match="do not fix offset, slope where the priors are flat"):
        marginalise(posterior, ("offset", "slope"), AT, flat=("offset", "slope"))


def test_a_likelihood_that_is_not_gaussian():
    class Other(GaussianIn):
        @property
        def nuisance(self):
            return Line(jnp.asarray(DATA)).nuisance

    other = Other(jnp.zeros(2), jnp.eye(2))
    with pytest.raises(InferenceError, match=r"gaussian is not Gaussian .* sample offset"):
        marginalise(full(likelihoods=(other,)), ("offset",), AT)
