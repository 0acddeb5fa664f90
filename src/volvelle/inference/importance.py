"""Whether an approximation may be used: Pareto-smoothed importance sampling decides.

Draws z of a guide get the weights P(z)/q(z). The shape k of the tail of the weights (k-hat) says
whether an average over them can be trusted (Vehtari et al. 2024, section 3.2.4; Yao et al. 2018 for
variational approximations): below 0.7 the draws are resampled by their smoothed weights, above it
they are refused.

A guide that is narrower than the posterior never draws where it is wrong, and its weights look
well. So some of the normal vectors behind the draws are drawn wider, and q is the mixture: where
the guide is right that costs a few per cent of the draws, and where its tails are missing the
weights say so. A mode that lies far off shows in no weight of any guide.
"""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import logsumexp

from volvelle.inference.coordinates import Whitened, parameters_of
from volvelle.inference.devices import mapped
from volvelle.inference.drawn import Chains
from volvelle.inference.errors import InferenceError
from volvelle.inference.evidence import Evidence
from volvelle.inference.guides import Guide, draw_eps, log_normal
from volvelle.inference.pareto import pareto_smooth

K_LIMIT = 0.7
FEWEST = 1000  # draws from which the tail of the weights is judged
BATCH = 64  # densities evaluated at once
SCALES = (1.0, 1.2, 1.5, 2.0)  # of the normal vectors behind the draws
SHARES = (0.85, 0.05, 0.05, 0.05)


@dataclass(frozen=True)
class Weighted:
    """Draws z [n, d] of a guide with ln P(z), raw and smoothed log-weights [n], and k-hat."""

    z: np.ndarray
    log_density: np.ndarray
    raw: np.ndarray
    log_weights: np.ndarray
    k_hat: float

    @property
    def fit(self) -> bool:
        """Whether averages with these weights can be trusted."""
        return self.k_hat < K_LIMIT

    @property
    def effective(self) -> float:
        """(sum w)^2 / sum w^2."""
        return effective_number(self.log_weights)

    def evidence(self, log_volume: float) -> Evidence:
        """ln of the integral of P, with ``log_volume`` = ln |du/dz|, and its standard error."""
        n = len(self.log_weights)
        value = logsumexp(self.log_weights) - np.log(n) + log_volume
        relative = np.exp(self.log_weights - logsumexp(self.log_weights)) * n
        error = float(np.std(relative, ddof=1) / np.sqrt(n))
        return Evidence(float(value), error, f"importance sampling, k-hat {self.k_hat:.2f}")


@eqx.filter_jit
def _weigh(target: Whitened, guide: Guide, eps: Array) -> tuple[Array, Array, Array]:
    def one(given: tuple[Whitened, Guide], e: Array) -> tuple[Array, Array, Array]:
        z, log_det = given[1].forward(e)
        value = given[0](z)
        return z, value, value + log_det - _log_mixture(e)

    return mapped(one, (target, guide), eps, BATCH)


@eqx.filter_jit
def _own(target: Whitened, guide: Guide, eps: Array) -> tuple[Array, Array]:
    def one(given: tuple[Whitened, Guide], e: Array) -> tuple[Array, Array]:
        z, _ = given[1].forward(e)
        return z, given[0](z)

    return mapped(one, (target, guide), eps, BATCH)


def _log_mixture(eps: Array) -> Array:
    scales = jnp.array(SCALES)
    each = jax.vmap(log_normal)(eps / scales[:, None]) - len(eps) * jnp.log(scales)
    return jax.nn.logsumexp(each + jnp.log(jnp.array(SHARES)))


def _draw_mixture(key: Array, number: int, dimension: int) -> Array:
    pick, draw = jax.random.split(key)
    chosen = jax.random.choice(pick, jnp.array(SCALES), (number, 1), p=jnp.array(SHARES))
    return chosen * jax.random.normal(draw, (number, dimension))


