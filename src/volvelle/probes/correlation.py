"""Angular correlation functions on the curved sky, averaged over bins, as one matrix times C_l.

    xi(theta) = sum_l (2 l + 1) / (4 pi) C_l d^l_{m m'}(theta)

with (m, m') = (0, 0) for w, (2, 0) for gamma_t, (2, 2) for xi_+, (2, -2) for xi_-: Wigner's d are
exact (Chisari et al. 2019, arXiv:1812.05995, equation 34; Ng & Liu 1999). A bin's value is the mean
over its area, as pairs are counted (sin theta d theta). C_l at few multipoles is a cubic spline of
(l + 1/2)^2 C_l in ln(l + 1/2): linear in C_l, hence a constant matrix.

A flat sky is there for comparison with analyses that have one (DES Y1's, KiDS-450's):

    xi(theta) = sum_l l / (2 pi) C_l J_{m - m'}(l theta)
"""

import itertools
from functools import lru_cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from scipy.interpolate import CubicSpline
from scipy.special import jv

from volvelle.cosmology.neutrinos import is_traced

from .errors import AngleError, MultipoleError

SPINS: dict[str, tuple[int, int]] = {
    "w_theta": (0, 0),
    "gamma_t": (2, 0),
    "xi_plus": (2, 2),
    "xi_minus": (2, -2),
}
SKIES = ("curved", "flat")
_ARCMINUTE = np.pi / 180.0 / 60.0
_REACH = 60.0
"""Largest multipole times the smallest angle: the last third of the sum is then about 1e-3 of xi_-,
and less of the others."""
_FEWEST = 30_000
_SHORTER = 1.5
_BLOCK = 512
_LARGEST = 200_000  # multipole: the tables take seconds and megabytes beyond


class AngularTransform(eqx.Module):
    """From C_l at fixed multipoles to one correlation function in fixed bins or at fixed angles."""

    matrix: np.ndarray
    """[theta, l]."""
    shorter: np.ndarray
    """The same with the sum ended at two thirds of the largest multipole."""
    kind: str = eqx.field(static=True)

    def __call__(self, cl: Float[Array, "*b l"]) -> Float[Array, "*b theta"]:
        """The correlation function of spectra [..., l] at the multipoles of the transform.

        Raises MultipoleError for another number of multipoles.
        """
        self._check(cl)
        return cl @ self.matrix.T

    def unsettled(self, cl: Float[Array, "*b l"]) -> Float[Array, "*b theta"]:
        """How much the last third of the multipoles changes each value, relative.

        Values well below 1 say that the sum has converged; near a zero of the function they do
        not say much.
        """
        self._check(cl)
        found = cl @ self.matrix.T
        return jnp.abs(found - cl @ self.shorter.T) / jnp.abs(found)

    def _check(self, cl: Float[Array, "*b l"]) -> None:
        if jnp.shape(cl)[-1:] != self.matrix.shape[1:]:
            raise MultipoleError(
                f"spectra of shape {jnp.shape(cl)}; this transform has {self.matrix.shape[1]} "
                "multipoles, as the last axis"
            )


def correlation_multipoles(largest: int = 50_000, number: int = 100) -> np.ndarray:
    """Multipoles that a transform can be made for: 2 to 10 and equal steps in ln l beyond.

    ``number`` of them, fewer where steps would be shorter than 1.
    """
    if not 100 <= largest <= _LARGEST or not 20 <= number <= largest:
        raise MultipoleError(
            f"{number} multipoles up to {largest}; expected 20 or more, up to 100 to {_LARGEST}"
        )
    few = np.arange(2.0, 11.0)
    return np.unique(np.append(few, np.geomspace(10.0, largest, number - 8).round()))


def sufficient_multipole(theta: float) -> int:
    """The multipole at which a sum may end for angles from ``theta`` [arcmin] on."""
    return int(np.clip(_REACH / (theta * _ARCMINUTE), _FEWEST, _LARGEST))


