"""Chains on another machine: the same function, the same numbers, in a worker of an executor."""

from __future__ import annotations

from typing import Any

from volvelle.compute import Executor, call, dumps, loads
from volvelle.inference.drawn import Chains
from volvelle.inference.laplace import Laplace
from volvelle.inference.posterior import Posterior
from volvelle.inference.sampler import Sampler, run_chains


def run_chains_on(
    executor: Executor,
    posterior: Posterior,
    laplace: Laplace,
    sampler: Sampler[Any, Any],
    *,
    chains: int,
    draws: int,
    seed: int,
) -> Chains:
    """What ``run_chains`` returns for the same arguments, computed by a worker in double precision.

    All chains are one task: they advance together in one compiled loop, and apart they would not be
    the same numbers. If the worker dies, another one starts again from the seed.

    Raises UnsendableError for a posterior that cannot be sent (a likelihood of one's own that holds
    an open file, say); ExecutorError, with the words of what went wrong there.
    """
    given = {"chains": chains, "draws": draws, "seed": seed}
    # in bytes: where they become arrays, JAX must have been told about double precision
    return call(executor, _sample, dumps((posterior, laplace, sampler, given)))


def _sample(packed: bytes) -> Chains:
    import jax

    jax.config.update("jax_enable_x64", True)
    posterior, laplace, sampler, given = loads(packed)
    return run_chains(posterior, laplace, sampler, **given)
