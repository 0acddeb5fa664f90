"""What a survey may choose: area against depth in the same time, and the edges of its bins."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .errors import ProbeError
from .redshift import Scalar


class ObservingTime(eqx.Module):
    """Depth from area, for a given time on the sky, and galaxies from depth.

        t(A) / t_0 = (1 + overhead) A_0 / A - overhead
        m(A) - m_0 = 1.25 log10(t / t_0)                   (noise of the sky)
        n(A) / n_0 = 10^(density_slope (m - m_0)),   z0(A) - z0_0 = z0_slope (m - m_0)

    with the exposure t of a field, the limiting magnitude m, the density n and the scale z0 of a
    Smail n(z). The slopes 0.31 and 0.0417 are the LSST Science Book's in i (arXiv:0912.0201,
    section 3.7.2). The overhead is the time per field that exposes nothing, over t_0.

    Raises ProbeError for an area that is not above 0 and an overhead below 0.
    """

    area: float = eqx.field(static=True)
    """A_0 [square degrees]."""
    overhead: float = eqx.field(static=True, default=0.1)
    density_slope: float = eqx.field(static=True, default=0.31)
    z0_slope: float = eqx.field(static=True, default=0.0417)

    def __check_init__(self) -> None:
        if not self.area > 0.0 or not self.overhead >= 0.0:
            raise ProbeError(
                f"area is {self.area} and overhead {self.overhead}; expected an area above 0 and "
                "an overhead of 0 or more"
            )

    def depth(self, area: Scalar) -> Float[Array, ""]:
        """m - m_0; NaN where the overhead leaves no time."""
        time = (1.0 + self.overhead) * self.area / area - self.overhead
        return 1.25 * jnp.log10(jnp.where(time > 0.0, time, jnp.nan))

    def density(self, area: Scalar) -> Float[Array, ""]:
        """n / n_0."""
        return 10.0 ** (self.density_slope * self.depth(area))

    def z0_shift(self, area: Scalar) -> Float[Array, ""]:
        """z0 - z0_0."""
        return self.z0_slope * self.depth(area)


def within(u: Scalar, start: float, low: float, high: float) -> Float[Array, ""]:
    """A positive number between low and high for any real u; ``start`` for 0.

    Raises ProbeError unless 0 < low < start < high.
    """
    if not 0.0 < low < start < high:
        raise ProbeError(f"{start} between {low} and {high}; expected 0 < low < start < high")
    width = jnp.log(high / low)
    offset = jnp.log(jnp.log(start / low) / jnp.log(high / start))
    return low * jnp.exp(width * jax.nn.sigmoid(jnp.asarray(u) + offset))


def moved_edges(u: Float[Array, " m"], start: Float[Array, " n"]) -> Float[Array, " n"]:
    """Edges [n] that increase between fixed ends, for any real u [n - 2]; ``start`` for 0.

    The widths are shares of the whole, exp(u) times the first ones: a softmax.
    """
    edges = jnp.asarray(start)
    logits = jnp.log(jnp.diff(edges)) + jnp.concatenate([jnp.asarray(u), jnp.zeros(1)])
    shares = jax.nn.softmax(logits)
    inner = edges[0] + (edges[-1] - edges[0]) * jnp.cumsum(shares)[:-1]
    return jnp.concatenate([edges[:1], inner, edges[-1:]])
