"""Output bases: principal components in units of the data's noise, or the paper's nodes in l."""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import CubicSpline

from volvelle.learning.storage import storable


class Basis(eqx.Module):
    """A linear map from a few coefficients to a long output vector."""

    @abstractmethod
    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        """The output vector of the coefficients ``s``."""


@storable
class PrincipalComponents(Basis):
    """y = mean + noise * (s V): V orthonormal, so |ds|^2 is the Delta chi2 of an error ds."""

    mean: Float[Array, " k"]
    components: Float[Array, "m k"]  # V times the noise

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        return self.mean + s @ self.components


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


@storable
class Nodes(Basis):
    """The paper's outputs: standardised values at a hundred nodes in l, splined to every l."""

    offset: Float[Array, " m"]
    scale: Float[Array, " m"]
    spline: Float[Array, "m k"]

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        return (self.offset + self.scale * s) @ self.spline


def class_nodes(lmax: int, log_step: float = 1.12, linear_step: int = 40) -> np.ndarray:
    """Multipoles that CLASS itself computes: steps growing by 1.12 up to 40, then constant."""
    nodes = [2]
    while nodes[-1] < lmax:
        step = max(1, int(nodes[-1] * (log_step - 1.0)))
        nodes.append(min(lmax, nodes[-1] + min(step, linear_step)))
    return np.array(nodes)


def nodes_basis(y: np.ndarray, lmax: int, copies: int) -> tuple[Nodes, np.ndarray]:
    """Nodes for ``copies`` spectra over l = 0..lmax stacked in y [n, copies (lmax + 1)].

    l (l + 1) C_l is splined, as it is smoother than C_l.
    """
    ell = np.arange(lmax + 1)
    nodes = class_nodes(lmax)
    factor = ell * (ell + 1.0)
    inner = CubicSpline(nodes, np.eye(len(nodes)))(ell[2:]) * factor[nodes][None, :]
    matrix = np.zeros((len(nodes), lmax + 1))
    matrix[:, 2:] = (inner / factor[2:, None]).T
    spline = np.kron(np.eye(copies), matrix)
    chosen = np.concatenate([nodes + i * (lmax + 1) for i in range(copies)])
    values = y[:, chosen]
    offset, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    basis = Nodes(jnp.asarray(offset), jnp.asarray(scale), jnp.asarray(spline))
    return basis, (values - offset) / scale
