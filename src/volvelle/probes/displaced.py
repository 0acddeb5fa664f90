"""Redshift distributions whose mean or width is off: shifted and stretched ones."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.cosmology.neutrinos import is_traced

from .errors import DistributionError
from .redshift import Delta, Distribution, Redshifts, Scalar


class Shifted(Distribution):
    """n(z - shift); what would lie below z = 0 is cut and the rest has integral 1.

    Args:
        base: the distribution that is shifted.
        shift: added to all redshifts, at most ``margin`` either way (NaN beyond it where traced).
        margin: how far the support reaches beyond that of ``base``.
    """

    base: Distribution
    shift: Scalar
    margin: float = eqx.field(static=True, default=0.2)

    def __check_init__(self) -> None:
        _refuse_delta(self.base)
        _within(self.shift, -self.margin, self.margin, "shift", "margin")

    @property
    def z_min(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return max(self.base.z_min - self.margin, 0.0)

    @property
    def z_max(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.z_max + self.margin

    @property
    def scale(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.scale

    @property
    def order(self) -> int:
        return self.base.order

    @property
    def _known_shift(self) -> Array:
        shift = jnp.asarray(self.shift)
        return jnp.where(jnp.abs(shift) <= self.margin, shift, jnp.nan)

    def density(self, z: Redshifts) -> Redshifts:
        return self.base(z - self._known_shift)

    def mass(self, z: Redshifts) -> Redshifts:
        shift = self._known_shift
        return self.base.cumulative(jnp.asarray(z) - shift) - self.base.cumulative(-shift)

    @property
    def norm(self) -> Float[Array, ""]:
        return 1.0 - self.base.cumulative(-self._known_shift)


class Stretched(Distribution):
    """n(pivot + (z - pivot) / stretch): wider for a stretch above 1, around the mean.

    Args:
        base: the distribution that is stretched.
        stretch: factor of the width, within ``limits`` (NaN beyond them where traced).
        pivot: redshift that stays; the mean of ``base`` unless given.
        limits: smallest and largest stretch; they set the support.
    """

    base: Distribution
    stretch: Scalar
    pivot: Scalar | None = None
    limits: tuple[float, float] = eqx.field(static=True, default=(0.5, 2.0))

    def __check_init__(self) -> None:
        _refuse_delta(self.base)
        _within(self.stretch, *self.limits, "stretch", "limits")

    @property
    def z_min(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return 0.0

    @property
    def z_max(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.z_max * max(self.limits[1], 1.0)

    @property
    def scale(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.scale * min(self.limits[0], 1.0)

    @property
    def order(self) -> int:
        return self.base.order

    def _unstretched(self, z: ArrayLike) -> Array:
        pivot = self.base.mean if self.pivot is None else self.pivot
        stretch = jnp.asarray(self.stretch)
        known = (stretch >= self.limits[0]) & (stretch <= self.limits[1])
        return jnp.asarray(pivot + (z - pivot) / jnp.where(known, stretch, jnp.nan))

    def density(self, z: Redshifts) -> Redshifts:
        return self.base(self._unstretched(z)) / self.stretch

    def mass(self, z: Redshifts) -> Redshifts:
        lowest = self.base.cumulative(self._unstretched(0.0))
        return self.base.cumulative(self._unstretched(jnp.asarray(z))) - lowest


def _within(value: Scalar, low: float, high: float, name: str, limit: str) -> None:
    if not is_traced(value) and not low <= float(value) <= high:
        raise DistributionError(
            f"{name} is {float(value):g}, beyond [{low:g}, {high:g}]: raise {limit}, which sets "
            "the support"
        )


def _refuse_delta(base: Distribution) -> None:
    if isinstance(base, Delta):
        raise DistributionError("a Delta is moved by its own z, not by Shifted or Stretched")
