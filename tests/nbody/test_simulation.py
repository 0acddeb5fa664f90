"""Simulations as a whole: steps, snapshots, frames and flags, precision, and what is refused."""

from __future__ import annotations

import io

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import volvelle.nbody.memory as memory
from small_boxes import MESH, PLANCK, POWER, small_box
from volvelle.nbody import (
    FrameError,
    InitialConditions,
    InitialConditionsError,
    MemoryNeededError,
    Mesh,
    MeshError,
    ParticleMesh,
    Particles,
    RecordedFrame,
    Rest,
    ScheduleError,
    Simulation,
    SimulationError,
    State,
    check_memory,
    gaussian,
    memory_needed,
    prepare,
    simulate,
)

FEW = {"steps": 4, "start": 0.2}
ROUNDING = 1e-12


def distance(one: Particles, other: Particles) -> float:
    """Largest of positions and momenta [Mpc/h]."""
    return max(
        float(jnp.max(jnp.abs(one.displacement - other.displacement))),
        float(jnp.max(jnp.abs(one.momentum - other.momentum))),
    )


@pytest.fixture(scope="module")
def cola() -> Simulation:
    return prepare(PLANCK, small_box(), **FEW)


@pytest.fixture(scope="module")
def end(cola: Simulation) -> Particles:
    return cola.particles(cola.run(cola.init()))


def test_steps_are_the_run(cola: Simulation, end: Particles) -> None:
    """One at a time, with the state written to a file and read again in between."""
    state, taken = cola.init(), 0
    while not cola.done(state):
        state, taken = cola.step(state), taken + 1
        file = io.BytesIO()
        np.savez(file, x=state.displacement, p=state.momentum, stage=state.stage)
        file.seek(0)
        held = np.load(file)
        state = State(*(jnp.asarray(held[name]) for name in ("x", "p", "stage")))
    assert taken == 5
    assert distance(cola.particles(state), end) < ROUNDING
    with pytest.raises(ScheduleError, match="all 5 stages are done"):
        cola.step(state)
    with pytest.raises(ScheduleError, match="run until 2 stages"):
        cola.run(state, 2)
    with pytest.raises(ScheduleError, match="a traced state"):
        jax.jit(lambda state: cola.run(state))(state)


def test_simulate_is_prepare_and_run(end: Particles) -> None:
    assert distance(simulate(PLANCK, small_box(), **FEW), end) < ROUNDING
    assert float(end.a) == 1.0


def test_the_start_is_that_of_perturbation_theory(cola: Simulation) -> None:
    start = cola.start_particles()
    values, momenta, _ = cola.initial.growth(jnp.array(0.2))
    fields = cola.initial.lagrangian.fields
    np.testing.assert_allclose(
        start.displacement, values[0] * fields[0] + values[1] * fields[1], atol=ROUNDING
    )
    np.testing.assert_allclose(
        start.momentum, momenta[0] * fields[0] + momenta[1] * fields[1], atol=ROUNDING
    )
    with pytest.raises(ScheduleError, match="no stage is done"):
        cola.particles(cola.init())


def test_positions_and_velocities(end: Particles) -> None:
    x = np.asarray(end.positions)
    assert x.min() >= 0.0 and x.max() < MESH.box_size
    i, j, k = 3, 4, 5
    point = (i * 16 + j) * 16 + k
    moved = np.array([i, j, k]) * MESH.cell + np.asarray(end.displacement)[point]
    np.testing.assert_allclose(x[point], moved % MESH.box_size, atol=1e-12)
    np.testing.assert_allclose(end.velocities, 100.0 * end.momentum / end.a, rtol=1e-12)


@pytest.mark.parametrize("name", ["cola", "bullfrog"])
def test_snapshots(name: str) -> None:
    """At the times that were asked for, and as a run that ends there in the same steps."""
    found = simulate(PLANCK, small_box(), integrator=name, snapshots=(0.6, 0.4), **FEW)
    assert isinstance(found, list)
    np.testing.assert_allclose([float(each.a) for each in found], [0.4, 0.6, 1.0], rtol=1e-9)
    until = simulate(PLANCK, small_box(), integrator=name, start=0.2, end=0.4, steps=1)
    assert isinstance(until, Particles)
    assert distance(found[0], until) < 1e-9


def test_the_time_of_a_stage(cola: Simulation) -> None:
    assert cola.stage_at(0.6) == 3
    assert prepare(PLANCK, small_box(), integrator="fastpm", **FEW).stage_at(0.6) == 2
    with pytest.raises(ScheduleError, match=r"0\.5 is not the end of a step.*0\.4, 0\.6"):
        cola.stage_at(0.5)


