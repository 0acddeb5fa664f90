"""Angular spectra of universes of any curvature by their own radial waves: slow and certain.

The radial part of a wave of k^2 = q^2 - K is u(chi) / f_K(chi), where

    u'' = [l (l + 1) / f_K^2 - q^2] u,    u -> f_K^(l+1) q^l prod_n sqrt(1 - K n^2 / q^2) / (2l+1)!!

(Abbott & Schaefer 1986, ApJ 308, 546): spherical Bessel functions where K = 0. Nothing is shared
with ``volvelle.probes`` but the background, growth and n(z).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import spherical_jn

from brute_force import angular_factors
from volvelle.cosmology import Cosmology, comoving_distance, growth_factor, growth_rate, hubble
from volvelle.cosmology.constants import LIGHT_SPEED

PHASE = 0.05  # of a step, at most
BEGIN = 200  # steps, from which on waves are integrated

Kernel = np.ndarray


@dataclass
class Curved:
    """A universe on equal steps of chi, up to ``last`` [Mpc], for wavenumbers up to ``k_max``."""

    cosmology: Cosmology
    last: float
    k_max: float

    def __post_init__(self) -> None:
        universe, z = self.cosmology, np.expm1(np.linspace(0.0, np.log(1200.0), 6000))
        distance = np.asarray(comoving_distance(universe, jnp.asarray(1.0 / (1.0 + z))))
        number = int(np.ceil(self.last * self.k_max / PHASE))
        self.step = self.last / number
        self.chi = self.step * np.arange(1, number + 1)
        self.z = CubicSpline(distance, z)(self.chi)
        a = jnp.asarray(1.0 / (1.0 + self.z))
        self.rate = np.asarray(hubble(universe, a)) / LIGHT_SPEED
        self.growth = np.asarray(growth_factor(universe, a))
        self.speed = np.asarray(growth_rate(universe, a))
        scale = (100.0 * float(universe.hubble_parameter) / LIGHT_SPEED) ** 2
        self.curvature = -float(universe.Omega_k) * scale
        self.matter = 1.5 * float(universe.Omega_m) * scale * (1.0 + self.z) * self.growth
        self.transverse = self.sine(self.chi)

    def sine(self, chi: np.ndarray) -> np.ndarray:
        """f_K."""
        root = np.sqrt(complex(self.curvature))
        return chi if root == 0.0 else np.real(np.sin(root * chi) / root)

    def counts(self, n: Callable, bias: float) -> Kernel:
        """Galaxies, of the waves themselves."""
        return bias * np.asarray(n(self.z)) * self.rate * self.growth

    def distortions(self, n: Callable) -> Kernel:
        """-f d^2 / dchi^2 over k^2, by parts: n(z) ends smoothly on both sides."""
        density = self.speed * np.asarray(n(self.z)) * self.rate * self.growth
        return -CubicSpline(self.chi, density)(self.chi, 2)

    def lensed(self, n: Callable, factor: float = 1.0) -> Kernel:
        """By matter before sources of n(z), over k^2 and without what is due to derivatives on the
        sphere; by the double integral, on fewer steps."""
        few = np.linspace(self.chi[0], self.chi[-1], 3000)
        z = np.interp(few, self.chi, self.z)
        sources = np.asarray(n(z)) * np.interp(few, self.chi, self.rate) * (few[1] - few[0])
        between = self.sine(np.clip(few[None] - few[:, None], 0.0, None)) / self.sine(few)
        return self._before(factor * np.interp(self.chi, few, between @ sources))

    def lensed_from(self, z_source: float) -> Kernel:
        """The same of one redshift."""
        far = float(comoving_distance(self.cosmology, 1.0 / (1.0 + z_source)))
        left = self.sine(np.clip(far - self.chi, 0.0, None)) / self.sine(np.asarray(far))
        return self._before(left)

    def _before(self, efficiency: np.ndarray) -> Kernel:
        return self.matter * efficiency / self.transverse

    def aligned(self, n: Callable, amplitude: float) -> Kernel:
        """Intrinsic shapes over C_1 rho_crit, over k^2."""
        strength = -amplitude * float(self.cosmology.Omega_m) / self.growth
        return strength * self.counts(n, 1.0) / self.transverse**2

    def projections(self, ell: int, k: np.ndarray, kernels: np.ndarray) -> np.ndarray:
        """Integrals of kernels [m, chi] times every wave, [m, k], by Numerov's rule."""
        q = np.sqrt(k**2 + self.curvature)
        n = np.arange(1, ell + 1)[:, None]
        # Near the observer, a spherical Bessel function with the factors of a curved universe.
        first = np.exp(0.5 * np.sum(np.log1p(-self.curvature * n**2 / q**2), axis=0))
        near = self.transverse[: BEGIN + 2, None]
        waves = list(first * near * spherical_jn(ell, q * near))
        rule = self.step**2 / 12.0 * (q**2 - ell * (ell + 1.0) / self.transverse[:, None] ** 2)
        for i in range(BEGIN + 2, self.chi.size):
            there = 2.0 * (1.0 - 5.0 * rule[i - 1]) * waves[-1] - (1.0 + rule[i - 2]) * waves[-2]
            waves.append(there / (1.0 + rule[i]))
        return (kernels * self.step / self.transverse) @ np.stack(waves)

    def spectra(
        self, ell: int, fields: list[list[tuple[int, int, Kernel]]], k: np.ndarray, power: Callable
    ) -> np.ndarray:
        """[fields, fields] of one multipole; fields are sums of (angular, inverse squares of k,
        kernel), ``power`` is P(k) today."""
        outer = angular_factors(ell)
        terms = [(n, *term) for n, field in enumerate(fields) for term in field]
        found = self.projections(ell, k, np.stack([term[-1] for term in terms]))
        delta = np.zeros((len(fields), k.size))
        for (n, angular, squares, _), each in zip(terms, found, strict=True):
            delta[n] += outer[angular] * each / k ** (2 * squares)
        q = np.sqrt(k**2 + self.curvature)
        measure = 2.0 / np.pi * k * q * np.gradient(k) * np.asarray(power(jnp.asarray(k)))
        return (delta * measure) @ delta.T
