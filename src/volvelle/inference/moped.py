"""Massive optimal compression: as many numbers as parameters, and no information lost.

    b_i = (C^-1 mu,i - sum_j<i (mu,i^T b_j) b_j) / sqrt(F_ii - sum_j<i (mu,i^T b_j)^2)

with b_i^T C b_j = delta_ij, so that y = b^T x has unit covariance and the Fisher matrix of x
(Heavens, Jimenez & Lahav 2000, astro-ph/9911102; Campagne et al. 2023, equations 14 to 16). A
wrong covariance or fiducial costs information, but makes no bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.cosmology.neutrinos import is_traced
from volvelle.inference.covariances import Covariance, as_covariance
from volvelle.inference.errors import DerivativeError, FisherError, SingularFisherError
from volvelle.inference.information import Mean, from_derivatives, mean_derivatives
from volvelle.inference.posterior import Posterior
from volvelle.likelihood import GaussianLikelihood
from volvelle.likelihood.around import AroundGaussian
from volvelle.likelihood.base import Nuisance, Theory

_INDEPENDENT = 1e-12
"""Smallest share of a parameter's information that the ones before it may leave over."""


class Moped(eqx.Module):
    """Weights b_i of data of any shape, one set per parameter."""

    vectors: Float[Array, "d ..."]
    names: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        mean: Mean,
        covariance: Covariance | ArrayLike,
        names: Sequence[str],
        values: ArrayLike,
    ) -> Moped:
        """From a mean as a function of parameters [d], at their fiducial values.

        Raises as ``fisher_from_jacobian``, and SingularFisherError for a parameter of which the
        ones before it leave no information.
        """
        return cls.from_derivatives(mean_derivatives(mean, names, values), covariance, names)

    @classmethod
    def from_derivatives(
        cls,
        derivatives: Float[Array, "d ..."],
        covariance: Covariance | ArrayLike,
        names: Sequence[str],
    ) -> Moped:
        """From derivatives of the mean, one row of the shape of the data per parameter.

        Raises SingularFisherError; FisherError for data that the covariance is not of.
        """
        matrix = as_covariance(covariance)
        fisher = from_derivatives(derivatives, matrix)
        weighted = matrix.solve(derivatives)
        vectors: list[Array] = []
        for i, name in enumerate(tuple(names)):
            overlap = [jnp.sum(derivatives[i] * b) for b in vectors]
            vector = weighted[i] - sum(o * b for o, b in zip(overlap, vectors, strict=True))
            left = fisher[i, i] - sum(o**2 for o in overlap)
            if not is_traced(left) and not left > _INDEPENDENT * fisher[i, i]:
                before = ", ".join(tuple(names)[:i]) or "no other"
                raise SingularFisherError(
                    f"nothing is left of the information about {name} beside {before}: the data "
                    "do not tell them apart; leave it out"
                )
            vectors.append(vector / jnp.sqrt(left))
        return cls(jnp.stack(vectors), tuple(names))

    def compress(self, data: ArrayLike) -> Float[Array, " d"]:
        """y_i = b_i^T x; raises FisherError for data of another shape."""
        given = jnp.asarray(data)
        if given.shape != self.vectors.shape[1:]:
            raise FisherError(
                f"data of shape {given.shape}; expected {self.vectors.shape[1:]}, of which the "
                "compression was made"
            )
        return self.vectors.reshape(len(self.names), -1) @ given.ravel()

    def covariance(self, covariance: ArrayLike) -> Float[Array, "d d"]:
        """b^T C b of a covariance [n, n] of the flattened data: the unit matrix for their own.

        For compression by a covariance that is known to be wrong, of which the true one is known.
        """
        flat = self.vectors.reshape(len(self.names), -1)
        return flat @ jnp.asarray(covariance) @ flat.T

    def log_likelihood(self, data: ArrayLike, mean: Mean) -> Callable[[Array], Array]:
        """ln P(y | parameters [d]) = -|y - b^T mean|^2 / 2."""
        compressed = self.compress(data)
        return lambda x: -0.5 * jnp.sum((compressed - self.compress(mean(x))) ** 2)


class CompressedLikelihood(AroundGaussian, GaussianLikelihood):
    """Any Gaussian likelihood with its data compressed to one number per parameter.

    A likelihood as others are: for a ``Posterior``, samplers, the certificate. In the whitened data
    the weights b are an orthonormal basis of the derivatives.
    """

    base: GaussianLikelihood
    basis: Float[Array, "d n"]
    """Orthonormal rows: b_i times the root of the covariance."""

    def __init__(self, base: GaussianLikelihood, basis: Float[Array, "d n"]) -> None:
        self.base, self.basis = base, basis

    @classmethod
    def of(cls, posterior: Posterior, x: ArrayLike, which: int = 0) -> CompressedLikelihood:
        """A likelihood of a posterior, compressed for all parameters at the fiducial ``x`` [d].

        Parameters that do not touch this likelihood are left out. Raises FisherError for a
        likelihood that is not Gaussian, DerivativeError where its mean has no finite derivative.
        """
        base = posterior.likelihoods[which]
        if not isinstance(base, GaussianLikelihood):
            raise FisherError(
                f"{base.name} is not Gaussian, and only Gaussian likelihoods are compressed; "
                "choose another, or take it as it is"
            )

        def residual(point: Array) -> Array:
            outputs = posterior.outputs(point)
            return base.whitened_residual(outputs, posterior.nuisance(point))

        slope = np.asarray(jax.jit(jax.jacfwd(residual))(jnp.asarray(x, dtype=float)))
        if not np.all(np.isfinite(slope)):
            bad = int(np.argmax(~np.all(np.isfinite(slope), axis=0)))
            raise DerivativeError(
                f"the derivative of {base.name} by {posterior.names[bad]} is not finite; move the "
                "fiducial values off edges of the model"
            )
        used = np.linalg.norm(slope, axis=0) > 0.0
        unit = slope[:, used] / np.linalg.norm(slope[:, used], axis=0)
        left, size, _ = np.linalg.svd(unit, full_matrices=False)
        kept = size > np.sqrt(_INDEPENDENT) * size[0]
        return cls(base, jnp.asarray(left[:, kept].T))

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The name of what is compressed, and that it is."""
        return f"{self.base.name} (compressed)"

    def whitened_residual(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " d"]:
        """b^T (d - t), independent unit normal numbers if the theory is true."""
        return self.basis @ self.base.whitened_residual(theory, nuisance)