MASKS = (
    None,
    (True, False, True, True, True),
    (False, True, False, False, True),
    (True, True, True, True, False),
    (False,) * 5,
)


@pytest.mark.parametrize("base", ["none", "lpt"])
def test_any_flags_reproduce_a_recorded_run(base: str) -> None:
    """Which is what makes a learned frame that is right cost no forces."""
    reference = prepare(PLANCK, small_box(), frame=base, **FEW)
    frame = reference.record()
    assert isinstance(frame, RecordedFrame)
    wanted = reference.particles(reference.run(reference.init()))
    for flags in MASKS:
        found = simulate(PLANCK, small_box(), frame=frame, flags=flags, **FEW)
        assert distance(found, wanted) < ROUNDING, flags


def test_a_wrong_frame_is_corrected_by_forces() -> None:
    """A record with 10% too much momentum: forces bring the end back, none leave it wrong."""
    reference = prepare(PLANCK, small_box(), **FEW)
    wanted = reference.particles(reference.run(reference.init()))
    right = reference.record()
    frame = RecordedFrame.through(
        right.base, reference.stages, right.displacements[0], 1.1 * right.momenta
    )
    without, withal = (
        distance(simulate(PLANCK, small_box(), frame=frame, flags=flags, **FEW), wanted)
        for flags in ((False,) * 5, None)
    )
    assert withal < ROUNDING < 0.01 < without


@pytest.mark.parametrize("order", [2, 3])
def test_no_forces_in_the_frame_of_perturbation_theory_is_perturbation_theory(order: int) -> None:
    found = simulate(PLANCK, small_box(), flags=(False,) * 5, order=order, **FEW)
    initial = prepare(PLANCK, small_box(), order=order, **FEW).initial
    assert len(initial.lagrangian.fields) == {2: 2, 3: 5}[order]
    one = jnp.ones(())
    np.testing.assert_allclose(found.displacement, initial.displacement(one), atol=ROUNDING)
    np.testing.assert_allclose(found.momentum, initial.momentum(one), atol=ROUNDING)


def test_frames_that_cannot_serve(cola: Simulation) -> None:
    box = small_box()
    with pytest.raises(FrameError, match="FastPM integrates whole trajectories"):
        prepare(PLANCK, box, integrator="fastpm", frame="lpt")
    with pytest.raises(FrameError, match="expected none, lpt or a Frame"):
        prepare(PLANCK, box, frame="zeldovich")
    small = InitialConditions(Mesh(8, 32.0), np.zeros((8, 8, 8)))
    with pytest.raises(FrameError, match=r"\(512, 3\), of these particles"):
        prepare(PLANCK, small, frame=cola.initial)
    fast = prepare(PLANCK, box, integrator="fastpm", **FEW)
    with pytest.raises(FrameError, match="a force at every stage"):
        fast.record()
    with pytest.raises(FrameError, match=r"momenta of shape \(2, 4096, 3\)"):
        RecordedFrame.through(Rest(), cola.stages, jnp.zeros((4096, 3)), jnp.zeros((2, 4096, 3)))
    frame = cola.record()
    assert np.all(np.isnan(frame.displacement(jnp.array(0.5))))
    assert np.all(np.isnan(frame.momentum(jnp.array(0.5))))
    assert np.all(np.isnan(frame.acceleration(jnp.array(0.5))))


def test_recorded_momenta_at_the_times_of_forces(cola: Simulation, end: Particles) -> None:
    frame = cola.record()
    one = jnp.ones(())
    np.testing.assert_allclose(frame.displacement(one), end.displacement, atol=ROUNDING)
    np.testing.assert_allclose(frame.momentum(one), end.momentum, atol=ROUNDING)
    between = cola.particles(cola.run(cola.init(), 3))
    np.testing.assert_allclose(frame.momentum(between.a), between.momentum, atol=ROUNDING)


@pytest.mark.parametrize("name", ["cola", "bullfrog"])
def test_single_precision(name: str) -> None:
    """float32 particles where x64 is on, and where it is off."""
    wanted = simulate(PLANCK, small_box(), integrator=name, **FEW)
    single = InitialConditions(MESH, jnp.asarray(small_box().density, jnp.float32))
    found = simulate(PLANCK, single, integrator=name, **FEW)
    with jax.enable_x64(False):
        apart = simulate(PLANCK, single, integrator=name, **FEW)
    for each in (found, apart):
        assert each.displacement.dtype == each.momentum.dtype == jnp.float32
        assert each.positions.dtype == each.velocities.dtype == jnp.float32
        assert distance(each, wanted) < 1e-3


