"""The evidence, ln Z = ln of the integral of prior times likelihood, and how models compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from volvelle.inference.coordinates import Whitened, densities_at
from volvelle.inference.diagnostics import effective_sample_size
from volvelle.inference.drawn import Chains
from volvelle.inference.errors import InferenceError
from volvelle.inference.guides import draw_eps, log_normal
from volvelle.inference.laplace import Laplace
from volvelle.inference.posterior import Posterior

ROUNDS = 1000  # of the fixed point, which takes some ten
SETTLED = 1e-10
FEWEST = 100  # draws on either side


@dataclass(frozen=True)
class Evidence:
    """ln Z with its standard error, and how it was found."""

    log_z: float
    error: float
    method: str

    def against(self, other: Evidence) -> Evidence:
        """ln of the Bayes factor of this model over another one on the same data."""
        error = float(np.hypot(self.error, other.error))
        return Evidence(self.log_z - other.log_z, error, f"{self.method}; {other.method}")

    def agrees(self, other: Evidence, sigmas: float = 3.0) -> bool:
        """Whether two values of one evidence differ by no more than their errors allow."""
        return bool(abs(self.log_z - other.log_z) <= sigmas * np.hypot(self.error, other.error))


def bridge(
    posterior: Posterior, chains: Chains, *, seed: int, number: int | None = None
) -> Evidence:
    """ln Z from chains by bridge sampling (Meng & Wong 1996, with the optimal bridge).

    Half of every chain fits a Gaussian in the unbounded coordinates; the other half, and as many
    draws of the Gaussian, are compared with it. Needs no nested shells and no prior draws, so it is
    independent of nested sampling. The error is that of Fruehwirth-Schnatter 2004, with the
    effective sample size of the chains.

    Args:
        number: draws of the Gaussian; by default as many as samples are used.

    Raises:
        InferenceError: too few samples, samples that are refused or an approximation's own, or the
            ratio does not settle.
    """
    if chains.refused or chains.own:
        raise InferenceError(
            "these samples are not of the posterior ("
            + (chains.refused or "an approximation's own draws, uncorrected")
            + "), and bridge sampling would compare another density than theirs; give it those of "
            "an exact method, or of an approximation that was corrected"
        )
    half = chains.samples.shape[1] // 2
    if chains.samples.shape[0] * half < FEWEST:
        raise InferenceError(
            f"{chains.samples.shape[0]} chains of {2 * half} samples; bridge sampling needs at "
            f"least {2 * FEWEST} in all"
        )
    flat: Any = jax.vmap(posterior.to_real)(jnp.asarray(chains.flat))
    u: np.ndarray = np.asarray(flat).reshape(chains.samples.shape)
    first = u[:, :half].reshape(-1, u.shape[2])
    mean, factor = first.mean(axis=0), np.linalg.cholesky(np.cov(first.T).reshape(u.shape[2], -1))
    start = Laplace(mean, factor, chains.flat[0], float(chains.log_prob.flat[0]))
    target = Whitened.of(posterior, start)
    rest = np.linalg.solve(factor, (u[:, half:] - mean).reshape(-1, u.shape[2]).T).T
    many = len(rest) if number is None else number
    eps = np.asarray(draw_eps(jax.random.key(seed), many, u.shape[2]))
    q = jax.vmap(log_normal)
    # ln of P/q, at the chain's samples and at those of the Gaussian
    l1 = densities_at(target, rest) - np.asarray(q(jnp.asarray(rest)))
    l2 = densities_at(target, eps) - np.asarray(q(jnp.asarray(eps)))
    by_chain = l1.reshape(len(u), -1)
    n1 = min(effective_sample_size(by_chain), float(len(l1))) if np.ptp(l1) > 0 else float(len(l1))
    log_r, error = _optimal(l1, l2, n1)
    return Evidence(log_r + target.log_volume, error, "bridge sampling")


def _optimal(l1: np.ndarray, l2: np.ndarray, n1: float) -> tuple[float, float]:
    """ln of the ratio of normalisations, by the iteration of Meng & Wong 1996, and its error."""
    n2 = len(l2)
    s1, s2 = n1 / (n1 + n2), n2 / (n1 + n2)
    log_r = float(np.median(l1))
    for _ in range(ROUNDS):
        above = logsumexp(l2 - np.logaddexp(np.log(s1) + l2, np.log(s2) + log_r)) - np.log(n2)
        below = logsumexp(-np.logaddexp(np.log(s1) + l1, np.log(s2) + log_r)) - np.log(len(l1))
        new = float(above - below)
        if abs(new - log_r) < SETTLED:
            break
        log_r = new
    else:
        raise InferenceError(
            f"bridge sampling did not settle in {ROUNDS} rounds; the chains and the Gaussian "
            "through them hardly overlap"
        )
    f1 = np.exp(-np.logaddexp(np.log(s1) + l1 - log_r, np.log(s2)))
    f2 = np.exp(l2 - log_r - np.logaddexp(np.log(s1) + l2 - log_r, np.log(s2)))
    relative = np.var(f1) / np.mean(f1) ** 2 / n1 + np.var(f2) / np.mean(f2) ** 2 / n2
    return new, float(np.sqrt(relative))