def angular_transform(
    kind: str,
    ell: ArrayLike,
    *,
    edges: ArrayLike | None = None,
    theta: ArrayLike | None = None,
    sky: str = "curved",
    beam: tuple[ArrayLike, ArrayLike] | None = None,
) -> AngularTransform:
    """The matrix of a correlation function, made once with NumPy and kept.

    Args:
        kind: ``w_theta``, ``gamma_t``, ``xi_plus`` or ``xi_minus``.
        ell: increasing multipoles [l] at which C_l will be given; the sum runs over all integers
            from the first, which is at most 2 (2 with shear), to the last.
        edges: [bins + 1] increasing angles [arcmin], between which the function is averaged; or
        theta: [n] angles [arcmin] at which it is evaluated.
        sky: ``curved``, or ``flat`` as in the older analyses; see the module.
        beam: multipoles, increasing, and what C_l is multiplied by there: linear in between and 0
            beyond them.

    Raises AngleError and MultipoleError.
    """
    if sky not in SKIES:
        raise AngleError(f"sky is '{sky}'; expected one of {', '.join(SKIES)}")
    if kind not in SPINS:
        raise AngleError(f"kind is '{kind}'; expected one of {', '.join(SPINS)}")
    spins = SPINS[kind]
    nodes = _checked_ell(ell, spins)
    if (edges is None) == (theta is None):
        raise AngleError("give either the edges of bins or angles theta, in arcmin")
    ends = _checked_angles(theta, "theta", 1) if edges is None else checked_edges(edges)
    smoothed = None if beam is None else _checked_beam(*beam)
    return _made(kind, tuple(nodes), tuple(ends), edges is not None, sky, smoothed)


@lru_cache(maxsize=64)
def _made(
    kind: str,
    ell: tuple[float, ...],
    angles: tuple[float, ...],
    averaged: bool,
    sky: str,
    beam: tuple[tuple[float, ...], tuple[float, ...]] | None,
) -> AngularTransform:
    """The same for known arguments; kept, as are its arrays, which nobody may change."""
    spins, nodes = SPINS[kind], np.asarray(ell)
    first, last = int(np.ceil(nodes[0])), int(np.floor(nodes[-1]))
    functions = _functions(spins, last, angles, averaged, sky)[:, first:]
    every = np.arange(first, last + 1)
    number = 2.0 * every + (1.0 if sky == "curved" else 0.0)
    spline = CubicSpline(np.log(nodes + 0.5), np.diag((nodes + 0.5) ** 2))
    weights = spline(np.log(every + 0.5)) / (every[:, None] + 0.5) ** 2
    weights *= number[:, None] / (4.0 * np.pi)
    if beam is not None:
        weights *= beam_at(every, *np.asarray(beam))[:, None]
    part = every <= last / _SHORTER
    matrix, shorter = functions @ weights, functions[:, part] @ weights[part]
    for each in (matrix, shorter):
        each.flags.writeable = False
    return AngularTransform(matrix=matrix, shorter=shorter, kind=kind)


def beam_at(ell: np.ndarray, at: ArrayLike, factors: ArrayLike) -> np.ndarray:
    """A beam at multipoles: linear between those of its table, 0 beyond them."""
    return np.interp(ell, np.asarray(at), np.asarray(factors), left=0.0, right=0.0)


def _checked_beam(at: ArrayLike, factors: ArrayLike) -> tuple[tuple[float, ...], tuple[float, ...]]:
    ell, values = np.asarray(at, dtype=float), np.asarray(factors, dtype=float)
    if ell.ndim != 1 or ell.shape != values.shape or ell.size < 2 or not np.all(np.diff(ell) > 0.0):
        raise MultipoleError(
            f"the beam has multipoles of shape {ell.shape} and factors of shape {values.shape}; "
            "expected two or more increasing multipoles with a factor each"
        )
    if not np.all(np.isfinite(values)):
        raise MultipoleError("the beam has factors that are not finite; expected numbers")
    return tuple(ell), tuple(values)


def checked_edges(edges: ArrayLike) -> np.ndarray:
    """Edges of bins as an array; raises AngleError for others [arcmin]."""
    ends = _checked_angles(edges, "edges", 2)
    if not np.all(np.diff(ends) > 0.0):
        raise AngleError("edges do not increase; expected increasing angles in arcmin")
    return ends


def _checked_ell(ell: ArrayLike, spins: tuple[int, int]) -> np.ndarray:
    nodes = np.asarray(ell, dtype=float)
    least = max(abs(m) for m in spins)
    if nodes.ndim != 1 or nodes.size < 4 or not np.all(np.diff(nodes) > 0.0):
        raise MultipoleError("ell does not increase; expected four or more increasing multipoles")
    if not least <= nodes[0] <= 2.0:
        raise MultipoleError(
            f"ell begins at {nodes[0]:g}; the sum needs all multipoles from {least or '0, 1 or'} 2:"
            " see correlation_multipoles"
        )
    if nodes[-1] > _LARGEST:
        raise MultipoleError(f"ell ends at {nodes[-1]:g}; expected at most {_LARGEST}")
    return nodes


