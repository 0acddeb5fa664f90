"""Maxima of a likelihood inside the bounds of its priors, from many starts at once.

f(x) = -ln L(x) - (prior terms) + wall is minimised by projected BFGS with Levenberg-Marquardt
damping, all starts in one compiled, vectorised loop. The curvature begins as the precision matrix P
of the chains, so that a nearly Gaussian posterior takes a handful of gradients. Active bounds are
handled as by Nocedal & Wright 2006, section 16.7: coordinates on a bound that f pushes outwards are
held, a step stops at the first bound that it meets, and bounds are let go as the gradient turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from volvelle.inference.errors import InferenceError
from volvelle.inference.posterior import Posterior
from volvelle.inference.priors import Normal

PriorTerms = Literal["nuisance", "gaussian", "none", "all"]
"""Priors that count as data: Gaussian ones of nuisance parameters (a calibration is a measurement),
all Gaussian ones, none, or every prior (the maximum is then the posterior's, the MAP)."""

REACH = 1.3  # the search may go this far beyond the emulator's domain, as the exploration does
WALL = 0.05  # steepness of what stops it there, in units of the domain's edge
CONVERGED = 1e-3  # [sigma] of the gradient; the error of chi2 is its square
AGREE = 0.01  # of chi2: starts that end so near the best have found the same maximum
MOST_STEPS = 200
MOST_DAMPING = 1e8
ARMIJO = 1e-4
ROUNDING = 1e-11  # of f, which is a sum over thousands of multipoles
STEP = 1e-4  # [sigma] of differences: rounding of f divided by it is a tenth of ``CONVERGED``
BATCH = 32
"""Starts per compiled call, all of which take as many steps as the slowest; the last batch is
filled up, so that nothing compiles twice. Where likelihoods project spectra it is one start."""


class Objective(eqx.Module):
    """What is minimised, with the metric and the bounds of the search."""

    posterior: Posterior
    scale: Float[Array, " d"]
    """Widths of the parameters [d]; the search runs in y = x / scale."""
    precision: Float[Array, "d d"]
    """Inverse covariance of y: the metric of gradients and of the damping."""
    lower: Float[Array, " d"]
    upper: Float[Array, " d"]
    terms: PriorTerms = eqx.field(static=True, default="nuisance")
    differences: bool = eqx.field(static=True, default=False)
    """Whether gradients are central differences, for a likelihood that has none."""

    @classmethod
    def of(
        cls,
        posterior: Posterior,
        samples: np.ndarray,
        terms: PriorTerms,
        differences: bool = False,
    ) -> Objective:
        """With the metric of samples [n, d] of about the posterior.

        Raises:
            InferenceError: unknown prior terms, too few samples, or a parameter that never varies.
        """
        if terms not in get_args(PriorTerms):
            raise InferenceError(f"priors={terms!r}; choose {', '.join(get_args(PriorTerms))}")
        d = len(posterior.names)
        samples = np.asarray(samples, dtype=float)
        if samples.ndim != 2 or samples.shape[1] != d or len(samples) <= d:
            raise InferenceError(
                f"samples of shape {samples.shape}; expected more than {d} rows of {d} parameters"
            )
        scale = samples.std(axis=0)
        still = [name for name, s in zip(posterior.names, scale, strict=True) if not s > 0]
        if still:
            raise InferenceError(f"the samples do not vary in {', '.join(still)}; fix it instead")
        correlation = np.atleast_2d(np.cov(samples / scale, rowvar=False))
        values, vectors = np.linalg.eigh(correlation)
        precision = (vectors / np.maximum(values, 1e-8)) @ vectors.T
        lower, upper = posterior.bounds
        low, high = jnp.asarray(lower / scale), jnp.asarray(upper / scale)
        metric = jnp.asarray(precision)
        return cls(posterior, jnp.asarray(scale), metric, low, high, terms, differences)

    def prior_terms(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """ln of the priors that count as data; of a Gaussian -1/2 ((x - loc) / scale)^2."""
        if self.terms == "all":
            return self.posterior.log_prior(x)
        first = {"nuisance": self.posterior.n_theory, "gaussian": 0, "none": len(x)}[self.terms]
        total = jnp.zeros(())
        for i, prior in enumerate(self.posterior.priors):
            if i >= first and isinstance(prior, Normal):
                total = total - 0.5 * ((x[i] - prior.loc) / prior.scale) ** 2
        return total

    def minus_log_like(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """-ln L with the prior terms, of which Delta chi2 is twice the difference."""
        return -self.posterior.log_likelihood(x) - self.prior_terms(x)

    def distance(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """From the centre of the emulator's domain, 1 at its edge; 0 for a theory without one."""
        distance = getattr(self.posterior.theory, "distance", None)
        return jnp.zeros(()) if distance is None else distance(x[: self.posterior.n_theory])

    def __call__(self, y: Float[Array, " d"]) -> Float[Array, ""]:
        x = self.scale * y
        excess = jnp.maximum(self.distance(x) / REACH - 1.0, 0.0)
        return self.minus_log_like(x) + 0.5 * (excess / WALL) ** 2

    def value_and_gradient(self, y: Float[Array, " d"]) -> tuple[Array, Array]:
        """f and its gradient [d], by differences within the bounds if there is no other."""
        if not self.differences:
            return jax.value_and_grad(self)(y)
        steps = STEP * jnp.eye(len(y))
        above, below = jnp.minimum(y + steps, self.upper), jnp.maximum(y - steps, self.lower)
        values = jax.lax.map(self, jnp.concatenate([y[None], above, below]))
        up, down = jnp.split(values[1:], 2)
        return values[0], (up - down) / jnp.sum(above - below, axis=1)


class _State(eqx.Module):
    y: Float[Array, " d"]
    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    curvature: Float[Array, "d d"]
    damping: Float[Array, ""]
    steps: Array


def _free(objective: Objective, state: _State, fixed: Bool[Array, " d"]) -> Bool[Array, " d"]:
    """Coordinates that may move: not fixed, not pushed against a bound."""
    held_low = (state.y <= objective.lower) & (state.gradient > 0.0)
    held_high = (state.y >= objective.upper) & (state.gradient < 0.0)
    return ~(fixed | held_low | held_high)


def _solve(matrix: Array, gradient: Array, free: Array) -> Array:
    """-M_FF^-1 g_F over the free coordinates F, zero elsewhere."""
    both = free[:, None] & free[None, :]
    reduced = jnp.where(both, matrix, jnp.eye(len(free)))
    return jnp.linalg.solve(reduced, jnp.where(free, -gradient, 0.0))


def _gradient_norm(objective: Objective, state: _State, fixed: Array) -> Array:
    """(g_F^T P_FF^-1 g_F)^1/2: distance from the maximum of a Gaussian, in sigma."""
    free = _free(objective, state, fixed)
    step = _solve(objective.precision, state.gradient, free)
    return jnp.sqrt(jnp.maximum(-jnp.sum(step * jnp.where(free, state.gradient, 0.0)), 0.0))


def _trial(objective: Objective, state: _State, fixed: Array) -> tuple[Array, Array]:
    """The next point to try, stopped at the first bound, and the change of f that g predicts."""
    matrix = state.curvature + state.damping * objective.precision
    at_low, at_high = state.y <= objective.lower, state.y >= objective.upper

    def without_outward(_: Array, free: Array) -> Array:
        step = _solve(matrix, state.gradient, free)
        return free & ~(at_low & (step < 0.0)) & ~(at_high & (step > 0.0))

    free = _free(objective, state, fixed)
    free = jax.lax.fori_loop(0, len(state.y), without_outward, free)
    step = _solve(matrix, state.gradient, free)
    bound = jnp.where(step > 0.0, objective.upper, objective.lower)
    moving = step != 0.0
    room = jnp.where(moving, (bound - state.y) / jnp.where(moving, step, 1.0), jnp.inf)
    length = jnp.minimum(1.0, jnp.min(room))
    y = jnp.where(room <= length, bound, state.y + length * step)
    return y, length * jnp.sum(step * state.gradient)


def _updated(curvature: Array, step: Array, change: Array) -> Array:
    """Damped BFGS (Nocedal & Wright 2006, procedure 18.2): stays positive definite."""
    along = curvature @ step
    expected, found = step @ along, step @ change
    theta = jnp.where(found < 0.2 * expected, 0.8 * expected / (expected - found), 1.0)
    mixed = theta * change + (1.0 - theta) * along
    new = (
        curvature
        - jnp.outer(along, along) / expected
        + jnp.outer(mixed, mixed) / jnp.sum(step * mixed)
    )
    return jnp.where(jnp.all(jnp.isfinite(new)), new, curvature)


def _descend(objective: Objective, x: Array, fixed: Array) -> tuple[Array, Array, Array, Array]:
    """(x, -ln L, gradient [sigma], distance) of the minimum that is reached from a start."""
    function = objective.value_and_gradient

    def unfinished(state: _State) -> Array:
        norm = _gradient_norm(objective, state, fixed)
        going = (state.steps < MOST_STEPS) & (state.damping < MOST_DAMPING)
        return going & jnp.isfinite(state.value) & jnp.isfinite(norm) & (norm > CONVERGED)

    def advance(state: _State) -> _State:
        y, predicted = _trial(objective, state, fixed)
        value, gradient = function(y)
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
        allowed = state.value + ARMIJO * predicted + ROUNDING * (1.0 + jnp.abs(state.value))
        taken = finite & (value <= allowed)
        curvature = _updated(state.curvature, y - state.y, gradient - state.gradient)
        lower_damping = jnp.where(state.damping > 0.1, 0.2 * state.damping, 0.0)
        return _State(
            jnp.where(taken, y, state.y),
            jnp.where(taken, value, state.value),
            jnp.where(taken, gradient, state.gradient),
            jnp.where(finite, curvature, state.curvature),
            jnp.where(taken, lower_damping, jnp.maximum(4.0 * state.damping, 1.0)),
            state.steps + 1,
        )

    y = jnp.clip(x / objective.scale, objective.lower, objective.upper)
    value, gradient = function(y)
    start = _State(y, value, gradient, objective.precision, jnp.zeros(()), jnp.zeros((), int))
    end = jax.lax.while_loop(unfinished, advance, start)
    found = objective.scale * end.y
    norm = _gradient_norm(objective, end, fixed)
    return found, objective.minus_log_like(found), norm, objective.distance(found)


@eqx.filter_jit
def _descend_all(objective: Objective, x: Array, fixed: Array) -> tuple[Array, ...]:
    return jax.vmap(lambda start: _descend(objective, start, fixed))(x)


@dataclass(frozen=True)
class Optima:
    """The best maximum of each of n searches, with what tells whether to believe it.

    ``x`` [n, d]; ``minus_log_like`` [n]; ``gradient`` [n] at the end, along what may still move, in
    sigma; ``distance`` [n] in the emulator's domain, above 1 it extrapolates; ``reached`` [n]: by
    how many of the ``starts`` [n] the best maximum was found.
    """

    x: np.ndarray
    minus_log_like: np.ndarray
    gradient: np.ndarray
    distance: np.ndarray
    reached: np.ndarray
    starts: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """Which lie outside the emulator's domain [n]."""
        return self.distance > 1.0

    def flags(self, i: int) -> tuple[str, ...]:
        """Why the i-th is not to be trusted; empty if nothing speaks against it."""
        tests = {
            "no start has a finite likelihood": not np.isfinite(self.minus_log_like[i]),
            "outside the emulator's domain": bool(self.outside[i]),
            "not converged": not self.gradient[i] <= CONVERGED,
            "reached by one start only": self.reached[i] < 2,
        }
        return tuple(words for words, true in tests.items() if true)


def maximise(
    objective: Objective,
    starts: np.ndarray,
    fixed: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Optima, np.ndarray]:
    """The best maximum of every group of starts, and -ln L at the end of each start [n, s].

    Args:
        starts: points [n, s, d]; where ``fixed`` [d] is true, their values stay;
        progress: called with (starts done, starts).
    """
    n, s, d = starts.shape
    rows = starts.reshape(-1, d)
    batch = 1 if objective.posterior.projects else BATCH
    padded = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % batch, axis=0)])
    held, parts = jnp.asarray(fixed), []
    for first in range(0, len(padded), batch):
        part = _descend_all(objective, jnp.asarray(padded[first : first + batch]), held)
        parts.append([np.asarray(a) for a in part])
        if progress is not None:
            progress(min(first + batch, len(rows)), len(rows))
    x, value, gradient, distance = (
        np.concatenate(arrays)[: len(rows)] for arrays in zip(*parts, strict=True)
    )
    # exactly on the bound or the grid, which y = x / scale misses by a rounding
    low, high = objective.posterior.bounds
    rounding = 1e-12 * np.asarray(objective.scale) + 1e-15 * np.abs(x)
    x = np.where(np.abs(x - low) <= rounding, low, x)
    x = np.where(np.abs(x - high) <= rounding, high, x)
    x = np.where(fixed, rows, x)
    value = np.where(np.isfinite(value), value, np.inf).reshape(n, s)
    best = np.argmin(value, axis=1)
    index = np.arange(n) * s + best
    least = value[np.arange(n), best]
    return Optima(
        x[index],
        least,
        gradient[index],
        distance[index],
        reached_by(value, least),
        np.full(n, s),
    ), value


def reached_by(values: np.ndarray, least: np.ndarray) -> np.ndarray:
    """How many of the ends [n, s] of -ln L agree with the least [n]."""
    with np.errstate(invalid="ignore"):  # inf - inf where no start is finite
        return np.sum(2.0 * (values - least[:, None]) <= AGREE, axis=1)
