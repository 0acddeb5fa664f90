"""Particles from initial conditions to a time, at once or stage by stage."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities
from volvelle.cosmology.neutrinos import is_traced
from volvelle.power import Model
from volvelle.power.functions import as_arguments

from .errors import FrameError, ScheduleError, SimulationError
from .evolution import ADJOINTS, Force, System, acceleration, evolve, grid
from .frames import Frame, LPTFrame, RecordedFrame, Rest
from .growth import Coupling, ParticleGrowth, particle_growth
from .initial_conditions import InitialConditions
from .integrators import Flags, Integrator, Stages, named_integrator
from .lpt import check_order, lagrangian
from .memory import check_memory, memory_needed
from .mesh import Mesh
from .neutrinos import LinearResponse, NeutrinoFrame, neutrino_frame, with_neutrinos
from .pm import ParticleMesh
from .times import shared_steps, stage_at, step_times

Displacement = Float[Array, "N 3"]
Scalar = Float[Array, ""]


class Particles(eqx.Module):
    """Particles at one time, in the order of the grid that they started from."""

    mesh: Mesh
    """Whose points are that grid."""
    displacement: Displacement
    """From their points [Mpc/h]."""
    momentum: Displacement
    """a^2 dx/dt / H0 [Mpc/h]."""
    a: Scalar

    @property
    def positions(self) -> Displacement:
        """In the box, from 0 to ``box_size`` [Mpc/h]."""
        size = self.mesh.box_size
        x = jnp.mod(grid(self.mesh, self.displacement.dtype) + self.displacement, size)
        return jnp.where(x < size, x, 0.0)  # of a small negative number, in float32

    @property
    def velocities(self) -> Displacement:
        """Peculiar, a dx/dt [km/s]."""
        return self.momentum * (100.0 / self.a).astype(self.momentum.dtype)


class State(eqx.Module):
    """A simulation between two stages; arrays that can be saved and taken up again."""

    displacement: Displacement
    """Beyond the frame's."""
    momentum: Displacement
    """Beyond the frame's, as it is integrated."""
    stage: Int[Array, ""]
    """How many are done."""


class Simulation(eqx.Module):
    """All that a simulation needs; made by ``prepare``.

    state = simulation.init()
    while not simulation.done(state):
        state = simulation.step(state)
    particles = simulation.particles(state)
    """

    mesh: Mesh
    """Whose points are the particles' grid."""
    system: System
    initial: LPTFrame | NeutrinoFrame
    """Displacements and momenta at the start."""
    start: Scalar
    adjoint: str = eqx.field(static=True)
    in_own_frame: bool = eqx.field(static=True)
    """Whether the frame is that of the start, in which nothing is left then."""
    named_times: tuple[tuple[float, int], ...] = eqx.field(static=True)
    """Start, snapshots and end, with the number of steps up to each."""

    @property
    def stages(self) -> Stages:
        """Drifts and kicks, and their times."""
        return self.system.stages

    @eqx.filter_jit
    def init(self) -> State:
        """The particles at the start."""
        frame, a = self.system.frame, self.start
        x, p = self.initial.displacement(a), self.initial.momentum(a)
        if self.in_own_frame:
            x, p = jnp.zeros_like(x), jnp.zeros_like(p)
        else:
            x, p = x - frame.displacement(a), p - frame.momentum(a)
        p = p / self.stages.start.astype(p.dtype)
        return State(x, p, jnp.zeros((), jnp.int32))

    def done(self, state: State) -> bool:
        """Whether there is no stage left."""
        return int(state.stage) >= self.stages.number

    def step(self, state: State) -> State:
        """One stage further: a drift, a force, a kick.

        Raises ScheduleError after the last one.
        """
        if not is_traced(state.stage) and self.done(state):
            raise ScheduleError(
                f"all {self.stages.number} stages are done; the particles are at a = "
                f"{float(self.stages.time[-1]):g}"
            )
        return self._step(state)

    @eqx.filter_jit
    def _step(self, state: State) -> State:
        one = jax.tree.map(lambda each: each[state.stage][None], self._each())
        return self._through(state, one)

    def run(self, state: State, until: int | None = None) -> State:
        """From a state to when ``until`` stages are done, all if None.

        Raises ScheduleError for fewer than are done, or more than there are.
        """
        first = state.stage
        if is_traced(first):
            raise ScheduleError("a traced state: how many stages are done has to be known to run")
        first, last = int(first), self.stages.number if until is None else until
        if not first <= last <= self.stages.number:
            raise ScheduleError(
                f"run until {last} stages are done; {first} are, of {self.stages.number}"
            )
        return self._run(state, first, last)

    @eqx.filter_jit
    def _run(self, state: State, first: int, last: int) -> State:
        return self._through(state, jax.tree.map(lambda each: each[first:last], self._each()))

    def _each(self) -> Stages:
        """The stages without what belongs to all of them."""
        return eqx.tree_at(lambda s: s.start, self.stages, jnp.zeros(self.stages.number))

    def _through(self, state: State, stages: Stages) -> State:
        system = eqx.tree_at(lambda s: s.stages, self.system, stages)
        x, p = evolve(system, state.displacement, state.momentum, self.mesh, self.adjoint)
        return State(x, p, state.stage + stages.number)

    def particles(self, state: State) -> Particles:
        """Positions and momenta at the same time, after a stage.

        Between the stages of COLA and KickDriftKick, whose momenta are half a step ahead, this
        takes one more force.

        Raises ScheduleError before the first stage: ``start_particles`` has those.
        """
        if not is_traced(state.stage) and int(state.stage) == 0:
            raise ScheduleError("no stage is done; the particles at the start: start_particles()")
        last = not is_traced(state.stage) and self.done(state)
        return self._particles(state, self.stages.staggered and not last)

    @eqx.filter_jit
    def _particles(self, state: State, ahead: bool) -> Particles:
        stage = jax.tree.map(lambda each: each[state.stage - 1], self._each())
        x, p = state.displacement, state.momentum
        if ahead:
            rate = acceleration(self.system, x, stage.a, stage.source, self.mesh)
            p = p - stage.back.astype(p.dtype) * rate
        x = x + stage.ahead.astype(x.dtype) * p
        p = stage.momentum.astype(p.dtype) * p
        frame = self.system.frame
        x, p = x + frame.displacement(stage.time), p + frame.momentum(stage.time)
        return Particles(self.mesh, x, p, stage.time)

    def start_particles(self) -> Particles:
        """Those of the initial conditions at the start."""
        x, p = self.initial.displacement(self.start), self.initial.momentum(self.start)
        return Particles(self.mesh, jnp.asarray(x), jnp.asarray(p), self.start)

    def stage_at(self, a: float) -> int:
        """How many stages are done when particles can be had at ``a``.

        Raises ScheduleError for another time than the end of a step.
        """
        return stage_at(self.stages.time, a)

    def record(self) -> RecordedFrame:
        """The whole run as a frame, which holds two arrays of all particles for every stage.

        Raises FrameError for FastPM and BullFrog, and where a stage has no force.
        """
        state = self.init()
        start, momenta = state.displacement, [state.momentum]
        while not self.done(state):
            state = self.step(state)
            momenta.append(state.momentum)
        return RecordedFrame.through(self.system.frame, self.stages, start, jnp.stack(momenta))


