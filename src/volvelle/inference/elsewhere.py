"""Chains on another machine: the same function, the same numbers, in a worker of an executor."""

from __future__ import annotations

from volvelle.compute import Executor, call, dumps, loads
from volvelle.inference.drawn import Chains
from volvelle.inference.laplace import Laplace
from volvelle.inference.methods import Method, draw
from volvelle.inference.posterior import Posterior


def run_chains_on(
    executor: Executor,
    posterior: Posterior,
    laplace: Laplace,
    method: Method,
    *,
    chains: int,
    draws: int,
    seed: int,
) -> Chains:
    """What ``draw`` returns for the same arguments, computed by a worker in double precision.

    All chains are one task: they advance together in one compiled loop, and apart they would not be
    the same numbers. If the worker dies, another one starts again from the seed.

    Raises UnsendableError for a posterior that cannot be sent (a likelihood of one's own that holds
    an open file, say); ExecutorError, with the words of what went wrong there.
    """
    given = {"chains": chains, "draws": draws, "seed": seed}
    # in bytes: where they become arrays, JAX must have been told about double precision
    return call(executor, _sample, dumps((posterior, laplace, method, given)))


def _sample(packed: bytes) -> Chains:
    import jax

    jax.config.update("jax_enable_x64", True)
    posterior, laplace, method, given = loads(packed)
    return draw(posterior, laplace, method, **given)
