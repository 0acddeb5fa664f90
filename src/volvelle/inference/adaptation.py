"""The warm-up of a sampler: its schedule, and running moments of the positions.

Stan's scheme (Carpenter et al. 2017): the step size is adapted all along, the covariance in windows
that double in length; each window starts from nothing but the covariance of the one before.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

FIXED, STEP_SIZE, COVARIANCE, WINDOW_END, LAST = range(5)
"""What is adapted after a step: nothing; the step size; positions are gathered too; the gathered
covariance is taken over; the warm-up ends and the averaged step size is kept."""

APPROACH = 0.15  # of the warm-up: the way to where the posterior is
SETTLING = 0.15  # of the warm-up: the step size of the final covariance
FIRST_WINDOW = 25
SHRINKAGE = 20.0  # samples that the previous covariance counts for


def schedule(steps: int) -> np.ndarray:
    """The phase of every step of a warm-up [steps]."""
    phases = np.full(steps, STEP_SIZE)
    begin, end = int(APPROACH * steps), steps - int(SETTLING * steps)
    phases[begin:end] = COVARIANCE
    length = FIRST_WINDOW
    while begin < end:
        # a window that leaves no room for the next, twice as long, takes all
        stop = begin + length if begin + 3 * length <= end else end
        phases[stop - 1] = WINDOW_END
        begin, length = stop, 2 * length
    if steps > 0:
        phases[-1] = LAST
    return phases


class Moments(eqx.Module):
    """Number, mean and summed squares of the positions of a window (Welford 1962)."""

    count: Float[Array, ""]
    mean: Float[Array, " d"]
    squares: Float[Array, "d d"]

    @classmethod
    def empty(cls, dimension: int) -> Moments:
        """Of no positions."""
        return cls(jnp.zeros(()), jnp.zeros(dimension), jnp.zeros((dimension, dimension)))

    def add(self, z: Float[Array, " d"]) -> Moments:
        """With one position more."""
        count = self.count + 1.0
        delta = z - self.mean
        mean = self.mean + delta / count
        return Moments(count, mean, self.squares + jnp.outer(delta, z - mean))

    def covariance(self, previous: Float[Array, "d d"]) -> Float[Array, "d d"]:
        """Covariance, drawn towards the previous one while positions are few."""
        return (self.squares + SHRINKAGE * previous) / (self.count + SHRINKAGE)
