"""The angular scale theta_* and what follows from it, the same for every solver."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Chebyshev
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from .errors import SolverError
from .grids import POWER_Z

REIONISATION_START_Z = 50.0
"""Reionisation begins below this redshift (CLASS: reionization_z_start_max; CAMB: max_redshift)."""
DECOUPLING_Z = (300.0, 3000.0)
"""Where the optical depth without reionisation passes 1 in any model of use."""
THETA_TOLERANCE = 1e-8
"""Relative accuracy of theta_* when h is sought: 3e-5 of Planck's error, so it leaves no step."""
MAX_SECANT_STEPS = 25
RMS_HALF_WINDOW = 150
"""Half-width in l of the local rms of a spectrum: the acoustic peaks are about 300 apart."""
GROWTH_DEGREE = 12
"""Of the polynomial in ln(1+z) whose derivative is the growth rate."""
_FIRST_H = 0.67
_THETA_SLOPE = 0.2  # d ln theta_* / d ln h at fixed densities near the standard model
_NOISE_STEP = (
    1e-5  # in ln h; smaller steps tell nothing of the slope: theta_* has noise of 1e-8 to 1e-7
)
_LARGEST_STEP = 0.25  # in ln h, for starts far from the answer
_H_RANGE = (0.1, 3.0)


@dataclass(frozen=True)
class Decoupling:
    """z_*, comoving sound horizon r_s(z_*) [Mpc], transverse distance D_M(z_*) [Mpc]."""

    z_star: float
    sound_horizon: float
    distance: float

    @property
    def theta_star_100(self) -> float:
        """100 r_s/D_M."""
        return 100.0 * self.sound_horizon / self.distance


@dataclass(frozen=True)
class BackgroundTable:
    """A solver's background on increasing redshifts z (n,).

    hubble (n,) [1/Mpc], radial comoving distance (n,) [Mpc], comoving sound horizon (n,) [Mpc],
    curvature K = -Omega_k (H0/c)^2 [1/Mpc^2].
    """

    z: np.ndarray
    hubble: np.ndarray
    distance: np.ndarray
    sound_horizon: np.ndarray
    curvature: float

    def transverse(self, radial: np.ndarray) -> np.ndarray:
        """D_M of a radial comoving distance [Mpc]."""
        return transverse_distance(radial, self.curvature)


def transverse_distance(radial: np.ndarray, curvature: float) -> np.ndarray:
    """D_M = sin(sqrt(K) chi)/sqrt(K), chi or sinh for K = 0 or K < 0 [Mpc]."""
    if curvature == 0.0:
        return radial
    root = math.sqrt(abs(curvature))
    return (np.sin(root * radial) if curvature > 0.0 else np.sinh(root * radial)) / root


def decoupling(table: BackgroundTable, z: np.ndarray, opacity: np.ndarray) -> Decoupling:
    """Find z_* where the optical depth without reionisation is 1.

    kappa(z) = int_0^z kappa'(z') dz'/H, with kappa' = a n_e sigma_T; below z = 50 the residual
    ionisation is held constant, kappa' ~ (1+z)^2. ``z`` (m,) increases from 0, ``opacity`` (m,) is
    kappa' [1/Mpc].
    """
    use = z <= DECOUPLING_Z[1]
    z, opacity = z[use], opacity[use].copy()
    match = int(np.searchsorted(z, REIONISATION_START_Z))
    opacity[:match] = opacity[match] * ((1.0 + z[:match]) / (1.0 + z[match])) ** 2
    near = table.z <= 1.1 * DECOUPLING_Z[1]
    log = np.log1p(table.z[near])
    hubble = CubicSpline(log, table.hubble[near])
    depth = CubicSpline(z, opacity / hubble(np.log1p(z))).antiderivative()
    low, high = float(depth(DECOUPLING_Z[0])) - 1.0, float(depth(DECOUPLING_Z[1])) - 1.0
    if not low < 0.0 < high:
        raise SolverError("no z_* between 300 and 3000: the optical depth does not pass 1 there")
    z_star = float(
        brentq(lambda value: float(depth(value)) - 1.0, *DECOUPLING_Z, xtol=1e-10)  # pyright: ignore[reportArgumentType]
    )
    radial = CubicSpline(log, table.distance[near])(math.log1p(z_star))
    horizon = CubicSpline(log, table.sound_horizon[near])(math.log1p(z_star))
    return Decoupling(z_star, float(horizon), float(table.transverse(radial)))


