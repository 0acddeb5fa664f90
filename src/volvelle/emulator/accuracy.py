"""Errors of learned spectra as Nygaard et al. 2022 (arXiv:2205.15726) show them in figures 2 to 5.

The relative error of a spectrum that passes through zero (TE) says nothing; the absolute one is
therefore given in units of a root mean square of the exact spectrum itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from volvelle.emulator.errors import EmulatorError

PERCENTILES = (68.0, 95.0)
UNITS = ("spectrum", "local")
HALF_WINDOW = 150  # multipoles on either side: together one acoustic oscillation


def error_percentiles(
    predicted: Float[np.ndarray, "n ell"],
    exact: Float[np.ndarray, "n ell"],
    percentiles: Sequence[float] = PERCENTILES,
    unit: str = "spectrum",
    lmin: int = 2,
) -> Float[np.ndarray, "percentiles ell"]:
    """Percentiles over test solutions of |D_l - D_l^exact| / rms(D^exact), D_l = l (l + 1) C_l.

    Args:
        predicted: C_l from l = ``lmin`` on, any unit; exact: the same models solved exactly;
        unit: 'spectrum': the rms of every exact spectrum over all its multipoles, one number (the
            paper's); 'local': over the 150 multipoles on either side of l, so that small parts of a
            spectrum (the damping tail) count as much as its peaks.

    Raises:
        EmulatorError: other shapes, no solution, an unknown unit, or a spectrum that is zero.
    """
    if predicted.shape != exact.shape or exact.ndim != 2 or exact.size == 0:
        raise EmulatorError(
            f"predicted spectra have shape {predicted.shape} and exact ones {exact.shape}; give "
            "as many of both, [solutions, multipoles]"
        )
    if unit not in UNITS:
        raise EmulatorError(f"unknown unit {unit!r}; choose {' or '.join(UNITS)}")
    ell = np.arange(lmin, lmin + exact.shape[1])
    factor = ell * (ell + 1.0)
    square = (factor * exact) ** 2
    if unit == "spectrum":
        mean = np.mean(square, axis=1, keepdims=True)
    else:
        total = np.pad(np.cumsum(square, axis=1), ((0, 0), (1, 0)))
        low = np.maximum(np.arange(len(ell)) - HALF_WINDOW, 0)
        high = np.minimum(np.arange(len(ell)) + HALF_WINDOW + 1, len(ell))
        mean = (total[:, high] - total[:, low]) / (high - low)
    if not np.all(mean > 0.0):
        raise EmulatorError("an exact spectrum is zero or not a number; leave it out")
    error = np.abs(factor * (predicted - exact)) / np.sqrt(mean)
    return np.percentile(error, percentiles, axis=0)
