"""Spherical Bessel functions of any order, and their integrals against splines: no cosmology.

    J[k, n] = int dchi / chi  phi_n(chi) j_l(k chi)

with phi_n the cubic spline that is 1 at node n and 0 at the others. A function that is smooth on
the nodes needs nothing else to be projected, however fast j_l oscillates between them; and J
depends on k chi alone, so that nodes may be stretched by any factor.
"""

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import jv, spherical_jn

from volvelle.cosmology.quadrature import gauss_legendre

_STEP = 0.1
"""Of x between the values of a curve: its cubics err by 3e-7 of the amplitude."""
_TAIL = 9.0
"""j_l(x) is below 1e-11 of its peak for x < nu - _TAIL nu^(1/3), nu = l + 1/2 > 30."""
_ORDER = 8
"""Gauss's nodes per panel; a panel is at most ``_PHASE`` radians long: 1e-7."""
_PHASE = 7.0
_OCTAVE = 1.4
"""Ratio of the wavenumbers that share panels."""
_BLOCK = 2_000_000  # values of j_l at once


class BesselCurve:
    """j_l(x) and its first two derivatives for one l, which need not be an integer, up to x_max."""

    def __init__(self, ell: float, x_max: float) -> None:
        self.ell = float(ell)
        nu = self.ell + 0.5
        first = nu - _TAIL * nu ** (1.0 / 3.0) if nu > 30.0 else 0.0
        self.first = max(np.floor(first / _STEP), 0.0) * _STEP
        x = self.first + _STEP * np.arange(int(np.ceil((x_max - self.first) / _STEP)) + 2)
        x = x[: max(x.size, 2)]
        self.x = x
        safe = np.where(x > 0.0, x, 1.0)
        value = _bessel(self.ell, safe)
        slope = _bessel(self.ell - 1.0, safe) - (self.ell + 1.0) / safe * value
        if self.first == 0.0:
            value[0] = 1.0 if self.ell == 0.0 else 0.0
            slope[0] = 1.0 / 3.0 if self.ell == 1.0 else 0.0
        self.value, self.slope = value, slope
        bend = -2.0 / safe * slope - (1.0 - self.ell * (self.ell + 1.0) / safe**2) * value
        if self.first == 0.0:
            bend[0] = {0.0: -1.0 / 3.0, 2.0: 2.0 / 15.0}.get(self.ell, 0.0)
        self.bend = bend
        third = (
            -2.0 / safe * bend
            + (2.0 / safe**2 - 1.0 + self.ell * (self.ell + 1.0) / safe**2) * slope
            - 2.0 * self.ell * (self.ell + 1.0) / safe**3 * value
        )
        if self.first == 0.0:
            third[0] = {1.0: -1.0 / 5.0, 3.0: 6.0 / 105.0}.get(self.ell, 0.0)
        self.third = third

    def __call__(self, x: np.ndarray, order: int = 0) -> np.ndarray:
        """The derivative of this order, 0, 1 or 2; 0 before ``first``, where all are tiny."""
        f, g = ((self.value, self.slope), (self.slope, self.bend), (self.bend, self.third))[order]
        at = (x - self.first) / _STEP
        n = np.clip(at.astype(np.int32), 0, self.x.size - 2)
        t = at - n
        rest = 1.0 - t
        found = f[n] * (1.0 + 2.0 * t)
        found += (_STEP * t) * g[n]
        found *= rest**2
        other = f[n + 1] * (3.0 - 2.0 * t)
        other -= (_STEP * rest) * g[n + 1]
        other *= t**2
        found += other
        found[at < 0.0] = 0.0
        return found


class Splines:
    """The splines phi_n on nodes, with rules that integrate them against j_l(k chi).

    Args:
        nodes: [n] increasing distances above 0, four or more.
    """

    def __init__(self, nodes: np.ndarray) -> None:
        self.nodes = nodes
        self._basis = CubicSpline(nodes, np.eye(nodes.size))
        self._rules: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def rule(self, octave: int) -> tuple[np.ndarray, np.ndarray]:
        """Abscissae [m] and weights [m, n], phi_n / chi included, for k up to _OCTAVE^octave."""
        if octave not in self._rules:
            nodes, weights = gauss_legendre(_ORDER)
            width = np.diff(self.nodes)
            panels = np.maximum(np.ceil(width * _OCTAVE**octave / _PHASE), 1.0).astype(int)
            share = np.repeat(width / panels, panels)
            within = np.arange(panels.sum()) - np.repeat(np.cumsum(panels) - panels, panels)
            low = np.repeat(self.nodes[:-1], panels) + share * within
            chi = (low[:, None] + share[:, None] * nodes).ravel()
            measure = (share[:, None] * weights).ravel() / chi
            self._rules[octave] = chi, self._basis(chi) * measure[:, None]
        return self._rules[octave]

    def moments(self, ell: float, k: np.ndarray, orders: Sequence[int]) -> list[np.ndarray]:
        """J [k, n] of one multipole for derivatives of j_l of these orders.

        Args:
            k: [k] increasing wavenumbers, in the inverse unit of the nodes.
        """
        curve = BesselCurve(ell, k[-1] * self.nodes[-1])
        octaves = np.ceil(np.log(k) / np.log(_OCTAVE) - 1e-12).astype(int)
        result = [np.zeros((k.size, self.nodes.size)) for _ in orders]
        for octave in np.unique(octaves):
            chi, weights = self.rule(int(octave))
            rows = np.flatnonzero(octaves == octave)
            for block in np.array_split(rows, max(rows.size * chi.size // _BLOCK, 1)):
                begin = np.searchsorted(chi, curve.first / k[block[-1]])
                x = k[block, None] * chi[begin:]
                for found, order in zip(result, orders, strict=True):
                    found[block] = curve(x, order) @ weights[begin:]
        return result


def _bessel(ell: float, x: np.ndarray) -> np.ndarray:
    """j_l(x); of integers by their recurrence, which is many times faster."""
    if ell >= 0.0 and ell == int(ell):
        return spherical_jn(int(ell), x)
    return np.sqrt(np.pi / (2.0 * x)) * jv(ell + 0.5, x)
