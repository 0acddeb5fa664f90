"""Where an emulator may be trusted: the region that its training solutions cover."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from volvelle.emulator.features import Whitening
from volvelle.learning.checking import Validated, require
from volvelle.learning.storage import storable

MARGIN = 1.05  # of the outermost training solutions' radius


@storable
class Domain(Validated):
    """An ellipsoid around the training solutions, in whitened features, cut by their box.

    ``distance`` is 1 on its surface; above 1 the emulator extrapolates.
    """

    whitening: Whitening
    radius: Float[Array, ""]
    lower: Float[Array, " d"]
    upper: Float[Array, " d"]

    def distance(self, physical: Float[Array, " d"]) -> Float[Array, ""]:
        """Distance from the centre in units of the boundary, of un-whitened features."""
        z = self.whitening(physical)
        ellipsoid = jnp.sqrt(jnp.sum(z**2) + 1e-30) / self.radius
        middle, half = 0.5 * (self.upper + self.lower), 0.5 * (self.upper - self.lower)
        sides = jnp.abs(physical - middle) / half
        box = sides[jnp.argmax(sides)]  # the gradient of max is 0/0 if a fused copy rounds apart
        return jnp.maximum(ellipsoid, box)

    def inside(self, physical: Float[Array, " d"]) -> Bool[Array, ""]:
        """Whether the point lies in the domain."""
        return self.distance(physical) <= 1.0

    def validate(self) -> None:
        require(self.whitening.centre.shape == self.lower.shape, "whitening and box differ in size")
        inside = float(self.radius) > 0.0 and bool(jnp.all(self.lower < self.upper))
        require(inside, "it has no inside")


@storable
class Box(Validated):
    """A box in the parameters themselves; ``distance`` is 1 on its surface."""

    lower: Float[Array, " d"]
    upper: Float[Array, " d"]

    def distance(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """Distance of the parameters from the centre in units of the boundary."""
        middle, half = 0.5 * (self.upper + self.lower), 0.5 * (self.upper - self.lower)
        sides = jnp.abs(x - middle) / half
        return sides[jnp.argmax(sides)]

    def validate(self) -> None:
        require(bool(jnp.all(self.lower < self.upper)), "it has no inside")


EDGE = 1e-9  # of a box's half width: its ends, rounded, are inside


def box_of(lower: np.ndarray, upper: np.ndarray) -> Box:
    """The box between two ends [d], both of them inside."""
    margin = EDGE * (upper - lower)
    return Box(jnp.asarray(lower - margin), jnp.asarray(upper + margin))


def domain_of(physical: np.ndarray, whitening: Whitening) -> Domain:
    """The domain of training points given in un-whitened features [n, d]."""
    z = (physical - np.asarray(whitening.centre)) @ np.asarray(whitening.matrix).T
    radius = MARGIN * np.sqrt(np.max(np.sum(z**2, axis=1)))
    lower, upper = physical.min(axis=0), physical.max(axis=0)
    width = np.where(upper > lower, upper - lower, 1.0)
    margin = 0.5 * (MARGIN - 1.0) * width
    return Domain(
        whitening, jnp.asarray(radius), jnp.asarray(lower - margin), jnp.asarray(upper + margin)
    )