def _checked_angles(angles: ArrayLike | None, name: str, least: int) -> np.ndarray:
    if is_traced(angles):
        raise AngleError(f"{name} are traced; expected known angles, which set constant matrices")
    found = np.asarray(angles, dtype=float)
    if found.ndim != 1 or found.size < least:
        raise AngleError(f"{name} has shape {found.shape}; expected {least} or more angles")
    if not np.all((found >= 0.0) & (found <= 180.0 * 60.0)):
        raise AngleError(f"{name} are not all within 0 and 10800 arcmin (180 degrees)")
    return found


@lru_cache(maxsize=16)
def _functions(
    spins: tuple[int, int], last: int, angles: tuple[float, ...], averaged: bool, sky: str
) -> np.ndarray:
    """[theta, l] of the function of angle for l = 0 to ``last``: at angles, or averaged between
    them."""
    theta = np.asarray(angles) * _ARCMINUTE
    weights = np.eye(theta.size)
    if averaged:
        theta, weights = _within_bins(theta, last)
    if sky == "curved":
        return wigner_d(spins, last, np.cos(theta), weights)
    return _bessel(abs(spins[0] - spins[1]), last, theta, weights)


def _within_bins(edges: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles [n] and weights [n, bins] of the mean over the area of every bin [radians]."""
    theta, columns = [], []
    for n, (low, high) in enumerate(itertools.pairwise(edges)):
        # Gauss's rule in theta follows l (high - low) / 2 radians of phase on either side.
        order = int(np.ceil(0.35 * last * (high - low))) + 16
        nodes, weights = np.polynomial.legendre.leggauss(order)
        at = low + (high - low) * (nodes + 1.0) / 2.0
        weights = weights * np.sin(at)
        column = np.zeros((order, edges.size - 1))
        column[:, n] = weights / weights.sum()
        theta.append(at)
        columns.append(column)
    return np.concatenate(theta), np.concatenate(columns)


def _bessel(order: int, last: int, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums [bins, l = 0 .. last] of J_order(l theta); arguments as ``wigner_d``'s."""
    result = np.empty((weights.shape[1], last + 1))
    for begin in range(0, last + 1, _BLOCK):
        ell = np.arange(begin, min(begin + _BLOCK, last + 1))
        result[:, ell] = (jv(order, ell[:, None] * theta) @ weights).T
    return result


def wigner_d(spins: tuple[int, int], last: int, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums [bins, l = 0 .. last] of d^l_{m m'}(arccos x), m >= |m'|, m = 0 or 2.

    By the upward recurrence in l (Kostelec & Rockmore 2008, equation 2.7), which is stable there.

    Args:
        x: [n] cosines.
        weights: [n, bins].
    """
    m, n = spins
    start = {
        (0, 0): np.ones_like(x),
        (2, 0): np.sqrt(6.0) / 4.0 * (1.0 - x) * (1.0 + x),
        (2, 2): ((1.0 + x) / 2.0) ** 2,
        (2, -2): ((1.0 - x) / 2.0) ** 2,
    }[spins]
    result = np.zeros((weights.shape[1], last + 1))
    block = np.zeros((_BLOCK, x.size))
    before, now = np.zeros_like(x), start
    filled, offset = 0, m
    for ell in range(m, last + 1):
        block[filled] = now
        filled += 1
        if filled == _BLOCK or ell == last:
            result[:, offset : ell + 1] = (block[:filled] @ weights).T
            filled, offset = 0, ell + 1
        up = np.sqrt(((ell + 1.0) ** 2 - m**2) * ((ell + 1.0) ** 2 - n**2))
        down = np.sqrt((float(ell) ** 2 - m**2) * (float(ell) ** 2 - n**2))
        if ell == 0:
            before, now = now, x
            continue
        rise = (2.0 * ell + 1.0) / (ell * up)
        after = rise * (ell * (ell + 1.0) * x - m * n) * now
        before, now = now, after - (ell + 1.0) / (ell * up) * down * before
    return result
