"""Cobaya's Metropolis on a posterior of the benchmark of methods, its likelihood compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from method_cases import Case

from volvelle.inference import Chains, Posterior

TELL = 10_000
"""Calls between two lines."""


class Counted:
    """ln L as Cobaya calls it, and what ends a chain after so many calls."""

    def __init__(self, posterior: Posterior, say: Callable[[str], None]) -> None:
        self.names, self.calls, self.last, self.say = posterior.names, 0, 0, say
        self.log_like = jax.jit(lambda x: posterior.log_likelihood(x))

    def likelihood(self, **values: float) -> float:
        self.calls += 1
        if self.calls % TELL == 0:
            self.say(f"{self.calls} proposals")
        value = float(self.log_like(jnp.array([values[name] for name in self.names])))
        return value if np.isfinite(value) else -np.inf

    def callback(self, sampler: Any) -> None:
        if self.calls > self.last:
            sampler.converged = True


def by_cobaya(case: Case, proposals: int, say: Callable[[str], None]) -> Chains:
    """Cobaya's Metropolis with its learned proposal, four chains one after another.

    ``proposals``: of each chain; ``say``: is told how many there were, and may end it by an error.
    """
    from cobaya.run import run

    names, counted = case.posterior.names, Counted(case.posterior, say)
    external = {"external": counted.likelihood, "input_params": list(names)}
    parameters = {}
    for i, name in enumerate(names):
        width = float(case.scale[i])
        parameters[name] = {
            "prior": case.priors[name],
            "ref": {"dist": "norm", "loc": float(case.start[i]), "scale": 0.5 * width},
            "proposal": 0.5 * width,
        }
    samples, log_prob = [], []
    logging.getLogger().setLevel(logging.ERROR)
    for seed in range(4):
        counted.last = counted.calls + proposals
        info: Any = {
            "params": parameters,
            "likelihood": {"own": external},
            "sampler": {
                "mcmc": {
                    "max_tries": "1000d",
                    "Rminus1_stop": 0.0,
                    "max_samples": 10**9,
                    "learn_proposal": True,
                    "callback_function": counted.callback,
                    "callback_every": 100,
                    "seed": seed,
                }
            },
            "debug": 40,
        }
        _, sampler = run(info)
        table: Any = sampler.products()["sample"]
        rows, weights = table[list(names)].to_numpy(dtype=float), table["weight"].to_numpy()
        every = np.repeat(np.arange(len(rows)), weights.astype(int))
        kept = every[int(0.3 * len(every)) :]
        samples.append(rows[kept])
        log_prob.append(-table["minuslogpost"].to_numpy(dtype=float)[kept])
    shortest = min(map(len, samples))
    thin = max(shortest // 5000, 1)  # neighbours are nearly the same
    return Chains(
        names,
        np.stack([s[-shortest::thin] for s in samples]),
        np.stack([p[-shortest::thin] for p in log_prob]),
        acceptance=float("nan"),
        divergences=0,
        evaluations=counted.calls,
    )
