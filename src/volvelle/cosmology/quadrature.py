"""Nodes and weights of Gauss's quadrature, made once with NumPy."""

from functools import lru_cache

import numpy as np

_PANELS, _FINE = 240, 16  # of the integrals that define a weight's orthogonal polynomials
_TOP = 60.0  # q at which exp(-q) is nothing in double precision


@lru_cache(maxsize=8)
def gauss_legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on (0, 1)."""
    x, w = np.polynomial.legendre.leggauss(order)
    return (x + 1.0) / 2.0, w / 2.0


@lru_cache(maxsize=8)
def gauss_fermi(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the integral of f(q) q^2 / (exp(q) + 1) over q > 0.

    From the recurrence of the weight's orthogonal polynomials (discretised Stieltjes procedure,
    Gautschi 2004, Orthogonal Polynomials, section 2.2; Golub & Welsch 1969).
    """
    x, w = gauss_legendre(_FINE)
    q = (np.arange(_PANELS)[:, None] + x).ravel() * (_TOP / _PANELS)
    weight = np.tile(w, _PANELS) * (_TOP / _PANELS) * q**2 / (np.exp(q) + 1.0)
    diagonal, squares = np.zeros(order), np.ones(order)
    before, now, last = np.zeros_like(q), np.ones_like(q), 1.0
    for n in range(order):
        norm = np.sum(weight * now**2)
        diagonal[n] = np.sum(weight * q * now**2) / norm
        squares[n] = norm / last
        before, now, last = now, (q - diagonal[n]) * now - (n > 0) * squares[n] * before, norm
    roots = np.sqrt(squares[1:])
    matrix = np.diag(diagonal) + np.diag(roots, 1) + np.diag(roots, -1)
    nodes, vectors = np.linalg.eigh(matrix)
    return nodes, squares[0] * vectors[0] ** 2