def find_hubble(theta_star_100: Callable[[float], float], target: float) -> float:
    """The h for which ``theta_star_100(h)`` is ``target``, by the secant method in ln h.

    Raises SolverError when no h between 0.1 and 3 does it, or the solver's own error at a trial h.
    """

    def mismatch(log_h: float) -> float:
        if not math.log(_H_RANGE[0]) < log_h < math.log(_H_RANGE[1]):
            raise SolverError(
                f"no h in {_H_RANGE[0]} ... {_H_RANGE[1]} gives theta_star_100 = {target:.6g}; "
                "the model cannot have this angular scale"
            )
        return math.log(theta_star_100(math.exp(log_h)) / target)

    here, slope = math.log(_FIRST_H), _THETA_SLOPE
    value = mismatch(here)
    for _ in range(MAX_SECANT_STEPS):
        if abs(value) < THETA_TOLERANCE:
            return math.exp(here)
        old, old_value = here, value
        here -= _bounded(value / slope)
        value = mismatch(here)
        if abs(here - old) > _NOISE_STEP:
            secant = (value - old_value) / (here - old)
            slope = secant if secant > 0.0 else _THETA_SLOPE
    raise SolverError(
        f"h was not found for theta_star_100 = {target:.6g} in {MAX_SECANT_STEPS} steps; "
        f"the last relative mismatch was {value:.2e}"
    )


def _bounded(step: float) -> float:
    return max(-_LARGEST_STEP, min(_LARGEST_STEP, step))


def rescaled_amplitude(A_s: float, sigma8: float, target: float) -> float:
    """A_s that gives ``target``: sigma8^2 is proportional to A_s in linear theory."""
    if not (math.isfinite(sigma8) and sigma8 > 0.0):
        raise SolverError(f"the solver gave sigma8 = {sigma8}; no A_s can be found from it")
    return A_s * (target / sigma8) ** 2


def growth_rate(sigma8: np.ndarray) -> np.ndarray:
    """f sigma8(z) = d sigma8 / d ln a = -(1+z) d sigma8/dz of total matter, on POWER_Z.

    The derivative of a polynomial through ln sigma8(z) (n_z,) in ln(1+z), so that both codes mean
    the same: CAMB's own f sigma8 is that of velocities, CLASS's a finite difference.
    """
    log = np.log1p(POWER_Z)
    fit = Chebyshev.fit(log, np.log(sigma8), GROWTH_DEGREE)
    return -sigma8 * fit.deriv()(log)


def local_rms(spectrum: np.ndarray) -> np.ndarray:
    """Running rms of l(l+1)C_l around each l, divided by l(l+1) again: the scale of C_l nearby.

    The window is |l' - l| <= min(150, l/2): one acoustic period, narrower where the spectrum has no
    peaks. Entries l = 0, 1 are infinite, so that a difference divided by them is 0.
    """
    ell = np.arange(len(spectrum))
    squares = np.concatenate([[0.0], np.cumsum((spectrum * ell * (ell + 1.0)) ** 2)])
    half = np.minimum(RMS_HALF_WINDOW, ell // 2)
    low, high = np.maximum(ell - half, 2), np.minimum(ell + half, len(spectrum) - 1)
    result = np.full(len(spectrum), np.inf)
    mean = (squares[high + 1] - squares[low])[2:] / (high - low + 1)[2:]
    result[2:] = np.sqrt(mean) / (ell * (ell + 1.0))[2:]
    return result
