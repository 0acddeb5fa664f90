"""Gaussian process on a polynomial mean: the surrogate for tens to hundreds of solutions.

s_j(x) = h(x) . beta_j + f_j(x), f_j ~ GP(0, v_j k_j),
k_j(x, x') = exp(-|(x - x')/l_j|^2 / 2) + g_j [x = x'],
with a flat prior on beta (Rasmussen & Williams 2006, section 2.7). The length scales l_j and the
nugget g_j of each coefficient maximise the restricted likelihood times weak log-normal priors.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from volvelle.compute import available_cores
from volvelle.learning.checking import require
from volvelle.learning.errors import LearningError
from volvelle.learning.polynomial import design_matrix, evaluate_monomials, number_of_monomials
from volvelle.learning.regressor import Regressor
from volvelle.learning.storage import storable

# Measured with CLASS on Planck's likelihood: shorter lengths or a smaller nugget make the process
# follow the solver's numerical noise (scatter of log L 0.07 instead of 0.03 at 80 solutions).
LOG_LENGTH_PRIOR = (float(np.log(8.0)), 0.5)  # mean, width: smooth over the whole training set
LOG_NUGGET_PRIOR = (-6.0, 4.0)  # of the variance ratio
LOG_LENGTH_BOUNDS = (-1.5, 5.0)
LOG_NUGGET_BOUNDS = (-28.0, 4.0)  # below e^-28 the kernel matrix is singular in float64


@storable
class GaussianProcess(Regressor):
    """A fitted process for each of m coefficients, sharing the training points."""

    points: Float[Array, "n d"]
    log_length: Float[Array, "m d"]
    weights: Float[Array, "m n"]  # K^-1 (s - H beta)
    beta: Float[Array, "m p"]
    precision: Float[Array, "m n n"]  # K^-1
    mean_covariance: Float[Array, "m p p"]  # (H^T K^-1 H)^-1
    amplitude: Float[Array, " m"]  # v_j
    nugget: Float[Array, " m"]
    degree: int = eqx.field(static=True)

    def _kernel(self, x: Float[Array, " d"]) -> Float[Array, "m n"]:
        # |a - b|^2 expanded, so that the whole is one matrix product
        inverse = jnp.exp(-2.0 * self.log_length)
        difference = (x - self.points) ** 2
        return jnp.exp(-0.5 * inverse @ difference.T)

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        h = evaluate_monomials(x, self.degree)
        return self.beta @ h + jnp.sum(self._kernel(x) * self.weights, axis=1)

    def variance(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        k = self._kernel(x)
        h = evaluate_monomials(x, self.degree)
        basis = _basis(self.points, self.degree)
        solved = jnp.einsum("mij,mj->mi", self.precision, k)
        rest = h - solved @ basis
        explained = jnp.sum(k * solved, axis=1)
        mean = jnp.einsum("mi,mij,mj->m", rest, self.mean_covariance, rest)
        return self.amplitude * jnp.maximum(1.0 - explained + mean, 0.0)

    def maps(self, inputs: int, outputs: int) -> bool:
        return self.log_length.shape == (outputs, inputs)

    def validate(self) -> None:
        p = number_of_monomials(self.points.shape[1], self.degree)
        require(self.beta.shape[1] == p > 0, f"its mean of degree {self.degree} has no {p} terms")


def _basis(points: Float[Array, "n d"], degree: int) -> Float[Array, "n p"]:
    return jax.vmap(partial(evaluate_monomials, degree=degree))(points)


@jax.jit
def _misfit(
    theta: Float[Array, " t"], y: Float[Array, " n"], x: Float[Array, "n d"], h: Float[Array, "n p"]
) -> tuple[Float[Array, ""], Float[Array, " t"]]:
    """-ln of the restricted likelihood, amplitude maximised out, and of the priors; its gradient.

    ``theta``: ln of the length scales and of the nugget. With K = L L^T, q the orthonormal columns
    of L^-1 H and R = (1 - q q^T) L^-1, all that is left after the mean is R y, and
    R^T R = K^-1 - K^-1 H (H^T K^-1 H)^-1 H^T K^-1 is what a change of K is multiplied with: less
    than half of the work of differentiating the factorisation.
    """
    lengths, nugget = theta[:-1], jnp.exp(theta[-1])
    scaled = x * jnp.exp(-lengths)
    squares = (scaled[:, None] - scaled) ** 2  # not expanded: what multiplies it is 1 / nugget
    smooth = jnp.exp(-0.5 * jnp.sum(squares, axis=-1))
    factor = jnp.linalg.cholesky(smooth + nugget * jnp.eye(len(x)))
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(len(x)), lower=True)
    q, r = jnp.linalg.qr(inverse @ h)
    rest = inverse - q @ (q.T @ inverse)
    left = rest @ y
    size, freedom = left @ left, len(x) - h.shape[1]
    volume = jnp.sum(jnp.log(jnp.diag(factor))) + jnp.sum(jnp.log(jnp.abs(jnp.diag(r))))
    alpha = rest.T @ left
    by_kernel = 0.5 * rest.T @ rest - 0.5 * freedom / size * jnp.outer(alpha, alpha)
    product = by_kernel * smooth
    by_length = jnp.einsum("ij,ijd->d", product, squares)
    mean, width = (np.array(each) for each in zip(LOG_LENGTH_PRIOR, LOG_NUGGET_PRIOR, strict=True))
    which = np.append(np.zeros(x.shape[1], int), 1)
    away = (theta - mean[which]) / width[which]
    gradient = jnp.append(by_length, nugget * jnp.trace(by_kernel)) + away / width[which]
    value = 0.5 * freedom * jnp.log(size / freedom) + volume + 0.5 * jnp.sum(away**2)
    return value, gradient


def _hyperparameters(x: np.ndarray, y: np.ndarray, h: np.ndarray) -> np.ndarray:
    start = np.append(np.full(x.shape[1], LOG_LENGTH_PRIOR[0]), LOG_NUGGET_PRIOR[0])
    bounds = [LOG_LENGTH_BOUNDS] * x.shape[1] + [LOG_NUGGET_BOUNDS]
    best = [np.inf, start]

    def function(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _misfit(theta, y, x, h)
        gradient = np.asarray(gradient, dtype=float)
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return 1e10, np.zeros_like(theta)  # not positive definite: the line search steps back
        if float(value) < best[0]:
            best[:] = [float(value), np.array(theta)]
        return float(value), gradient

    minimize(function, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    if not np.isfinite(best[0]):
        raise LearningError(
            f"no positive-definite kernel for {len(x)} solutions in {x.shape[1]} parameters: "
            "points coincide; remove duplicates"
        )
    return np.asarray(best[1])


def fit_gaussian_process(
    x: np.ndarray, s: np.ndarray, degree: int, tolerance: float = 0.0, searched: int | None = None
) -> tuple[GaussianProcess, np.ndarray]:
    """Fit each coefficient; returns the process and its leave-one-out residuals [n, m].

    Args:
        x: features [n, d], of order one; s: coefficients [n, m]; degree: of the polynomial mean;
        tolerance: coefficients whose standard deviation is below it, in their own unit, take the
            hyperparameters of the last one above it (they are not worth a search);
        searched: how many solutions, the first ones, the search for hyperparameters looks at (its
            cost grows with their cube); all if None.

    Raises:
        LearningError: too few solutions for the mean, or coinciding points.
    """
    h = design_matrix(x, degree)
    n, p = h.shape
    if n < p + 3:
        raise LearningError(
            f"a Gaussian process on a mean of degree {degree} in {x.shape[1]} parameters needs at "
            f"least {p + 3} solutions, got {n}; solve more points or lower the degree"
        )
    looked = n if searched is None else min(n, max(searched, p + 3))
    scale = np.maximum(np.std(s, axis=0), 1e-300)
    worth = np.flatnonzero((scale > tolerance) | (np.arange(s.shape[1]) == 0))
    owner = np.searchsorted(worth, np.arange(s.shape[1]), side="right") - 1

    def search(j: int) -> np.ndarray:
        return _hyperparameters(x[:looked], s[:looked, j] / scale[j], h[:looked])

    def condition(j: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return _condition(found[owner[j]], x, s[:, j], h)

    # NumPy and compiled functions leave the other threads alone
    with ThreadPoolExecutor(available_cores()) as threads:
        found = list(threads.map(search, worth))
        parts, residuals = zip(*threads.map(condition, range(s.shape[1])), strict=True)
    fields = {key: jnp.asarray(np.stack([part[key] for part in parts])) for key in parts[0]}
    left_out = np.stack(residuals, axis=1)
    return GaussianProcess(points=jnp.asarray(x), degree=degree, **fields), left_out


def _condition(
    theta: np.ndarray, x: np.ndarray, y: np.ndarray, h: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Posterior of one process given its hyperparameters, and its leave-one-out residuals."""
    scaled = x * np.exp(-theta[:-1])
    square = np.sum((scaled[:, None] - scaled[None]) ** 2, axis=-1)
    kernel = np.exp(-0.5 * square) + np.exp(theta[-1]) * np.eye(len(x))
    precision = np.linalg.inv(kernel)
    precision = 0.5 * (precision + precision.T)
    mean_covariance = np.linalg.inv(h.T @ precision @ h)
    beta = mean_covariance @ (h.T @ precision @ y)
    weights = precision @ (y - h @ beta)
    # leave-one-out with the mean refitted (Dubrule 1983)
    solved = precision @ h
    projected = precision - solved @ mean_covariance @ solved.T
    left_out = weights / np.diag(projected)
    amplitude = float(y @ projected @ y) / max(len(x) - h.shape[1], 1)
    part = {
        "log_length": theta[:-1],
        "nugget": np.exp(theta[-1]),
        "weights": weights,
        "beta": beta,
        "precision": precision,
        "mean_covariance": mean_covariance,
        "amplitude": np.asarray(amplitude),
    }
    return part, left_out
