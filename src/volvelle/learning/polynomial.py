"""Polynomial least squares: the surrogate for tens of solutions of a smooth function."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.learning.checking import require
from volvelle.learning.errors import LearningError
from volvelle.learning.regressor import Regressor
from volvelle.learning.storage import storable

HIGHEST_DEGREE = 10


def number_of_monomials(dimension: int, degree: int) -> int:
    """How many ``monomials`` there are; 0 for a degree that no fit has."""
    return comb(dimension + degree, degree) if 0 <= degree <= HIGHEST_DEGREE else 0


def monomials(dimension: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """Index tuples of all monomials up to a total degree, the constant (empty tuple) first."""
    return tuple(
        term
        for k in range(degree + 1)
        for term in combinations_with_replacement(range(dimension), k)
    )


def evaluate_monomials(x: Float[Array, " d"], degree: int) -> Float[Array, " p"]:
    """All monomials of ``x`` up to the total degree, in the order of ``monomials``."""
    values = [jnp.ones((), x.dtype)]
    previous = [(values[0], 0)]
    for _ in range(degree):
        previous = [
            (value * x[i], i) for value, first in previous for i in range(first, x.shape[0])
        ]
        values.extend(value for value, _ in previous)
    return jnp.stack(values)


def design_matrix(x: np.ndarray, degree: int) -> np.ndarray:
    """Monomials of each row of ``x`` [n, d], as an array [n, p]."""
    columns = [np.prod(x[:, list(term)], axis=1) for term in monomials(x.shape[1], degree)]
    return np.stack(columns, axis=1)


@storable
class Polynomial(Regressor):
    """s_j(x) = sum_p B_pj x^p over all monomials of total degree <= ``degree``."""

    coefficients: Float[Array, "p m"]
    covariance: Float[Array, "p p"]
    residual: Float[Array, " m"]
    degree: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        return evaluate_monomials(x, self.degree) @ self.coefficients

    def variance(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        h = evaluate_monomials(x, self.degree)
        return self.residual * (1.0 + h @ self.covariance @ h)

    def maps(self, inputs: int, outputs: int) -> bool:
        return self.coefficients.shape == (number_of_monomials(inputs, self.degree), outputs)

    def validate(self) -> None:
        require(0 <= self.degree <= HIGHEST_DEGREE, f"degree {self.degree} is not possible")


def fit_polynomial(
    x: np.ndarray, s: np.ndarray, degree: int, weights: np.ndarray | None = None
) -> tuple[Polynomial, np.ndarray]:
    """Weighted least squares; returns the fit and its leave-one-out residuals [n, m].

    Args:
        x: features [n, d]; s: coefficients [n, m]; degree: total degree;
        weights: non-negative weight of each solution [n], all one by default.

    Raises:
        LearningError: fewer solutions than monomials leave the fit undetermined.
    """
    h = design_matrix(x, degree)
    n, p = h.shape
    if n <= p:
        raise LearningError(
            f"a polynomial of degree {degree} in {x.shape[1]} parameters needs more than {p} "
            f"solutions, got {n}; solve more points or lower the degree"
        )
    root = np.ones(n) if weights is None else np.sqrt(weights / np.mean(weights))
    q, r = np.linalg.qr(h * root[:, None])
    if np.min(np.abs(np.diag(r))) < 1e-12 * np.max(np.abs(np.diag(r))):
        raise LearningError(
            f"the {n} solutions do not determine a polynomial of degree {degree}: "
            "points coincide or lie in a subspace"
        )
    inverse = np.linalg.inv(r)
    coefficients = inverse @ (q.T @ (s * root[:, None]))
    leverage = np.clip(np.sum(q**2, axis=1), 0.0, 1.0 - 1e-12)
    left_out = (s - h @ coefficients) / (1.0 - leverage)[:, None]
    residual = np.sum(((s - h @ coefficients) * root[:, None]) ** 2, axis=0) / (n - p)
    fit = Polynomial(
        jnp.asarray(coefficients), jnp.asarray(inverse @ inverse.T), jnp.asarray(residual), degree
    )
    return fit, left_out
