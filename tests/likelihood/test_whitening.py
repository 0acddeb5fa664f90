"""Whitening by blocks is whitening by the whole matrix."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.likelihood.errors import DataFormatError
from volvelle.likelihood.gaussian_algebra import BlockWhitening


def interleaved(sizes: list[int], seed: int = 1) -> np.ndarray:
    """A covariance of blocks of these sizes, its elements in another order."""
    rng, n = np.random.default_rng(seed), sum(sizes)
    whole, first = np.zeros((n, n)), 0
    for size in sizes:
        root = rng.normal(size=(size, size + 3))
        whole[first : first + size, first : first + size] = root @ root.T
        first += size
    order = rng.permutation(n)
    return whole[np.ix_(order, order)]


@pytest.mark.parametrize(("sizes", "blocks"), [([4, 4, 4], 3), ([5, 3], 1), ([6], 1)])
def test_chi2_and_draws(sizes: list[int], blocks: int) -> None:
    covariance = interleaved(sizes)
    whiten = BlockWhitening.of(covariance, "data")
    assert whiten.blocks.shape[0] == blocks
    residual = np.random.default_rng(2).normal(size=sum(sizes))
    chi2 = float(jnp.sum(whiten(jnp.asarray(residual)) ** 2))
    assert chi2 == pytest.approx(residual @ np.linalg.solve(covariance, residual), rel=1e-10)
    zero = jnp.zeros(len(residual))
    draws = jax.vmap(lambda key: whiten.scattered(zero, key))(
        jax.random.split(jax.random.key(3), 40_000)
    )
    sigma = np.sqrt(np.diag(covariance))
    error = (np.cov(np.asarray(draws).T) - covariance) / np.outer(sigma, sigma)
    assert np.max(np.abs(error)) < 0.03
    assert whiten.scattered(zero, None) is zero


def test_a_matrix_that_is_not_a_covariance() -> None:
    covariance = interleaved([3, 3])
    covariance[0, 0] = -1.0
    with pytest.raises(DataFormatError, match="the covariance of mine"):
        BlockWhitening.of(covariance, "mine")
