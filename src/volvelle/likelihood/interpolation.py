"""Background functions between the nodes of the fixed redshift grid, as a matrix."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import make_interp_spline

from ..boltzmann import BACKGROUND_Z
from .errors import DataFormatError

DEGREE = 5  # a cubic leaves 2e-5 in D_M at z = 0.014, between the first two nodes


def spline_matrix(z: np.ndarray) -> np.ndarray:
    """The matrix S with f(z_i) = sum_j S_ij f(z_j), shape (n, len(BACKGROUND_Z)).

    A quintic spline in ln(1+z) (not-a-knot) through the nodes of `boltzmann.BACKGROUND_Z`.
    Raises DataFormatError for a redshift outside of the grid.
    """
    nodes = np.asarray(BACKGROUND_Z, dtype=float)
    if np.any(z < nodes[0]) or np.any(z > nodes[-1]):
        raise DataFormatError(
            f"redshifts between {np.min(z):g} and {np.max(z):g} were given; "
            f"the background is known from {nodes[0]:g} to {nodes[-1]:g}"
        )
    return make_interp_spline(np.log1p(nodes), np.eye(len(nodes)), k=DEGREE)(np.log1p(z))
