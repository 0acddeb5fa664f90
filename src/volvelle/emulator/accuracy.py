"""Errors of learned spectra as Nygaard et al. 2022 (arXiv:2205.15726) show them in figures 2 to 5.

The relative error of a spectrum that passes through zero (TE) says nothing; the absolute one is
therefore given in units of a root mean square of the exact spectrum itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from volvelle.boltzmann import OUTPUTS, is_spectrum
from volvelle.emulator.errors import EmulatorError
from volvelle.emulator.noise import VISIBLE, cosmic_variance

PERCENTILES = (68.0, 95.0)
UNITS = ("spectrum", "local")
ROUNDING = 1e-9  # of a rank among the errors
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


COSMIC_VARIANCE = "cosmic variance"
RELATIVE = "relative"


def error_unit(name: str) -> str:
    """In what ``largest_error`` measures an output: ``COSMIC_VARIANCE`` for spectra in l of the
    CMB and its lensing potential, else ``RELATIVE``."""
    return COSMIC_VARIANCE if is_spectrum(name) else RELATIVE


def error_at(errors: Float[np.ndarray, " n"], percentile: float) -> float:
    """The least of the errors that so many per cent of the solutions do not exceed.

    Nothing is interpolated, so that infinite errors count as such; NaN counts as infinite.
    """
    ordered = np.sort(np.where(np.isnan(errors), np.inf, errors))
    share = len(ordered) * percentile / 100.0
    return float(ordered[max(int(np.ceil(share * (1.0 - ROUNDING))), 1) - 1])


def also_needed(names: Sequence[str]) -> tuple[str, ...]:
    """Spectra beside ``names`` that their cosmic variance takes: those of T and E for TE."""
    pairs = [name.removesuffix("te") for name in names if name.endswith("_te") and name in OUTPUTS]
    found = [f"{stem}{pair}" for stem in pairs for pair in ("tt", "ee")]
    return tuple(name for name in found if name not in names)


def error_scale(name: str, exact: Mapping[str, np.ndarray]) -> np.ndarray:
    """The unit of an output's error, element by element.

    Full-sky sigma(C_l), or the absolute value; of the visibility, which falls to nothing, 1% of its
    maximum is added.
    """
    value = np.abs(np.asarray(exact[name], dtype=float))
    if error_unit(name) == COSMIC_VARIANCE:
        if name == "phiphi":
            return value * np.sqrt(2.0 / (2.0 * np.arange(len(value)) + 1.0))
        return cosmic_variance(name, exact)
    return value + VISIBLE * np.max(value) if name == "visibility" else value


def largest_error(name: str, predicted: np.ndarray, exact: Mapping[str, np.ndarray]) -> float:
    """Largest error of an output over all its elements, in the unit of ``error_unit``.

    Args:
        predicted: the output; exact: the exact solution of the same model, with ``also_needed``.

    Raises:
        EmulatorError: other shapes.
    """
    value = np.asarray(exact[name], dtype=float)
    if np.shape(predicted) != value.shape:
        raise EmulatorError(f"{name} has shape {np.shape(predicted)}, its exact one {value.shape}")
    difference, scale = np.abs(np.asarray(predicted) - value), error_scale(name, exact)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(difference == 0.0, 0.0, difference / scale)
    return float(np.max(np.where(np.isnan(error), np.inf, error)))
