"""One function for every way to a posterior: chains, approximations, transport, nested sampling."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.inference.batches import log_probs_at, log_probs_real_at
from volvelle.inference.checkpoint import fingerprint
from volvelle.inference.coordinates import Whitened
from volvelle.inference.drawn import Chains, fingerprint_in, load_chains, save_chains
from volvelle.inference.ensemble import explore
from volvelle.inference.errors import InferenceError
from volvelle.inference.guides import Guide, check_guide
from volvelle.inference.importance import check_number, settled
from volvelle.inference.laplace import Laplace, curvature, curvature_calls, laplace
from volvelle.inference.nested import Nested, run_nested
from volvelle.inference.posterior import Posterior
from volvelle.inference.preconditions import (
    check_defined,
    check_gradient,
    check_inside,
    undefined_around,
)
from volvelle.inference.sampler import Progress, Sampler, Watch, run_chains
from volvelle.inference.transport import NeuralTransport, run_transport
from volvelle.inference.variational import Variational, fit_guide

FLATTEST = 1e-3  # curvature, of that of the expected width
WALKERS, MOVES = 64, 300  # of the search for the start without gradients
DONE = "chains.safetensors"


@dataclass(frozen=True)
class LaplaceApproximation:
    """The Gaussian at the maximum, judged and corrected as a guide is."""

    uncorrected: bool = False


Method = Sampler | Variational | NeuralTransport | Nested | LaplaceApproximation


def name_of(method: Method) -> str:
    """As the configuration file names it."""
    names = {
        "NUTS": "nuts",
        "HMC": "hmc",
        "MCLMC": "mclmc",
        "AdjustedMCLMC": "adjusted_mclmc",
        "Metropolis": "metropolis",
        "AffineEnsemble": "ensemble",
        "Variational": "svi",
        "NeuralTransport": "neural_transport",
        "Nested": "nested",
        "LaplaceApproximation": "laplace",
    }
    kind = type(method).__name__
    return names.get(kind, kind)


def needs_gradients(method: Method) -> bool:
    """Whether a method differentiates ln P."""
    if isinstance(method, Sampler):
        return method.differentiates
    return not isinstance(method, Nested)


def check_method(method: Method, names: tuple[str, ...], samples: int) -> None:
    """Raise InferenceError for a method that cannot sample parameters of these names.

    ``samples``: how many are wanted in all.
    """
    if isinstance(method, Sampler):
        method.bound(names)
    elif isinstance(method, Nested):
        method.sizes(len(names))
    elif isinstance(method, NeuralTransport):
        check_guide(method.variational.guide, len(names))
        method.nuts.bound(names)
    else:
        check_number(samples)
        if isinstance(method, Variational):
            check_guide(method.guide, len(names))


def draw(
    posterior: Posterior,
    start: Laplace,
    method: Method,
    *,
    chains: int,
    draws: int,
    seed: int,
    progress: Progress | None = None,
    watch: Watch | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Chains:
    """Samples by any method, from a maximum and its curvature.

    Args:
        chains, draws: of an approximation and of nested sampling their product is the number of
            samples, which are dealt out to as many chains;
        progress, watch: as of ``run_chains``; folder: keeps every chunk, to go on from; say: is
            told how a fit or nested sampling goes on, and where ln L is NaN.

    Raises:
        InferenceError: what the method refuses; GradientError where it needs a gradient that is
            not there; UndefinedError, StartError for the start.
    """
    check_method(method, posterior.names, chains * draws)
    check_inside(posterior, start.x)
    if needs_gradients(method):
        check_gradient(posterior, start.x, name_of(method))
    undefined = undefined_around(posterior, start, seed)
    if undefined is not None:
        say(undefined)
    size: dict[str, Any] = {"chains": chains, "draws": draws, "seed": seed}
    if isinstance(method, Sampler):
        found = run_chains(
            posterior, start, method, **size, progress=progress, watch=watch, folder=folder
        )
        return _with_search(found, start)
    if isinstance(method, NeuralTransport):
        found = run_transport(
            posterior,
            start,
            method,
            **size,
            progress=progress,
            watch=watch,
            folder=folder,
            say=say,
        )
        return _with_search(found, start)
    if isinstance(method, Nested):
        return run_nested(posterior, method, **size, folder=folder, say=say)
    start = by_curvature(posterior, start)
    target = Whitened.of(posterior, start)
    if isinstance(method, LaplaceApproximation):
        guide = Guide.start("normal", len(posterior.names), jax.random.key(seed))
        found = settled(target, guide, **size, uncorrected=method.uncorrected, name="Laplace")
    else:
        found = _variational(target, method, size, folder, say)
    return _with_search(found, start)


def _with_search(found: Chains, start: Laplace) -> Chains:
    """With what the search for the maximum and its curvature took."""
    return replace(
        found,
        evaluations=found.evaluations + start.evaluations,
        gradients=found.gradients + start.gradients,
    )


def by_curvature(posterior: Posterior, start: Laplace) -> Laplace:
    """The approximation with the curvature at the maximum, however wide that makes it.

    ``laplace`` holds directions to the expected widths, for chains that start there; where there is
    no curvature that stays so.
    """
    hessian = curvature(posterior, start.u, start.factor)
    calls = curvature_calls(posterior)
    start = replace(start, evaluations=start.evaluations + calls, gradients=start.gradients + calls)
    if not np.all(np.isfinite(hessian)):
        return start
    values, vectors = np.linalg.eigh(hessian)
    if np.min(values) < FLATTEST:
        return start
    return replace(start, factor=start.factor @ (vectors / np.sqrt(values)))


def _variational(
    target: Whitened,
    method: Variational,
    size: dict[str, int],
    folder: Path | None,
    say: Callable[[str], None],
) -> Chains:
    fitted = fit_guide(target, method, seed=size["seed"], folder=folder, say=say)
    later = {**size, "seed": size["seed"] + 1}
    name = f"{method.guide} variational"
    found = settled(target, fitted.guide, **later, uncorrected=method.uncorrected, name=name)
    refused = found.refused
    if not fitted.settled and refused is None and not method.uncorrected:
        refused = (
            f"the {name} approximation is refused: its bound had not settled after {fitted.steps} "
            "steps; raise max_steps, or ask for it as it is with uncorrected: true"
        )
    facts = {
        **found.facts,
        "elbo": fitted.elbo,
        "elbo_error": fitted.error,
        "guide_settled": "yes" if fitted.settled else "no",
        "guide_steps": fitted.steps,
    }
    return replace(
        found,
        evaluations=found.evaluations + fitted.evaluations,
        gradients=fitted.gradients,
        facts=facts,
        refused=refused,
    )


def sample(
    posterior: Posterior,
    method: Method,
    *,
    start: np.ndarray,
    scale: np.ndarray,
    chains: int = 4,
    draws: int = 1000,
    seed: int = 1,
    progress: Progress | None = None,
    watch: Watch | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Chains:
    """Samples of a posterior by any method, from a rough idea of where it is.

    Args:
        start: a point that the priors allow [d]; scale: expected widths [d];
        folder: keeps what is finished: a run that was killed goes on, a finished one is read back.
        The rest as of ``draw``.

    Raises:
        InferenceError: see ``draw``.
    """
    start, scale = np.asarray(start, dtype=float), np.asarray(scale, dtype=float)
    d = len(posterior.names)
    if start.shape != (d,) or scale.shape != (d,) or not np.all(scale > 0):
        raise InferenceError(
            f"start of shape {start.shape} and scale of shape {scale.shape}; expected {(d,)} for "
            f"{', '.join(posterior.names)}, and positive scales"
        )
    check_method(method, posterior.names, chains * draws)
    check_inside(posterior, start)
    check_defined(posterior, start)
    posterior = posterior.softened(scale)
    if needs_gradients(method):
        check_gradient(posterior, start, name_of(method))
        mode = laplace(posterior, start[None], scale)
    elif isinstance(method, Nested):  # which asks for no start
        mode = as_given(posterior, start, scale)
    else:
        mode = rough_start(posterior, start, scale, seed)
    given = [repr(method), chains, draws, seed, posterior.names]
    marks = fingerprint(given, [mode.u, mode.factor, _values_around(posterior, mode)])
    if folder is not None and _same(folder, marks):
        return load_chains(folder / DONE, posterior.names)
    kept = None if folder is None else folder / "unfinished"
    found = draw(
        posterior,
        mode,
        method,
        chains=chains,
        draws=draws,
        seed=seed,
        progress=progress,
        watch=watch,
        folder=kept,
        say=say,
    )
    if folder is not None:
        save_chains(folder / DONE, found, marks)
        shutil.rmtree(folder / "unfinished", ignore_errors=True)
    return found


def _same(folder: Path, marks: str) -> bool:
    return (folder / DONE).exists() and fingerprint_in(folder / DONE) == marks


def _values_around(posterior: Posterior, mode: Laplace) -> np.ndarray:
    """ln P at the maximum and to both sides of it: another posterior has others."""
    steps = [np.zeros_like(mode.u), *mode.factor.T, *(-2.0 * mode.factor.T)]
    return log_probs_real_at(posterior, mode.u + np.array(steps))


def as_given(posterior: Posterior, start: np.ndarray, scale: np.ndarray) -> Laplace:
    """The start and its widths, as the user has them."""
    u = np.asarray(posterior.to_real(jnp.asarray(start)))
    nearby = np.asarray(posterior.to_real(jnp.asarray(start + 0.1 * scale)))
    factor = np.diag(np.where(nearby != u, 10.0 * np.abs(nearby - u), 1.0))
    return Laplace(u, factor, start, float(posterior.log_prob(jnp.asarray(start))))


def rough_start(posterior: Posterior, start: np.ndarray, scale: np.ndarray, seed: int) -> Laplace:
    """Best point and spread of an ensemble that explored the posterior; no gradients.

    Raises InferenceError where no walker found a finite posterior.
    """
    rng = np.random.default_rng(seed)
    lower, upper = posterior.bounds
    inside = [np.maximum(lower, start - 3 * scale), np.minimum(upper, start + 3 * scale)]
    walkers = max(WALKERS, 4 * len(start))
    x = np.clip(start + scale * rng.normal(size=(walkers, len(start))), *inside)
    x, _ = explore(posterior, x, temperature=1.0, steps=MOVES, seed=seed, reach=np.inf)
    values = log_probs_at(posterior, x)
    if not np.any(np.isfinite(values)):
        raise InferenceError(
            f"none of {walkers} walkers around the start found a finite posterior; check start, "
            "scale and priors"
        )
    best = int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))
    u = np.asarray(jax.vmap(posterior.to_real)(jnp.asarray(x[np.isfinite(values)])))
    covariance = np.cov(u.T).reshape(len(start), -1)
    factor = np.linalg.cholesky(covariance)
    mode = np.asarray(posterior.to_real(jnp.asarray(x[best])))
    evaluations = walkers * (MOVES + 2)  # and where they began, and once more where they ended
    return Laplace(mode, factor, x[best], float(values[best]), evaluations)
