"""The times between which a simulation steps."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology.neutrinos import is_traced

from .errors import ScheduleError
from .growth import ParticleGrowth

SPACINGS = ("linear", "log", "growth")
"""Equal steps of a, of ln a, of D1."""

EARLIEST = 1e-3
"""a before which no simulation starts: baryons and radiation are not particles."""

Scales = Float[Array, " *a"]


def clock(growth: ParticleGrowth, spacing: str, a: Scales) -> Scales:
    """The variable whose steps are equal."""
    if spacing == "linear":
        return a
    return jnp.log(a) if spacing == "log" else growth(a)[0][..., 0]


def scale_factor(growth: ParticleGrowth, spacing: str, reading: Scales) -> Scales:
    """a at a reading of the clock."""
    if spacing == "linear":
        return reading
    return jnp.exp(reading) if spacing == "log" else growth.scale_factor(reading)


def midpoints(growth: ParticleGrowth, spacing: str, early: Scales, late: Scales) -> Scales:
    """a in the middle between others, by the clock."""
    halves = [0.5 * clock(growth, spacing, a) for a in (early, late)]
    return scale_factor(growth, spacing, halves[0] + halves[1])


def step_times(
    growth: ParticleGrowth,
    start: float,
    end: float = 1.0,
    steps: int = 10,
    spacing: str = "linear",
    through: Sequence[float] = (),
) -> Scales:
    """The ends of steps, ``steps + 1`` times from ``start`` to ``end``.

    Args:
        spacing: ``linear``, ``log`` or ``growth``: equal steps of a, of ln a or of D1.
        through: times in between that are to be among them (for snapshots); the steps are shared
            among the intervals as their lengths are, each with one at least.

    Raises ScheduleError for a start that is not before the end, or before a = 0.001, an end after
    today, fewer steps than intervals, times in ``through`` outside, and other spacings.
    """
    marks, shares = shared_steps(start, end, steps, spacing, through)
    known = jnp.asarray(marks)
    readings = clock(growth, spacing, known)
    parts = [
        readings[i] + (readings[i + 1] - readings[i]) * np.arange(n) / n
        for i, n in enumerate(shares)
    ]
    found = scale_factor(growth, spacing, jnp.concatenate([*parts, readings[-1:]]))
    return found.at[np.cumsum([0, *shares])].set(known)


def shared_steps(
    start: float, end: float, steps: int, spacing: str, through: Sequence[float] = ()
) -> tuple[list[float], list[int]]:
    """``start``, ``through`` and ``end`` in order, and the number of steps between each two.

    The same for every universe: D1 is taken to be a. Arguments and errors as ``step_times``.
    """
    if spacing not in SPACINGS:
        raise ScheduleError(f"spacing is {spacing!r}; expected one of {', '.join(SPACINGS)}")
    if any(is_traced(a) for a in (start, end, *through)):
        raise ScheduleError("times are traced; give numbers, the same for every universe")
    start, end = float(start), float(end)
    if not EARLIEST <= start < end <= 1.0:
        raise ScheduleError(
            f"a simulation from a = {start:g} to {end:g}; expected {EARLIEST:g} <= start < end <= 1"
        )
    inner = sorted({float(a) for a in through} - {start, end})
    if inner and not start < inner[0] <= inner[-1] < end:
        raise ScheduleError(
            f"snapshots at a = {', '.join(f'{a:g}' for a in inner)} of a simulation from "
            f"{start:g} to {end:g}; expected times between the two"
        )
    if isinstance(steps, bool) or int(steps) != steps or steps < len(inner) + 1:
        raise ScheduleError(
            f"{steps} steps; expected a whole number of at least {len(inner) + 1}, one for each "
            "interval between start, snapshots and end"
        )
    marks = [start, *inner, end]
    lengths = np.diff(np.log(marks) if spacing == "log" else marks)
    shares = np.ones(len(lengths), dtype=int)
    for _ in range(int(steps) - len(lengths)):
        shares[np.argmax(lengths / shares)] += 1
    return marks, shares.tolist()


def stage_at(times: Scales | np.ndarray, a: float) -> int:
    """How many stages, which hand particles out at ``times``, are done at ``a``.

    Raises ScheduleError for another time than these.
    """
    known = np.asarray(times)
    i = int(np.argmin(np.abs(known - a)))
    if abs(known[i] - a) > 1e-5 * a:
        raise ScheduleError(
            f"a = {a:g} is not the end of a step; those near it are "
            f"{', '.join(f'{t:.6g}' for t in known[max(i - 1, 0) : i + 2])}: name it in "
            "step_times(..., through=...)"
        )
    return i + 1