def test_batches() -> None:
    """Many seeds at once are each of them alone."""

    def end(seed: jax.Array) -> jax.Array:
        initial = gaussian(PLANCK, MESH, seed, power=POWER, dtype=jnp.float64)
        return simulate(PLANCK, initial, **FEW).displacement

    many = jax.jit(jax.vmap(end))(jnp.array([5, 6]))
    np.testing.assert_allclose(many[0], end(jnp.array(5)), atol=1e-10)


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"start": 1.0}, ScheduleError, "from a = 1 to 1"),
        ({"integrator": "leapfrog"}, SimulationError, "expected one of kdk, cola"),
        ({"adjoint": "none"}, SimulationError, "reversible, direct"),
        ({"force": ParticleMesh(Mesh(16, 30.0))}, SimulationError, "a box of 30 Mpc/h"),
        ({"order": 4}, InitialConditionsError, "expected 1, 2 or 3"),
        ({"flags": (True,)}, ScheduleError, "expected 11 of True"),
        ({"through": (1.5,)}, ScheduleError, "snapshots at a = 1.5"),
    ],
)
def test_choices_that_make_no_simulation(choices: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        prepare(PLANCK, small_box(), **choices)


def test_universes_that_cannot_be() -> None:
    with pytest.raises(SimulationError, match="growth of this universe is no number"):
        prepare(PLANCK.replace(omega_cdm=0.01, omega_b=0.005, Omega_k=-0.9), small_box())
    with pytest.raises(MeshError, match="an even number"):
        Mesh(15, 32.0)


@pytest.mark.parametrize(
    ("cells", "order", "gradient"), [(32, 2, False), (64, 2, False), (32, 2, True)]
)
def test_memory_is_what_a_program_takes(cells: int, order: int, gradient: bool) -> None:
    """To 40%, of what the compiler counts."""
    mesh, force = Mesh(32, 48.0), ParticleMesh(Mesh(cells, 48.0), "tsc")

    def end(density: jax.Array) -> jax.Array:
        initial = InitialConditions(mesh, density)
        found = simulate(PLANCK, initial, order=order, steps=3, force=force)
        return jnp.sum(found.displacement**2) if gradient else found.displacement

    program = jax.jit(jax.grad(end) if gradient else end)
    compiled = program.lower(jax.ShapeDtypeStruct(mesh.shape, jnp.float32)).compile()
    counted = compiled.memory_analysis()
    assert counted is not None
    taken = (
        counted.temp_size_in_bytes + counted.argument_size_in_bytes + counted.output_size_in_bytes
    )
    needed = memory_needed(32, cells, order=order, gradient=gradient)
    assert 1.0 / 1.4 < needed / taken < 1.4


def test_memory_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory_needed(16, 16, dtype=jnp.float64) == pytest.approx(2 * memory_needed(16, 16))
    with pytest.raises(MemoryNeededError, match=r"needs about 2\.00 GiB and 1\.00 GiB are free"):
        check_memory(2 * 2**30, 2**30)
    check_memory(2**30, 2**31)
    monkeypatch.setattr(memory, "memory_free", lambda: 10_000)
    with pytest.raises(MemoryNeededError, match=r"0\.00 GiB are free"):
        prepare(PLANCK, small_box())


def test_the_memory_that_is_free() -> None:
    free = memory.memory_free()
    assert free is None or 2**20 < free < 2**50


def test_modified_gravity() -> None:
    """20% more gravity from a = 0.2 on, in growth and in kicks: COLA and a run without frame agree.

    D1 is 1 today in both universes, so that this one starts lower and grows more; without the
    coupling in its kicks the run without frame would end several percent too low.
    """
    more = {"coupling": lambda a: jnp.where(a > 0.2, 1.2, 1.0)}
    plain, cola = (prepare(PLANCK, small_box(), **FEW, **each) for each in ({}, more))
    starts = [float(jnp.std(each.start_particles().displacement)) for each in (plain, cola)]
    assert starts[1] < 0.9 * starts[0]
    still = simulate(PLANCK, small_box(), frame="none", steps=16, start=0.2, **more)
    found = cola.particles(cola.run(cola.init()))
    spread = float(jnp.std(still.displacement) / jnp.std(found.displacement))
    assert spread == pytest.approx(1.0, abs=0.015)


def test_a_whole_simulation_in_one_program(end: Particles) -> None:
    found = eqx.filter_jit(lambda initial: simulate(PLANCK, initial, **FEW))(small_box())
    assert distance(found, end) < ROUNDING
