"""Covariances of data, as Fisher matrices, likelihoods and compression take them.

Each has ``solve``, ``chi2`` and ``log_determinant`` and is never inverted as a whole: those of
angular spectra are block by block (``probes.BlockCovariance``), or that plus a few modes
(``probes.SumCovariance``); ``DenseCovariance`` is for any other data vector.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.compute import require_float64
from volvelle.cosmology.neutrinos import is_traced
from volvelle.inference.errors import NotPositiveDefiniteError
from volvelle.probes import BlockCovariance, SumCovariance

_SYMMETRIC = 1e-8
"""Largest asymmetry, in units of the standard deviations."""


class DenseCovariance(eqx.Module):
    """A covariance of data [n] as one matrix, factorised once."""

    matrix: Float[Array, "n n"]
    factor: Float[Array, "n n"]
    """Lower triangular root of the correlation matrix."""
    sigma: Float[Array, " n"]

    @classmethod
    def of(cls, matrix: ArrayLike) -> DenseCovariance:
        """From a matrix [n, n], or variances [n] (NaN where traced ones are no covariance).

        Raises NotPositiveDefiniteError, PrecisionError.
        """
        require_float64("a covariance")
        given = jnp.asarray(matrix, dtype=float)
        if given.ndim == 1:
            given = jnp.diag(given)
        if given.ndim != 2 or given.shape[0] != given.shape[1]:
            raise NotPositiveDefiniteError(
                f"a covariance of shape {given.shape}; expected a square matrix, or variances"
            )
        sigma = jnp.sqrt(jnp.diagonal(given))
        scaled = given / (sigma[:, None] * sigma)
        factor = jnp.linalg.cholesky(scaled)
        if not is_traced(given):
            skew = np.max(np.abs(np.asarray(scaled - scaled.T)), initial=0.0)
            if not np.all(np.isfinite(factor)) or not skew <= _SYMMETRIC:
                raise NotPositiveDefiniteError(_what_is_wrong(np.asarray(given)))
        return cls(given, factor, sigma)

    def solve(self, vector: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
        """The inverse of the covariance times vectors."""
        flat = jnp.reshape(vector / self.sigma, (-1, self.sigma.size)).T
        return cho_solve((self.factor, True), flat).T.reshape(jnp.shape(vector)) / self.sigma

    def chi2(self, vector: Float[Array, " n"]) -> Float[Array, ""]:
        """vector . inverse . vector."""
        return jnp.sum(vector * self.solve(vector))

    @property
    def log_determinant(self) -> Float[Array, ""]:
        """ln det of the covariance."""
        return 2.0 * jnp.sum(jnp.log(jnp.diagonal(self.factor) * self.sigma))


Covariance = DenseCovariance | BlockCovariance | SumCovariance
"""Of data [n], or of angular spectra [pairs, l]."""
VaryingCovariance = Callable[[Array], Covariance]
"""The covariance as a function of the parameters [d]."""
GivenCovariance = Covariance | VaryingCovariance | ArrayLike


def as_covariance(given: Covariance | ArrayLike) -> Covariance:
    """A covariance as it is, or of a matrix; raises NotPositiveDefiniteError."""
    if isinstance(given, DenseCovariance | BlockCovariance | SumCovariance):
        return given
    return DenseCovariance.of(given)


def _what_is_wrong(matrix: np.ndarray) -> str:
    """Why a matrix is no covariance."""
    variance = np.diag(matrix)
    if not np.all(np.isfinite(matrix)):
        where = tuple(int(n) for n in np.argwhere(~np.isfinite(matrix))[0])
        return f"the covariance is not finite at {where}; look at what made it"
    if np.any(variance <= 0.0):
        bad = int(np.argmin(variance))
        return f"the variance of datum {bad} is {variance[bad]:g}; expected positive ones"
    if not np.allclose(matrix, matrix.T, rtol=0.0, atol=_SYMMETRIC * variance.max()):
        return "the covariance is not symmetric; expected the same number on both sides"
    scaled = matrix / np.sqrt(np.outer(variance, variance))
    least = np.linalg.eigvalsh(0.5 * (scaled + scaled.T))[0]
    return (
        f"the covariance is not positive definite: its correlation matrix has the eigenvalue "
        f"{least:.2g}; data may be copies of each other, or fewer simulations than data made it"
    )
