"""Gaussian covariance against loops over its formula, and dense linear algebra."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import volvelle
from volvelle.probes import (
    AngularSpectra,
    CovarianceError,
    PairError,
    gaussian_covariance,
    shape_noise,
    shot_noise,
)

ROUNDING = 1e-12
ELL = np.array([5.0, 20.0, 90.0])
EDGES = np.array([2.0, 10.0, 50.0, 200.0])
PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
NOISE = np.array([0.3, 0.1, 0.2])
F_SKY = 0.4


def spectra(pairs: tuple[tuple[int, int], ...] = PAIRS, scale: float = 1.0) -> AngularSpectra:
    root = np.random.default_rng(5).normal(size=(3, 3, 3))
    matrix = np.einsum("lij,lkj->ikl", root, root) * scale
    values = jnp.asarray([matrix[i, j] for i, j in pairs])
    return AngularSpectra(jnp.asarray(ELL), values, jnp.zeros_like(values), pairs)


def by_loops(found: AngularSpectra, modes: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Every element of the dense matrix on its own, as CCL's users write the formula."""
    size, bands = len(found.pairs), ELL.size
    whole = np.zeros((size * bands, size * bands))

    def total(i: int, j: int, b: int) -> float:
        return float(found[i, j][b]) + (noise[i, b] if i == j else 0.0)

    for p, (i, j) in enumerate(found.pairs):
        for q, (m, n) in enumerate(found.pairs):
            for b in range(bands):
                value = total(i, m, b) * total(j, n, b) + total(i, n, b) * total(j, m, b)
                whole[p * bands + b, q * bands + b] = value / (modes[b] * F_SKY)
    return whole


def test_against_loops() -> None:
    found = spectra()
    white = np.repeat(NOISE[:, None], 3, axis=1)
    single = gaussian_covariance(found, NOISE, F_SKY)
    np.testing.assert_allclose(single.dense(), by_loops(found, 2 * ELL + 1, white), rtol=ROUNDING)
    modes = np.array(
        [sum(2 * ell + 1 for ell in range(int(a), int(b))) for a, b in itertools.pairwise(EDGES)]
    )
    coloured = white * np.array([1.0, 2.0, 5.0])
    bands = gaussian_covariance(found, coloured, F_SKY, edges=EDGES)
    np.testing.assert_allclose(bands.dense(), by_loops(found, modes, coloured), rtol=ROUNDING)


def test_order_of_pairs() -> None:
    order = ((1, 0), (0, 0), (2, 0), (1, 1), (2, 2), (1, 2))
    found = spectra(order)
    white = np.repeat(NOISE[:, None], 3, axis=1)
    dense = gaussian_covariance(found, NOISE, F_SKY).dense()
    np.testing.assert_allclose(dense, by_loops(found, 2 * ELL + 1, white), rtol=ROUNDING)


def test_linear_algebra() -> None:
    covariance = gaussian_covariance(spectra(), NOISE, F_SKY)
    dense = np.asarray(covariance.dense())
    vectors = np.random.default_rng(2).normal(size=(4, 6, 3))
    expected = np.linalg.solve(dense, vectors.reshape(4, 18).T).T.reshape(4, 6, 3)
    np.testing.assert_allclose(covariance.solve(jnp.asarray(vectors)), expected, rtol=1e-9)
    one = jnp.asarray(vectors[0])
    chi2 = vectors[0].ravel() @ np.linalg.solve(dense, vectors[0].ravel())
    assert covariance.chi2(one) == pytest.approx(chi2, rel=1e-10)
    sign, value = np.linalg.slogdet(dense)
    assert sign == 1.0 and covariance.log_determinant == pytest.approx(value, rel=1e-10)
    # A larger covariance has the larger determinant.
    larger = gaussian_covariance(spectra(), 2.0 * NOISE, F_SKY)
    assert larger.log_determinant > covariance.log_determinant


def test_scatter_of_simulated_spectra() -> None:
    """Spectra of random harmonics scatter as the formula says."""
    found = spectra()
    rng = np.random.default_rng(8)
    total = np.asarray(found.matrix())[..., 2] + np.diag(NOISE)
    modes = 2 * int(ELL[2]) + 1
    fields = rng.multivariate_normal(np.zeros(3), total, size=(20000, modes))
    measured = np.einsum("smi,smj->sij", fields, fields) / modes
    sample = np.cov(np.asarray([measured[:, i, j] for i, j in PAIRS]))
    expected = np.asarray(gaussian_covariance(found, NOISE, 1.0).blocks[2])
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.max(np.abs(sample - expected) / size) < 0.04  # 1 / sqrt(20000) = 0.007, four sigma


