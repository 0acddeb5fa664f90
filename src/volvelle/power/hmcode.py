"""Non-linear power by HMcode-2020 (Mead et al. 2021, MNRAS 502, 1401), with the feedback of baryons
as a response, where a temperature of AGN is given.

A halo model whose parameters were fitted to simulations: two-halo term of damped linear power with
damped baryonic oscillations, one-halo term of puffed NFW profiles, a smooth transition between.
"""

from functools import lru_cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import CubicSpline

from volvelle.cosmology import Cosmology
from volvelle.cosmology.interpolation import Curve, Nodes
from volvelle.cosmology.neutrinos import is_traced

from .base import Model
from .collapse import Collapse
from .continuation import Continued
from .eisenstein_hu import smooth_transfer
from .errors import ModelError
from .filters import top_hat
from .halo_profile import nfw
from .nonlinear import Z_STEP, NonLinearModel

_K = np.exp(np.arange(np.log(1e-4), np.log(3e3), 0.045))
"""Wavenumbers of the integrals [1/Mpc]."""
_SHRINK = 13
"""Steps in ln R from a halo's radius to that of a hundredth of its mass, which sets its age."""
_R_STEP = np.log(100.0) / 3.0 / _SHRINK
_R = 0.02 * np.exp(_R_STEP * np.arange(-_SHRINK, 73))
"""Radii of the masses and, before them, of their hundredths: to 100 Mpc [Mpc]."""
_RADII = _R[_SHRINK:]
_HALO_K, _HALO_STEP = 5e-3, 0.25
"""First wavenumber of the one-halo term's own table [1/Mpc], below which it is white, and step."""
_SMOOTHING = 0.25
"""Width of the Gaussian in ln k that takes oscillations out."""
_WIGGLES = (0.003, 0.007, 1.5, 3.0)
"""Wavenumbers at which oscillations set in, are there, fade, and are gone [1/Mpc]."""
_DENSITY = 2.7753662e11
"""rho_crit / h^2 [solar masses / Mpc^3]."""
_P, _Q, _A = 0.3, 0.707, 0.21616
"""The mass function of Sheth & Tormen 1999."""
LOG10_T_AGN = (7.0, 8.6)
"""Temperatures that may be given; the fits were made between 7.6 and 8.0."""

_FEW = 1e-3
"""Fraction of neutrinos below which a series serves (five terms: 2e-16)."""
_STARS = (1.0, 1.3)
"""ln(1 + z) between which the fit's stars reach the fraction of baryons."""

Redshifts = Float[Array, " z"]
Values = Float[Array, "z k"]


@lru_cache(maxsize=1)
def _window_matrix() -> np.ndarray:
    """Weights that make of P at ``_K`` the variance at ``_R``: the exact integrals of the cubic
    spline through P, however fast the window oscillates between the nodes. Shape (R, k)."""
    log_k, fine = np.log(_K), 24
    steps = np.linspace(0.0, len(_K) - 1.0, fine * (len(_K) - 1) + 1)
    at = np.interp(steps, np.arange(len(_K)), log_k)
    weights = np.full(len(at), at[1] - at[0])
    weights[[0, -1]] /= 2.0
    k = np.exp(at)
    spline = CubicSpline(log_k, np.eye(len(_K)))(at)
    windows = top_hat(k * _R[:, None]) ** 2 * (weights * k**3 / (2.0 * np.pi**2))
    return windows @ spline


@lru_cache(maxsize=1)
def _smoothing_matrix() -> np.ndarray:
    """What takes the oscillations out of a function at ``_K``, and of which to take it: the second
    is the first's complement within ``_WIGGLES``. Shape (k, k)."""
    log_k = np.log(_K)
    kernel = np.exp(-((log_k[:, None] - log_k) ** 2) / (2.0 * _SMOOTHING**2))
    first, full, fades, gone = np.log(_WIGGLES)
    rise = np.clip((log_k - first) / (full - first), 0.0, 1.0)
    fall = np.clip((gone - log_k) / (gone - fades), 0.0, 1.0)
    window = rise**2 * (3.0 - 2.0 * rise) * fall**2 * (3.0 - 2.0 * fall)
    return window[:, None] * (np.eye(len(_K)) - kernel / kernel.sum(axis=1, keepdims=True))


