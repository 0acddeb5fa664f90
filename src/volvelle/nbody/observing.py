"""A simulation that an observer looks at: step by step, and what crosses the lightcone in each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .crossings import Crossings
from .errors import LightconeError
from .evolution import grid
from .lightcone import Lightcone, Moment, Watch
from .simulation import Simulation, State

_SAME_TIME = 1e-6
"""Relative, of scale factors."""


def moment(simulation: Simulation, state: State) -> Moment:
    """The particles of a state, as a lightcone takes them.

    Between the stages of COLA and KickDriftKick, positions and momenta at the same time take one
    more force.
    """
    first = int(state.stage) == 0
    particles = simulation.start_particles() if first else simulation.particles(state)
    displacement = np.asarray(particles.displacement)
    where = np.asarray(grid(particles.mesh, displacement.dtype)) + displacement
    return Moment(float(particles.a), where, np.asarray(particles.momentum))


def check_times(simulation: Simulation, lightcone: Lightcone) -> None:
    """Raise LightconeError for a lightcone that a simulation's times do not cover, and for another
    box."""
    first, last = float(simulation.start), float(simulation.stages.time[-1])
    low, high = lightcone.redshifts
    if 1.0 / (1.0 + high) < first * (1.0 - _SAME_TIME):
        raise LightconeError(
            f"a lightcone to redshift {high:g} of a simulation that starts at redshift "
            f"{1.0 / first - 1.0:.4g}; start it earlier, or take a nearer lightcone"
        )
    if 1.0 / (1.0 + low) > last * (1.0 + _SAME_TIME):
        raise LightconeError(
            f"a lightcone from redshift {low:g} of a simulation that ends at redshift "
            f"{1.0 / last - 1.0:.4g}; let it end later, or take a lightcone from there on"
        )
    if abs(simulation.mesh.box_size - lightcone.box_size) > _SAME_TIME * lightcone.box_size:
        raise LightconeError(
            f"a lightcone in a box of {lightcone.box_size:g} Mpc/h, of a simulation in "
            f"{simulation.mesh.box_size:g} Mpc/h"
        )


def observe(
    simulation: Simulation, lightcone: Lightcone, state: State | None = None
) -> Iterator[tuple[State, Crossings]]:
    """Step a simulation to its end, and find what crosses the lightcone in each step.

    Args:
        state: from where; the start, if None.

    Raises LightconeError where the simulation's times do not cover the lightcone.
    """
    check_times(simulation, lightcone)
    state = simulation.init() if state is None else state
    watch = Watch(lightcone, moment(simulation, state))
    while not simulation.done(state):
        state = simulation.step(state)
        yield state, watch(moment(simulation, state))
