"""Newton's force split into a smooth part for a mesh and a short part that ends.

A point's potential -1/(4 pi r) has the transform -1/k^2. The mesh gets -psi(k)/k^2, the rest is
added pair by pair. psi is the cosine transform of a weight w on [0, cutoff] with integral one, so
that with s = r/cutoff the pair force is Newton's times

    1 - Phi(s) + s w(s) = 1 - s^3 h(s),  Phi the integral of w from 0 to s,

and exactly zero from the cutoff on. w is a Kaiser-Bessel function, q I_1(beta q) with
q = sqrt(1 - s^2), nearly the most compact in both spaces:

    psi = g(beta^2 - (k cutoff)^2)/g(beta^2),  g(y^2) = (cosh y - sinh y/y)/y^2.

The method is that of Hockney & Eastwood 1988, chapter 8.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from scipy.special import factorial

DEGREE = 9
"""Of h as a polynomial in 1 - s^2, which is then right to 1e-8 for beta up to 10."""
_TERMS, _NODES = 60, 64
_SMALL = 1e-3


def sharpness(cutoff: float) -> float:
    """beta for a cutoff [cells], the best for cubic splines on the mesh (found by trial)."""
    return 4.0 + cutoff


def smooth_part(kappa: np.ndarray, beta: float) -> np.ndarray:
    """psi at kappa = k cutoff."""
    return _transform(beta**2 - np.asarray(kappa, float) ** 2) / _transform(np.array(beta**2))


def _transform(y2: np.ndarray) -> np.ndarray:
    """(cosh y - sinh y/y)/y^2 of y^2 of either sign; 1/3 + y^2/30 + ... around zero."""
    far = np.where(np.abs(y2) < _SMALL, 1.0, y2)
    y = np.sqrt(np.abs(far))
    grown = np.minimum(y, 700.0)  # the branch of positive y^2 only
    above = (np.cosh(grown) - np.sinh(grown) / grown) / far
    below = (np.cos(y) - np.sin(y) / y) / far
    near = 1.0 / 3.0 + y2 / 30.0 + y2**2 / 840.0
    return np.where(np.abs(y2) < _SMALL, near, np.where(far > 0.0, above, below))


@lru_cache(maxsize=16)
def short_part(beta: float) -> tuple[float, ...]:
    """The coefficients of h in powers of t = 1 - s^2, from the constant on; all are positive.

    w = q I_1(beta q)/norm is a power series in t, and s^3 h the integral of -x w'(x) from 0 to s.
    """
    k = np.arange(_TERMS)
    log = 2.0 * k * np.log(beta / 2.0) - np.log(factorial(k)) - np.log(factorial(k + 1))
    series = np.exp(log) * (k + 1)  # of -w'/(2 x), up to its norm
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    u, weights = 0.5 * (nodes + 1.0), 0.5 * weights

    def profile(s2: np.ndarray) -> np.ndarray:
        t = 1.0 - s2[:, None] * u**2
        return np.polynomial.polynomial.polyval(t, series) @ (weights * u**2)

    norm = profile(np.ones(1))
    fit = Chebyshev.interpolate(lambda t: profile(1.0 - t) / norm, DEGREE, domain=[0.0, 1.0])
    found = fit.convert(kind=Polynomial, domain=[-1.0, 1.0], window=[-1.0, 1.0]).coef
    return tuple(float(each) for each in found)
