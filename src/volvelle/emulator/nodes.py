"""The paper's outputs: scaled values at a hundred multipoles, splined to every l.

Nygaard et al. 2022 (arXiv:2205.15726), sections 2.1 and 2.4. What is no spectrum in l has a few
scaled coefficients of its own, and all together are the outputs of one network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import CubicSpline

from volvelle.emulator.basis import Basis, principal_components
from volvelle.emulator.block import Output
from volvelle.emulator.scaling import FACTOR, affine, check_scaling, logarithms, without_spread
from volvelle.learning.checking import require
from volvelle.learning.storage import storable

# CLASS's l_logstep and l_linstep. Measured at the best fit of Planck's plik-lite, the spline
# through these nodes changes ln L by 0.19, nearly the same everywhere in the posterior.
LOG_STEP = 1.12
LINEAR_STEP = 40
TEMPERATURE = 2.7255e6  # [muK] of the CMB, to make spectra dimensionless
COMPONENT_TOLERANCE = 0.02  # directions of the other outputs that vary less [their noise] are left


@storable
class Nodes(Basis):
    """Scaled values of ``copies`` spectra at the same multipoles, splined to l = 2..lmax."""

    offset: Float[Array, " m"]
    scale: Float[Array, " m"]
    spline: Float[Array, "nodes ell"]
    copies: int = eqx.field(static=True)

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        values = (self.offset + self.scale * s).reshape(self.copies, -1)
        return (values @ self.spline).reshape(-1)

    @property
    def shape(self) -> tuple[int, int]:
        return self.offset.shape[0], self.copies * self.spline.shape[1]

    def validate(self) -> None:
        fits = self.copies > 0 and self.offset.size == self.copies * self.spline.shape[0]
        require(fits, f"{self.offset.size} values for {self.copies} spectra at the same nodes")


@storable
class Standardised(Basis):
    """Another basis whose coefficients are shifted and scaled over the training set."""

    offset: Float[Array, " m"]
    scale: Float[Array, " m"]
    basis: Basis

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        return self.basis.decode(self.offset + self.scale * s)

    @property
    def shape(self) -> tuple[int, int]:
        return self.basis.shape

    def validate(self) -> None:
        require(self.offset.shape == (self.basis.shape[0],), "a scale for each coefficient is due")


@storable
class Joined(Basis):
    """Bases side by side, of ``sizes`` coefficients each."""

    bases: tuple[Basis, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        ends = [int(end) for end in np.cumsum((0, *self.sizes))]
        parts = zip(self.bases, ends[:-1], ends[1:], strict=True)
        return jnp.concatenate([basis.decode(s[start:end]) for basis, start, end in parts])

    @property
    def shape(self) -> tuple[int, int]:
        return sum(self.sizes), sum(basis.shape[1] for basis in self.bases)

    def validate(self) -> None:
        found = tuple(basis.shape[0] for basis in self.bases)
        require(self.sizes == found != (), f"sizes {self.sizes} for bases of {found} coefficients")


def class_nodes(
    lmax: int, log_step: float = LOG_STEP, linear_step: int = LINEAR_STEP
) -> np.ndarray:
    """Multipoles that CLASS itself computes: steps that grow with l, then constant ones."""
    nodes = [2]
    while nodes[-1] < lmax:
        step = max(1, int(nodes[-1] * (log_step - 1.0)))
        nodes.append(min(lmax, nodes[-1] + min(step, linear_step)))
    return np.array(nodes)


@dataclass(frozen=True)
class Coefficients:
    """The outputs of a network over the training set, and what they stand for.

    ``s``: scaled coefficients [n, m]; ``ell``: multipole of each [m], NaN where it has none;
    ``names``: the output that each belongs to [m], empty for components of several.
    """

    s: np.ndarray
    ell: np.ndarray
    names: tuple[str, ...]


def nodes_basis(
    y: np.ndarray, copies: int, scaling: str = "standardise", unit: np.ndarray | None = None
) -> tuple[Basis, np.ndarray, np.ndarray]:
    """Nodes for ``copies`` spectra over l = 2..lmax side by side in y [n, copies (lmax - 1)].

    Returns the basis, the coefficients [n, m], and the multipole of each [m]. l (l + 1) C_l is
    splined, as it is smoother than C_l.

    Args:
        scaling: see ``scaling``; unit: of each spectrum, to make it dimensionless [copies].

    Raises:
        EmulatorError: an unknown scaling, or a logarithm of zero.
    """
    check_scaling(scaling)
    ell = np.arange(2, y.shape[1] // copies + 2)
    nodes = class_nodes(int(ell[-1]))
    factor = ell * (ell + 1.0)
    at_nodes = nodes * (nodes + 1.0)
    spline = jnp.asarray(CubicSpline(nodes, np.diag(at_nodes))(ell).T / factor)
    values = y.reshape(len(y), copies, -1)[:, :, nodes - 2].reshape(len(y), -1)
    multipoles = np.tile(nodes, copies).astype(float)
    if scaling in ("standardise", "min_max"):
        s, offset, scale = affine(values, scaling)
        basis = Nodes(jnp.asarray(offset), jnp.asarray(scale), spline, copies)
        return basis, s, multipoles
    # C_l of D_l = 1
    scale = np.outer(np.ones(copies) if unit is None else unit, 2.0 * np.pi / at_nodes).ravel()
    if scaling == "constant":
        s, offset, scale = without_spread(values, np.zeros(len(scale)), scale / FACTOR)
        return Nodes(jnp.asarray(offset), jnp.asarray(scale), spline, copies), s, multipoles
    plain = Nodes(jnp.zeros(len(scale)), jnp.asarray(scale), spline, copies)
    return *logarithms(plain, values / scale, copies, scaling), multipoles


def joined_basis(
    outputs: Sequence[Output], y: np.ndarray, noise: np.ndarray, scaling: str = "standardise"
) -> tuple[Joined, Coefficients]:
    """The basis of all outputs of a network.

    Spectra in l (they must come first) are given by nodes, everything else by principal components.

    Args:
        y: fitted vectors [n, k]; noise: of their elements [k], the unit of the components;
        scaling: see ``scaling``.

    Raises:
        EmulatorError: an unknown scaling, or a logarithm of zero.
    """
    check_scaling(scaling)
    spectra = [o for o in outputs if o.transform in ("cmb", "potential")]
    split = sum(o.size for o in spectra)
    bases: list[Basis] = []
    coefficients: list[np.ndarray] = []
    multipoles: list[np.ndarray] = []
    names: list[str] = []
    if spectra:
        unit = np.array([TEMPERATURE**2 if o.transform == "cmb" else 1.0 for o in spectra])
        basis, s, ell = nodes_basis(y[:, :split], len(spectra), scaling, unit)
        bases.append(basis)
        coefficients.append(s)
        multipoles.append(ell)
        names += [o.name for o in spectra for _ in range(s.shape[1] // len(spectra))]
    if split < y.shape[1]:
        uniform = np.ones(len(y))
        inner, raw = principal_components(y[:, split:], noise[split:], uniform, COMPONENT_TOLERANCE)
        s, offset, scale = affine(raw, scaling)
        bases.append(Standardised(jnp.asarray(offset), jnp.asarray(scale), inner))
        coefficients.append(s)
        multipoles.append(np.full(s.shape[1], np.nan))
        names += [""] * s.shape[1]
    basis = Joined(tuple(bases), tuple(s.shape[1] for s in coefficients))
    s, ell = np.concatenate(coefficients, axis=1), np.concatenate(multipoles)
    return basis, Coefficients(s, ell, tuple(names))
