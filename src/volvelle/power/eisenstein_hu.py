"""Linear power by the fits of Eisenstein & Hu 1998 (ApJ 496, 605; equation numbers are theirs).

What the paper does not have, this model does not have. The transfer function is that of baryons and
cold matter, as equality is, when neutrinos were relativistic; massive ones slow down growth at all
scales alike (with A_s, small scales are right and the largest too low by some 6 f_nu); N_eff enters
through the time of equality only, dark energy and curvature through growth only.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities
from volvelle.cosmology.constants import HUBBLE_DISTANCE
from volvelle.cosmology.growth import GrowthTable, growth_table

from .base import Model, Spectrum
from .filters import top_hat_variance

PIVOT = 0.05
"""Wavenumber at which A_s is the primordial power [1/Mpc]."""
K_MIN, K_MAX = 1e-7, 1e6
A_MIN = 1.0 / 1201.0
"""The earliest a: z = 1200, before last scattering."""
_N_EFF, _PER_NEUTRINO = 3.044, 0.22710731766
"""At this N_eff equality is where the paper has it; energy of a neutrino over the photons'."""
_EARLY = 1e-8
"""A scale factor long before equality."""

Points = Float[Array, " *k"]
Scalar = Float[Array, ""]


class _Scales(eqx.Module):
    """What the transfer functions of a universe are made of."""

    omega_m: Scalar
    omega_b: Scalar
    theta: Scalar
    k_eq: Scalar
    z_eq: Scalar

    @property
    def baryons(self) -> Scalar:
        """Their fraction of all matter."""
        return self.omega_b / self.omega_m


def _scales(cosmology: Cosmology) -> _Scales:
    omega_m = jnp.asarray(cosmology.omega_b + cosmology.omega_cdm)
    theta = jnp.asarray(cosmology.T_cmb) / 2.7
    radiation = 1.0 + _PER_NEUTRINO * jnp.asarray(cosmology.N_eff_total)
    later = radiation / (1.0 + _PER_NEUTRINO * _N_EFF)
    return _Scales(
        omega_m=omega_m,
        omega_b=jnp.asarray(cosmology.omega_b),
        theta=theta,
        k_eq=7.46e-2 * omega_m / theta**2 / jnp.sqrt(later),  # eq. 3
        z_eq=2.5e4 * omega_m / theta**4 / later,  # eq. 2
    )


def smooth_transfer(cosmology: Cosmology, k: Points) -> Points:
    """T(k) without baryonic oscillations (eqs. 26, 28-31), k in 1/Mpc."""
    at = _scales(cosmology)
    sound = (
        44.5
        * jnp.log(9.83 / at.omega_m)
        / jnp.sqrt(1.0 + 10.0 * jnp.exp(0.75 * jnp.log(at.omega_b)))
    )
    share = at.baryons
    alpha = 1.0 - 0.328 * jnp.log(431.0 * at.omega_m) * share
    alpha = alpha + 0.38 * jnp.log(22.3 * at.omega_m) * share**2
    # Gamma h = omega_m alpha_Gamma(k); equality's shift with N_eff as in k_eq
    shape = alpha + (1.0 - alpha) / (1.0 + (0.43 * k * sound) ** 4)
    q = k * 7.46e-2 / (at.k_eq * shape)
    logarithm = jnp.log(2.0 * np.e + 1.8 * q)
    return logarithm / (logarithm + (14.2 + 731.0 / (1.0 + 62.5 * q)) * q**2)


class _Wiggles(eqx.Module):
    """The constants of the full transfer function."""

    scales: _Scales
    sound: Scalar
    silk: Scalar
    alpha_c: Scalar
    beta_c: Scalar
    alpha_b: Scalar
    beta_b: Scalar
    beta_node: Scalar

    def __call__(self, k: Points) -> Points:
        """T(k) (eqs. 16-24), k in 1/Mpc."""
        q, x = k / (13.41 * self.scales.k_eq), k * self.sound  # eq. 10
        bend = 386.0 / (1.0 + 69.9 * jnp.exp(1.08 * jnp.log(q)))

        def pressureless(alpha: Scalar | float, logarithm: Points) -> Points:  # eqs. 19, 20
            return logarithm / (logarithm + (14.2 / alpha + bend) * q**2)

        slow, free = jnp.log(np.e + 1.8 * self.beta_c * q), jnp.log(np.e + 1.8 * q)
        between = 1.0 / (1.0 + (x / 5.4) ** 4)  # eq. 18
        cold = between * pressureless(1.0, slow)
        cold = cold + (1.0 - between) * pressureless(self.alpha_c, slow)  # eq. 17
        damping = jnp.exp(-jnp.exp(1.4 * jnp.log(k / self.silk)))
        envelope = pressureless(1.0, free) / (1.0 + (x / 5.2) ** 2)
        envelope = envelope + self.alpha_b * damping * x**3 / (x**3 + self.beta_b**3)
        phase = x**2 / jnp.cbrt(x**3 + self.beta_node**3)  # eq. 22
        baryons = envelope * jnp.sinc(phase / np.pi)  # eq. 21
        share = self.scales.baryons
        return share * baryons + (1.0 - share) * cold


_OF_MATTER = (-0.419, 0.674, 0.223, 0.251, 0.828, 0.670, 0.424, -0.532, -0.582, -0.708, -0.0266)
_OF_MATTER += (0.435, 0.73, -0.95)


