"""Mass assignments: how a particle is shared among the mesh points around it.

The weight of a mesh point at distance d [cells] along each axis is a B-spline: the nearest grid
point (order 1), cloud in cell (2), triangular-shaped cloud (3), piecewise cubic spline (4); their
Fourier transform is (sin x / x)^order with x = k cell / 2 (Hockney & Eastwood 1988, section 5-3;
Sefusatti et al. 2016, arXiv:1512.07295, for the cubic one).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .errors import MeshError

ORDERS = {"ngp": 1, "cic": 2, "tsc": 3, "pcs": 4}
"""The number of mesh points per axis that a particle is shared among."""


def order_of(assignment: str) -> int:
    """The number of mesh points per axis; raises MeshError for a name that is none."""
    if assignment not in ORDERS:
        raise MeshError(f"assignment is {assignment!r}; expected one of {', '.join(ORDERS)}")
    return ORDERS[assignment]


def spline(
    order: int, u: Float[Array, "*s"]
) -> tuple[Float[Array, "*s"], list[Float[Array, "*s"]], list[Float[Array, "*s"]]]:
    """First mesh point, weights and d(weight)/du of the ``order`` points around u [cells]."""
    base = jnp.floor(u if order % 2 == 0 else u + 0.5)
    d = u - base
    if order == 1:
        return base, [jnp.ones_like(d)], [jnp.zeros_like(d)]
    if order == 2:
        return base, [1.0 - d, d], [-jnp.ones_like(d), jnp.ones_like(d)]
    if order == 3:
        low, high = 0.5 - d, 0.5 + d
        return base - 1.0, [0.5 * low**2, 0.75 - d**2, 0.5 * high**2], [-low, -2.0 * d, high]
    e = 1.0 - d
    weights = [e**3 / 6.0, 2.0 / 3.0 - d**2 * (1.0 - 0.5 * d), 2.0 / 3.0 - e**2 * (1.0 - 0.5 * e)]
    slopes = [-0.5 * e**2, d * (1.5 * d - 2.0), -e * (1.5 * e - 2.0)]
    return base - 1.0, [*weights, d**3 / 6.0], [*slopes, 0.5 * d**2]


def window(order: int, x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """(sin x / x)^order, x = k cell / 2: the transform of the assignment along one axis."""
    return jnp.sinc(x / jnp.pi) ** order
