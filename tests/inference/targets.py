"""Posteriors with known answers."""

from __future__ import annotations

import equinox as eqx
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
