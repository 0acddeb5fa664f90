"""From particles to a field on a mesh, and from fields to particles."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .errors import MeshError
from .mesh import Mesh
from .painting_jax import Sums
from .particles import as_positions, as_weights
from .sums import gather, spread, sums_on


def paint(
    mesh: Mesh, positions: Any, weights: Any = None, assignment: str = "cic"
) -> Float[Array, "n n n"]:
    """The number of particles per cell, or the sum of their weights.

        rho(m) = sum_p w_p W(m - x_p)

    The sum over the mesh is that of the weights. Differentiable in positions and weights.

    Args:
        mesh: of the field.
        positions: [N, 3], any real numbers: the box is periodic [Mpc/h].
        weights: [N] or a number, 1 if left out.
        assignment: ``cic``, ``tsc``, ``pcs``, or ``ngp`` whose gradient is zero.

    Raises ParticleError for shapes that do not fit, NaN and infinity where values are known, and
    MeshError for an unknown assignment.
    """
    x = as_positions(positions)
    w = as_weights(1.0 if weights is None else weights, len(x))
    dtype = x.dtype if weights is None else jnp.result_type(x, w)
    return _paint(sums_on(mesh, assignment), x.astype(dtype), w.astype(dtype))


def read(mesh: Mesh, field: Any, positions: Any, assignment: str = "cic") -> Float[Array, "*n"]:
    """Fields at the particles, by the transpose of ``paint``.

        f(x_p) = sum_m f(m) W(m - x_p)

    Differentiable in field and positions.

    Args:
        mesh: of the field.
        field: [n, n, n], or several at once as [c, n, n, n].
        positions: [N, 3], any real numbers: the box is periodic [Mpc/h].
        assignment: ``cic``, ``tsc``, ``pcs``, or ``ngp`` whose gradient is zero.

    Returns [N], or [N, c] for several fields. Raises as ``paint``, and MeshError for a field that
    is not of this mesh.
    """
    x = as_positions(positions)
    values = jnp.asarray(field)
    mesh.check(values)
    if values.ndim > 4 or not jnp.issubdtype(values.dtype, jnp.floating):
        raise MeshError(
            f"a field of {values.dtype} and shape {values.shape}; expected floats of shape "
            f"{mesh.shape} or (c, {mesh.cells}, {mesh.cells}, {mesh.cells})"
        )
    dtype = jnp.result_type(x, values)
    fields = values.reshape(-1, *mesh.shape).astype(dtype)
    found = _read(sums_on(mesh, assignment), x.astype(dtype), fields)
    return found if values.ndim == 4 else found[:, 0]


@partial(jax.jit, static_argnums=0)
def _paint(on: Sums, x: Array, w: Array) -> Array:
    return spread(on, x, w[:, None])[0]


@partial(jax.jit, static_argnums=0)
def _read(on: Sums, x: Array, fields: Array) -> Array:
    return gather(on, x, fields)
