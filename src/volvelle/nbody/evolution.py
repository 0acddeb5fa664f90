"""Stages one after the other, with a gradient whose memory does not grow with their number.

Every stage can be undone: its kick changes momenta by what depends on positions alone, and its
drift positions by what depends on momenta alone. The gradient therefore keeps the last state only,
and walks back through the states as it walks back through the derivatives (Li et al. 2022, 2024).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .frames import Frame
from .integrators import Stages
from .mesh import Mesh

Displacement = Float[Array, "N 3"]
Scalar = Float[Array, ""]
Force = Callable[[Float[Array, "N 3"], Scalar], Float[Array, "N 3"]]

ADJOINTS = ("reversible", "direct")
"""Gradients by walking back, or by JAX's own record of all stages (of any order and mode)."""


class System(eqx.Module):
    """What the stages act with."""

    force: Force
    frame: Frame
    stages: Stages
    """Of all steps, or of some that follow each other."""


def grid(mesh: Mesh, dtype: Any) -> Float[Array, "N 3"]:
    """The points of a mesh [Mpc/h], in the order of a flattened field."""
    axis = jnp.arange(mesh.cells, dtype=dtype) * jnp.asarray(mesh.cell, dtype)
    return jnp.stack(jnp.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def evolve(
    system: System, x: Displacement, p: Displacement, mesh: Mesh, adjoint: str
) -> tuple[Displacement, Displacement]:
    """Residual displacement and momentum after all stages, from those before."""
    if adjoint == "direct":
        return _walk(system, x, p, mesh)
    return _reversible((system, x, p), mesh)


def acceleration(
    system: System, x: Displacement, a: Scalar, source: Scalar, mesh: Mesh
) -> Displacement:
    """s g - g_F: what accelerates the residual momentum."""
    positions = grid(mesh, x.dtype) + (system.frame.displacement(a) + x)
    force = system.force(positions, a.astype(x.dtype)).astype(x.dtype)
    return source.astype(x.dtype) * force - system.frame.acceleration(a)


def _change(system: System, stage: Stages, x: Displacement, mesh: Mesh) -> Displacement:
    """What a kick adds to the momentum."""

    def kicked(x: Displacement) -> Displacement:
        return stage.kick.astype(x.dtype) * acceleration(system, x, stage.a, stage.source, mesh)

    if stage.all_kept:
        return kicked(x)
    return jax.lax.cond(stage.kept, kicked, jnp.zeros_like, x)


def _walk(
    system: System, x: Displacement, p: Displacement, mesh: Mesh
) -> tuple[Displacement, Displacement]:
    def advance(
        state: tuple[Displacement, Displacement], stage: Stages
    ) -> tuple[tuple[Displacement, Displacement], None]:
        x, p = state
        x = x + stage.drift.astype(x.dtype) * p
        p = stage.decay.astype(p.dtype) * p + _change(system, stage, x, mesh)
        return (x, p), None

    return jax.lax.scan(advance, (x, p), system.stages)[0]


@eqx.filter_custom_vjp
def _reversible(
    moving: tuple[System, Displacement, Displacement], mesh: Mesh
) -> tuple[Displacement, Displacement]:
    return _walk(*moving, mesh)


@_reversible.def_fwd
def _forward(
    perturbed: Any, moving: tuple[System, Displacement, Displacement], mesh: Mesh
) -> tuple[Any, Any]:
    end = _walk(*moving, mesh)
    return end, end


@_reversible.def_bwd
def _backward(
    end: tuple[Displacement, Displacement],
    cotangents: tuple[Displacement, Displacement],
    perturbed: Any,
    moving: tuple[System, Displacement, Displacement],
    mesh: Mesh,
) -> Any:
    system = moving[0]
    acting, fixed = eqx.partition((system.force, system.frame), eqx.is_inexact_array)
    rates, whole = eqx.partition(system.stages, eqx.is_inexact_array)

    def retreat(carry: Any, given: Any) -> tuple[Any, Stages]:
        x, p, to_x, to_p, to_acting = carry
        rates, whole = given

        def change(acting: Any, rates: Stages, x: Displacement) -> Displacement:
            force, frame = eqx.combine(acting, fixed)
            stage = eqx.combine(rates, whole)
            return _change(System(force, frame, stage), stage, x, mesh)

        kick, pull = jax.vjp(change, acting, rates, x)
        before = (p - kick) / rates.decay.astype(p.dtype)
        more_acting, to_rates, more_x = pull(to_p)
        to_x = to_x + more_x
        decay = jnp.sum(to_p * before).astype(rates.decay.dtype)
        to_p = rates.decay.astype(p.dtype) * to_p + rates.drift.astype(p.dtype) * to_x
        drift = jnp.sum(to_x * before).astype(rates.drift.dtype)
        to_rates = eqx.tree_at(
            lambda s: (s.decay, s.drift), to_rates, (to_rates.decay + decay, to_rates.drift + drift)
        )
        x = x - rates.drift.astype(x.dtype) * before
        to_acting = jax.tree.map(jnp.add, to_acting, more_acting)
        return (x, before, to_x, to_p, to_acting), to_rates

    nothing = jax.tree.map(jnp.zeros_like, acting)
    carry, to_rates = jax.lax.scan(
        retreat, (*end, *cotangents, nothing), (rates, whole), reverse=True
    )
    _, _, to_x, to_p, (to_force, to_frame) = carry
    return System(to_force, to_frame, to_rates), to_x, to_p
