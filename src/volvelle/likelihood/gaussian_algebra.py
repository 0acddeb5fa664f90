"""Covariances of Gaussian data: whitening, conditional errors, noise of what is observed."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.sparse.csgraph import connected_components

from .errors import DataFormatError

SYMMETRIC = 1e-6
"""Largest difference of C_ij and C_ji, of sqrt(C_ii C_jj): what single precision leaves."""


def check_finite(values: np.ndarray, what: str, who: str) -> None:
    """Raise DataFormatError for data with NaN or infinity among them; ``what`` they are."""
    wrong = np.flatnonzero(~np.isfinite(np.ravel(values)))
    if wrong.size:
        raise DataFormatError(
            f"{who}: {what} is not finite in {wrong.size} of {np.size(values)} numbers, the first "
            f"of them number {wrong[0] + 1} ({np.ravel(values)[wrong[0]]}); mend the data, or "
            "leave these numbers out together with their covariance"
        )


def whitening(covariance: np.ndarray, who: str) -> np.ndarray:
    """The lower triangular W with W^T W = covariance^-1, so that chi2 = |W r|^2, shape (n, n).

    The factorisation is of the correlation matrix, so that variances of very different size do
    not cost digits; it reads one triangle only, so that both are compared before. Raises
    DataFormatError for a matrix that is not a covariance.
    """
    variance = np.diag(covariance)
    if not np.all(np.isfinite(covariance)) or np.any(variance <= 0.0):
        raise DataFormatError(
            f"the covariance of {who} has non-finite elements or variances <= 0; "
            "give a symmetric positive definite matrix"
        )
    sigma = np.sqrt(variance)
    correlation = covariance / np.outer(sigma, sigma)
    off = np.abs(correlation - correlation.T)
    if np.max(off) > SYMMETRIC:
        i, j = np.unravel_index(np.argmax(off), off.shape)
        raise DataFormatError(
            f"the covariance of {who} is not symmetric: the correlation of two of its numbers is "
            f"{correlation[i, j]:.6g} above the diagonal, {correlation[j, i]:.6g} below; give a "
            "symmetric positive definite matrix"
        )
    try:
        factor = cholesky(0.5 * (correlation + correlation.T), lower=True)
    except LinAlgError as error:
        raise DataFormatError(
            f"the covariance of {who} is not positive definite ({error}); "
            "give a symmetric positive definite matrix"
        ) from error
    return solve_triangular(factor, np.diag(1.0 / sigma), lower=True)


def scattered(
    mean: Float[Array, " n"], whitener: Float[Array, "n n"], key: Array | None
) -> Float[Array, " n"]:
    """A draw of the data about their mean; without a key the mean itself."""
    if key is None:
        return mean
    unit = jax.random.normal(key, mean.shape, dtype=jnp.float64)
    return mean + jax.scipy.linalg.solve_triangular(whitener, unit, lower=True)


class BlockWhitening(eqx.Module):
    """``whitening`` of a covariance that falls into blocks of one size, as that of spectra does,
    band by band; any other has a single block. Costs what the blocks cost.
    """

    blocks: Float[Array, "b p p"]
    order: Int[Array, " n"]
    """The elements of the data, block after block."""

    @classmethod
    def of(cls, covariance: np.ndarray, who: str) -> BlockWhitening:
        """Raises DataFormatError for a matrix that is not a covariance."""
        number, label = connected_components(covariance != 0.0, directed=False)
        order = np.argsort(label, kind="stable")
        if np.ptp(np.bincount(label)):  # blocks of several sizes
            number, order = 1, np.arange(len(covariance))
        groups = order.reshape(number, -1)
        blocks = [whitening(covariance[np.ix_(group, group)], who) for group in groups]
        return cls(jnp.asarray(np.stack(blocks)), jnp.asarray(order))

    def __call__(self, residual: Float[Array, " n"]) -> Float[Array, " n"]:
        """W r, independent unit normal numbers if r has this covariance."""
        number, size, _ = self.blocks.shape
        white = jnp.einsum("bij,bj->bi", self.blocks, residual[self.order].reshape(number, size))
        return self._in_order(white)

    def scattered(self, mean: Float[Array, " n"], key: Array | None) -> Float[Array, " n"]:
        """A draw of the data about their mean; without a key the mean itself."""
        if key is None:
            return mean
        number, size, _ = self.blocks.shape
        unit = jax.random.normal(key, (number, size), dtype=jnp.float64)
        # block by block: batched solves of jaxlib may wait for each other for ever on two threads
        solved = jax.lax.map(
            lambda each: jax.scipy.linalg.solve_triangular(*each, lower=True), (self.blocks, unit)
        )
        return mean + self._in_order(solved)

    def _in_order(self, values: Array) -> Float[Array, " n"]:
        return jnp.zeros(self.order.shape).at[self.order].set(values.ravel(), unique_indices=True)


def conditional_sigma(whitener: np.ndarray) -> np.ndarray:
    """Error of each datum when all others are fixed, 1/sqrt((C^-1)_ii), shape (n,)."""
    return 1.0 / np.sqrt(np.sum(np.asarray(whitener) ** 2, axis=0))


def noise_of_means(window: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Noise of the elements of which each datum is a weighted mean over a few, shape (m,).

    Every element of a datum gets an equal share of its information:
    1/sigma_j^2 = sum_i n_i window_ij^2 / sigma_i^2, with n_i the number of elements in datum i.

    Args:
        window: derivative of data by elements, shape (n, m).
        sigma: errors of the data, shape (n,).
    """
    count = np.count_nonzero(window, axis=1)
    return _to_sigma(np.sum((count / sigma**2)[:, None] * window**2, axis=0))


def noise_of_nodes(jacobian: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Noise of the nodes between which each datum is interpolated, shape (m,).

    1/sigma_j^2 = sum_i |J_ij| sum_k |J_ik| / sigma_i^2, an upper bound of the information
    (Cauchy-Schwarz) that the small weights of far nodes do not spoil.

    Args:
        jacobian: derivative of data by nodes, shape (n, m).
        sigma: errors of the data, shape (n,).
    """
    weight = np.abs(jacobian)
    share = weight * np.sum(weight, axis=1, keepdims=True)
    return _to_sigma(np.sum(share / sigma[:, None] ** 2, axis=0))


def _to_sigma(information: np.ndarray) -> np.ndarray:
    sigma = np.full(information.shape, np.inf)
    informed = information > 0.0
    sigma[informed] = 1.0 / np.sqrt(information[informed])
    return sigma