class HMcode2020(NonLinearModel):
    """HMcode-2020 on the spectrum of a linear model.

    ``log10_T_AGN``: None for gravity alone, or log10 of the heating temperature of active galaxies
    [K], 7.6 to 8.0 in the simulations behind it (7.8: their fiducial).

    Raises ModelError for a temperature outside of 7 to 8.6.
    """

    linear: Model
    log10_T_AGN: Float[Array, ""] | float | None = None

    def __check_init__(self) -> None:
        given = self.log10_T_AGN
        if given is None or is_traced(given):
            return
        if jnp.ndim(given) or not LOG10_T_AGN[0] <= float(given) <= LOG10_T_AGN[1]:
            raise ModelError(
                f"log10_T_AGN is {given}; expected {LOG10_T_AGN[0]:g} to {LOG10_T_AGN[1]:g} "
                "(log10 of a temperature in K), or None for no feedback"
            )

    def times(self, last: float) -> np.ndarray:
        """Nodes in ln(1 + z); close ones where stars come to be all baryons, which is a corner."""
        regular = super().times(last)
        low, high = _STARS
        if self.log10_T_AGN is None or last <= high:
            return regular
        middle = np.linspace(low, high, 13)
        outside = (regular < low - Z_STEP / 3.0) | (regular > high + Z_STEP / 3.0)
        return np.sort(np.concatenate([regular[outside], middle]))

    def log_boost(
        self, cosmology: Cosmology, linear: Continued, k: np.ndarray, a: Redshifts, power: Values
    ) -> Values:
        """ln(P / P_linear), shape (a, k)."""
        halos = _Halos.of(cosmology, linear, a)
        h = jnp.asarray(cosmology.hubble_parameter)
        eight = halos.sigma(8.0 / h)[:, None]  # of baryons and cold dark matter
        one = halos.one_halo(k, 5.196, 0.1281 * eight**-0.3644, eight)
        one = one * (1.0 - halos.collapse.f_nu) ** 2
        # the two-halo term
        frequency = (k / h / (0.05699 * eight**-1.089)) ** 2.853
        damping = jnp.minimum(0.2696 * eight**0.9403, 0.99) * frequency / (1.0 + frequency)
        two = halos.dewiggled(cosmology, k, power) * (1.0 - damping)
        alpha = jnp.clip(1.875 * 1.603 ** halos.slope(cosmology), 0.5, 2.0)[:, None]
        joined = jnp.log1p((one / two) ** alpha) / alpha
        boost = jnp.log(two / power) + joined
        if self.log10_T_AGN is None:
            return boost
        return boost + halos.log_response(jnp.asarray(self.log10_T_AGN), k, power, eight)


