"""Angular spectra by plain quadrature with SciPy's spherical Bessel functions: slow and certain.

Nothing is shared with ``volvelle.probes`` but the background, P(k, a) and n(z).
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline, RectBivariateSpline
from scipy.special import spherical_jn

from volvelle.cosmology import Cosmology, comoving_distance, growth_factor, growth_rate, hubble
from volvelle.cosmology.constants import LIGHT_SPEED
from volvelle.power import Spectrum

_ORDER = 8
_NODES, _WEIGHTS = (each / 2.0 for each in np.polynomial.legendre.leggauss(_ORDER))
_NODES = _NODES + 0.5


def panels(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gauss's nodes and weights between successive edges."""
    width = np.diff(edges)[:, None]
    return (edges[:-1, None] + width * _NODES).ravel(), (width * _WEIGHTS).ravel()


def angular_factors(ell: int) -> dict[int, float]:
    """Of derivatives on the sphere: none, those of a convergence, those of a shear."""
    return {
        0: 1.0,
        1: ell * (ell + 1.0),
        2: float(np.sqrt((ell + 2.0) * (ell + 1) * ell * (ell - 1))),
    }


@dataclass
class Sky:
    """A universe on fine nodes in z."""

    cosmology: Cosmology
    spectrum: Spectrum
    z: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        a = 1.0 / (1.0 + self.z)
        self.a = a
        self.chi = np.asarray(comoving_distance(self.cosmology, a))
        self.rate = np.asarray(hubble(self.cosmology, a)) / LIGHT_SPEED
        self.growth = np.asarray(growth_factor(self.cosmology, a))
        self.speed = np.asarray(growth_rate(self.cosmology, a))
        log_k = np.linspace(np.log(self.spectrum.k_min), np.log(2.0), 600)
        layer = np.linspace(0.0, np.log1p(self.z[-1]) + 0.01, 150)
        shape = (log_k.size, layer.size)
        power = self.spectrum(
            jnp.broadcast_to(np.exp(log_k)[:, None], shape),
            jnp.broadcast_to(np.exp(-layer), shape),
        )
        self.log_power = RectBivariateSpline(log_k, layer, np.log(np.asarray(power)))
        self.lensing = 1.5 * float(self.cosmology.Omega_m)
        self.lensing *= (100.0 * float(self.cosmology.h) / LIGHT_SPEED) ** 2

    def counts(self, n: Callable, bias: float) -> list[tuple[int, int, np.ndarray]]:
        """Galaxies: (angular, bessel, W dchi / dz)."""
        return [(0, 0, bias * np.asarray(n(self.z)))]

    def aligned(self, n: Callable, amplitude: float, eta: float, z0: float) -> list:
        """Intrinsic shapes, over C_1 rho_crit."""
        strength = -amplitude * float(self.cosmology.Omega_m) / self.growth
        return [(2, -1, strength * ((1.0 + self.z) / (1.0 + z0)) ** eta * np.asarray(n(self.z)))]

    def distortions(self, n: Callable) -> list[tuple[int, int, np.ndarray]]:
        return [(0, 2, -self.speed * np.asarray(n(self.z)))]

    def lensed(self, n: Callable, factor: float, angular: int) -> list:
        """Sources behind every node, by the double integral as it stands."""
        sources = np.asarray(n(self.z)) * self.weights
        between = np.clip(1.0 - self.chi[:, None] / self.chi[None], 0.0, None)
        return [(angular, -1, factor * self._matter() * (between @ sources))]

    def lensed_from(self, z_source: float) -> list[tuple[int, int, np.ndarray]]:
        far = float(comoving_distance(self.cosmology, 1.0 / (1.0 + z_source)))
        return [(1, -1, self._matter() * np.clip(1.0 - self.chi / far, 0.0, None))]

    def _matter(self) -> np.ndarray:
        return self.lensing * (1.0 + self.z) * self.chi / self.rate

    def spectra(
        self, ell: int, fields: list[list], k: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """[fields, fields] of one multipole."""
        outer = angular_factors(ell)
        delta = np.zeros((k.size, len(fields)))
        for block in np.array_split(np.arange(k.size), max(k.size // 100, 1)):
            x = k[block, None] * self.chi
            j = spherical_jn(ell, x)
            root = np.exp(0.5 * self.log_power(np.log(k[block]), np.log1p(self.z))) * self.weights
            slope = spherical_jn(ell - 1, x) - (ell + 1.0) / x * j
            bend = -2.0 / x * slope - (1.0 - ell * (ell + 1.0) / x**2) * j
            shapes = {-1: j / x**2, 0: j, 1: slope, 2: bend}
            for n, field in enumerate(fields):
                for angular, bessel, kernel in field:
                    delta[block, n] += outer[angular] * ((shapes[bessel] * root) @ kernel)
        return delta.T @ (delta * (2.0 / np.pi * weights * k**2)[:, None])

    def near(self, ell: int, fields: list[list], k: float) -> np.ndarray:
        """[fields, fields] of Limber's approximation above k, of what is smooth there."""
        nu = ell + 0.5
        chi, weights = panels(np.linspace(self.chi[0], nu / k, 60))
        outer = {a: factor / nu**2 if a else factor for a, factor in angular_factors(ell).items()}
        sums = [
            sum((outer[a] * w for a, bessel, w in field if bessel < 1), np.zeros(self.chi.size))
            for field in fields
        ]
        stack = CubicSpline(self.chi, np.stack(sums) * self.rate, axis=1)(chi)
        a = np.interp(chi, self.chi, self.a)
        power = np.asarray(self.spectrum(jnp.asarray(nu / chi), jnp.asarray(a)))
        return (stack * power * weights / chi**2) @ stack.T
