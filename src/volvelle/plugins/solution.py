"""One point of a learned or an exact theory, and its functions of redshift and wavenumber."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import RectBivariateSpline, make_interp_spline

from ..boltzmann import BACKGROUND_Z, OUTPUTS, POWER_K, POWER_Z
from ..cosmology import LIGHT_SPEED
from .errors import BeyondTableError, NotLearnedError

DEGREE = 5  # as in the BAO likelihood: a cubic leaves 2e-5 in D_M between the first two nodes
ROUNDING = 1e-9  # relative; a table's last node may come back from a host with its last digit lost
BACKGROUND = np.asarray(BACKGROUND_Z)
GRIDS = {len(BACKGROUND_Z): BACKGROUND_Z, len(POWER_Z): POWER_Z}


@dataclass(frozen=True, eq=False)
class Solution:
    """Outputs at one point.

    theory: by Volvelle's names, in its units; parameters: all that is known by name, inputs and
    scalars; distance: of the point in units of the domain's boundary; delta_chi2: expected error
    (0 of an exact solution); exact: solved, not predicted.
    """

    theory: Mapping[str, np.ndarray]
    parameters: Mapping[str, float]
    distance: float
    delta_chi2: float
    exact: bool
    _splines: dict[str, Any] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> np.ndarray:
        """One output; raises NotLearnedError for one that was not learned."""
        if name not in self.theory:
            raise NotLearnedError(not_learned(name, self.theory))
        return self.theory[name]

    def spectrum(self, name: str, lmax: int | None = None) -> np.ndarray:
        """C_l from l = 0 to ``lmax`` (all of them): [muK^2], phiphi without unit.

        Raises NotLearnedError, and BeyondTableError beyond the largest l of the training.
        """
        values = self.get(name)
        if lmax is None:
            return values
        check_lmax(name, lmax, len(values) - 1)
        return values[: lmax + 1]

    def function(self, name: str, z: Any) -> np.ndarray:
        """A function of redshift at ``z`` (any shape), by a quintic spline in ln(1+z).

        Raises NotLearnedError, and BeyondTableError outside of the table.
        """
        values = self.get(name)
        nodes = GRIDS[len(values)]
        z = np.asarray(z, dtype=float)
        check_range(name, "z", z, nodes)
        if name not in self._splines:
            self._splines[name] = make_interp_spline(np.log1p(nodes), values, k=DEGREE)
        return self._splines[name](np.log1p(np.clip(z, nodes[0], nodes[-1])))

    def hubble(self, z: Any) -> np.ndarray:
        """H(z) [km/s/Mpc]."""
        return self.function("hubble", z)

    def transverse_distance(self, z: Any) -> np.ndarray:
        """D_M(z) [Mpc]."""
        return self.function("transverse_comoving_distance", z)

    @cached_property
    def curvature(self) -> float:
        """K = -Omega_k (H0/c)^2 [1/Mpc^2]."""
        omega_k = self.parameters.get("Omega_k", 0.0)
        return -omega_k * (float(self.get("H0")) / LIGHT_SPEED) ** 2 if omega_k else 0.0

    def radial_distance(self, z: Any) -> np.ndarray:
        """Comoving distance along the line of sight, chi(z) [Mpc]."""
        transverse = self.transverse_distance(z)
        if self.curvature == 0.0:
            return transverse
        root = np.sqrt(abs(self.curvature))
        inverse = np.arcsin if self.curvature > 0.0 else np.arcsinh
        return inverse(root * transverse) / root

    def angular_distance(self, z: Any) -> np.ndarray:
        """D_A(z) = D_M/(1+z) [Mpc]."""
        return self.transverse_distance(z) / (1.0 + np.asarray(z, dtype=float))

    def angular_distance_between(self, first: Any, second: Any) -> np.ndarray:
        """D_A of an object at ``second`` seen from ``first`` [Mpc], negative where it is nearer."""
        first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
        radial = self.radial_distance(second) - self.radial_distance(first)
        if self.curvature != 0.0:
            root = np.sqrt(abs(self.curvature))
            curved = np.sin if self.curvature > 0.0 else np.sinh
            radial = curved(root * radial) / root
        return radial / (1.0 + second)

    def power(self, name: str, z: Any, k: Any) -> np.ndarray:
        """P(k, z) [Mpc^3] at equally shaped z and k [1/Mpc]: bicubic in ln(1+z), ln k, of ln P.

        Raises NotLearnedError, and BeyondTableError outside of the table.
        """
        values = self.get(name)
        z, k = np.asarray(z, dtype=float), np.asarray(k, dtype=float)
        check_range(name, "z", z, POWER_Z)
        check_range(name, "k", k, POWER_K)
        if name not in self._splines:
            nodes = np.log1p(POWER_Z), np.log(POWER_K)
            self._splines[name] = RectBivariateSpline(*nodes, np.log(values))
        inside = np.clip(z, POWER_Z[0], POWER_Z[-1]), np.clip(k, POWER_K[0], POWER_K[-1])
        return np.exp(self._splines[name].ev(np.log1p(inside[0]), np.log(inside[1])))


def check_lmax(name: str, lmax: int, learned: int) -> None:
    """Refuse a multipole beyond those that were learned."""
    if lmax > learned:
        raise BeyondTableError(
            f"{name} is asked for to l = {lmax}, it was learned to l = {learned}; train with "
            f"emulator: {{lmax: {lmax}}}, or ask for less"
        )


def check_range(name: str, axis: str, values: Any, nodes: np.ndarray) -> None:
    """Refuse a redshift or a wavenumber [1/Mpc] outside of a table."""
    values = np.asarray(values, dtype=float)
    low, high = nodes[0] * (1.0 - ROUNDING), nodes[-1] * (1.0 + ROUNDING)
    if not np.all((values >= low) & (values <= high)):
        wrong = values[~((values >= low) & (values <= high))].flat[0]
        unit = " 1/Mpc" if axis == "k" else ""
        raise BeyondTableError(
            f"{name} is asked for at {axis} = {wrong:g}{unit}, it was learned from "
            f"{nodes[0]:g} to {nodes[-1]:g}{unit}; nothing is extrapolated"
        )


def not_learned(name: str, learned: Any) -> str:
    """What to say of an output that an emulator does not have."""
    cure = (
        f"train with emulator: {{outputs: [{name}]}}"
        if name in OUTPUTS
        else "train one that has it"
    )
    return f"{name} was not learned; this emulator has {', '.join(learned)}; {cure}"
