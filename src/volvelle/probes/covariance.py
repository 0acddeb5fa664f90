"""Covariance of angular spectra: Gaussian, block by block as multipoles do not mix, and sums of it
with one of low rank that mixes them all (``super_sample``).

    Cov(C^ij, C^mn) = (D^im D^jn + D^in D^jm) / N_modes,    D = C + noise,

with N_modes = f_sky times the number of (l, m) in the band (Takada & Jain 2004, equation 29).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.cosmology.neutrinos import is_traced

from .errors import CovarianceError
from .spectra import AngularSpectra

_PER_SQUARE_ARCMINUTE = (180.0 * 60.0 / np.pi) ** 2  # per steradian


class BlockCovariance(eqx.Module):
    """A covariance of data [pairs, l] that is diagonal in l: one block of pairs per band.

    Vectors are [..., pairs, l]; flattened, as ``dense`` has them, pairs come first.
    """

    blocks: Float[Array, "l p p"]
    factor: Float[Array, "l p p"]
    """Lower triangular roots of the blocks."""

    @classmethod
    def of(cls, blocks: Float[Array, "l p p"]) -> "BlockCovariance":
        """From symmetric, positive definite blocks (NaN in ``factor`` where traced ones are not).

        Raises CovarianceError for others.
        """
        factor = jax.lax.map(jnp.linalg.cholesky, jnp.asarray(blocks))  # as ``solve``
        if not is_traced(factor) and not np.all(np.isfinite(factor)):
            band = int(np.argmax(~np.all(np.isfinite(factor), axis=(1, 2))))
            raise CovarianceError(
                f"the covariance of band {band} is not positive definite: two tracers without "
                "noise may be the same, or a spectrum is not finite"
            )
        return cls(blocks, factor)

    def dense(self) -> Float[Array, "n n"]:
        """The whole matrix, of pairs times bands."""
        bands, pairs, _ = self.blocks.shape
        whole = jnp.einsum("lpq,lm->plqm", self.blocks, jnp.eye(bands))
        return whole.reshape(pairs * bands, pairs * bands)

    def solve(self, vector: Float[Array, "*b p l"]) -> Float[Array, "*b p l"]:
        """The inverse of the covariance times vectors."""
        self._check(vector)
        columns = jnp.moveaxis(vector, -1, 0)  # l, ..., p
        flat = jnp.moveaxis(columns.reshape(columns.shape[0], -1, columns.shape[-1]), 1, 2)
        # Band by band: two batched triangular solves at a time wait for each other for ever in
        # jaxlib 0.10.1 where two threads are all there are.
        solved = jax.lax.map(lambda each: cho_solve((each[0], True), each[1]), (self.factor, flat))
        solved = jnp.moveaxis(solved, 2, 1)
        return jnp.moveaxis(solved.reshape(columns.shape), 0, -1)

    def chi2(self, vector: Float[Array, "p l"]) -> Float[Array, ""]:
        """vector . inverse . vector."""
        return jnp.sum(vector * self.solve(vector))

    @property
    def log_determinant(self) -> Float[Array, ""]:
        """ln det of the covariance; a Gaussian's log-density has minus a half of it."""
        return 2.0 * jnp.sum(jnp.log(jnp.diagonal(self.factor, axis1=1, axis2=2)))

    def plus(self, other: "LowRankCovariance") -> "SumCovariance":
        """The sum with a covariance of low rank; raises CovarianceError for other shapes."""
        return SumCovariance.of(self, other)

    def _check(self, vector: Float[Array, "*b p l"]) -> None:
        bands, pairs, _ = self.blocks.shape
        if jnp.ndim(vector) < 2 or jnp.shape(vector)[-2:] != (pairs, bands):
            raise CovarianceError(
                f"a vector of shape {jnp.shape(vector)}; expected [..., {pairs} pairs, {bands} "
                "bands]"
            )


class LowRankCovariance(eqx.Module):
    """A covariance of data [pairs, l] that is a root times itself, summed over a few modes.

    It mixes multipoles and has no inverse; its sum with a ``BlockCovariance`` does.
    """

    root: Float[Array, "r p l"]

    def dense(self) -> Float[Array, "n n"]:
        """The whole matrix, of pairs times bands."""
        flat = self.root.reshape(self.root.shape[0], -1)
        return flat.T @ flat


