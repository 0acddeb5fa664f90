"""Displacements of Lagrangian perturbation theory, to second or third order.

    x = q + D1 s1 + D2 s2 + D3a s3a + D3b s3b + D3c s3c

with s1 = -grad phi1, laplacian phi1 = delta, and, with mu2(A, B) = (A_ii B_jj - A_ij B_ij) / 2,

    div s2  = mu2(phi1, phi1),      div s3a = -det phi1_ij,      div s3b = -2 mu2(phi1, phi2),
    s2 = grad phi2,                 curl s3c = eps_ijk phi1_lj phi2_lk

(Bouchet et al. 1995; Rampf & Buchert 2012; Michaux et al. 2020). The growth of each is in
``growth``. Products are made on a finer mesh, 3/2 of the cells at second order and twice at third,
and cut back: no mode of the result is an alias of one beyond the mesh.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .errors import InitialConditionsError
from .growth import ORDERS
from .initial_conditions import InitialConditions
from .mesh import Mesh
from .modes import Field, Modes, first_derivatives, product, real_dtype, refined
from .pm import inverse_square, spectral_slopes

Displacement = Float[Array, "N 3"]
_PAIRS = ((0, 1), (0, 2), (1, 2))


class Lagrangian(eqx.Module):
    """The displacement fields s1, s2, ... [Mpc/h] of the points of a grid, each [n^3, 3]."""

    mesh: Mesh
    fields: tuple[Displacement, ...]
    """As many as ``growth.ORDERS`` or fewer, in that order."""

    def combined(self, weights: Float[Array, " 5"]) -> Displacement:
        """The sum of the fields, each times its weight."""
        total = jnp.zeros_like(self.fields[0])
        for i, field in enumerate(self.fields):
            total = total + weights[i].astype(field.dtype) * field
        return total


def lagrangian(initial: InitialConditions, order: int = 2, *, dealiased: bool = True) -> Lagrangian:
    """The displacement fields of initial conditions.

    Args:
        order: 1 (Zel'dovich), 2 or 3.
        dealiased: make products on finer meshes, which for second order costs 3.4 times, for third
            8 times the memory of the mesh.

    Raises InitialConditionsError for other orders.
    """
    check_order(order)
    mesh, modes = initial.mesh, initial.modes
    potential = -modes * inverse_square(mesh, real_dtype(modes))
    fields = [_slopes(potential, mesh)]
    if order > 1:
        finer = refined(mesh, 1.5) if dealiased else None
        second = product(_mu2(potential, potential, mesh), mesh.cells, finer)
        second = -second * inverse_square(mesh, real_dtype(modes))
        fields.append(_slopes(-second, mesh))
        if order > 2:
            fields += _third(potential, second, mesh, dealiased)
    assert len(fields) <= len(ORDERS)
    return Lagrangian(mesh, tuple(fields))


def check_order(order: int) -> None:
    """Raise InitialConditionsError for an order that is not 1, 2 or 3."""
    if order not in (1, 2, 3):
        raise InitialConditionsError(f"the order of LPT is {order!r}; expected 1, 2 or 3")


def _third(first: Modes, second: Modes, mesh: Mesh, dealiased: bool) -> list[Displacement]:
    inverse = -inverse_square(mesh, real_dtype(first))
    finer = refined(mesh, 1.5) if dealiased else None
    finest = refined(mesh, 2.0) if dealiased else None
    determinant = product(_determinant(first, mesh), mesh.cells, finest)
    mixed = product(_mu2(first, second, mesh), mesh.cells, finer)
    curl = [product(_curl(first, second, mesh, i), mesh.cells, finer) for i in range(3)]
    k = first_derivatives(mesh, real_dtype(first))
    turned = [
        1j * (k[(i + 1) % 3] * curl[(i + 2) % 3] - k[(i + 2) % 3] * curl[(i + 1) % 3]) * -inverse
        for i in range(3)
    ]
    return [
        _slopes(determinant * inverse, mesh),
        _slopes(2.0 * mixed * inverse, mesh),
        _flat([jnp.fft.irfftn(each, s=mesh.shape) for each in turned]),
    ]


def _slopes(potential: Modes, mesh: Mesh) -> Displacement:
    """-grad of a potential."""
    return spectral_slopes(mesh, potential).reshape(3, -1).T


def _flat(components: list[Field]) -> Displacement:
    return jnp.stack([each.ravel() for each in components], -1)


Terms = Callable[[Callable[[Modes], Field]], Field]


def _second_derivatives(
    potential: Modes, mesh: Mesh, field: Callable[[Modes], Field]
) -> Callable[[int, int], Field]:
    k = first_derivatives(mesh, real_dtype(potential))
    return lambda i, j: field(-(k[i] * k[j]) * potential)


def _mu2(one: Modes, two: Modes, mesh: Mesh) -> Terms:
    def terms(field: Callable[[Modes], Field]) -> Field:
        first = _second_derivatives(one, mesh, field)
        if two is one:
            x, y, z = (first(i, i) for i in range(3))
            total = x * y + (x + y) * z
            for i, j in _PAIRS:
                total = total - first(i, j) ** 2
            return total
        second = _second_derivatives(two, mesh, field)
        a, b = [first(i, i) for i in range(3)], [second(i, i) for i in range(3)]
        traces = (a[0] + a[1] + a[2]) * (b[0] + b[1] + b[2])
        total = (traces - a[0] * b[0] - a[1] * b[1] - a[2] * b[2]) / 2.0
        for i, j in _PAIRS:
            total = total - first(i, j) * second(i, j)
        return total

    return terms


def _determinant(potential: Modes, mesh: Mesh) -> Terms:
    def terms(field: Callable[[Modes], Field]) -> Field:
        of = _second_derivatives(potential, mesh, field)
        xx, yy, zz = (of(i, i) for i in range(3))
        xy, xz, yz = (of(i, j) for i, j in _PAIRS)
        return xx * yy * zz + 2.0 * xy * xz * yz - xx * yz**2 - yy * xz**2 - zz * xy**2

    return terms


def _curl(one: Modes, two: Modes, mesh: Mesh, i: int) -> Terms:
    """eps_ijk one_lj two_lk."""
    j, k = (i + 1) % 3, (i + 2) % 3

    def terms(field: Callable[[Modes], Field]) -> Field:
        first = _second_derivatives(one, mesh, field)
        second = _second_derivatives(two, mesh, field)
        parts = [first(m, j) * second(m, k) - first(m, k) * second(m, j) for m in range(3)]
        return parts[0] + parts[1] + parts[2]

    return terms
