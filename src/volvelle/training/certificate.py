"""Exact re-weighting: what the emulator's posterior would be with the exact solver in its place.

Points of the emulator's chains are solved exactly; w_i = exp(ln L_exact - ln L_emulator). The
shift of every mean and the ratio of every width follow, with bootstrap errors. These points are
fresh: they took no part in the training or in the decision to stop it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from volvelle.boltzmann import LedgerEntry
from volvelle.inference import Chains, Posterior, pareto_smooth
from volvelle.training.problem import Exact, posterior_batch, refuse_many_failures

BOOTSTRAP = 2000
ERROR_FRACTION = 0.2  # of the limit: points are added until every shift's error is below it
WIDTH_LIMIT = 0.05  # largest change of a width, two errors included
HEAVY_TAIL = 0.5  # Pareto k above which the largest weights are smoothed
USELESS_TAIL = 0.7  # Pareto k above which no number of points certifies
SMOOTHED_SCATTER = 0.3  # scatter of ln w above which a tail can matter


@dataclass(frozen=True)
class ParameterShift:
    """Change of one parameter's posterior by exact re-weighting, in the emulator's sigma."""

    mean_shift_sigma: float
    mean_shift_error: float
    width_ratio: float
    width_ratio_error: float

    def within(self, limit: float) -> bool:
        """|shift| + 2 errors within the limit, and the width within five per cent likewise."""
        return bool(
            abs(self.mean_shift_sigma) + 2.0 * self.mean_shift_error <= limit
            and abs(self.width_ratio - 1.0) + 2.0 * self.width_ratio_error <= WIDTH_LIMIT
        )


@dataclass(frozen=True)
class Certificate:
    """The verdict of exact solutions on an emulator's posterior.

    ``points`` [n, d] with their ``log_weights`` [n] (smoothed where the tail is heavy) and the
    exact derived parameters; ``entries`` are the ledger's, failures included.
    """

    names: tuple[str, ...]
    limit: float
    points: np.ndarray
    log_weights: np.ndarray
    raw_log_weights: np.ndarray
    derived_exact: dict[str, np.ndarray]
    parameters: dict[str, ParameterShift]
    pareto_k: float
    entries: tuple[LedgerEntry, ...]

    @property
    def n(self) -> int:
        """Exact solutions that entered."""
        return len(self.log_weights)

    @property
    def log_weight_std(self) -> float:
        """Scatter of ln w."""
        return float(np.std(self.raw_log_weights))

    @property
    def ess_fraction(self) -> float:
        """Effective sample size of the weights over their number."""
        weights = np.exp(self.raw_log_weights - np.max(self.raw_log_weights))
        return float(np.sum(weights) ** 2 / np.sum(weights**2) / len(weights))

    @property
    def reliable(self) -> bool:
        """Whether the weights have a finite enough tail for their averages to mean something."""
        return not self.pareto_k > USELESS_TAIL or self.log_weight_std < SMOOTHED_SCATTER

    @property
    def passed(self) -> bool:
        """Whether every parameter is within the limit."""
        return self.reliable and all(p.within(self.limit) for p in self.parameters.values())

    def words(self) -> str:
        """The certificate in a sentence or two."""
        worst = max(self.parameters, key=lambda k: abs(self.parameters[k].mean_shift_sigma))
        shift = self.parameters[worst]
        verdict = (
            "The posterior is certified"
            if self.passed
            else "The posterior is NOT certified at the requested accuracy"
        )
        return (
            f"{verdict}: {self.n} fresh exact solutions in the emulator's place move no mean by "
            f"more than {abs(shift.mean_shift_sigma):.3f} +- {shift.mean_shift_error:.3f} sigma "
            f"({worst}); the limit is {self.limit:g} sigma with two errors included. "
            f"The logarithms of their weights scatter by {self.log_weight_std:.3f}; "
            f"{100 * self.ess_fraction:.1f}% of the points remain effective."
        )

    def summary(self) -> dict[str, Any]:
        """Plain values for ``summary.json``."""
        return {
            "passed": self.passed,
            "limit_sigma": self.limit,
            "n": self.n,
            "ess_fraction": self.ess_fraction,
            "log_weight_std": self.log_weight_std,
            "pareto_k": None if np.isnan(self.pareto_k) else self.pareto_k,
            "words": self.words(),
            "parameters": {
                name: {
                    "mean_shift_sigma": p.mean_shift_sigma,
                    "mean_shift_error": p.mean_shift_error,
                    "width_ratio": p.width_ratio,
                    "width_ratio_error": p.width_ratio_error,
                }
                for name, p in self.parameters.items()
            },
        }


def compare(
    emulated: np.ndarray, exact: np.ndarray, log_weights: np.ndarray, sigma: float, seed: int
) -> ParameterShift:
    """Shift and width ratio of one parameter from ``emulated`` values to weighted ``exact`` ones.

    The two differ for derived parameters only. ``sigma``: the emulator posterior's width.
    """
    weights = np.exp(log_weights - np.max(log_weights))

    def estimate(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w, x, y = weights[index], emulated[index], exact[index]
        total = w.sum(axis=-1)
        mean = (w * y).sum(axis=-1) / total
        variance = (w * (y - mean[..., None]) ** 2).sum(axis=-1) / total
        return (mean - x.mean(axis=-1)) / sigma, np.sqrt(variance) / x.std(axis=-1)

    n = len(weights)
    shift, ratio = estimate(np.arange(n)[None])
    resampled = np.random.default_rng(seed).integers(0, n, (BOOTSTRAP, n))
    shifts, ratios = estimate(resampled)
    return ParameterShift(
        float(shift[0]), float(shifts.std()), float(ratio[0]), float(ratios.std())
    )


def certify(
    exact: Exact,
    posterior: Posterior,
    chains: Chains,
    derived: Sequence[str],
    *,
    limit: float,
    points: int,
    max_points: int,
    seed: int,
    avoid: np.ndarray,
    say: Callable[[str], None] = lambda text: None,
) -> Certificate:
    """Re-weight a posterior sampled with an emulator by exact solutions at some of its points.

    Args:
        posterior: with the emulator as its theory; chains: its samples;
        derived: scalar outputs to certify as well, where the posterior determines them;
        limit: of |shift| + 2 errors [sigma]; points: solved at first; max_points: at most;
        avoid: points that were trained on, never used here [m, d].

    Raises:
        TrainingError: more than a fifth of the solutions fail.
    """
    order = fresh_points(chains, avoid, seed)
    problem = exact.problem
    emulator: Any = posterior.theory
    sigma = dict(zip(chains.names, chains.flat.std(axis=0), strict=True))
    sample = chains.flat[:: max(1, len(chains.flat) // 2000)]
    values = emulator.batch(sample[:, : problem.n_theory], tuple(derived))
    sigma.update({name: float(np.std(values[name])) for name in derived})
    target = points
    entries: list[LedgerEntry] = []
    while True:
        chosen = order[: min(target, len(order))]
        say(f"certificate: {len(chosen)} exact solutions")
        new = exact.solve(chosen[len(entries) :])
        entries.extend(new)
        refuse_many_failures(entries)
        good = np.array([not entry.failed for entry in entries])
        x = chosen[good]
        theories = [exact.theory(entry) for entry in entries if not entry.failed]
        log_exact = np.array(
            [problem.log_likelihood(row, t) for row, t in zip(x, theories, strict=True)]
        )
        raw = log_exact - posterior_batch(posterior, x)
        smooth, k = pareto_smooth(raw)
        used = smooth if k > HEAVY_TAIL and np.std(raw) > SMOOTHED_SCATTER else raw
        emulated = emulator.batch(x[:, : problem.n_theory], tuple(derived))
        exact_derived = {name: np.array([float(t[name]) for t in theories]) for name in derived}
        shifts = {
            name: compare(x[:, i], x[:, i], used, sigma[name], seed)
            for i, name in enumerate(problem.names)
        }
        for name in derived:
            shifts[name] = compare(emulated[name], exact_derived[name], used, sigma[name], seed)
        certificate = Certificate(
            problem.names, limit, x, used, raw, exact_derived, shifts, k, tuple(entries)
        )
        error = float(np.max([p.mean_shift_error for p in shifts.values()]))
        if not np.isfinite(error):  # an exact likelihood that is undefined: never certified
            return certificate
        if error <= ERROR_FRACTION * limit or len(chosen) >= min(max_points, len(order)):
            return certificate
        if _hopeless(certificate):
            return certificate
        wanted = int(np.ceil(len(chosen) * (error / (ERROR_FRACTION * limit)) ** 2))
        target = min(max_points, max(wanted, len(chosen) + points // 4))


def _hopeless(certificate: Certificate) -> bool:
    """Whether some shift exceeds the limit by three errors: more points would only confirm it."""
    return any(
        abs(p.mean_shift_sigma) - 3.0 * p.mean_shift_error > certificate.limit
        for p in certificate.parameters.values()
    )


def fresh_points(chains: Chains, avoid: np.ndarray, seed: int) -> np.ndarray:
    """Samples of the chains, far apart in each, in random order, none of them in ``avoid``."""
    draws = chains.samples.shape[1]
    stride = max(1, draws // 250)
    offset = int(np.random.default_rng(seed).integers(stride))
    thinned = chains.samples[:, offset::stride].reshape(-1, chains.samples.shape[2])
    known = {row.tobytes() for row in np.ascontiguousarray(avoid)}
    fresh = np.array([row for row in thinned if row.tobytes() not in known])
    return fresh[np.random.default_rng(seed + 1).permutation(len(fresh))]


def smooth_log_weights(certificate: Certificate, chains: Chains) -> np.ndarray:
    """ln w at every sample of the chains [c, n], from a ridge fit linear in the parameters.

    The fit carries the certified shifts over to the whole chain, without the noise that a hundred
    separate weights would give to its contours.
    """
    flat = chains.flat
    centre, scale = flat.mean(axis=0), flat.std(axis=0)
    covariance = np.cov((flat - centre) / scale, rowvar=False)
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    whiten = vectors / np.sqrt(np.maximum(values, 1e-10))
    z = ((certificate.points - centre) / scale) @ whiten
    y = certificate.log_weights
    noise = max(float(np.var(y)), 1e-300)
    prior = max(float(np.var(y)), 1e-300)  # of each slope: the whole scatter at most
    design = z - z.mean(axis=0)
    gram = design.T @ design / noise + np.eye(z.shape[1]) / prior
    slope = np.linalg.solve(gram, design.T @ (y - y.mean()) / noise)
    result = ((flat - centre) / scale) @ whiten @ slope
    return (result - result.max()).reshape(chains.samples.shape[:2])
