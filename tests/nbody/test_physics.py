"""What particles have to do, whatever the code: growth, a wave, a sphere, vorticity, momentum."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from small_boxes import (
    EINSTEIN_DE_SITTER,
    MESH,
    PLANCK,
    POWER,
    sharpened,
    small_box,
    wave,
)
from volvelle.nbody import (
    P3M,
    InitialConditions,
    Mesh,
    ParticleMesh,
    Particles,
    Simulation,
    State,
    gaussian,
    prepare,
    simulate,
)
from volvelle.nbody.evolution import acceleration

BOX = Mesh(32, 100.0)


def line(particles: object) -> np.ndarray:
    """Displacements along x of a row of particles."""
    assert isinstance(particles, Particles)
    return np.asarray(particles.displacement).reshape(*particles.mesh.shape, 3)[:, 5, 7, 0]


@pytest.mark.parametrize("frame", ["none", "lpt"])
def test_linear_growth(frame: str) -> None:
    """A tiny wave grows as D1, to 1e-4, from a = 0.05 to today."""
    initial = InitialConditions(BOX, wave(BOX, 1e-4))
    found = simulate(
        PLANCK, initial, start=0.05, steps=200, spacing="log", frame=frame, integrator="kdk",
        force=sharpened(BOX),
    )  # fmt: skip
    k = BOX.fundamental
    wanted = -1e-4 / k * np.sin(k * BOX.cell * np.arange(32))
    assert np.abs(line(found) - wanted).max() < 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("integrator", "steps", "spacing"),
    [
        ("kdk", 60, "log"),
        ("fastpm", 8, "growth"),
        ("bullfrog", 8, "growth"),
        ("cola", 8, "growth"),
    ],
)
def test_zeldovichs_wave_to_shell_crossing(integrator: str, steps: int, spacing: str) -> None:
    """A wave that crosses at D1 = 1.05 is where it has to be today, to 1e-3 of its amplitude.

    What is left is the mesh's (7e-4 with 64 cells per wave).
    """
    mesh = Mesh(64, 100.0)
    initial = InitialConditions(mesh, wave(mesh, 0.95))
    found = simulate(
        PLANCK, initial, start=0.05, steps=steps, spacing=spacing, force=sharpened(mesh),
        integrator=integrator,
    )  # fmt: skip
    k = mesh.fundamental
    wanted = -0.95 / k * np.sin(k * mesh.cell * np.arange(64))
    assert np.abs(line(found) - wanted).max() < 1e-3 * 0.95 / k


def turn_around(force: ParticleMesh, radius: float, shell: float) -> float:
    """When a sphere turned around, over when it has to; ``radius`` and ``shell`` in boxes.

    At a linear contrast of (3/20) (6 pi)^(2/3) = 1.0624 in an Einstein-de Sitter universe. From
    a = 0.02 with second-order displacements; the time at which the physical velocity of the matter
    of a shell in the sphere changes its sign.
    """
    axis = (np.arange(32) - 16.0) / 32.0
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    density = np.where(distance < radius, 2.0, 0.0)
    density -= density.mean()
    wanted = 0.15 * (6.0 * np.pi) ** (2.0 / 3.0) / density[16, 16, 16]
    simulation = prepare(
        EINSTEIN_DE_SITTER, InitialConditions(BOX, density), start=0.02, end=0.8, steps=60,
        spacing="log", integrator="bullfrog", force=force,
    )  # fmt: skip
    chosen = np.flatnonzero(np.abs(distance.ravel() - shell) < 0.02)
    points = 100.0 * np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    state, speeds = simulation.init(), []
    while not simulation.done(state):
        state = simulation.step(state)
        now = simulation.particles(state)
        a = float(now.a)
        x = points[chosen] + np.asarray(now.displacement)[chosen]
        r = np.linalg.norm(x, axis=1)
        # d(a r)/dt / H0 = a E r + a dr/dt, with a dr/dt = p/a and E = a^-1.5
        outward = np.sum(x * np.asarray(now.momentum)[chosen], 1) / r / a
        speeds.append((a, np.mean(r) * a**-0.5 + np.mean(outward)))
    times, values = np.array(speeds).T
    i = int(np.argmax(values < 0.0))
    assert i > 0
    return float((np.interp(0.0, -values[i - 1 : i + 1], times[i - 1 : i + 1]) / wanted) ** 1.5)


def test_a_sphere_turns_around_when_it_has_to() -> None:
    """To 1% of the time (measured: 0.7%, of the mesh, with twelve cells per radius)."""
    assert turn_around(ParticleMesh(BOX, "tsc"), 0.36, 0.2) == pytest.approx(1.0, abs=0.01)


def test_linear_clouds_pull_a_cold_lattice_too_much() -> None:
    """Why triangular ones are taken where no force is given: eight cells per radius."""
    assert turn_around(ParticleMesh(BOX, "cic"), 0.26, 0.15) == pytest.approx(0.85, abs=0.02)
    assert turn_around(ParticleMesh(BOX, "tsc"), 0.26, 0.15) == pytest.approx(1.013, abs=0.004)


def with_displacement(simulation: Simulation, x: np.ndarray) -> State:
    return eqx.tree_at(lambda s: s.displacement, simulation.init(), jnp.asarray(x))


def test_a_transverse_wave_does_not_grow() -> None:
    """x = q + A (1, -1, 0) sin(k (q_x + q_y)): no density, no force; D1 would take it 50-fold."""
    nothing = InitialConditions(BOX, np.zeros(BOX.shape))
    simulation = prepare(
        PLANCK, nothing, start=0.02, steps=30, spacing="log", integrator="kdk",
        force=ParticleMesh(Mesh(32, 100.0), "pcs"),
    )  # fmt: skip
    shape = np.sin(np.arccos(np.clip(wave(BOX, 1.0, (1, 1, 0)), -1, 1))).ravel()
    start = 0.05 * shape[:, None] * np.array([1.0, -1.0, 0.0])
    end = simulation.particles(simulation.run(with_displacement(simulation, start)))
    change = np.asarray(end.displacement) - start
    assert np.abs(change).max() < 0.01 * np.abs(start).max()


@pytest.mark.parametrize("integrator", ["kdk", "bullfrog", "cola"])
def test_momentum_is_conserved(integrator: str) -> None:
    """To rounding: what a mesh gives to some particles it takes from others."""
    found = simulate(PLANCK, small_box(), steps=10, integrator=integrator)
    assert isinstance(found, Particles)
    total = np.sum(np.asarray(found.momentum), 0)
    assert np.abs(total).max() < 1e-12 * np.sum(np.abs(np.asarray(found.momentum)))


@pytest.mark.parametrize("integrator", ["kdk", "fastpm"])
def test_time_can_be_turned(integrator: str) -> None:
    """Undoing every kick and drift, in float64, leads back to the start."""
    simulation = prepare(PLANCK, small_box(), steps=8, integrator=integrator)
    start = simulation.init()
    end = simulation.run(start)
    x, p, stages = end.displacement, end.momentum, simulation.stages
    rate = jax.jit(
        lambda x, i: acceleration(simulation.system, x, stages.a[i], stages.source[i], MESH)
    )
    for i in reversed(range(stages.number)):
        p = (p - stages.kick[i] * rate(x, i)) / stages.decay[i]
        x = x - stages.drift[i] * p
    np.testing.assert_allclose(x, start.displacement, atol=1e-11)
    np.testing.assert_allclose(p, start.momentum, atol=1e-11)


def test_cola_with_p3m_converges_to_p3m() -> None:
    """A frame changes the way, not the end: the distance to a run without one falls fivefold.

    In box of 16 Mpc/h to a = 0.5; the median, as close pairs are chaotic.
    """
    mesh = Mesh(16, 16.0)
    initial = gaussian(PLANCK, mesh, 5, power=POWER, dtype=jnp.float64)
    choices = {"force": P3M(mesh, softening=0.1), "end": 0.5, "spacing": "growth"}
    plain, few, many = (
        simulate(PLANCK, initial, integrator=name, steps=steps, **choices)
        for name, steps in (("kdk", 64), ("cola", 8), ("cola", 24))
    )
    assert isinstance(plain, Particles)
    first, second = (
        float(jnp.median(jnp.abs(each.displacement - plain.displacement)))
        for each in (few, many)
        if isinstance(each, Particles)
    )
    assert second < 0.2 * first
    assert second < 1e-3