class _Halos(eqx.Module):
    """What the halo model of a universe is made of, at some redshifts."""

    cosmology: Cosmology
    collapse: Collapse
    a: Redshifts
    log_sigma: Float[Array, "z R"]
    """ln sigma of baryons and cold dark matter at ``_R``."""
    sigma_v: Redshifts
    """Displacement of matter along one direction [Mpc]."""
    wiggles: Float[Array, "z k"]
    """P less its smooth part, over P, at ``_K``."""
    delta_c: Redshifts
    delta_v: Redshifts

    @classmethod
    def of(cls, cosmology: Cosmology, linear: Continued, a: Redshifts) -> "_Halos":
        collapse = Collapse.of(cosmology)
        power = linear(_K, a[:, None])
        cold = power * _cold_ratio(cosmology, collapse, a) ** 2
        variance = cold @ jnp.asarray(_window_matrix()).T
        delta_c, delta_v = collapse.thresholds(a)
        step = np.log(_K[1] / _K[0])
        # over Eisenstein & Hu's smooth shape there is less to smooth
        shape = jnp.exp(jnp.asarray(cosmology.n_s) * np.log(_K))
        shape = shape * smooth_transfer(cosmology, jnp.asarray(_K)) ** 2
        ratio = power / shape
        return cls(
            cosmology=cosmology,
            collapse=collapse,
            a=a,
            log_sigma=jnp.log(variance) / 2.0,
            sigma_v=jnp.sqrt(power @ jnp.asarray(step * _K / (6.0 * np.pi**2))),
            wiggles=(ratio @ jnp.asarray(_smoothing_matrix()).T) / ratio,
            delta_c=delta_c,
            delta_v=delta_v,
        )

    @property
    def nu(self) -> Float[Array, "z R"]:
        """Peak height delta_c / sigma at the masses' radii."""
        return self.delta_c[:, None] * jnp.exp(-self.log_sigma[:, _SHRINK:])

    def sigma(self, r: Float[Array, ""]) -> Redshifts:
        """sigma of baryons and cold dark matter at a radius [Mpc]."""
        nodes = Nodes.of(np.log(_R))
        return jnp.exp(Curve.through(nodes, self.log_sigma.T)(jnp.log(r)))

    @property
    def _slopes(self) -> Float[Array, "z R"]:
        """d ln sigma / d ln R."""
        return self.log_sigma @ jnp.asarray(Nodes.of(np.log(_R)).slopes).T

    def slope(self, cosmology: Cosmology) -> Redshifts:
        """n_eff = -3 - d ln sigma^2 / d ln R where sigma = delta_c, between n_s - 4 and n_s."""
        height = jnp.log(self.delta_c)[:, None] - self.log_sigma  # ln nu, rises with R
        rate = self._slopes
        bend = rate @ jnp.asarray(Nodes.of(np.log(_R)).slopes).T
        n = jnp.clip(jnp.sum(height < 0.0, axis=1) - 1, 0, len(_R) - 2)[:, None]

        def ends(of: Array) -> tuple[Redshifts, Redshifts]:
            return (
                jnp.take_along_axis(of, n, 1)[:, 0],
                jnp.take_along_axis(of, n + 1, 1)[:, 0],
            )

        (h0, h1), (r0, r1), (b0, b1) = ends(height), ends(rate), ends(bend)
        width = h1 - h0
        t = jnp.clip(-h0 / width, 0.0, 1.0)
        # ln R as a function of ln nu within the interval, in steps of ln R
        rest, up = 1.0 - t, t * t * (3.0 - 2.0 * t)
        at = up - width / _R_STEP * t * rest * (rest / r0 - t / r1)
        rest, up = 1.0 - at, at * at * (3.0 - 2.0 * at)
        found = r0 + up * (r1 - r0) + _R_STEP * at * rest * (rest * b0 - at * b1)
        n_s = jnp.asarray(cosmology.n_s)
        return jnp.clip(-3.0 - 2.0 * found, n_s - 4.0, n_s)

    def dewiggled(self, cosmology: Cosmology, k: np.ndarray, power: Values) -> Values:
        """Linear power with its oscillations damped by large-scale displacements."""
        part = self.wiggles @ jnp.asarray(Nodes.of(np.log(_K)).matrix(np.log(k))).T
        return power * (1.0 + jnp.expm1(-((k * self.sigma_v[:, None]) ** 2)) * part)

    def concentration(self, amplitude: Redshifts | float) -> Float[Array, "z R"]:
        """Bullock et al. 2001, from the time at which a hundredth of the mass had collapsed."""
        parts = jnp.exp(self.log_sigma[:, :-_SHRINK])
        today = self.collapse.today(self.a)[:, None]
        growth = jnp.minimum(self.delta_c[:, None] / parts, 1.0) * today
        formed = jnp.exp(self.collapse.formation(growth))
        age = (self.a * self.collapse.dolag(self.a))[:, None] / formed
        return jnp.reshape(jnp.asarray(amplitude), (-1, 1)) * age

    def one_halo(
        self,
        k: np.ndarray,
        amplitude: Redshifts | float,
        puff: Array | float,
        eight: Array,
        mass_fraction: Array | float = 1.0,
        stars: Array | float = 0.0,
    ) -> Values:
        """P of pairs within a halo, suppressed at large scales.

        ``mass_fraction`` (z, R) and ``stars`` (z, 1): what becomes of the profile, W times the one
        plus the other.
        """
        c, nu = self.concentration(amplitude), self.nu
        radius = _RADII / jnp.cbrt(self.delta_v)[:, None]
        own = np.exp(np.linspace(np.log(_HALO_K), np.log(k[-1]), _count(k[-1])))
        kappa = (radius / c * nu**puff)[:, :, None] * own
        profile = nfw(kappa, c[:, :, None])
        profile = profile * jnp.asarray(mass_fraction)[..., None] + jnp.asarray(stars)[..., None]
        squeezed = _Q * nu**2
        number = _A * (1.0 + squeezed**-_P) * jnp.exp(-squeezed / 2.0)
        volume = 4.0 * np.pi / 3.0 * _RADII**3  # M / rho
        weight = number * volume * nu * -self._slopes[:, _SHRINK:] * _R_STEP
        total = jnp.sum(weight[:, :, None] * profile**2, axis=1)
        between = Nodes.of(np.log(own)).matrix(np.log(np.maximum(k, _HALO_K)))
        power = jnp.exp(jnp.log(total) @ jnp.asarray(between).T)
        star = 0.05618 * eight**-1.013 * jnp.asarray(self.cosmology.hubble_parameter)
        large = (k / star) ** 4
        return power * large / (1.0 + large)

    def log_response(
        self, temperature: Array, k: np.ndarray, power: Values, eight: Array
    ) -> Values:
        """ln of P with gas and stars over P without, of a plain halo model (section 5, Table 5)."""
        cosmology, theta = self.cosmology, temperature - 7.8
        z = 1.0 / self.a - 1.0
        omega_m = jnp.asarray(cosmology.omega_m)
        baryons, cold = cosmology.omega_b / omega_m, cosmology.omega_cdm / omega_m
        amplitude = (3.44 - 0.496 * theta) * 10.0 ** ((-0.0671 - 0.0371 * theta) * z)
        stars = (0.0201 - 0.003 * theta) * 10.0 ** ((0.409 + 0.0224 * theta) * z)
        stars = jnp.minimum(stars, baryons)[:, None]
        lost = (13.87 + 1.81 * theta) + (-0.108 + 0.195 * theta) * z  # log10 of [M_sun / h]
        mass = 4.0 * np.pi / 3.0 * _RADII**3 * _DENSITY * omega_m
        mass = mass * jnp.asarray(cosmology.hubble_parameter)  # [M_sun / h]
        bound = (mass / 10.0 ** lost[:, None]) ** 2
        left = cold + (baryons - stars) * bound / (1.0 + bound)
        plain = self.one_halo(k, 4.0, 0.0, eight) * (1.0 - self.collapse.f_nu) ** 2
        filled = self.one_halo(k, amplitude, 0.0, eight, left, stars)
        return jnp.log((power + filled) / (power + plain))


