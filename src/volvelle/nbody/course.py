"""The stages of a simulation and its Lagrangian perturbation theory as numbers, for tiles.

What every tile of a box has in common: drifts and kicks, and the weights of the displacement
fields for positions, momenta and accelerations when a force is evaluated, and when particles are
handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.power.functions import as_arguments

from .growth import particle_growth
from .integrators import Integrator, named_integrator
from .times import shared_steps, stage_at, step_times

Numbers = Float[np.ndarray, " *a"]


@dataclass(frozen=True)
class Course:
    """Arrays over stages as in ``Stages``, and the growth of displacements."""

    a: Numbers
    drift: Numbers
    decay: Numbers
    kick: Numbers
    source: Numbers
    time: Numbers
    ahead: Numbers
    back: Numbers
    momentum: Numbers
    at_force: Float[np.ndarray, "n 3 5"]
    """D, T D, T^2 D over c, at ``a``."""
    at_time: Float[np.ndarray, "n 3 5"]
    """The same at ``time``."""
    begin: Numbers
    """a at the start, and p there over the momentum that is integrated."""
    at_begin: Float[np.ndarray, "3 5"]
    framed: np.ndarray
    """Whether what is integrated is beyond Lagrangian perturbation theory, or the whole motion."""
    staggered: np.ndarray

    @property
    def number(self) -> int:
        """Of stages."""
        return len(self.a)

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {each.name: np.asarray(getattr(self, each.name)) for each in fields(self)}

    def stage_at(self, a: float) -> int:
        """How many stages are done when particles can be had at ``a``.

        Raises ScheduleError for another time than the end of a step.
        """
        return stage_at(self.time, a)


def course(
    cosmology: Cosmology,
    *,
    start: float = 0.1,
    end: float = 1.0,
    steps: int = 10,
    spacing: str = "linear",
    through: Sequence[float] = (),
    integrator: Integrator | str = "cola",
) -> Course:
    """The stages of a simulation without neutrinos on the mesh; arguments as of ``prepare``.

    Raises ScheduleError for times, steps and an integrator that make no simulation.
    """
    integrator = named_integrator(integrator)
    when = (start, end, steps, spacing, tuple(through))
    shared_steps(*when)
    found = _arrays(as_arguments(cosmology), when, integrator)
    framed = np.asarray(integrator.frame == "lpt")
    return Course(**jax.tree.map(np.asarray, found), framed=framed)


@eqx.filter_jit
def _arrays(
    cosmology: Cosmology, when: tuple[Any, ...], integrator: Integrator
) -> dict[str, Array]:
    growth = particle_growth(cosmology)
    times = step_times(growth, *when)
    stages = integrator.stages(growth, times, when[3])

    def weights(a: Array) -> Array:
        value, momentum, acceleration = growth(a)
        return jnp.stack([value, momentum, acceleration / growth.source(a)[..., None]], -2)

    names = ("a", "drift", "decay", "kick", "source", "time", "ahead", "back", "momentum")
    return {
        **{name: getattr(stages, name) for name in names},
        "at_force": weights(stages.a),
        "at_time": weights(stages.time),
        "begin": jnp.stack([times[0], stages.start]),
        "at_begin": weights(times[0]),
        "staggered": jnp.asarray(stages.staggered),
    }
