"""The maximum of a posterior and its curvature there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from volvelle.inference.errors import InferenceError
from volvelle.inference.posterior import Posterior

_STEP = 0.01
"""Of differences, in expected widths."""
_NOWHERE = 1e30
"""In the place of -ln P where that, or its gradient, is not finite."""


@dataclass(frozen=True)
class Laplace:
    """Gaussian approximation in unbounded coordinates: mode u, factor L with L L^T = covariance.

    ``evaluations`` of ln P and ``gradients`` (those of them that came with one) are what it took;
    a product of the Hessian with a vector counts as a gradient.
    """

    u: np.ndarray
    factor: np.ndarray
    x: np.ndarray
    log_prob: float
    evaluations: int = 0
    gradients: int = 0

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


def curvature(
    posterior: Posterior, u: np.ndarray, factor: np.ndarray, beta: float = 1.0
) -> np.ndarray:
    """L^T H L with H the Hessian of -ln P in the unbounded coordinates and ``factor`` L [d, d],
    whose columns are about the widths of the posterior.

    By differences where likelihoods project power spectra: the second derivative of projections
    takes minutes to compile.
    """
    power = jnp.asarray(beta)
    if posterior.projects:
        return by_differences(posterior, u, factor, power)
    return factor.T @ np.asarray(_hessian(posterior, jnp.asarray(u), power)) @ factor


def curvature_calls(posterior: Posterior) -> int:
    """Gradients that ``curvature`` takes."""
    return (2 if posterior.projects else 1) * len(posterior.names)


def by_differences(
    posterior: Posterior, u: np.ndarray, factor: np.ndarray, beta: jax.Array
) -> np.ndarray:
    """The same by central differences of the gradient, of which the program is there already."""

    def gradient(at: np.ndarray) -> np.ndarray:
        return np.asarray(value_and_gradient(posterior, jnp.asarray(at), beta)[1])

    rows = [gradient(u + _STEP * e) - gradient(u - _STEP * e) for e in factor.T]
    hessian = np.array(rows) @ factor / (2.0 * _STEP)
    return 0.5 * (hessian + hessian.T)


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
    calls = curvature_calls(posterior)
    for point in np.atleast_2d(start):
        u0 = np.asarray(posterior.to_real(jnp.asarray(point)))
        unit = np.asarray(posterior.to_real(jnp.asarray(point + 0.1 * scale))) - u0
        unit = np.where(np.abs(unit) > 0, 10.0 * np.abs(unit), 1.0)
        function = _objective(posterior, u0, unit, power)
        result = minimize(function, np.zeros_like(u0), jac=True, method="L-BFGS-B")
        calls += int(result.nfev)
        if result.fun < _NOWHERE and (best is None or result.fun < best[0]):
            best = (float(result.fun), u0 + unit * result.x)
    if best is None:
        raise InferenceError(
            "the posterior is zero or undefined at every starting point; "
            "check that ref lies where the priors and the data allow it"
        )
    u = best[1]
    width = _widths(posterior, u, scale)
    hessian = curvature(posterior, u, np.diag(width), beta)
    factor = _factor(hessian, width)
    x = np.asarray(posterior.from_real(jnp.asarray(u)))
    return Laplace(u, factor, x, -best[0], calls, calls)


@dataclass(frozen=True)
class Conditional:
    """Gaussian approximation of some parameters, the last n of a posterior, given its first k.

    Where the first are at ``point`` [k], the rest have the mean ``mean`` [n]; it moves by ``slope``
    [n, k] with the first, and the covariance [n, n] around it stays.
    """

    point: np.ndarray
    mean: np.ndarray
    slope: np.ndarray
    covariance: np.ndarray

    def joined(self, centre: np.ndarray, scatter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean [k + n] and covariance of all, where the first have ``centre`` and ``scatter``."""
        mean = self.mean + self.slope @ (centre - self.point)
        cross = self.slope @ scatter
        rest = cross @ self.slope.T + self.covariance
        return np.concatenate([centre, mean]), np.block([[scatter, cross.T], [cross, rest]])


def conditional(
    posterior: Posterior, start: np.ndarray, scale: np.ndarray, k: int, beta: float = 1.0
) -> Conditional:
    """Maximise ln P over all parameters but the first ``k``, from ``start`` [d], and take the
    curvature there, by differences of the gradient.

    Args:
        scale: expected widths of the parameters [d]; directions in which the posterior says nothing
            get these;
        beta: power of the likelihood.

    Raises:
        InferenceError: the posterior is zero or undefined at the start.
    """
    power = jnp.asarray(beta)
    u = np.asarray(posterior.to_real(jnp.asarray(start)))
    width = _widths(posterior, u, scale)

    whole = _objective(posterior, u, width, power)

    def rest(v: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = whole(np.concatenate([np.zeros(k), v]))
        return value, gradient[k:]

    found = minimize(rest, np.zeros(len(u) - k), jac=True, method="L-BFGS-B")
    if found.fun >= _NOWHERE:
        raise InferenceError("the posterior is zero or undefined where its maximum is looked for")
    best = u + width * np.concatenate([np.zeros(k), found.x])
    hessian = by_differences(posterior, best, np.diag(width), power)  # in expected widths
    factor = _factor(hessian[k:, k:], width[k:])
    slope = -factor @ factor.T @ (hessian[k:, :k] / width[k:, None] / width[:k])
    x, unit = jax.jvp(posterior.from_real, (jnp.asarray(best),), (jnp.ones(len(u)),))
    x, unit = np.asarray(x), np.asarray(unit)  # the coordinates do not mix
    covariance = unit[k:, None] * (factor @ factor.T) * unit[k:]
    return Conditional(x[:k], x[k:], unit[k:, None] * slope / unit[:k], covariance)


def _objective(
    posterior: Posterior, u: np.ndarray, unit: np.ndarray, beta: jax.Array
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """-ln P and its gradient as a function of v, at unbounded coordinates ``u`` + ``unit`` v."""

    def function(v: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(posterior, jnp.asarray(u + unit * v), beta)
        gradient = np.asarray(gradient, dtype=float) * unit
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return _NOWHERE, np.zeros_like(v)
        return float(value), gradient

    return function


def _widths(posterior: Posterior, u: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Those of the unbounded coordinates [d], of expected widths of the parameters."""
    x = posterior.from_real(jnp.asarray(u))
    width = np.abs(np.asarray(posterior.to_real(x + 0.1 * jnp.asarray(scale))) - u) * 10.0
    return np.where(width > 0, width, 1.0)


def _factor(hessian: np.ndarray, width: np.ndarray) -> np.ndarray:
    """L with L L^T = H^-1, from the Hessian of -ln P in units of the expected widths: directions
    of no or negative curvature get these."""
    if not np.all(np.isfinite(hessian)):
        return np.diag(width)
    values, vectors = np.linalg.eigh(hessian)
    values = np.maximum(values, 1.0)  # no wider than the expected width
    return width[:, None] * (vectors / np.sqrt(values))