def prepare(
    cosmology: Cosmology,
    initial: InitialConditions,
    *,
    start: float = 0.1,
    end: float = 1.0,
    steps: int = 10,
    spacing: str = "linear",
    through: Sequence[float] = (),
    integrator: Integrator | str = "cola",
    force: Force | None = None,
    frame: Frame | str | None = None,
    order: int = 2,
    flags: Flags = None,
    coupling: Coupling | None = None,
    neutrinos: Model | None = None,
    adjoint: str = "reversible",
) -> Simulation:
    """All that a simulation needs, from initial conditions on the grid of the particles.

    Args:
        start, end: scale factors; Lagrangian perturbation theory leads to the first.
        steps: their number; ``spacing`` and ``through`` as in ``step_times``.
        integrator: an ``Integrator``, or its name in ``INTEGRATORS``.
        force: positions [N, 3] [Mpc/h] and a to -grad phi, laplacian phi = delta [Mpc/h];
            ``ParticleMesh`` of the grid's own mesh with triangular clouds, if None: with linear
            ones a lattice that has hardly moved is pulled by several percent too much.
        frame: ``none``, ``lpt`` (the fields of the start), or a ``Frame``; the integrator's own,
            if None.
        order: of Lagrangian perturbation theory: 1, 2 or 3.
        flags: whether each force is evaluated, of COLA and KickDriftKick; all, if None. The kept
            ones stand for the time up to halfway to the next.
        coupling: modified gravity's Newton constant over Newton's as a function of a, in growth and
            in kicks; the force is the caller's.
        neutrinos: a linear model of ``volvelle.power`` with which particles are baryons and cold
            dark matter, from initial conditions of ``species="cb"``, and massive neutrinos pull
            as a linear density (``neutrinos``); None: all matter is in the particles.
        adjoint: ``reversible`` (a gradient whose memory does not grow with the steps; reverse mode,
            first order) or ``direct``.

    Raises ScheduleError for times, steps or flags that make no simulation, FrameError for a frame
    that the integrator cannot take or of other particles, SimulationError for other words and for a
    force of another box, MemoryNeededError where it would not fit, and what the parts raise.
    """
    integrator = named_integrator(integrator)
    if adjoint not in ADJOINTS:
        raise SimulationError(f"adjoint is {adjoint!r}; expected one of {', '.join(ADJOINTS)}")
    mesh = initial.mesh
    acting: Any = ParticleMesh(mesh, "tsc") if force is None else force
    frame = integrator.frame if frame is None else frame
    cells = _cells(acting, mesh)
    check_order(order)
    check_memory(memory_needed(mesh.cells, cells, order=order, dtype=initial.density.dtype))
    densities(cosmology)  # says what is wrong with a universe where it is known
    when = (start, end, steps, spacing, tuple(through))
    marks, shares = shared_steps(*when)
    kept = None if flags is None else tuple(bool(flag) for flag in flags)
    growth = _growth(as_arguments(cosmology), coupling)
    times, stages = _schedule(growth, when, integrator, kept)
    _check_growth(stages)
    if neutrinos is None:
        begin = LPTFrame(_lagrangian(initial, order), growth)
    else:
        if not integrator.any_frame or coupling is not None:
            raise SimulationError(
                "linear neutrinos with FastPM, BullFrog or a coupling, whose growth is the same at "
                "all scales; take COLA or KickDriftKick, without coupling"
            )
        response = LinearResponse.of(cosmology, mesh, float(start), neutrinos)
        begin = neutrino_frame(response, initial, order)
        acting = with_neutrinos(acting, response, initial)
    chosen = _frame(frame, begin, integrator)
    numbers = np.cumsum([0, *shares]).tolist()
    return Simulation(
        mesh,
        System(acting, chosen, stages),
        begin,
        times[0],
        adjoint,
        chosen is begin,
        tuple(zip(marks, numbers, strict=True)),
    )