def _count(last: float) -> int:
    return int(np.ceil(np.log(last / _HALO_K) / _HALO_STEP)) + 1


def _cold_ratio(cosmology: Cosmology, collapse: Collapse, a: Redshifts) -> Values:
    """Fluctuations of baryons and cold dark matter over those of all matter, at ``_K``: Eisenstein
    & Hu 1999 (ApJ 511, 5, eqs. 11-14), written so that it is 1 without massive neutrinos."""
    f = collapse.f_nu
    theta = jnp.asarray(cosmology.T_cmb) / 2.7
    omega_m = jnp.asarray(cosmology.omega_m)
    states = jnp.maximum(jnp.sum(cosmology.neutrino_masses > 0.0), 1)
    root = 5.0 + jnp.sqrt(1.0 + 24.0 * (1.0 - f))
    fall = 6.0 * f / root  # p = (5 - sqrt(1 + 24 (1 - f))) / 4
    growth = (1.0 + 2.5e4 * omega_m / theta**4) * collapse.early(a)[:, None]
    q = states * _K * theta**2 / omega_m
    # (1 / (1 + y_fs))^0.7 = f^(13/6 0.7) / (f^(13/6) + 17.2 (q N)^2 (f^(7/6) + 0.488))^0.7
    # which, and its slope, are 0 without mass, where second derivatives of such powers are infinite
    some = jnp.where(f > 0.0, f, 1.0)
    stream = some ** (13.0 / 6.0) + 17.2 * q**2 * (some ** (7.0 / 6.0) + 0.488)
    grown = some ** (13.0 / 6.0 * 0.7) * (growth / stream) ** 0.7
    grown = jnp.where(f > 0.0, grown, 0.0)
    # (1 - f)^(0.7 / p), with ln(1 - f) / f by its series near 0
    near = f < _FEW
    series = -(1.0 + f / 2.0 + f**2 / 3.0 + f**3 / 4.0 + f**4 / 5.0)
    far = jnp.where(near, 0.5, f)
    small = jnp.exp(0.7 / 6.0 * root * jnp.where(near, series, jnp.log1p(-far) / far))
    ratio = (1.0 + grown) / (small + grown)
    return jnp.exp(fall / 0.7 * jnp.log(ratio))