def effective_number(log_weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2."""
    weights = np.exp(log_weights - np.max(log_weights))
    return float(np.sum(weights) ** 2 / np.sum(weights**2))


def check_number(number: int) -> None:
    """Raise InferenceError for fewer draws than say something about a tail."""
    if number < FEWEST:
        raise InferenceError(
            f"{number} draws to judge an approximation by; give at least {FEWEST} (draws x chains)"
        )


def weigh(target: Whitened, guide: Guide, number: int, seed: int) -> Weighted:
    """Draw from a guide and weigh.

    Raises InferenceError for fewer than 1000 draws, or where the posterior vanishes at all of them.
    """
    check_number(number)
    eps = _draw_mixture(jax.random.key(seed), number, len(target.posterior.names))
    z, value, raw = map(np.asarray, _weigh(target, guide, eps))
    if not np.any(np.isfinite(raw)):
        raise InferenceError(
            f"the posterior is zero or undefined at all {number} draws of the approximation"
        )
    smooth, k = pareto_smooth(raw)
    # a tail that cannot be fitted is no reason for trust
    return Weighted(z, value, raw, smooth, float(k) if np.isfinite(k) else float("inf"))


def own_draws(
    target: Whitened, guide: Guide, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws z [n, d] of a guide as it is, with ln P(z), without those where P vanishes."""
    eps = draw_eps(jax.random.key(seed), number, len(target.posterior.names))
    z, value = map(np.asarray, _own(target, guide, eps))
    allowed = np.isfinite(value)
    return z[allowed], value[allowed]


def settled(
    target: Whitened,
    guide: Guide,
    *,
    chains: int,
    draws: int,
    seed: int,
    uncorrected: bool,
    name: str,
) -> Chains:
    """Draws of a guide, resampled by their weights if these can be trusted, else refused.

    The draws are independent; they are dealt out to ``chains`` so that they can be treated as any
    other samples. ``uncorrected``: the user wants the guide's own draws whatever k-hat says: fresh
    ones, as those that k-hat is found with are wider. So are the draws that are refused.
    """
    total = chains * draws
    found = weigh(target, guide, total, seed)
    evaluations = total
    resampled = found.fit and not uncorrected
    if resampled:
        rng = np.random.default_rng(seed + 1)
        chosen = rng.permutation(systematic(found.log_weights, total, rng))
        z, value = found.z[chosen], found.log_density[chosen]
    else:
        z, value = own_draws(target, guide, total, seed + 1)
        evaluations += total
    many = len(z) // chains
    z, value = z[: chains * many], value[: chains * many]
    z, value = z.reshape(chains, many, -1), value.reshape(chains, many)
    samples, log_prob = parameters_of(target, z, value)
    evidence = found.evidence(target.log_volume)
    correction = "none, as was asked for" if uncorrected else "none"
    if resampled:
        correction = "resampled by Pareto-smoothed importance weights"
    facts: dict[str, float | str] = {
        "k_hat": found.k_hat if np.isfinite(found.k_hat) else "infinite",
        "correction": correction,
        "weights_effective": found.effective,
    }
    if found.fit:
        facts |= {"log_evidence": evidence.log_z, "log_evidence_error": evidence.error}
    refused = None
    if not found.fit and not uncorrected:
        refused = (
            f"the {name} approximation is refused: Pareto k-hat is {found.k_hat:.2f}, at or above "
            f"{K_LIMIT}, so that its weights cannot correct it; choose a richer guide or a sampler "
            "that is exact (nuts, nested), or ask for it as it is with uncorrected: true"
        )
    effective = found.effective if resampled else None
    return Chains(
        target.posterior.names,
        samples,
        log_prob,
        1.0,
        0,
        evaluations,
        0,
        evaluations,
        effective,
        facts,
        refused,
    )


def importance_evidence(target: Whitened, guide: Guide, *, number: int, seed: int) -> Evidence:
    """ln Z by importance sampling from a guide.

    Raises InferenceError where k-hat says that the weights cannot be trusted.
    """
    found = weigh(target, guide, number, seed)
    if not found.fit:
        raise InferenceError(
            f"importance sampling of the evidence: Pareto k-hat is {found.k_hat:.2f}, at or above "
            f"{K_LIMIT}; choose a richer guide, bridge sampling, or nested sampling"
        )
    return found.evidence(target.log_volume)


def systematic(log_weights: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Indices by systematic resampling: each as often as its weight says, up to one."""
    cumulative = np.cumsum(np.exp(log_weights - logsumexp(log_weights)))
    at = (np.arange(number) + rng.uniform()) / number
    return np.minimum(np.searchsorted(cumulative, at), len(log_weights) - 1)
