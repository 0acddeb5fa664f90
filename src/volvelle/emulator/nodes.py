"""The paper's outputs: standardised values at a hundred multipoles, splined to every l.

Nygaard et al. 2022 (arXiv:2205.15726), sections 2.1 and 2.4. What is no spectrum in l has a few
standardised coefficients of its own, and all together are the outputs of one network.
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import CubicSpline

from volvelle.emulator.basis import Basis, principal_components
from volvelle.emulator.block import Output
from volvelle.learning.storage import storable

# CLASS's l_logstep and l_linstep. Measured at the best fit of Planck's plik-lite, the spline
# through these nodes changes ln L by 0.19, nearly the same everywhere in the posterior.
LOG_STEP = 1.12
LINEAR_STEP = 40
COMPONENT_TOLERANCE = 0.02  # directions of the other outputs that vary less [their noise] are left


@storable
class Nodes(Basis):
    """Standardised values of ``copies`` spectra at the same multipoles, splined to l = 2..lmax."""

    offset: Float[Array, " m"]
    scale: Float[Array, " m"]
    spline: Float[Array, "nodes ell"]
    copies: int = eqx.field(static=True)

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        values = (self.offset + self.scale * s).reshape(self.copies, -1)
        return (values @ self.spline).reshape(-1)


@storable
class Standardised(Basis):
    """Another basis whose coefficients are standardised over the training set."""

    offset: Float[Array, " m"]
    scale: Float[Array, " m"]
    basis: Basis

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        return self.basis.decode(self.offset + self.scale * s)


@storable
class Joined(Basis):
    """Bases side by side, of ``sizes`` coefficients each."""

    bases: tuple[Basis, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        ends = [int(end) for end in np.cumsum((0, *self.sizes))]
        parts = zip(self.bases, ends[:-1], ends[1:], strict=True)
        return jnp.concatenate([basis.decode(s[start:end]) for basis, start, end in parts])


def class_nodes(
    lmax: int, log_step: float = LOG_STEP, linear_step: int = LINEAR_STEP
) -> np.ndarray:
    """Multipoles that CLASS itself computes: steps that grow with l, then constant ones."""
    nodes = [2]
    while nodes[-1] < lmax:
        step = max(1, int(nodes[-1] * (log_step - 1.0)))
        nodes.append(min(lmax, nodes[-1] + min(step, linear_step)))
    return np.array(nodes)


def _standardise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offset, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    return (values - offset) / scale, offset, scale


def nodes_basis(y: np.ndarray, copies: int) -> tuple[Nodes, np.ndarray, np.ndarray]:
    """Nodes for ``copies`` spectra over l = 2..lmax side by side in y [n, copies (lmax - 1)].

    Returns the basis, the coefficients [n, m], and the multipole of each [m]. l (l + 1) C_l is
    splined, as it is smoother than C_l.
    """
    ell = np.arange(2, y.shape[1] // copies + 2)
    nodes = class_nodes(int(ell[-1]))
    factor = ell * (ell + 1.0)
    at_nodes = nodes * (nodes + 1.0)
    spline = CubicSpline(nodes, np.diag(at_nodes))(ell).T / factor
    values = y.reshape(len(y), copies, -1)[:, :, nodes - 2].reshape(len(y), -1)
    s, offset, scale = _standardise(values)
    basis = Nodes(jnp.asarray(offset), jnp.asarray(scale), jnp.asarray(spline), copies)
    return basis, s, np.tile(nodes, copies).astype(float)


def joined_basis(
    outputs: Sequence[Output], y: np.ndarray, noise: np.ndarray
) -> tuple[Joined, np.ndarray, np.ndarray]:
    """The basis of all outputs of a network.

    Spectra in l (they must come first) are given by nodes, everything else by principal components.

    Args:
        y: fitted vectors [n, k]; noise: of their elements [k], the unit of the components.

    Returns:
        The basis, the standardised coefficients [n, m], the multipole of each [m], NaN for none.
    """
    spectra = [o for o in outputs if o.transform in ("cmb", "potential")]
    split = sum(o.size for o in spectra)
    bases: list[Basis] = []
    coefficients: list[np.ndarray] = []
    multipoles: list[np.ndarray] = []
    if spectra:
        basis, s, ell = nodes_basis(y[:, :split], len(spectra))
        bases.append(basis)
        coefficients.append(s)
        multipoles.append(ell)
    if split < y.shape[1]:
        uniform = np.ones(len(y))
        inner, raw = principal_components(y[:, split:], noise[split:], uniform, COMPONENT_TOLERANCE)
        s, offset, scale = _standardise(raw)
        bases.append(Standardised(jnp.asarray(offset), jnp.asarray(scale), inner))
        coefficients.append(s)
        multipoles.append(np.full(s.shape[1], np.nan))
    sizes = tuple(s.shape[1] for s in coefficients)
    basis = Joined(tuple(bases), sizes)
    return basis, np.concatenate(coefficients, axis=1), np.concatenate(multipoles)
