"""The maximum of a posterior and its curvature there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from volvelle.inference.errors import InferenceError
from volvelle.inference.posterior import Posterior

_STEP = 0.01
"""Of differences, in expected widths."""


@dataclass(frozen=True)
class Laplace:
    """Gaussian approximation in unbounded coordinates: mode u, factor L with L L^T = covariance."""

    u: np.ndarray
    factor: np.ndarray
    x: np.ndarray
    log_prob: float

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the unbounded coordinates [d, d]."""
        return self.factor @ self.factor.T


@eqx.filter_jit
def value_and_gradient(posterior: Posterior, u: jax.Array, beta: jax.Array):
    """-ln P of the unbounded coordinates, and its gradient."""
    return jax.value_and_grad(lambda v: -posterior.log_prob_real(v, beta))(u)


@eqx.filter_jit
def _hessian(posterior: Posterior, u: jax.Array, beta: jax.Array):
    return jax.hessian(lambda v: -posterior.log_prob_real(v, beta))(u)


def by_differences(posterior: Posterior, u: np.ndarray, step: np.ndarray, beta: Any) -> np.ndarray:
    """The Hessian by central differences of the gradient, of which the program is there already."""

    def gradient(at: np.ndarray) -> np.ndarray:
        return np.asarray(value_and_gradient(posterior, jnp.asarray(at), beta)[1])

    rows = [
        (gradient(u + e) - gradient(u - e)) / (2.0 * h)
        for e, h in zip(np.diag(step), step, strict=True)
    ]
    return 0.5 * (np.array(rows) + np.array(rows).T)


def laplace(
    posterior: Posterior,
    start: np.ndarray,
    scale: np.ndarray,
    beta: float = 1.0,
) -> Laplace:
    """Maximise ln P from the points ``start`` [s, d] and take the curvature at the best.

    Args:
        scale: expected widths of the parameters [d], for the steps of the search;
        beta: power of the likelihood.

    Raises:
        InferenceError: no start has a finite posterior.
    """
    power = jnp.asarray(beta)
    best: tuple[float, np.ndarray] | None = None
    for point in np.atleast_2d(start):
        u0 = np.asarray(posterior.to_real(jnp.asarray(point)))
        unit = np.asarray(posterior.to_real(jnp.asarray(point + 0.1 * scale))) - u0
        unit = np.where(np.abs(unit) > 0, 10.0 * np.abs(unit), 1.0)

        def function(v: np.ndarray, u0=u0, unit=unit) -> tuple[float, np.ndarray]:
            value, gradient = value_and_gradient(posterior, jnp.asarray(u0 + unit * v), power)
            gradient = np.asarray(gradient, dtype=float) * unit
            if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
                return 1e30, np.zeros_like(v)
            return float(value), gradient

        result = minimize(function, np.zeros_like(u0), jac=True, method="L-BFGS-B")
        if result.fun < 1e30 and (best is None or result.fun < best[0]):
            best = (float(result.fun), u0 + unit * result.x)
    if best is None:
        raise InferenceError(
            "the posterior is zero or undefined at every starting point; "
            "check that ref lies where the priors and the data allow it"
        )
    u = best[1]
    if posterior.universe is None:
        hessian = np.asarray(_hessian(posterior, jnp.asarray(u), power))
    else:  # the second derivative of projections takes minutes to compile
        x = posterior.from_real(jnp.asarray(u))
        shift = np.asarray(posterior.to_real(x + _STEP * jnp.asarray(scale))) - u
        hessian = by_differences(posterior, u, np.where(shift != 0.0, shift, _STEP), power)
    factor = _factor(hessian, scale, posterior, u)
    return Laplace(u, factor, np.asarray(posterior.from_real(jnp.asarray(u))), -best[0])


def _factor(
    hessian: np.ndarray, scale: np.ndarray, posterior: Posterior, u: np.ndarray
) -> np.ndarray:
    """L with L L^T = H^-1; directions of no or negative curvature get the expected width."""
    x = posterior.from_real(jnp.asarray(u))
    width = np.abs(np.asarray(posterior.to_real(x + 0.1 * jnp.asarray(scale))) - u) * 10.0
    width = np.where(width > 0, width, 1.0)
    if not np.all(np.isfinite(hessian)):
        return np.diag(width)
    values, vectors = np.linalg.eigh(hessian * width[:, None] * width[None, :])
    values = np.maximum(values, 1.0)  # no wider than the expected width
    return width[:, None] * (vectors / np.sqrt(values))