def simulate(
    cosmology: Cosmology,
    initial: InitialConditions,
    *,
    snapshots: Sequence[float] = (),
    **choices: Any,
) -> Particles | list[Particles]:
    """Particles at the end of a simulation; the choices are those of ``prepare``.

    ``snapshots``: scale factors at which particles are wanted as well; steps are put so that they
    meet them, and the result is a list, in order, the end last.

    Differentiable in the cosmology, the initial conditions, and the arrays of force and frame.
    Raises as ``prepare``.
    """
    choices["through"] = [*choices.get("through", ()), *snapshots]
    simulation = prepare(cosmology, initial, **choices)
    stages, state, taken = simulation.stages, simulation.init(), []
    steps = dict(simulation.named_times)
    done = 0
    for a in sorted({float(a) for a in snapshots} & set(steps)):
        stop = steps[a] + stages.staggered
        state, done = simulation._run(state, done, stop), stop
        if stop < stages.number:
            taken.append(simulation._particles(state, stages.staggered))
    last = simulation._particles(simulation._run(state, done, stages.number), False)
    return [*taken, last] if snapshots else last


def _frame(frame: Frame | str, begin: LPTFrame | NeutrinoFrame, integrator: Integrator) -> Frame:
    name = type(integrator).__name__
    if frame == "none" or isinstance(frame, Rest):
        return Rest()
    if not integrator.any_frame:
        raise FrameError(f"{name} integrates whole trajectories; its frame is none, not another")
    if frame == "lpt":
        return begin
    if not isinstance(frame, Frame):
        raise FrameError(f"frame is {frame!r}; expected none, lpt or a Frame")
    wanted = jax.eval_shape(begin.displacement, jnp.ones(())).shape
    found = jax.eval_shape(frame.displacement, jnp.ones(())).shape
    if found not in ((), wanted):
        raise FrameError(f"a frame of displacements {found}; expected {wanted}, of these particles")
    return frame


def _check_growth(stages: Stages) -> None:
    if is_traced(stages.kick) or np.all(np.isfinite(stages.kick)):
        return
    raise SimulationError(
        "the growth of this universe is no number between a = 1e-5 and today: its H^2 is not above "
        "0 at some time; take other curvature or dark energy"
    )


def _cells(force: Force, mesh: Mesh) -> int:
    """Of the mesh of a force that has one."""
    found = getattr(force, "mesh", mesh)
    if found.box_size != mesh.box_size:
        raise SimulationError(
            f"the force is of a box of {found.box_size:g} Mpc/h; the initial conditions are of one "
            f"of {mesh.box_size:g} Mpc/h"
        )
    return found.cells


_growth = eqx.filter_jit(particle_growth)
_lagrangian = eqx.filter_jit(lagrangian)


@eqx.filter_jit
def _schedule(
    growth: ParticleGrowth,
    when: tuple[float, float, int, str, tuple[float, ...]],
    integrator: Integrator,
    flags: tuple[bool, ...] | None,
) -> tuple[Array, Stages]:
    times = step_times(growth, *when)
    return times, integrator.stages(growth, times, when[3], flags)
