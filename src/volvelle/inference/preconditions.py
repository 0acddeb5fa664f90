"""What is checked before anything is sampled: the start, the value there, and its gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.inference.batches import log_likelihoods_at
from volvelle.inference.errors import GradientError, InferenceError, StartError, UndefinedError
from volvelle.inference.laplace import Laplace, value_and_gradient
from volvelle.inference.posterior import Posterior

GRADIENT_FREE = ("metropolis", "ensemble", "nested")
PROBES = 200  # points around the maximum at which ln P should be defined
SPREAD = 1.5  # of them, in standard deviations


def check_inside(posterior: Posterior, x: np.ndarray) -> None:
    """Raise StartError if a prior excludes ``x`` [d]."""
    lower, upper = posterior.bounds
    for name, value, low, high in zip(posterior.names, x, lower, upper, strict=True):
        if not low <= value <= high:
            raise StartError(
                f"the prior of {name}, from {low:g} to {high:g}, excludes the start {value:g}; "
                "start inside, or widen the prior"
            )


def check_defined(posterior: Posterior, x: np.ndarray) -> None:
    """Raise UndefinedError if ln L is NaN at ``x`` [d]."""
    values = np.asarray(posterior.log_likelihoods(jnp.asarray(x, dtype=float)))
    for like, value in zip(posterior.likelihoods, values, strict=True):
        if np.isnan(value):
            raise UndefinedError(f"ln L of {like.name} is NaN at the start: {words(posterior, x)}")


def words(posterior: Posterior, x: np.ndarray) -> str:
    """A point, parameter by parameter, in all digits."""
    return ", ".join(f"{n} = {v!r}" for n, v in zip(posterior.names, map(float, x), strict=True))


def check_gradient(posterior: Posterior, x: np.ndarray, method: str) -> None:
    """Raise GradientError unless ln P has a finite gradient at ``x``.

    Raises InferenceError for a posterior that JAX cannot trace at all.
    """
    u = posterior.to_real(jnp.asarray(x, dtype=float))
    try:
        jax.eval_shape(posterior.log_prob_real, u)
    except jax.errors.JAXTypeError as error:
        raise InferenceError(
            "the posterior cannot be traced by JAX; write it with jax.numpy, or wrap what is not "
            f"in jax.pure_callback (vmap_method='sequential'): {_first_line(error)}"
        ) from error
    offer = _offer(method)
    try:  # the very function that ``laplace`` compiles
        value, gradient = value_and_gradient(posterior, u, jnp.asarray(1.0))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise GradientError(
            f"the posterior has no gradient ({_first_line(error)}): {offer}"
        ) from error
    bad = ~np.isfinite(np.asarray(gradient))
    if np.isfinite(value) and np.any(bad):
        names = ", ".join(np.array(posterior.names)[bad])
        raise GradientError(f"the gradient for {names} is not finite at the start: {offer}")


def lacks_gradient(posterior: Posterior) -> str | None:
    """Why ln P cannot be differentiated, None if it can; found by tracing, at no point at all.

    A posterior that JAX cannot trace is not judged here.
    """
    u = jax.ShapeDtypeStruct((len(posterior.names),), jnp.float64)
    try:
        jax.eval_shape(posterior.log_prob_real, u)
    except jax.errors.JAXTypeError:
        return None
    try:
        jax.eval_shape(jax.grad(posterior.log_prob_real), u)
    except (ValueError, TypeError, NotImplementedError) as error:
        return _first_line(error)
    return None


def check_differentiable(posterior: Posterior, method: str) -> None:
    """Raise GradientError if ln P cannot be differentiated (see ``lacks_gradient``)."""
    reason = lacks_gradient(posterior)
    if reason is not None:
        raise GradientError(f"the posterior has no gradient ({reason}): {_offer(method)}")


def _offer(method: str) -> str:
    return f"{method} needs gradients; without them there are {', '.join(GRADIENT_FREE)}"


def undefined_around(posterior: Posterior, laplace: Laplace, seed: int) -> str | None:
    """What to say if ln L is NaN at some points around the maximum: how many, and the first."""
    z = np.random.default_rng(seed).normal(size=(PROBES, len(posterior.names)))
    u = laplace.u + SPREAD * z @ laplace.factor.T
    x = np.asarray(jax.vmap(posterior.from_real)(jnp.asarray(u)))
    nan = np.isnan(log_likelihoods_at(posterior, x))
    if not np.any(nan):
        return None
    return (
        f"ln L is NaN at {int(np.sum(nan))} of {PROBES} points around the maximum, which count as "
        f"of no probability; the first is {words(posterior, x[nan][0])}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