def _wiggles(cosmology: Cosmology) -> _Wiggles:
    at = _scales(cosmology)
    m, b, share = at.omega_m, at.omega_b, at.baryons
    log_b = jnp.log(b)
    powers = jnp.exp(np.array(_OF_MATTER) * jnp.log(m))  # one operation is quicker to compile

    def of_matter(factor: float, exponent: float) -> Scalar:
        return factor**exponent * powers[_OF_MATTER.index(exponent)]

    b1 = 0.313 * of_matter(1.0, -0.419) * (1.0 + 0.607 * of_matter(1.0, 0.674))
    drag = 1.0 + b1 * jnp.exp(0.238 * of_matter(1.0, 0.223) * log_b)
    z_drag = 1291.0 * of_matter(1.0, 0.251) / (1.0 + 0.659 * of_matter(1.0, 0.828)) * drag  # eq. 4
    loading = 31.5e3 * b / at.theta**4  # eq. 5, times 1 + z
    r_drag, r_eq = loading / (1.0 + z_drag), loading / at.z_eq
    path = (jnp.sqrt(1.0 + r_drag) + jnp.sqrt(r_drag + r_eq)) / (1.0 + jnp.sqrt(r_eq))
    sound = 2.0 / (3.0 * at.k_eq) * jnp.sqrt(6.0 / r_eq) * jnp.log(path)  # eq. 6
    a1 = of_matter(46.9, 0.670) * (1.0 + of_matter(32.1, -0.532))
    a2 = of_matter(12.0, 0.424) * (1.0 + of_matter(45.0, -0.582))
    fall = 0.944 / (1.0 + of_matter(458.0, -0.708))
    lag = fall * (jnp.exp(of_matter(0.395, -0.0266) * jnp.log1p(-share)) - 1.0)
    y = at.z_eq / (1.0 + z_drag)  # eq. 2 is 1 + z of equality, as the authors' own code says
    root = jnp.sqrt(1.0 + y)
    g = y * (-6.0 * root + (2.0 + 3.0 * y) * jnp.log((root + 1.0) / (root - 1.0)))  # eq. 15
    slowed = 1.0 / jnp.sqrt((1.0 + r_drag) * jnp.sqrt(1.0 + r_drag))  # to the power -3/4
    return _Wiggles(
        scales=at,
        sound=sound,
        silk=1.6 * jnp.exp(0.52 * log_b) * of_matter(1.0, 0.73) * (1.0 + of_matter(10.4, -0.95)),
        alpha_c=jnp.exp(-share * jnp.log(a1) - share**3 * jnp.log(a2)),  # eq. 11
        beta_c=1.0 / (1.0 + lag),  # eq. 12
        alpha_b=2.07 * at.k_eq * sound * slowed * g,  # eq. 14
        beta_b=0.5 + share + (3.0 - 2.0 * share) * jnp.sqrt((17.2 * m) ** 2 + 1.0),  # eq. 24
        beta_node=8.41 * of_matter(1.0, 0.435),  # eq. 23
    )


class EisensteinHuSpectrum(Spectrum):
    """P of one universe; all matter is one fluid, so ``cb`` is ``matter``."""

    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)
    cosmology: Cosmology
    wiggles: _Wiggles | None
    growth: GrowthTable
    amplitude: Scalar
    """P = amplitude k^n_s T^2 D^2, D = 1 today."""

    def transfer(self, k: Points) -> Points:
        """T(k), 1 at small k."""
        return smooth_transfer(self.cosmology, k) if self.wiggles is None else self.wiggles(k)

    def today(self, k: Points) -> Points:
        """P at a = 1."""
        tilt = jnp.exp(jnp.asarray(self.cosmology.n_s) * jnp.log(k))
        return self.amplitude * tilt * self.transfer(k) ** 2

    def matter(self, k: Points, a: Points) -> Points:
        """P of all matter."""
        return self.today(k) * self.growth(a)[0] ** 2

    def cb(self, k: Points, a: Points) -> Points:
        """P of baryons and cold dark matter."""
        return self.matter(k, a)


class EisensteinHu(Model):
    """Eisenstein & Hu 1998, with baryonic oscillations or (``wiggles=False``) their smooth shape.

    Normalised by the cosmology's A_s or sigma8, whichever it has; z <= 1200.
    """

    wiggles: bool = eqx.field(static=True, default=True)

    def spectrum(self, cosmology: Cosmology) -> EisensteinHuSpectrum:
        """The fits' constants and the growth of a universe.

        Raises ParameterError without h.
        """
        growth = growth_table(densities(cosmology))
        made = EisensteinHuSpectrum(
            k_min=K_MIN,
            k_max=K_MAX,
            a_min=A_MIN,
            cosmology=cosmology,
            wiggles=_wiggles(cosmology) if self.wiggles else None,
            growth=growth,
            amplitude=jnp.ones(()),
        )
        if cosmology.sigma8 is not None:
            radius = 8.0 / jnp.asarray(cosmology.hubble_parameter)
            amplitude = jnp.asarray(cosmology.sigma8) ** 2 / top_hat_variance(made.today, radius)
        else:
            before = jnp.asarray(_EARLY)  # among radiation and matter D = b (a + 2/3 a_eq)
            amplitude = primordial_amplitude(cosmology) * (before / growth(before)[1]) ** 2
        return eqx.tree_at(lambda s: s.amplitude, made, amplitude)


def primordial_amplitude(cosmology: Cosmology) -> Scalar:
    """P / (k^n_s T^2 D^2) with D = a among matter, from A_s.

    delta = 2/5 k^2 c^2 / (Omega_m H0^2) R T D, with R the curvature perturbation, of power
    2 pi^2 / k^3 A_s (k / PIVOT)^(n_s - 1): the same in a curved universe, which was flat then.
    """
    tilt = jnp.exp(jnp.asarray(1.0 - cosmology.n_s) * np.log(PIVOT))
    poisson = 0.4 * HUBBLE_DISTANCE**2 / jnp.asarray(cosmology.omega_m)
    return 2.0 * np.pi**2 * poisson**2 * jnp.asarray(cosmology.A_s) * tilt
