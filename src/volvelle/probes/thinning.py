"""Where P is evaluated in a projection: some of the nodes that the kernels need.

Along k = (l + 1/2) / f_K the power spectrum is smooth in redshift, to baryonic oscillations at
least; distributions of galaxies are not, and ask for many more nodes. ln P goes from the ones to
the others by a spline, a constant matrix.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from .grid import NEAR, SLOW, fiducial_distances

_STEP = 0.06  # in ln(chi + NEAR) + SLOW ln(1 + z), at a tolerance of 1e-3: 1e-4 of P
_REFERENCE = 1e-3
_WORTH = 0.7  # of all nodes; with more of them nothing is gained
_LEAST = 8


class Thinning(NamedTuple):
    """Some of the nodes, and a matrix from values there to values at all."""

    index: np.ndarray
    matrix: np.ndarray
    """Shape (some, all)."""


@lru_cache(maxsize=64)
def thinned(z: tuple[float, ...], tolerance: float) -> Thinning | None:
    """The nodes of increasing redshifts ``z`` at which to evaluate P; None for all of them."""
    redshifts = np.asarray(z)
    table, chi = fiducial_distances(float(redshifts[-1]))
    u = np.log(np.interp(redshifts, table, chi) + NEAR) + SLOW * np.log1p(redshifts)
    step = _STEP * (tolerance / _REFERENCE) ** 0.25
    index = [0]
    while index[-1] < u.size - 1:
        reached = int(np.searchsorted(u, u[index[-1]] + step, side="right")) - 1
        index.append(max(reached, index[-1] + 1))
    if len(index) < _LEAST or len(index) > _WORTH * u.size:
        return None
    return Thinning(np.asarray(index), CubicSpline(u[index], np.eye(len(index)))(u).T)
