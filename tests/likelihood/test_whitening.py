"""Whitening by blocks is whitening by the whole matrix."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.likelihood.errors import DataFormatError
from volvelle.likelihood.gaussian_algebra import BlockWhitening, check_finite


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
    for factor, right in ((1.0 + 1e-3, False), (1.0 + 1e-9, True)):
        covariance = interleaved([6])
        covariance[0, 1] *= factor
        if right:
            assert BlockWhitening.of(covariance, "mine").blocks.shape == (1, 6, 6)
            continue
        with pytest.raises(DataFormatError, match="of mine is not symmetric: the correlation"):
            BlockWhitening.of(covariance, "mine")


def test_what_is_not_finite_is_named() -> None:
    check_finite(np.ones((2, 2)), "the data vector", "mine")
    words = r"mine: the data vector is not finite in 2 of 4 numbers, the first .* number 2 \(inf\)"
    with pytest.raises(DataFormatError, match=words):
        check_finite(np.array([[1.0, np.inf], [np.nan, 1.0]]), "the data vector", "mine")
