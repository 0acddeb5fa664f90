"""One-dimensional priors: density, support, quantiles, map from the real line."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from volvelle.inference.errors import InferenceError
from volvelle.inference.interval import from_line, log_slope, to_line

Scalar = Float[Array, ""]


class Prior(eqx.Module):
    """A normalised density p(x) on an interval, with x = ``from_real(u)`` for unbounded u."""

    @abstractmethod
    def log_prob(self, x: Scalar) -> Scalar:
        """ln p(x); -inf outside the support."""

    @abstractmethod
    def quantile(self, p: Scalar) -> Scalar:
        """x below which the probability is ``p``."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Lower and upper end of the support (may be infinite)."""

    def from_real(self, u: Scalar, softness: Scalar | None = None) -> Scalar:
        """A smooth one-to-one map from the real line onto the support.

        ``softness``: how near the edges of an interval the map bends (see ``interval``).
        """
        lower, upper = self.bounds
        if math.isfinite(lower) and math.isfinite(upper):
            return from_line(u, lower, upper, softness)
        return u

    def to_real(self, x: Scalar, softness: Scalar | None = None) -> Scalar:
        """Inverse of ``from_real``; a point on the edge is moved inside by 1e-9 of the width."""
        lower, upper = self.bounds
        if math.isfinite(lower) and math.isfinite(upper):
            return to_line(x, lower, upper, softness)
        return x

    def log_jacobian(self, u: Scalar, softness: Scalar | None = None) -> Scalar:
        """ln |dx/du| of ``from_real``."""
        lower, upper = self.bounds
        if math.isfinite(lower) and math.isfinite(upper):
            return log_slope(u, lower, upper, softness)
        return jnp.zeros_like(u)


class Uniform(Prior):
    """Flat between ``lower`` and ``upper``."""

    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)

    def log_prob(self, x: Scalar) -> Scalar:
        inside = (x >= self.lower) & (x <= self.upper)
        return jnp.where(inside, -math.log(self.upper - self.lower), -jnp.inf)

    def quantile(self, p: Scalar) -> Scalar:
        return self.lower + (self.upper - self.lower) * p

    @property
    def bounds(self) -> tuple[float, float]:
        return self.lower, self.upper


class LogUniform(Prior):
    """Flat in ln x between ``lower`` and ``upper`` (both positive)."""

    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)

    def log_prob(self, x: Scalar) -> Scalar:
        inside = (x >= self.lower) & (x <= self.upper)
        safe = jnp.where(inside, x, self.lower)
        density = -jnp.log(safe) - math.log(math.log(self.upper / self.lower))
        return jnp.where(inside, density, -jnp.inf)

    def quantile(self, p: Scalar) -> Scalar:
        return self.lower * (self.upper / self.lower) ** p

    @property
    def bounds(self) -> tuple[float, float]:
        return self.lower, self.upper


class Normal(Prior):
    """Gaussian of mean ``loc`` and standard deviation ``scale``, cut to [lower, upper]."""

    loc: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    lower: float = eqx.field(static=True, default=-float("inf"))
    upper: float = eqx.field(static=True, default=float("inf"))

    @property
    def _side(self) -> float:
        """-1 where the support lies above ``loc``: ndtr keeps its digits in the lower tail only."""
        return -1.0 if self.lower > self.loc else 1.0

    def _ends(self) -> tuple[Array, Array]:
        ends = [self._side * (end - self.loc) / self.scale for end in self.bounds]
        return ndtr(min(ends)), ndtr(max(ends))

    def log_prob(self, x: Scalar) -> Scalar:
        low, high = self._ends()
        z = (x - self.loc) / self.scale
        density = (
            -0.5 * z**2 - math.log(self.scale * math.sqrt(2.0 * math.pi)) - jnp.log(high - low)
        )
        return jnp.where((x >= self.lower) & (x <= self.upper), density, -jnp.inf)

    def quantile(self, p: Scalar) -> Scalar:
        low, high = self._ends()
        share = p if self._side > 0 else 1.0 - p
        return self.loc + self._side * self.scale * ndtri(low + (high - low) * share)

    @property
    def bounds(self) -> tuple[float, float]:
        return self.lower, self.upper

    def from_real(self, u: Scalar, softness: Scalar | None = None) -> Scalar:
        if math.isfinite(self.lower) == math.isfinite(self.upper):
            return super().from_real(u, softness)
        edge, sign = (self.lower, 1.0) if math.isfinite(self.lower) else (self.upper, -1.0)
        return edge + sign * self.scale * jax.nn.softplus(u)

    def to_real(self, x: Scalar, softness: Scalar | None = None) -> Scalar:
        if math.isfinite(self.lower) == math.isfinite(self.upper):
            return super().to_real(x, softness)
        edge, sign = (self.lower, 1.0) if math.isfinite(self.lower) else (self.upper, -1.0)
        y = jnp.maximum(sign * (x - edge) / self.scale, 1e-9)
        return y + jnp.log(-jnp.expm1(-y))

    def log_jacobian(self, u: Scalar, softness: Scalar | None = None) -> Scalar:
        if math.isfinite(self.lower) == math.isfinite(self.upper):
            return super().log_jacobian(u, softness)
        return math.log(self.scale) + jax.nn.log_sigmoid(u)


def make_prior(settings: Mapping[str, Any]) -> Prior:
    """A prior from a configuration's mapping.

    ``{min, max}`` is uniform; ``{dist: loguniform, min, max}``; ``{dist: norm, loc, scale}``;
    ``{dist: truncnorm, loc, scale, min, max}``.

    Raises:
        InferenceError: an unknown distribution, a missing key, or no width.
    """
    kind = settings.get("dist", "uniform")
    keys = {
        "uniform": ("min", "max"),
        "loguniform": ("min", "max"),
        "norm": ("loc", "scale"),
        "truncnorm": ("loc", "scale", "min", "max"),
    }
    if kind not in keys:
        raise InferenceError(f"unknown prior {kind!r}; choose {', '.join(keys)}")
    missing = [key for key in keys[kind] if key not in settings]
    if missing:
        raise InferenceError(f"a {kind} prior needs {', '.join(missing)}; got {dict(settings)}")
    values = {key: float(settings[key]) for key in keys[kind]}
    if "min" in values and not values["min"] < values["max"]:
        raise InferenceError(
            f"a {kind} prior from {values['min']:g} to {values['max']:g} has no width; "
            "give min < max"
        )
    if "scale" in values and not values["scale"] > 0:
        raise InferenceError(f"a {kind} prior of scale {values['scale']:g}; give scale > 0")
    if kind == "uniform":
        return Uniform(values["min"], values["max"])
    if kind == "loguniform":
        if values["min"] <= 0:
            raise InferenceError(f"a loguniform prior from {values['min']:g}; give min > 0")
        return LogUniform(values["min"], values["max"])
    return Normal(
        values["loc"],
        values["scale"],
        values.get("min", -float("inf")),
        values.get("max", float("inf")),
    )