def test_gradients_and_tracing() -> None:
    def f(scale: jax.Array, noise: jax.Array, f_sky: jax.Array) -> jax.Array:
        covariance = gaussian_covariance(spectra(scale=scale), noise, f_sky, edges=EDGES)
        return covariance.log_determinant + covariance.chi2(jnp.ones((6, 3)))

    point = (jnp.asarray(1.1), jnp.asarray(NOISE), jnp.asarray(0.3))
    exact = jax.jit(jax.grad(f, argnums=(0, 1, 2)))(*point)
    for n in range(3):
        step = 1e-5
        up = [p + step * (m == n) for m, p in enumerate(point)]
        down = [p - step * (m == n) for m, p in enumerate(point)]
        assert jnp.sum(exact[n]) == pytest.approx(float(f(*up) - f(*down)) / (2 * step), rel=1e-6)
    traced = jax.jit(lambda s: gaussian_covariance(spectra(scale=s), 0 * NOISE, 1.0).factor)
    assert np.all(np.isfinite(traced(1.0))) and not np.all(np.isfinite(traced(0.0)))


def test_noise() -> None:
    full = 4.0 * np.pi * (180.0 / np.pi) ** 2 * 3600.0  # square arcminutes
    assert shot_noise(2.0) == pytest.approx(4.0 * np.pi / (2.0 * full), rel=1e-12)
    assert shape_noise(2.0, 0.26) == pytest.approx(0.26**2 * float(shot_noise(2.0)), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gaussian_covariance(spectra(), NOISE[:2], F_SKY), "noise has shape"),
        (lambda: gaussian_covariance(spectra(), -NOISE, F_SKY), "below 0"),
        (lambda: gaussian_covariance(spectra(), NOISE, 1.5), "f_sky"),
        (lambda: gaussian_covariance(spectra(), NOISE, 0.0), "f_sky"),
        (lambda: gaussian_covariance(spectra(), NOISE, 1.0, edges=EDGES[1:]), "edges"),
        (lambda: gaussian_covariance(spectra(), NOISE, 1.0, edges=EDGES[::-1]), "edges"),
        (lambda: gaussian_covariance(spectra(), NOISE, 1.0, edges=EDGES + 10.0), "outside"),
        (lambda: gaussian_covariance(spectra(scale=0.0), 0 * NOISE, 1.0), "positive definite"),
        (lambda: gaussian_covariance(spectra(), NOISE, 1.0).solve(jnp.ones(18)), "vector"),
    ],
)
def test_refusals(make: Callable[[], object], words: str) -> None:
    with pytest.raises(CovarianceError, match=words):
        make()


def test_all_pairs_are_needed() -> None:
    with pytest.raises(PairError, match="not computed"):
        gaussian_covariance(spectra(PAIRS[:-2]), NOISE[:3], F_SKY)


DERIVATIVES = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
from volvelle.probes import BlockCovariance

rng = np.random.default_rng(0)
root, moved = rng.normal(size=(50, 45, 45)), rng.normal(size=(12, 50, 45, 45))
blocks = jnp.asarray(root @ np.swapaxes(root, 1, 2) + 45.0 * np.eye(45))
moved = jnp.asarray(moved + np.swapaxes(moved, -1, -2))
vector = jnp.asarray(rng.normal(size=(45, 50)))

def log_likelihood(x):
    shifts = [0.1 * jnp.einsum("i,ilpq->lpq", n * x, moved) for n in (1, 2)]
    each = [BlockCovariance.of(blocks + shift) for shift in shifts]
    return sum(one.chi2(vector) + one.log_determinant for one in each)

print(np.isfinite(jax.jit(jax.jacfwd(log_likelihood))(jnp.zeros(12))).all())
"""


def test_derivatives_of_many_blocks_end() -> None:
    """Batched triangular solves wait for each other for ever where there are two threads."""
    words = [sys.executable, "-c", DERIVATIVES]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(volvelle.__file__).parents[1]),
        "NPROC": "2",
    }
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr
