"""The prediction of a Gaussian process without its variance: what is small enough to ship."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import cho_factor, cho_solve

from volvelle.learning.checking import Validated, require
from volvelle.learning.gaussian_process import GaussianProcess
from volvelle.learning.polynomial import design_matrix, evaluate_monomials, number_of_monomials
from volvelle.learning.storage import storable


@storable
class ProcessMean(Validated):
    """s_j(x) = h(x) . beta_j + sum_i w_ji exp(-|(x - x_i) / l_j|^2 / 2)."""

    points: Float[Array, "n d"]
    log_length: Float[Array, "m d"]
    weights: Float[Array, "m n"]
    beta: Float[Array, "m p"]
    degree: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        """Coefficients at the features ``x``."""
        square = jnp.exp(-2.0 * self.log_length) @ ((x - self.points) ** 2).T
        kernel = jnp.exp(-0.5 * square)
        return self.beta @ evaluate_monomials(x, self.degree) + jnp.sum(kernel * self.weights, 1)

    def validate(self) -> None:
        p = number_of_monomials(self.points.shape[1], self.degree)
        require(self.beta.shape[1] == p > 0, f"its mean of degree {self.degree} has no {p} terms")


def mean_of(process: GaussianProcess, s: np.ndarray) -> ProcessMean:
    """The process's own prediction, its weights solved anew from the coefficients ``s`` [n, m].

    The process keeps the inverse of its kernel matrix, which costs digits where the nugget is
    small; here the matrix is factorised and the solution refined once.
    """
    x = np.asarray(process.points)
    h = design_matrix(x, process.degree)
    weights, betas = [], []
    for length, nugget, y in zip(process.log_length, process.nugget, s.T, strict=True):
        scaled = x * np.exp(-np.asarray(length))
        square = np.sum((scaled[:, None] - scaled[None]) ** 2, axis=-1)
        kernel = np.exp(-0.5 * square) + float(nugget) * np.eye(len(x))
        factor = cho_factor(kernel)
        solved = cho_solve(factor, h)
        beta = np.linalg.solve(h.T @ solved, solved.T @ y)
        rest = y - h @ beta
        weight = cho_solve(factor, rest)
        weights.append(weight + cho_solve(factor, rest - kernel @ weight))
        betas.append(beta)
    return ProcessMean(
        points=process.points,
        log_length=process.log_length,
        weights=jnp.asarray(np.stack(weights)),
        beta=jnp.asarray(np.stack(betas)),
        degree=process.degree,
    )
