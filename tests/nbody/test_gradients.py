"""Gradients through simulations: walking back against JAX's record, finite differences, memory."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from small_boxes import MESH, PLANCK, POWER, small_box
from volvelle.nbody import (
    InitialConditions,
    ParticleMesh,
    RecordedFrame,
    from_white_noise,
    prepare,
    simulate,
    white_noise,
)

NAMES = ("omega_cdm", "h", "A_s", "n_s", "w0")
UNITS = np.array([1.0, 1.0, 1e-9, 1.0, 1.0])
AT = jnp.array([0.1202, 0.6727, 2.1, 0.9649, -0.95])
NOISE = white_noise(3, MESH, dtype=jnp.float64)
FLAGS = (True, False, True, True, False, True)
CHOICES = {
    "cola": {"steps": 5, "flags": FLAGS},
    "kdk": {"steps": 4, "integrator": "kdk"},
    "bullfrog": {"steps": 4, "integrator": "bullfrog", "spacing": "growth"},
}
FINITE = 1e-3
"""Of gradients against central differences, relative."""
SMOOTH = ParticleMesh(MESH, "pcs")


def loss(values: jax.Array, noise: jax.Array, choices: dict) -> jax.Array:
    """A number that depends on all positions and momenta."""
    cosmology = PLANCK.replace(**dict(zip(NAMES, values * UNITS, strict=True)))
    initial = from_white_noise(cosmology, MESH, noise, power=POWER)
    end = simulate(cosmology, initial, force=SMOOTH, **choices)
    weights = jnp.arange(1.0, 4.0)
    return jnp.sum(jnp.sin(end.displacement) * weights + jnp.cos(3.0 * end.momentum))


def program(choices: dict) -> Callable[..., tuple[jax.Array, tuple[jax.Array, jax.Array]]]:
    return jax.jit(jax.value_and_grad(lambda v, n: loss(v, n, choices), (0, 1)))


@pytest.mark.parametrize("name", CHOICES)
def test_gradients_are_finite_differences(name: str) -> None:
    """In the cosmology's parameters, and in three random directions of the white noise."""
    run = program(CHOICES[name])
    _, (to_values, to_noise) = run(AT, NOISE)
    for i, parameter in enumerate(NAMES):
        shift = jnp.zeros(5).at[i].set(3e-5)
        wanted = (run(AT + shift, NOISE)[0] - run(AT - shift, NOISE)[0]) / 6e-5
        np.testing.assert_allclose(to_values[i], wanted, rtol=FINITE, err_msg=parameter)
    for seed in range(3):
        towards = np.random.default_rng(seed).normal(size=MESH.shape)
        up, down = (run(AT, NOISE + each * towards)[0] for each in (3e-5, -3e-5))
        np.testing.assert_allclose(jnp.sum(to_noise * towards), (up - down) / 6e-5, rtol=FINITE)


def test_walking_back_is_the_record_of_all_stages() -> None:
    choices = {"steps": 3, "integrator": "bullfrog", "spacing": "growth"}
    found = program(choices)(AT, NOISE)[1]
    wanted = program({**choices, "adjoint": "direct"})(AT, NOISE)[1]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11 * np.abs(other).max())


def test_memory_does_not_grow_with_the_steps() -> None:
    """Beyond what the compiled program counts for few steps; JAX's own record grows as they do."""

    def bytes_for(steps: int, adjoint: str) -> int:
        def end(density: jax.Array) -> jax.Array:
            initial = InitialConditions(MESH, density)
            found = simulate(PLANCK, initial, steps=steps, adjoint=adjoint, order=1)
            return jnp.sum(found.displacement**2)

        compiled = jax.jit(jax.grad(end)).lower(small_box().density).compile()
        counted = compiled.memory_analysis()
        assert counted is not None
        return counted.temp_size_in_bytes

    few, many = (bytes_for(steps, "reversible") for steps in (10, 40))
    assert many <= 1.2 * few, (few, many)
    assert bytes_for(40, "direct") > 2.0 * many


def test_gradients_in_force_and_frame() -> None:
    """In a factor of the force, and in the momenta of a recorded frame."""
    reference = prepare(PLANCK, small_box(), steps=3)
    right = reference.record()
    start = right.displacements[0]

    def end(fraction: jax.Array, momenta: jax.Array, adjoint: str) -> jax.Array:
        frame = RecordedFrame.through(right.base, reference.stages, start, momenta)
        force = ParticleMesh(MESH, fraction=fraction)
        flags = (True, False, True, True)
        found = simulate(
            PLANCK, small_box(), steps=3, frame=frame, force=force, flags=flags, adjoint=adjoint
        )
        return jnp.sum(jnp.sin(found.displacement))

    slope = jax.jit(jax.grad(end, (0, 1)), static_argnums=2)
    at = jnp.array(1.1), right.momenta
    for one, other in zip(slope(*at, "reversible"), slope(*at, "direct"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10 * np.abs(np.asarray(other)).max())


def test_gradients_through_snapshots() -> None:
    """Of a loss on two times; COLA's earlier one takes a force of its own."""

    def total(density: jax.Array, adjoint: str) -> jax.Array:
        early, late = simulate(
            PLANCK,
            InitialConditions(MESH, density),
            steps=3,
            snapshots=(0.5,),
            adjoint=adjoint,
        )  # type: ignore[misc]
        return jnp.sum(jnp.sin(early.momentum) * 3.0 + jnp.cos(late.displacement))

    slope = jax.jit(jax.grad(total), static_argnums=1)
    density = small_box().density
    found, wanted = slope(density, "reversible"), slope(density, "direct")
    np.testing.assert_allclose(found, wanted, atol=1e-10 * np.abs(np.asarray(wanted)).max())


def test_single_precision() -> None:
    """Walking back in float32 loses little: 2e-6 of the gradient's scatter (measured: 5e-7)."""

    def end(density: jax.Array) -> jax.Array:
        initial = InitialConditions(MESH, density)
        found = simulate(PLANCK, initial, steps=10, integrator="bullfrog", force=SMOOTH)
        return jnp.sum(jnp.sin(found.displacement))

    slope, density = jax.jit(jax.grad(end)), small_box().density
    wanted, found = slope(density), slope(density.astype(jnp.float32))
    assert found.dtype == jnp.float32
    assert np.std(np.asarray(found - wanted)) < 2e-6 * np.std(np.asarray(wanted))
