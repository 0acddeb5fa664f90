"""Output bases: principal components in units of the data's noise; the network's: see nodes."""

from __future__ import annotations

from abc import abstractmethod

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.learning.checking import Validated
from volvelle.learning.storage import storable


class Basis(Validated):
    """A linear map from a few coefficients to a long output vector."""

    @abstractmethod
    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        """The output vector of the coefficients ``s``."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Numbers of coefficients and of outputs."""


@storable
class PrincipalComponents(Basis):
    """y = mean + noise * (s V): V orthonormal, so |ds|^2 is the Delta chi2 of an error ds."""

    mean: Float[Array, " k"]
    components: Float[Array, "m k"]  # V times the noise

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        return self.mean + s @ self.components

    @property
    def shape(self) -> tuple[int, int]:
        return self.components.shape[0], self.components.shape[1]


def principal_components(
    y: np.ndarray, noise: np.ndarray, weights: np.ndarray, tolerance: float
) -> tuple[PrincipalComponents, np.ndarray]:
    """Basis of outputs [n, k] in units of ``noise`` [k], and the coefficients [n, m].

    Args:
        weights: of each solution [n] in the mean and in the choice of directions;
        tolerance: directions whose weighted scatter is below it [noise sigma] are dropped.
    """
    mean = np.average(y, axis=0, weights=weights)
    z = (y - mean) / noise
    root = np.sqrt(weights / np.sum(weights))
    gram = (root[:, None] * z) @ (root[:, None] * z).T
    values, vectors = np.linalg.eigh(gram)
    order = np.argsort(values)[::-1]
    kept = order[values[order] > max(tolerance**2, 1e-13 * float(values[order[0]]))]
    if len(kept) == 0:
        kept = order[:1]
    scale = np.sqrt(np.maximum(values[kept], 1e-300))
    directions = (vectors[:, kept] / scale).T @ (root[:, None] * z)
    basis = PrincipalComponents(jnp.asarray(mean), jnp.asarray(directions * noise))
    return basis, z @ directions.T
