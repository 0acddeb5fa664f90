"""Non-linear power by halofit: Smith et al. 2003 (MNRAS 341, 1311; "S"), with the coefficients of
Takahashi et al. 2012 (ApJ 761, 152; "T") unless asked, and massive neutrinos after Bird, Viel &
Haehnelt 2012 (MNRAS 420, 2551), in the form that was fitted again to T and that CAMB has.

Everything follows from sigma^2(R), the variance of the linear field smoothed by exp(-k^2 R^2 / 2):
the scale k_sigma = 1 / R with sigma(R) = 1, its slope n_eff and its curvature C.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import polynomial

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities

from .base import Model
from .continuation import Continued
from .errors import ModelError
from .nonlinear import NonLinearModel

Version = Literal["takahashi", "smith"]
VERSIONS: tuple[str, ...] = ("takahashi", "smith")

_SMALLEST, _LARGEST = 0.01, 3000.0
"""Radii among which sigma(R) = 1 is looked for [Mpc/h]; below, all is linear, as in CAMB."""
_FADE = 0.7
"""ln R over which the correction comes in above the smallest radius."""
_BRACKETS = 42
_NEWTON_STEPS = 3  # from the secant of the bracket: 1e-15
_MOMENTS = 6  # exact derivatives of the slope and curvature up to the third
_FAR = 80.0  # (k R)^2 beyond which exp(-k^2 R^2) is nothing
_OPEN, _FLAT = (-0.0732, -0.1423, 0.0725), (-0.0307, -0.0585, 0.0743)
_TAIL = 6.0  # k R beyond which exp(-k^2 R^2) is nothing

Redshifts = Float[Array, " z"]


class Scale(eqx.Module):
    """Where the linear field becomes non-linear, per redshift."""

    radius: Redshifts
    """[Mpc]"""
    slope: Redshifts
    """n_eff."""
    curvature: Redshifts
    """C."""
    weight: Redshifts
    """1 where sigma(R) = 1 within the radii, 0 where all is linear, and smooth between."""


class _Near(eqx.Module):
    """ln sigma^2 about known radii, as a function of the distance from them in ln R.

    With x = (k R_0)^2 and u = (R / R_0)^2 - 1, sigma^2 is the sum of (-u)^n / n! times the moments
    of x^n exp(-x): of the radii's own change no more is needed than the moments where they are.
    """

    moments: tuple[Redshifts, ...]

    @classmethod
    def at(cls, log_r: Redshifts, power: Float[Array, "z k"], squares: np.ndarray) -> "_Near":
        """``power`` is Delta^2 d ln k at wavenumbers of these squares."""
        x = jnp.minimum(squares * jnp.exp(2.0 * log_r)[:, None], _FAR)
        parts, found = power * jnp.exp(-x), []
        for _ in range(_MOMENTS):
            found.append(jnp.sum(parts, axis=-1))
            parts = parts * x
        return cls(tuple(found))

    def __call__(self, distance: Redshifts) -> tuple[Redshifts, Redshifts, Redshifts]:
        """ln sigma^2 and its first two derivatives with respect to ln R."""
        u = jnp.expm1(2.0 * distance)
        value, slope, bend = (self._series(n, u) for n in range(3))
        rate = -slope / value
        first = 2.0 * (1.0 + u) * rate
        second = 2.0 * first + 4.0 * (1.0 + u) ** 2 * (bend / value - rate**2)
        return jnp.log(value), first, second

    def _series(self, first: int, u: Redshifts) -> Redshifts:
        total = self.moments[-1]
        for n in range(len(self.moments) - 2, first - 1, -1):
            total = self.moments[n] - u / (n - first + 1.0) * total
        return total


def nonlinear_scale(cosmology: Cosmology, linear: Continued, a: Redshifts) -> Scale:
    """Solve sigma(R) = 1 by Newton's rule within a bracket.

    Its last two steps are differentiated and start from the solution, which makes the derivatives
    those of the implicit function, up to the third.
    """
    h = jnp.asarray(cosmology.hubble_parameter)
    step = 0.045
    k = np.exp(np.arange(np.log(1e-4), np.log(2.0 * _TAIL / _SMALLEST), step))
    power = linear(k, a[:, None]) * jnp.asarray(step * k**3 / (2.0 * np.pi**2))
    low = jnp.log(_SMALLEST / h)

    fixed, start = jax.lax.stop_gradient((power, low))
    grid = start + np.linspace(0.0, np.log(_LARGEST / _SMALLEST), _BRACKETS)
    table = jnp.log(fixed @ jnp.exp(-(k**2) * jnp.exp(2.0 * grid)[:, None]).T)
    # of shape (z, R), which falls with R
    at = jnp.clip(jnp.sum(table > 0.0, axis=1) - 1, 0, _BRACKETS - 2)
    left, right = grid[at], grid[at + 1]
    here, there = (jnp.take_along_axis(table, n[:, None], 1)[:, 0] for n in (at, at + 1))
    exists = (table[:, 0] > 0.0) & (table[:, -1] < 0.0)
    log_r = jnp.clip(left + (right - left) * here / (here - there), left, right)

    def within(_: int, value: Redshifts) -> Redshifts:
        excess, rate = _Near.at(value, fixed, k**2)(jnp.zeros_like(value))[:2]
        return jnp.clip(value - excess / rate, left, right)

    log_r = jax.lax.fori_loop(0, _NEWTON_STEPS, within, log_r)
    near, distance = _Near.at(log_r, power, k**2), jnp.zeros_like(log_r)
    for _ in range(2):
        excess, rate, _ = near(distance)
        distance = jnp.where(exists, distance - excess / rate, 0.0)
    _, first, second = near(distance)
    log_r = jnp.where(table[:, -1] < 0.0, log_r + distance, jnp.nan)
    into = jnp.clip((log_r - low) / _FADE, 0.0, 1.0)
    weight = jnp.where(exists, into**3 * (10.0 - into * (15.0 - 6.0 * into)), 0.0)
    return Scale(jnp.exp(log_r), -3.0 - first, -second, weight)


def _densities(cosmology: Cosmology, a: Redshifts) -> tuple[Redshifts, Redshifts, Redshifts]:
    """Omega_m, Omega_de and w at a, without radiation, as the fits were made."""
    h2 = jnp.asarray(cosmology.hubble_parameter) ** 2
    found = densities(cosmology)
    matter, dark = jnp.asarray(cosmology.omega_m) / h2, found.dark_energy / h2
    falling = matter / a**3
    growing = found.dark(a) / h2
    total = falling + growing + (1.0 - matter - dark) / a**2
    w = found.w0 + found.wa * (1.0 - a)
    return falling / total, growing / total, w


def _exponents(matter: Redshifts, dark: Redshifts) -> Float[Array, "3 z"]:
    """f_1, f_2, f_3 (S eqs. C17-C18), between Omega_m^p of open and Omega_m^q of flat universes.

    In proportion to Omega_de / (1 - Omega_m), written without the division that is 0 / 0 early on:
    with x = ln m and phi(x) = (e^x - 1) / x it is -m^p (q - p) phi((q - p) x) / phi(x).
    """
    x, p, q = jnp.log(matter), np.array(_OPEN)[:, None], np.array(_FLAT)[:, None]
    between = (q - p) * _phi(jnp.asarray(q - p) * x) / _phi(x)
    return jnp.exp(p * x) * (1.0 - dark * between)


def _phi(x: Redshifts) -> Redshifts:
    """(e^x - 1) / x, with its series about 0."""
    near = jnp.abs(x) < 1e-3
    safe = jnp.where(near, 1.0, x)
    series = 1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0))
    return jnp.where(near, series, jnp.expm1(safe) / safe)


class _Fit(eqx.Module):
    """Coefficients of the fit at each redshift (columns)."""

    gamma: Array
    log_a: Array
    log_b: Array
    log_c: Array
    mu: Array | float
    nu: Array
    alpha: Array
    beta: Array


_TEN = np.log(10.0)


def _powers(n: Redshifts, *coefficients: float) -> Redshifts:
    return jnp.asarray(polynomial.polyval(n, coefficients))


def _takahashi(n: Redshifts, c: Redshifts, stretch: Redshifts, f_nu: Array) -> _Fit:
    """T eqs. A6-A13; ``stretch`` is Omega_de (1 + w)."""
    log_a = _powers(n, 1.5222, 2.8553, 2.3706, 0.9903, 0.2250) - 0.6038 * c + 0.1749 * stretch
    log_b = _powers(n, -0.5642, 0.5864, 0.5716) - 1.5474 * c + 0.2279 * stretch
    beta = _powers(n, 2.0379, -0.7354, 0.3157, 1.2490, 0.3980) - 0.1682 * c
    return _Fit(
        gamma=0.1971 - 0.0843 * n + 0.8460 * c,
        log_a=_TEN * log_a,
        log_b=_TEN * log_b,
        log_c=_TEN * (_powers(n, 0.3698, 2.0404, 0.8161) + 0.5869 * c),
        mu=0.0,
        nu=jnp.exp(_TEN * (5.2105 + 3.6902 * n)),
        alpha=jnp.abs(_powers(n, 6.0835, 1.3373, -0.1959) - 5.5274 * c),
        beta=beta + f_nu * (1.081 + 0.395 * n**2),
    )


def _smith(n: Redshifts, c: Redshifts, f_nu: Array) -> _Fit:
    """S eqs. C9-C16."""
    log_a = _powers(n, 1.4861, 1.83693, 1.67618, 0.7940, 0.1670756) - 0.620695 * c
    return _Fit(
        gamma=0.86485 + 0.2989 * n + 0.1631 * c,
        log_a=_TEN * log_a,
        log_b=_TEN * (_powers(n, 0.9463, 0.9466, 0.3084) - 0.940 * c),
        log_c=_TEN * (_powers(n, -0.2807, 0.6669, 0.3214) - 0.0793 * c),
        mu=jnp.exp(_TEN * (-3.54419 + 0.19086 * n)),
        nu=jnp.exp(_TEN * (0.95897 + 1.2857 * n)),
        alpha=_powers(n, 1.38848, 0.3701, -0.1452),
        beta=_powers(n, 0.8291, 0.9854, 0.3400) + f_nu * (-6.4868 + 1.4373 * n**2),
    )


class Halofit(NonLinearModel):
    """Halofit on the spectrum of a linear model.

    ``version``: ``takahashi`` or ``smith``. Where sigma(R) < 1 at all R above 0.01 Mpc/h (z of
    about 10) the spectrum is linear; over a factor of 2 in R above that, it becomes so smoothly.
    Dark energy enters through Omega_de (1 + w(a)) and the growth of the linear spectrum.

    Raises ModelError for another version.
    """

    linear: Model
    version: Version = eqx.field(static=True, default="takahashi")

    def __check_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ModelError(f"halofit '{self.version}'; expected one of {', '.join(VERSIONS)}")

    def log_boost(
        self,
        cosmology: Cosmology,
        linear: Continued,
        k: np.ndarray,
        a: Redshifts,
        power: Float[Array, "z k"],
    ) -> Float[Array, "z k"]:
        """ln(P / P_linear), shape (a, k)."""
        scale = nonlinear_scale(cosmology, linear, a)
        matter, dark, w = _densities(cosmology, a)
        f_nu = jnp.asarray(cosmology.omega_nu) / jnp.asarray(cosmology.omega_m)
        n, c = scale.slope[:, None], scale.curvature[:, None]
        if self.version == "takahashi":
            fit = _takahashi(n, c, (dark * (1.0 + w))[:, None], f_nu)
        else:
            fit = _smith(n, c, f_nu)
        f1, f2, f3 = (f[:, None] for f in _exponents(matter, dark))

        log_y = jnp.log(k) + jnp.log(scale.radius)[:, None]
        y = jnp.exp(log_y)
        # the halos' term, S eqs. C4-C6
        falls = jnp.exp(fit.log_b + f2 * log_y)
        falls = falls + jnp.exp((3.0 - fit.gamma) * (fit.log_c + jnp.log(f3) + log_y))
        halos = jnp.exp(fit.log_a + 3.0 * f1 * log_y) / (1.0 + falls)
        halos = halos / (1.0 + fit.mu / y + fit.nu / y**2) * (1.0 + 0.977 * f_nu)
        # the quasi-linear term, S eqs. C2-C3
        power = power * (k**3 / (2.0 * np.pi**2))
        wave = (k / jnp.asarray(cosmology.hubble_parameter)) ** 2
        lifted = power * (1.0 + 47.48 * f_nu * wave / (1.0 + 1.5 * wave))
        grown = jnp.exp(fit.beta * jnp.log1p(lifted) - y / 4.0 - y**2 / 8.0)
        ratio = grown / (1.0 + fit.alpha * lifted) + halos / power
        return scale.weight[:, None] * jnp.log(ratio)
