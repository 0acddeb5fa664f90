"""Whether an approximation may be used: Pareto-smoothed importance sampling decides.

Draws z of a guide get the weights w = P(z)/q(z). The shape k of the tail of the weights (k-hat)
says whether an average over them can be trusted (Vehtari et al. 2024, section 3.2.4; Yao et al.
2018 for variational approximations). An average of h needs the tail of w h as well (the same,
section 3.2.2), so k-hat is the largest of that of w and those of w (x - <x>)^2, for the widths of
all parameters x: below 0.7 the draws are resampled by their smoothed weights, above it they are
refused. What counts as the number of effective draws is the smallest of that of the weights, of
the means and of the variances.

q is wider than the guide (see ``proposal``), as a guide that is narrower than the posterior never
draws where it is wrong. A mode that lies far off shows in no weight of any guide.
"""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from scipy.special import logsumexp

from volvelle.inference.coordinates import Whitened, densities_at, parameters_of
from volvelle.inference.drawn import NOT_CORRECTED, Chains
from volvelle.inference.errors import InferenceError
from volvelle.inference.evidence import Evidence
from volvelle.inference.guides import Guide, draw_eps, forward
from volvelle.inference.pareto import pareto_smooth
from volvelle.inference.proposal import Proposal

K_LIMIT = 0.7
FEWEST = 1000  # draws from which the tail of the weights is judged


@dataclass(frozen=True)
class Weighted:
    """Draws z [n, d] around a guide with ln P(z), raw and smoothed log-weights [n], their k-hat.

    ``evaluations``: of P, that this took.
    """

    z: np.ndarray
    log_density: np.ndarray
    raw: np.ndarray
    log_weights: np.ndarray
    k_hat: float
    evaluations: int

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
def _drawn(guide: Guide, proposal: Proposal, eps: Array) -> tuple[Array, Array]:
    """z [n, d] of vectors, and ln of their volume over their density [n]."""
    z, log_det = jax.vmap(guide.forward)(eps)
    return z, log_det - jax.vmap(proposal.log_density)(eps)


def _weigh(
    target: Whitened, guide: Guide, proposal: Proposal, eps: Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z [n, d], ln P(z) and ln w [n]."""
    z, log_volume = map(np.asarray, _drawn(guide, proposal, eps))
    value = densities_at(target, z)
    return z, value, value + log_volume


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
    """Draw from around a guide and weigh.

    Half as many draws come first, to find where to draw the others from; they are not used again.

    Raises InferenceError for fewer than 1000 draws, or where the posterior vanishes at all of them.
    """
    check_number(number)
    size = -(-number // 2)  # of a batch: one program for all three
    keys = jax.random.split(jax.random.key(seed), 3)
    first = Proposal.first(len(target.posterior.names))
    eps = first.draw(keys[0], size)
    log_weights = _raw(_weigh(target, guide, first, eps)[2])
    proposal = first
    if np.any(np.isfinite(log_weights)):
        proposal = Proposal.matched(np.asarray(eps), pareto_smooth(log_weights)[0])
    parts = [_weigh(target, guide, proposal, proposal.draw(key, size)) for key in keys[1:]]
    z, value, raw = (np.concatenate(p)[:number] for p in zip(*parts, strict=True))
    raw = _raw(raw)
    if not np.any(np.isfinite(raw)):
        raise InferenceError(
            f"the posterior is zero or undefined at all {number} draws of the approximation"
        )
    smooth, k = pareto_smooth(raw)
    return Weighted(z, value, raw, smooth, _trusted(k), 3 * size)


def _raw(log_weights: np.ndarray) -> np.ndarray:
    """ln w [n]; a draw at which nothing is defined has no weight."""
    return np.where(np.isnan(log_weights), -np.inf, log_weights)


def _trusted(k: float) -> float:
    """k-hat: a tail that cannot be fitted is no reason for trust."""
    return float(k) if np.isfinite(k) else float("inf")


@dataclass(frozen=True)
class Moments:
    """How well weights give the mean and variance of every parameter: k-hat of w (x - <x>)^2 [d],
    and as how many independent draws each of these 2 d averages counts [2, d]."""

    k_hat: np.ndarray
    effective: np.ndarray


def moments_of(x: np.ndarray, found: Weighted) -> Moments:
    """Of parameters x [n, d] at weighted draws."""
    log_sum = logsumexp(found.log_weights)
    weights = np.exp(found.log_weights - log_sum)
    x = np.where(weights[:, None] > 0.0, x, 0.0)  # far out a parameter may be infinite
    squares = (x - weights @ x) ** 2
    variances = weights @ squares
    with np.errstate(divide="ignore"):
        k_hat = [_trusted(pareto_smooth(found.raw + np.log(column))[1]) for column in squares.T]
    of_squares = (squares - variances) ** 2
    effective = [
        variances / (weights**2 @ squares),
        weights @ of_squares / (weights**2 @ of_squares),
    ]
    return Moments(np.array(k_hat), np.array(effective))


def own_draws(
    target: Whitened, guide: Guide, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws z [n, d] of a guide as it is, with ln P(z), without those where P vanishes."""
    eps = draw_eps(jax.random.key(seed), number, len(target.posterior.names))
    z = np.asarray(forward(guide, eps)[0])
    value = densities_at(target, z)
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
    x, log_prob = parameters_of(target, found.z, found.log_density)
    moments = moments_of(x, found)
    k_hat = max(found.k_hat, float(np.max(moments.k_hat)))
    effective = min(found.effective, float(np.min(moments.effective)), float(total))
    evaluations = found.evaluations
    resampled = k_hat < K_LIMIT and not uncorrected
    if resampled:
        rng = np.random.default_rng(seed + 1)
        chosen = rng.permutation(systematic(found.log_weights, total, rng))
        x, log_prob = x[chosen], log_prob[chosen]
    else:
        z, value = own_draws(target, guide, total, seed + 1)
        x, log_prob = parameters_of(target, z, value)
        evaluations += total
    many = len(x) // chains
    correction = f"{NOT_CORRECTED}, as was asked for" if uncorrected else NOT_CORRECTED
    if resampled:
        correction = "resampled by Pareto-smoothed importance weights"
    facts: dict[str, float | str] = {
        "k_hat": k_hat if np.isfinite(k_hat) else "infinite",
        "correction": correction,
        "weights_effective": effective,
    }
    if k_hat < K_LIMIT:
        evidence = found.evidence(target.log_volume)
        facts |= {"log_evidence": evidence.log_z, "log_evidence_error": evidence.error}
    refused = None
    if k_hat >= K_LIMIT and not uncorrected:
        of = "its weights"
        if found.k_hat < K_LIMIT:
            of = f"the width of {target.posterior.names[int(np.argmax(moments.k_hat))]}"
        refused = (
            f"the {name} approximation is refused: Pareto k-hat is {k_hat:.2f} for {of}, at or "
            f"above {K_LIMIT}, so that weights cannot correct it; choose a richer guide or a "
            "sampler that is exact (nuts, nested), or ask for it as it is with uncorrected: true"
        )
    return Chains(
        target.posterior.names,
        x[: chains * many].reshape(chains, many, -1),
        log_prob[: chains * many].reshape(chains, many),
        1.0,
        0,
        evaluations,
        0,
        evaluations,
        effective if resampled else None,
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
