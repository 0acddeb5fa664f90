"""Redshift distributions n(z) of samples, with integral 1: analytic, or from catalogues.

Every distribution knows its support [z_min, z_max], the finest structure in z that matters
(``scale``) and how smooth it is (``order``); they are static, as they set the nodes of a
projection. All else is differentiable.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from volvelle.cosmology.interpolation import clamp
from volvelle.cosmology.neutrinos import is_traced
from volvelle.cosmology.quadrature import gauss_legendre

from .errors import DistributionError

_TAIL = 6.0  # standard deviations of a kernel that are kept: 1e-9 of it lie outside
_ORDER = 96  # of the integrals of analytic distributions
_SMOOTH_SCALE = 0.05  # of analytic distributions, in z

Redshifts = Float[Array, " *z"] | np.ndarray
Scalar = Float[Array, ""] | float


class Distribution(eqx.Module):
    """n(z) of one sample; calling it gives the density, with integral 1 over its support.

    Where the values are traced and no positive, finite integral exists, densities are NaN; where
    they are known, DistributionError is raised.
    """

    z_min: eqx.AbstractVar[float]
    z_max: eqx.AbstractVar[float]
    scale: eqx.AbstractVar[float]
    """Step in z that samples n(z), so that what is projected is right to 1e-3 (see ``order``)."""

    @property
    def order(self) -> int:
        """At which power of the step its errors fall: 4 if smooth, 2 with kinks, 1 with jumps."""
        return 4

    @abstractmethod
    def density(self, z: Redshifts) -> Redshifts:
        """n(z) up to a factor, within the support."""

    @abstractmethod
    def mass(self, z: Redshifts) -> Redshifts:
        """The integral of ``density`` from z_min to z, exactly."""

    @property
    def sound(self) -> Bool[Array, ""] | np.bool_ | bool:
        """Whether the parameters make a density that integrates."""
        return True

    def __check_init__(self) -> None:
        if not is_traced(self.sound) and not self.sound:
            raise DistributionError(f"{self}: n(z) has no integral; {self._expected}")
        if not 0.0 <= self.z_min < self.z_max < np.inf or not 0.0 < self.scale < np.inf:
            raise DistributionError(
                f"a distribution from z = {self.z_min:g} to {self.z_max:g} with structure of "
                f"{self.scale:g}; expected 0 <= z_min < z_max and a positive scale"
            )
        norm = self.mass(np.asarray(self.z_max))
        if not is_traced(norm) and not (np.isfinite(norm) and norm > 0.0):
            raise DistributionError(
                f"{type(self).__name__}: the integral of n(z) over [{self.z_min:g}, "
                f"{self.z_max:g}] is {float(norm):g}; expected a positive number: look at its "
                "values and its range of z"
            )

    @property
    def _expected(self) -> str:
        return "expected a positive, finite one"

    @property
    def norm(self) -> Float[Array, ""]:
        """The integral of ``density``; NaN where there is none."""
        norm = self.mass(np.asarray(self.z_max))
        of = jnp if is_traced(norm) or is_traced(self.sound) else np
        return jnp.asarray(of.where(of.isfinite(norm) & (norm > 0.0) & self.sound, norm, np.nan))

    def __call__(self, z: ArrayLike) -> Array:
        """n(z), zero outside of the support."""
        z = z if isinstance(z, np.ndarray) else jnp.asarray(z)
        inside = (z >= self.z_min) & (z <= self.z_max)
        return jnp.where(inside, self.density(self._within(z)) / self.norm, 0.0)

    def cumulative(self, z: ArrayLike) -> Array:
        """The fraction of the sample below z."""
        return jnp.asarray(self.mass(self._within(z))) / self.norm

    def _within(self, z: ArrayLike) -> Redshifts:
        """z or the end of the support; of NumPy where it was, so that what is known stays so."""
        if isinstance(z, np.ndarray):
            return np.clip(z, self.z_min, self.z_max)
        return clamp(z, self.z_min, self.z_max)

    @property
    def mean(self) -> Float[Array, ""]:
        """Mean redshift, z_max minus the integral of ``cumulative``."""
        nodes, weights = gauss_legendre(8)
        panels = max(int(np.ceil((self.z_max - self.z_min) / self.scale)), 8)
        width = (self.z_max - self.z_min) / panels
        z = self.z_min + width * (np.arange(panels)[:, None] + nodes)
        return self.z_max - width * jnp.sum(self.cumulative(z) @ weights)


class Smail(Distribution):
    """n ~ z^alpha exp(-(z / z0)^beta) up to z_max (Smail et al. 1994)."""

    alpha: Scalar
    beta: Scalar
    z0: Scalar
    z_max: float = eqx.field(static=True, default=6.0)
    scale: float = eqx.field(static=True, default=_SMOOTH_SCALE)
    z_min: float = eqx.field(static=True, default=0.0)

    @property
    def sound(self) -> Bool[Array, ""] | np.bool_ | bool:
        return (self.alpha > -1.0) & (self.beta > 0.0) & (self.z0 > 0.0)

    @property
    def _expected(self) -> str:
        return "expected alpha > -1, beta > 0 and z0 > 0"

    def density(self, z: Redshifts) -> Redshifts:
        safe = jnp.maximum(z, 1e-30)  # 0^alpha has no derivative in alpha
        return (safe / self.z0) ** self.alpha * jnp.exp(-((safe / self.z0) ** self.beta))

    def mass(self, z: Redshifts) -> Redshifts:
        return _integral(self.density, z)


class Fu(Distribution):
    """n ~ (z^a + z^(a b)) / (z^b + c) up to z_max (Fu et al. 2008)."""

    a: Scalar
    b: Scalar
    c: Scalar
    z_max: float = eqx.field(static=True, default=6.0)
    scale: float = eqx.field(static=True, default=_SMOOTH_SCALE)
    z_min: float = eqx.field(static=True, default=0.0)

    @property
    def sound(self) -> Bool[Array, ""] | np.bool_ | bool:
        return (self.a > -1.0) & (self.a * self.b > -1.0) & (self.c > 0.0)

    @property
    def _expected(self) -> str:
        return "expected a > -1, a b > -1 and c > 0"

    def density(self, z: Redshifts) -> Redshifts:
        safe = jnp.maximum(z, 1e-30)
        return (safe**self.a + safe ** (self.a * self.b)) / (safe**self.b + self.c)

    def mass(self, z: Redshifts) -> Redshifts:
        return _integral(self.density, z)


class KernelDensity(Distribution):
    """Sum of Gaussians around the redshifts of a catalogue, cut at z = 0.

    Args:
        redshifts: [n] of the objects (or centres of bins); ``z_max`` is needed where traced.
        bandwidth: standard deviation of the kernel; ``scale`` is needed where traced.
        weights: [n] or None for equal ones.
    """

    redshifts: Float[Array, " n"] | np.ndarray
    bandwidth: Scalar
    weights: Float[Array, " n"] | np.ndarray
    z_min: float = eqx.field(static=True)
    z_max: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __init__(
        self,
        redshifts: ArrayLike,
        bandwidth: Scalar,
        weights: ArrayLike | None = None,
        z_max: float | None = None,
        scale: float | None = None,
    ) -> None:
        self.redshifts = numbers(redshifts)
        self.bandwidth = bandwidth
        given = np.ones(self.redshifts.shape) if weights is None else numbers(weights)
        if self.redshifts.ndim != 1 or given.shape != self.redshifts.shape:
            raise DistributionError(
                f"redshifts of shape {self.redshifts.shape} with weights of shape {given.shape}; "
                "expected two arrays of one length"
            )
        self.weights = not_negative(given, "weights")
        if scale is None:
            scale = float(_known(bandwidth, "bandwidth", "scale"))
        tail = _TAIL * scale
        if z_max is None:
            z_max = float(np.max(_known(self.redshifts, "redshifts", "z_max"))) + tail
        known = not is_traced(self.redshifts)
        self.z_min = max(float(np.min(self.redshifts)) - tail, 0.0) if known else 0.0
        self.z_max, self.scale = float(z_max), float(scale)

    def density(self, z: Redshifts) -> Redshifts:
        x = (z[..., None] - jnp.asarray(self.redshifts)) / self.bandwidth
        return (
            jnp.exp(-0.5 * x**2)
            @ jnp.asarray(self.weights)
            / (np.sqrt(2.0 * np.pi) * self.bandwidth)
        )

    def mass(self, z: Redshifts) -> Redshifts:
        scaled = np.sqrt(2.0) * self.bandwidth
        below = erf((self.z_min - self.redshifts) / scaled)
        return (
            0.5
            * (erf((z[..., None] - self.redshifts) / scaled) - below)
            @ jnp.asarray(self.weights)
        )


def _one_redshift(value: Any) -> float:
    if is_traced(value):
        raise DistributionError(
            "the redshift of a Delta is traced by JAX; expected a number, as it sets the nodes of "
            "the projection: keep it out of what is differentiated or compiled, or take "
            "Shifted(KernelDensity([z], 0.005), shift), whose shift may be traced"
        )
    return float(value)


class Delta(Distribution):
    """All objects at one redshift; for lensing, as no density exists.

    The redshift sets the nodes of a projection: it is a number, with no derivative.

    Raises DistributionError for a redshift that JAX traces.
    """

    z: float = eqx.field(static=True, converter=_one_redshift)
    scale: float = eqx.field(static=True, default=_SMOOTH_SCALE)
    z_min: float = eqx.field(static=True, default=0.0)

    @property
    def z_max(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.z

    def density(self, z: Redshifts) -> Redshifts:
        raise DistributionError(
            f"a sample at the one redshift {self.z:g} has no density n(z), which clustering and "
            "intrinsic alignments need: take a distribution of finite width"
        )

    def mass(self, z: Redshifts) -> Redshifts:
        return jnp.where(jnp.asarray(z) >= self.z, 1.0, 0.0)


def _integral(density: Callable[[Redshifts], Redshifts], z: Redshifts) -> Redshifts:
    """From 0 to z of a density that may begin as any power: Gauss's rule in t, z' = z t^4."""
    nodes, weights = gauss_legendre(_ORDER)
    z = jnp.asarray(z)
    return z * (density(z[..., None] * nodes**4) @ (4.0 * nodes**3 * weights))


def numbers(values: ArrayLike) -> Array | np.ndarray:
    """As an array of NumPy where known: what follows from it is then no work for a program."""
    return jnp.asarray(values) if is_traced(values) else np.asarray(values, dtype=float)


def not_negative(values: Array | np.ndarray, name: str) -> Array | np.ndarray:
    """The values, NaN for traced ones below 0; raises DistributionError for known ones."""
    if is_traced(values):
        return jnp.where(values >= 0.0, values, jnp.nan)
    if not np.all(np.asarray(values) >= 0.0):
        raise DistributionError(f"{name} of n(z) below 0 or not finite; expected densities")
    return values


def _known(value: ArrayLike, name: str, instead: str) -> np.ndarray:
    if is_traced(value):
        raise DistributionError(f"{name} is traced: give {instead} as a number")
    return np.asarray(value)