class SumCovariance(eqx.Module):
    """Blocks plus a covariance of low rank, B + U U^T, with its inverse by Woodbury's formula.

    Costs what the blocks cost, and a matrix of the rank; nothing of the size of the data squared.
    """

    block: BlockCovariance
    low_rank: LowRankCovariance
    white: Float[Array, "r p l"]
    """B^-1 U."""
    factor: Float[Array, "r r"]
    """Lower triangular root of 1 + U^T B^-1 U."""

    @classmethod
    def of(cls, block: BlockCovariance, low_rank: LowRankCovariance) -> "SumCovariance":
        """The sum. Raises CovarianceError for parts of different data."""
        root = low_rank.root
        bands, pairs, _ = block.blocks.shape
        if root.shape[1:] != (pairs, bands):
            raise CovarianceError(
                f"covariances of [pairs, bands] = {(pairs, bands)} and {root.shape[1:]}; expected "
                "the same pairs and multipoles in both"
            )
        white = block.solve(root)
        inner = jnp.eye(root.shape[0]) + jnp.einsum("rpl,spl->rs", root, white)
        return cls(block, low_rank, white, jnp.linalg.cholesky(inner))

    def dense(self) -> Float[Array, "n n"]:
        """The whole matrix, of pairs times bands."""
        return self.block.dense() + self.low_rank.dense()

    def solve(self, vector: Float[Array, "*b p l"]) -> Float[Array, "*b p l"]:
        """The inverse of the covariance times vectors."""
        first = self.block.solve(vector)
        inner = jnp.einsum("rpl,...pl->...r", self.white, vector)
        flat = inner.reshape(-1, inner.shape[-1]).T
        solved = cho_solve((self.factor, True), flat).T.reshape(inner.shape)
        return first - jnp.einsum("rpl,...r->...pl", self.white, solved)

    def chi2(self, vector: Float[Array, "p l"]) -> Float[Array, ""]:
        """vector . inverse . vector."""
        return jnp.sum(vector * self.solve(vector))

    @property
    def log_determinant(self) -> Float[Array, ""]:
        """ln det of the covariance; a Gaussian's log-density has minus a half of it."""
        inner = 2.0 * jnp.sum(jnp.log(jnp.diagonal(self.factor)))
        return self.block.log_determinant + inner


def shot_noise(density: ArrayLike) -> Array:
    """Noise of the number counts of ``density`` objects per square arcminute: 1 / n.

    Raises CovarianceError for densities that are not above 0 (NaN where traced).
    """
    given = jnp.asarray(density, dtype=float)
    if not is_traced(density) and not np.all(np.asarray(density) > 0.0):
        raise CovarianceError(f"density is {density}; expected objects per square arcminute")
    return 1.0 / (jnp.where(given > 0.0, given, jnp.nan) * _PER_SQUARE_ARCMINUTE)


def shape_noise(density: ArrayLike, ellipticity: ArrayLike) -> Array:
    """Noise of shear from galaxies of this scatter per component: sigma_e^2 / n.

    Raises as ``shot_noise``.
    """
    return jnp.asarray(ellipticity) ** 2 * shot_noise(density)


def gaussian_covariance(
    spectra: AngularSpectra,
    noise: ArrayLike,
    f_sky: float | Float[Array, ""],
    *,
    edges: ArrayLike | None = None,
) -> BlockCovariance:
    """Gaussian covariance of spectra, differentiable in them, the noise and f_sky.

    Args:
        spectra: all pairs of the tracers, at one multipole per band.
        noise: [tracers] white noise or [tracers, l], added to the auto-spectra.
        f_sky: fraction of the sky that is observed.
        edges: [l + 1] increasing multipoles at which bands begin, low <= l < high, so that a band
            holds high^2 - low^2 modes; None where every multipole is one band of 2 l + 1.

    Raises CovarianceError for arguments that do not fit (NaN where they are traced), PairError
    where pairs are missing.
    """
    signal = spectra.matrix()
    tracers, ells = signal.shape[0], spectra.ell.size
    added = jnp.asarray(noise, dtype=float)
    if added.shape not in ((tracers,), (tracers, ells)):
        raise CovarianceError(
            f"noise has shape {added.shape}; expected ({tracers},) or ({tracers}, {ells}): of "
            "tracers, or of tracers and multipoles"
        )
    if not is_traced(f_sky) and not 0.0 < float(f_sky) <= 1.0:
        raise CovarianceError(f"f_sky is {float(f_sky):g}; expected a fraction above 0, at most 1")
    if not is_traced(added) and not np.all(np.asarray(added) >= 0.0):
        raise CovarianceError("noise below 0 or not finite; expected powers, 0 for none")
    fraction = jnp.asarray(f_sky, dtype=float)
    modes = jnp.where((fraction > 0.0) & (fraction <= 1.0), fraction, jnp.nan)
    modes = modes * _modes(spectra, edges)
    added = jnp.where(added >= 0.0, added, jnp.nan)
    level = jnp.broadcast_to(added.reshape(tracers, -1), (tracers, ells))
    total = jnp.moveaxis(signal + jnp.eye(tracers)[..., None] * level[:, None], -1, 0)
    i, j = np.asarray(spectra.pairs).T
    first = total[:, i][:, :, i] * total[:, j][:, :, j]
    second = total[:, i][:, :, j] * total[:, j][:, :, i]
    return BlockCovariance.of((first + second) / modes[:, None, None])


def _modes(spectra: AngularSpectra, edges: ArrayLike | None) -> Array:
    """The number of (l, m) per band on the whole sky."""
    if edges is None:
        return 2.0 * spectra.ell + 1.0
    ends = np.asarray(edges, dtype=float)
    if ends.shape != (spectra.ell.size + 1,) or not np.all(np.diff(ends) > 0.0) or ends[0] < 0.0:
        raise CovarianceError(
            f"edges of shape {ends.shape}; expected {spectra.ell.size + 1} increasing multipoles"
        )
    known = not is_traced(spectra.ell)
    ell = np.asarray(spectra.ell) if known else ends[:-1]
    if np.any((ell < ends[:-1]) | (ell > ends[1:])):
        raise CovarianceError("a multipole lies outside of its band: expected one per band")
    return jnp.asarray(np.diff(ends**2))
