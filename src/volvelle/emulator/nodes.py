"""The paper's outputs: scaled values at a hundred or two of multipoles, splined to every l.

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
from volvelle.emulator.splined import INTERPOLATION_CHI2
from volvelle.learning.checking import require
from volvelle.learning.storage import storable

# CLASS's l_logstep and l_linstep: it splines C_l through these multipoles itself, so a spline of
# C_l through the same ones gives back its spectra to rounding.
LOG_STEP = 1.12
LINEAR_STEP = 40
FINER = (1, 2, 4)
"""Divisors of the steps that are tried in turn: another solver has other nodes."""
LOOKED_AT = 100
"""Solutions, spread over the training set, whose spectra decide that."""
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
    """Multipoles that CLASS itself computes: steps that grow with l, then constant ones.

    After the last one that fits, every l: CLASS's next lies beyond ``lmax``, and a spline without
    it would bend otherwise.
    """
    nodes = [2]
    while nodes[-1] < lmax:
        step = min(max(1, int(nodes[-1] * (log_step - 1.0))), linear_step)
        if nodes[-1] + step > lmax:
            break
        nodes.append(nodes[-1] + step)
    return np.array([*nodes, *range(nodes[-1] + 1, lmax + 1)])


def _spline(nodes: np.ndarray, lmax: int) -> np.ndarray:
    """What values at the nodes become at l = 2..lmax [nodes, lmax - 1]."""
    return CubicSpline(nodes, np.eye(len(nodes)))(np.arange(2, lmax + 1)).T


def _nodes_for(spectra: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The widest nodes that cost no spectrum more than ``INTERPOLATION_CHI2``, else the closest;
    their spline; and the largest Delta chi2.

    Args:
        spectra: [n, copies, ell]; sigma: their noise [copies, ell].
    """
    lmax = spectra.shape[2] + 1
    for divisor in FINER:
        step = max(1, LINEAR_STEP // divisor)
        nodes = class_nodes(lmax, 1.0 + (LOG_STEP - 1.0) / divisor, step)
        spline = _spline(nodes, lmax)
        off = (spectra[:, :, nodes - 2] @ spline - spectra) / sigma
        chi2 = float(np.max(np.sum(off**2, axis=(1, 2))))
        if chi2 <= INTERPOLATION_CHI2:
            break
    return nodes, spline, chi2


@dataclass(frozen=True)
class Coefficients:
    """The outputs of a network over the training set, and what they stand for.

    ``s``: scaled coefficients [n, m]; ``ell``: multipole of each [m], NaN where it has none;
    ``names``: the output that each belongs to [m], empty for components of several;
    ``interpolation``: the largest Delta chi2 that the spline in l costs a solution that was looked
    at.
    """

    s: np.ndarray
    ell: np.ndarray
    names: tuple[str, ...]
    interpolation: float = 0.0


def nodes_basis(
    y: np.ndarray,
    noise: np.ndarray,
    copies: int,
    scaling: str = "standardise",
    unit: np.ndarray | None = None,
) -> tuple[Basis, np.ndarray, np.ndarray, float]:
    """Nodes for ``copies`` spectra over l = 2..lmax side by side in y [n, copies (lmax - 1)].

    Returns the basis, the coefficients [n, m], the multipole of each [m], and the largest Delta
    chi2 that the spline costs. C_l itself is splined, as CLASS does it.

    Args:
        noise: of the elements of y, which decides how wide nodes may be; scaling: see ``scaling``;
        unit: of each spectrum, to make it dimensionless [copies].

    Raises:
        EmulatorError: an unknown scaling, or a logarithm of zero.
    """
    check_scaling(scaling)
    looked_at = np.unique(np.linspace(0, len(y) - 1, LOOKED_AT).astype(int))
    spectra = y.reshape(len(y), copies, -1)
    nodes, spline, cost = _nodes_for(spectra[looked_at], noise.reshape(copies, -1))
    at_nodes = nodes * (nodes + 1.0)
    spline = jnp.asarray(spline)
    values = spectra[:, :, nodes - 2].reshape(len(y), -1)
    multipoles = np.tile(nodes, copies).astype(float)
    if scaling in ("standardise", "min_max"):
        s, offset, scale = affine(values, scaling)
        basis = Nodes(jnp.asarray(offset), jnp.asarray(scale), spline, copies)
        return basis, s, multipoles, cost
    # C_l of D_l = 1
    scale = np.outer(np.ones(copies) if unit is None else unit, 2.0 * np.pi / at_nodes).ravel()
    if scaling == "constant":
        s, offset, scale = without_spread(values, np.zeros(len(scale)), scale / FACTOR)
        return Nodes(jnp.asarray(offset), jnp.asarray(scale), spline, copies), s, multipoles, cost
    plain = Nodes(jnp.zeros(len(scale)), jnp.asarray(scale), spline, copies)
    return *logarithms(plain, values / scale, copies, scaling), multipoles, cost


def joined_basis(
    outputs: Sequence[Output], y: np.ndarray, noise: np.ndarray, scaling: str = "standardise"
) -> tuple[Joined, Coefficients]:
    """The basis of all outputs of a network.

    Spectra in l (they must come first) are given by nodes, everything else by principal components.

    Args:
        y: fitted vectors [n, k]; noise: of their elements [k], the unit of components and nodes;
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
    interpolation = 0.0
    if spectra:
        unit = np.array([TEMPERATURE**2 if o.transform == "cmb" else 1.0 for o in spectra])
        basis, s, ell, interpolation = nodes_basis(
            y[:, :split], noise[:split], len(spectra), scaling, unit
        )
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
    return basis, Coefficients(s, ell, tuple(names), interpolation)
