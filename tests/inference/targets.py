"""Posteriors with known answers."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from volvelle.boltzmann import Request
from volvelle.inference import Laplace, Posterior, Prior, make_prior
from volvelle.likelihood import Likelihood, NuisanceParameter

MEAN = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.2], [0.0, 0.2, 0.5]]) * np.outer(
    [1.0, 0.01, 30.0], [1.0, 0.01, 30.0]
)
NAMES = ("a", "b", "c")
WIDE = tuple({"dist": "norm", "loc": 0.0, "scale": 1e6} for _ in NAMES)


class GaussianIn(Likelihood):
    """-1/2 (x - m)^T C^-1 (x - m) of the theory's vector ``x``."""

    mean: Array
    precision: Array
    name: str = eqx.field(static=True, default="gaussian")
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    simulated: bool = eqx.field(static=True, default=True)

    @property
    def requires(self) -> Request:
        return Request(spectra=(), background=False)

    @property
    def max_log_prob(self) -> float:
        return 0.0

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        return {}

    @property
    def data_sha256(self) -> dict[str, str]:
        return {}

    def log_prob(self, theory, nuisance):
        d = theory["x"] - self.mean
        return -0.5 * d @ self.precision @ d

    def noise(self) -> dict[str, np.ndarray]:
        return {}


class Of(GaussianIn):
    """Any function of the theory's vector ``x``, which is all of the likelihood."""

    function: Callable[[Array], Array] = eqx.field(static=True, default=lambda x: 0.0)

    def log_prob(self, theory, nuisance):
        return self.function(theory["x"])


class Identity(eqx.Module):
    """The theory that returns its parameters."""

    def __call__(self, x: Array) -> dict[str, Array]:
        return {"x": x}


def gaussian(
    mean: np.ndarray = MEAN, covariance: np.ndarray = COVARIANCE, priors: tuple = WIDE
) -> Posterior:
    """A Gaussian posterior; priors so wide that they do not matter."""
    like = GaussianIn(jnp.asarray(mean), jnp.asarray(np.linalg.inv(covariance)))
    made: tuple[Prior, ...] = tuple(make_prior(p) for p in priors)
    return Posterior(NAMES[: len(mean)], made, (like,), Identity(), len(mean))


def start_at(posterior: Posterior, x: np.ndarray, scale: np.ndarray) -> Laplace:
    """A rough approximation to start from: uncorrelated, of the given widths."""
    u = np.asarray(posterior.to_real(jnp.asarray(x)))
    return Laplace(u, np.diag(scale), x, float(posterior.log_prob(jnp.asarray(x))))


def posterior_of(function: Callable[[Array], Array], priors: tuple) -> Posterior:
    """The posterior whose ln likelihood is a function of the parameters."""
    d = len(priors)
    like = Of(jnp.zeros(d), jnp.eye(d), function=function)
    made: tuple[Prior, ...] = tuple(make_prior(p) for p in priors)
    names = NAMES[:d] if d <= len(NAMES) else tuple(f"p{i}" for i in range(d))
    return Posterior(names, made, (like,), Identity(), d)


BANANA_WIDTH = 0.5
MODES, SHARE = 8.0, 0.7  # a of the two modes is +-8 of unit width; the weight of the upper one


def ln_banana(x: Array) -> Array:
    """a ~ N(0, 1), b ~ N(a^2, 0.5), normalised."""
    b = (x[1] - x[0] ** 2) / BANANA_WIDTH
    return -0.5 * (x[0] ** 2 + b**2) - np.log(2.0 * np.pi * BANANA_WIDTH)


def ln_two_modes(x: Array) -> Array:
    """Two round Gaussians of unit width at a = +-8, b = 0, normalised."""
    distances = jnp.array([(x[0] - MODES) ** 2, (x[0] + MODES) ** 2]) + x[1] ** 2
    weights = jnp.log(jnp.array([SHARE, 1.0 - SHARE]))
    return jax.nn.logsumexp(weights - 0.5 * distances) - np.log(2.0 * np.pi)


BOX = 20.0
FLAT = tuple({"min": -BOX, "max": BOX} for _ in range(2))
LN_PRIOR = -2.0 * np.log(2.0 * BOX)  # the evidence of a normalised likelihood inside the box


def banana() -> Posterior:
    """The banana with flat priors that contain it: ln Z = ``LN_PRIOR``."""
    return posterior_of(ln_banana, FLAT)


def two_modes() -> Posterior:
    """Two modes with flat priors that contain them: ln Z = ``LN_PRIOR``."""
    return posterior_of(ln_two_modes, FLAT)
