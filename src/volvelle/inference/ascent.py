"""The best design: a figure of merit climbed along its exact gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import minimize

from volvelle.inference.errors import FisherError

_SETTLED = 1e-3
"""Largest derivative of ln(merit) by a coordinate at which a design counts as the best one: where
ranges bind, their coordinates run on for ever."""
_NOWHERE = 1e30
"""-ln(merit) where there is none."""


@dataclass(frozen=True)
class Ascent:
    """The way up.

    ``points`` [steps, m] and ``merits`` [steps] begin with the start; ``gradient`` [m] is that of
    ln(merit) at the end, ``settled`` whether it is 0 to 1e-3 there.
    """

    points: np.ndarray
    merits: np.ndarray
    gradient: np.ndarray
    settled: bool

    @property
    def best(self) -> np.ndarray:
        """[m] coordinates of the largest merit."""
        return self.points[int(np.argmax(self.merits))]


def ascend(
    merit: Callable[[Array], Array],
    start: np.ndarray,
    *,
    steps: int = 60,
    progress: Callable[[int, int, float], None] | None = None,
) -> Ascent:
    """Climb ln(merit) from ``start`` [m] by L-BFGS on its exact gradient.

    Args:
        merit: a positive number as a function of real coordinates [m], without constraints: keep
            what is constrained by a change of coordinates. Derivatives are taken forward.
        steps: most of them.
        progress: called after each with its number, ``steps`` and the merit.

    Raises FisherError where merit or gradient are not finite at the start.
    """

    def pair(u: Array) -> tuple[Array, Array]:
        value = jnp.log(merit(u))
        return value, value

    compiled = jax.jit(jax.jacfwd(pair, has_aux=True))
    points: list[np.ndarray] = []
    merits: list[float] = []
    gradients: dict[bytes, np.ndarray] = {}
    values: dict[bytes, float] = {}

    def evaluated(u: np.ndarray) -> tuple[float, np.ndarray]:
        key = np.asarray(u, dtype=float).tobytes()
        if key not in values:
            slope, value = compiled(jnp.asarray(u, dtype=float))
            values[key], gradients[key] = float(value), np.asarray(slope, dtype=float)
        if not (np.isfinite(values[key]) and np.all(np.isfinite(gradients[key]))):
            return _NOWHERE, np.zeros_like(u)  # a step too far: the line search shortens it
        return -values[key], -gradients[key]

    def keep(u: np.ndarray) -> None:
        points.append(np.array(u, dtype=float))
        merits.append(float(np.exp(-evaluated(u)[0])))
        if progress is not None and len(points) > 1:
            progress(len(points) - 1, steps, merits[-1])

    first = np.asarray(start, dtype=float)
    if evaluated(first)[0] == _NOWHERE:
        raise FisherError(
            "the figure of merit or its gradient is not finite at the start; look at the survey "
            "there: empty bins, or parameters without information"
        )
    keep(first)
    options = {"maxiter": steps, "gtol": 0.01 * _SETTLED, "ftol": 1e-12}
    minimize(evaluated, first, jac=True, method="L-BFGS-B", callback=keep, options=options)
    top = int(np.argmax(merits))
    gradient = -evaluated(points[top])[1]
    settled = bool(np.max(np.abs(gradient)) <= _SETTLED)
    return Ascent(np.array(points), np.array(merits), gradient, settled)
