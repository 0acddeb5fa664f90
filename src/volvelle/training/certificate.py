"""Exact re-weighting: what the emulator's posterior would be with the exact solver in its place.

Points of the emulator's chains are solved exactly; w_i = exp(ln L_exact - ln L_emulator). The
shift of every mean and the ratio of every width follow, with bootstrap errors (``reweighting``).
These points are fresh: they took no part in the training or in the decision to stop it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from volvelle.boltzmann import LedgerEntry
from volvelle.inference import Chains, Posterior, log_likelihoods_at, pareto_smooth
from volvelle.training.problem import Exact, refuse_many_failures
from volvelle.training.reweighting import SAMPLES, ParameterShift, Whitening, shifts, slopes

WIDTH_LIMIT = 0.05  # largest change of a width, two errors included
HEAVY_TAIL = 0.5  # Pareto k above which the largest weights are smoothed
USELESS_TAIL = 0.7  # Pareto k above which no number of points certifies
SMOOTHED_SCATTER = 0.3  # scatter of ln w above which a tail can matter


@dataclass(frozen=True)
class Certificate:
    """The verdict of exact solutions on an emulator's posterior.

    ``points`` [n, d] with their ``log_weights`` [n] (what the smooth part leaves of them is itself
    smoothed where its tail is heavy); a point that the exact solver refuses, or its likelihood
    excludes, has ln w = -inf, as it has no probability in the exact posterior. ``pareto_k``: of the
    raw weights' tail; ``entries`` are the ledger's, also of points that were not finished (a worker
    died, a time limit), of which nothing is known: these alone are left out. ``number``: which of
    the run's certificates it is; the ones before failed, and their points joined the training.
    """

    names: tuple[str, ...]
    limit: float
    points: np.ndarray
    log_weights: np.ndarray
    raw_log_weights: np.ndarray
    parameters: dict[str, ParameterShift]
    pareto_k: float
    entries: tuple[LedgerEntry, ...]
    number: int = 1

    @property
    def n(self) -> int:
        """Exact solutions that entered, refusals among them."""
        return len(self.log_weights)

    @property
    def weighty(self) -> np.ndarray:
        """Which of the points have a weight at all [n]."""
        return np.isfinite(self.raw_log_weights)

    @property
    def unknown(self) -> int:
        """Points that were not finished."""
        return len(self.entries) - self.n

    @property
    def log_weight_std(self) -> float:
        """Scatter of ln w; infinite when a point has no weight at all."""
        return float(np.std(self.raw_log_weights)) if np.all(self.weighty) else float("inf")

    @property
    def ess_fraction(self) -> float:
        """Effective sample size of the weights over their number."""
        weights = np.exp(self.raw_log_weights - np.max(self.raw_log_weights))
        return float(np.sum(weights) ** 2 / np.sum(weights**2) / len(weights))

    @property
    def log_mean_weight(self) -> tuple[float, float]:
        """ln of the mean weight, which the exact evidence is larger by, and its error."""
        largest = np.max(self.raw_log_weights)
        weights = np.exp(self.raw_log_weights - largest)
        mean = float(np.mean(weights))
        return float(largest + np.log(mean)), float(np.std(weights) / mean / np.sqrt(self.n))

    @property
    def reliable(self) -> bool:
        """Whether the weights have a finite enough tail for their averages to mean something; one
        that cannot be fitted (too few points) is taken as if it had not, unless all are alike."""
        return self.pareto_k <= USELESS_TAIL or self.log_weight_std < SMOOTHED_SCATTER

    @property
    def passed(self) -> bool:
        """Whether every parameter is within the limit."""
        return self.reliable and all(
            p.within(self.limit, WIDTH_LIMIT) for p in self.parameters.values()
        )

    def words(self) -> str:
        """The certificate in a sentence or two."""
        worst = max(self.parameters, key=lambda k: abs(self.parameters[k].mean_shift_sigma))
        shift = self.parameters[worst]
        if self.passed:
            verdict = "The posterior is certified"
            moves = f"move no mean by more than {abs(shift.mean_shift_sigma):.3f}"
        else:
            verdict = "The posterior is NOT certified at the requested accuracy"
            moves = f"move the mean of {worst} most, by {shift.mean_shift_sigma:+.3f}"
        return (
            f"{verdict}: {self.n} fresh exact solutions in the emulator's place {moves} +- "
            f"{shift.mean_shift_error:.3f} sigma{f' ({worst})' if self.passed else ''}; the limit "
            f"is {self.limit:g} sigma with two errors included. {self._widths()}"
            f"{self._without()}{self._tail()}"
            f"The logarithms of their weights scatter by "
            f"{float(np.std(self.raw_log_weights[self.weighty])):.3f}; "
            f"{100 * self.ess_fraction:.1f}% of the points remain effective."
            f"{self._earlier()}"
        )

    def _earlier(self) -> str:
        """A sentence on the certificates before this one."""
        before = self.number - 1
        if not before:
            return ""
        earlier = "the one before" if before == 1 else f"the {before} before"
        return (
            f" This is certificate number {self.number}: {earlier} failed and joined the training."
        )

    def _without(self) -> str:
        """Sentences on the points that have no weight, or of which nothing is known."""
        excluded, words = self.n - int(np.sum(self.weighty)), ""
        if excluded:
            words = f"{excluded} of them the exact solver or its likelihood excludes. "
        if self.unknown:
            words += f"{self.unknown} more were not finished and are left out. "
        return words

    def _tail(self) -> str:
        """A sentence where the weights scatter and their tail cannot be judged."""
        if self.reliable or not np.isnan(self.pareto_k):
            return ""
        return "Their weights are too few to tell whether they have a heavy tail. "

    def _widths(self) -> str:
        """A sentence on the width that changes most, where one is beyond its limit."""
        far = {
            name: abs(p.width_ratio - 1.0) + 2.0 * p.width_ratio_error
            for name, p in self.parameters.items()
        }
        name = max(far, key=far.__getitem__)
        if far[name] <= WIDTH_LIMIT:
            return ""
        ratio, error = self.parameters[name].width_ratio, self.parameters[name].width_ratio_error
        return (
            f"They change the width of {name} by a factor of {ratio:.3f} +- {error:.3f}; the limit "
            f"is {WIDTH_LIMIT:.0%} with two errors included. "
        )

    def summary(self) -> dict[str, Any]:
        """Plain values for ``summary.json``."""
        return {
            "passed": self.passed,
            "number": self.number,
            "limit_sigma": self.limit,
            "n": self.n,
            "excluded": self.n - int(np.sum(self.weighty)),
            "unfinished": self.unknown,
            "ess_fraction": self.ess_fraction,
            "log_weight_std": self.log_weight_std if np.isfinite(self.log_weight_std) else None,
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


@dataclass(frozen=True)
class Evaluated:
    """Points of a chain with what exact solutions and the emulator say there.

    ``x`` [n, d]; ln L [n] of both, the exact one -inf where there is no solution; the quantities
    that are certified [n, p], as emulated and exact (emulated where there is no solution).
    """

    x: np.ndarray
    log_exact: np.ndarray
    log_emulated: np.ndarray
    emulated: np.ndarray
    exact: np.ndarray

    def joined(self, more: Evaluated) -> Evaluated:
        """With further points behind these."""
        names = (f.name for f in fields(self))
        return Evaluated(*(np.concatenate([getattr(self, n), getattr(more, n)]) for n in names))


@dataclass(frozen=True)
class ChainSample:
    """What a certificate needs of a chain: equally weighted samples of it.

    ``order`` [m, d]: nearly independent samples in the order in which they are to be solved;
    ``x`` [s, d] with ``quantities`` [s, p] as emulated: many, which carry the smooth part of the
    weights, and count as ``independent`` ones; ``sigma`` [p]: the unit of the shifts.
    """

    names: tuple[str, ...]
    quantity_names: tuple[str, ...]
    order: np.ndarray
    x: np.ndarray
    quantities: np.ndarray
    sigma: np.ndarray
    whitening: Whitening
    independent: int | None = None


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
        derived: scalar outputs, and parameters defined by expressions (the same for emulator and
        solver), to certify as well;
        limit: of |shift| + 2 errors [sigma]; points: solved at first; max_points: at most;
        avoid: points that were trained on, never used here [m, d].

    Raises:
        TrainingError: more than a fifth of the solutions fail.
    """
    problem = exact.problem
    emulator: Any = posterior.theory
    outputs = tuple(name for name in derived if name not in problem.defined_names)

    def quantities(x: np.ndarray, scalars: dict[str, np.ndarray]) -> np.ndarray:
        known = {**scalars, **problem.defined(x)}
        return np.column_stack([x, *(known[name] for name in derived)])

    def emulated(x: np.ndarray) -> np.ndarray:
        return quantities(x, emulator.batch(x[:, : problem.n_emulated], outputs))

    def evaluate(x: np.ndarray, entries: Sequence[LedgerEntry]) -> Evaluated:
        good = solved(entries)
        theories = [exact.theory(entry) for entry in entries if not entry.failed]
        log_exact, known = np.full(len(x), -np.inf), emulated(x)
        pairs = zip(x[good], theories, strict=True)
        log_exact[good] = [problem.log_likelihood(row, theory) for row, theory in pairs]
        scalars = {name: np.array([float(t[name]) for t in theories]) for name in outputs}
        found = known.copy()
        found[good] = quantities(x[good], scalars)
        return Evaluated(x, log_exact, log_likelihoods_at(posterior, x), known, found)

    x = chains.flat[:: max(1, len(chains.flat) // SAMPLES)]
    carrying = emulated(x)
    sigma = np.concatenate([chains.flat.std(axis=0), carrying[:, len(problem.names) :].std(axis=0)])
    sample = ChainSample(
        problem.names,
        (*problem.names, *derived),
        fresh_points(chains, avoid, seed),
        x,
        carrying,
        sigma,
        Whitening.of(chains.flat),
        _independent(chains),
    )
    return reweigh(
        sample,
        exact.solve,
        evaluate,
        limit=limit,
        points=points,
        max_points=max_points,
        seed=seed,
        say=say,
    )


def reweigh(
    sample: ChainSample,
    solve: Callable[[np.ndarray], Sequence[LedgerEntry]],
    evaluate: Callable[[np.ndarray, Sequence[LedgerEntry]], Evaluated],
    *,
    limit: float,
    points: int,
    max_points: int,
    seed: int,
    say: Callable[[str], None] = lambda text: None,
) -> Certificate:
    """Evaluate points of a chain until they tell whether all changes are within their limits.

    Args:
        solve: points [n, d] exactly; evaluate: points with their solutions or refusals; the others
        as in `certify`.

    Raises:
        TrainingError: more than a fifth of the solutions fail.
    """
    order, whitening = sample.order, sample.whitening
    carrying = whitening(sample.x), sample.quantities
    target = min(points, len(order))
    entries: list[LedgerEntry] = []
    found: Evaluated | None = None
    while True:
        say(f"certificate: {target} exact solutions")
        asked = order[len(entries) : target]
        new = solve(asked)
        entries.extend(new)
        refuse_many_failures(entries)
        finished = [i for i, entry in enumerate(new) if not entry.failed or entry.stored]
        if finished:
            more = evaluate(asked[finished], [new[i] for i in finished])
            found = more if found is None else found.joined(more)
        assert found is not None, "at most a fifth of all points failed"
        raw = found.log_exact - found.log_emulated
        z = whitening(found.x)
        used = smoothed(z, raw)
        points_of = z, found.emulated, found.exact
        moved = shifts(carrying, points_of, used, sample.sigma, seed, sample.independent)
        certificate = Certificate(
            sample.names,
            limit,
            found.x,
            used,
            raw,
            dict(zip(sample.quantity_names, moved, strict=True)),
            # a sample that was drawn twice is no second tail
            pareto_smooth(raw[np.unique(found.x, axis=0, return_index=True)[1]])[1],
            tuple(entries),
        )
        wanted = _wanted(certificate, target)
        if wanted is None or target >= min(max_points, len(order)):
            return certificate
        target = min(max_points, len(order), max(wanted, target + points // 4))


def _independent(chains: Chains) -> int:
    """As how many independent samples the chains count, by their worst parameter."""
    effective = chains.diagnostics.ess
    known = effective[np.isfinite(effective)]
    return max(2, int(np.min(known))) if len(known) else len(chains.flat)


def solved(entries: Sequence[LedgerEntry]) -> np.ndarray:
    """Which of the entries have a solution [n]."""
    return np.array([not entry.failed for entry in entries], dtype=bool)


def _wanted(certificate: Certificate, solved: int) -> int | None:
    """Points after which the errors tell whether every change of a mean and of a width is within
    its limit; None when these do, or more would not help."""
    changes = certificate.parameters.values()
    excess = float(np.max([p.excess(certificate.limit, WIDTH_LIMIT) for p in changes]))
    # not finite: the exact likelihood is undefined somewhere, never certified
    if not np.isfinite(excess) or excess <= 1.0 or _hopeless(certificate):
        return None
    return int(np.ceil(solved * excess**2))


def _hopeless(certificate: Certificate) -> bool:
    """Whether a mean or a width is beyond its limit already: more points would only confirm it."""
    return any(p.beyond(certificate.limit, WIDTH_LIMIT) for p in certificate.parameters.values())


def fresh_points(chains: Chains, avoid: np.ndarray, seed: int) -> np.ndarray:
    """Samples of the chains, far apart in each, in random order, none of them in ``avoid``."""
    draws = chains.samples.shape[1]
    stride = max(1, draws // 250)
    offset = int(np.random.default_rng(seed).integers(stride))
    thinned = chains.samples[:, offset::stride].reshape(-1, chains.samples.shape[2])
    known = {row.tobytes() for row in np.ascontiguousarray(avoid)}
    fresh = np.array([row for row in thinned if row.tobytes() not in known])
    return fresh[np.random.default_rng(seed + 1).permutation(len(fresh))]


def smoothed(z: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """ln w at whitened points [n, d], Pareto-smoothed where a heavy tail remains in ln w - g."""
    smooth_part = z @ slopes(z, log_weights)
    rest = log_weights - smooth_part
    smooth, k = pareto_smooth(rest)
    heavy = k > HEAVY_TAIL and np.std(rest[np.isfinite(rest)]) > SMOOTHED_SCATTER
    return smooth_part + smooth if heavy else log_weights


def smooth_log_weights(certificate: Certificate, chains: Chains) -> np.ndarray:
    """ln w at every sample of the chains [c, n]; see ``smooth_part``."""
    result = smooth_part(certificate, Whitening.of(chains.flat), chains.flat)
    return result.reshape(chains.samples.shape[:2])


def smooth_part(certificate: Certificate, whitening: Whitening, x: np.ndarray) -> np.ndarray:
    """ln w at samples [m, d], at most 0, from a ridge fit linear in the parameters.

    The fit carries the certified shifts over to the whole chain, without the noise that a hundred
    separate weights would give to its contours.
    """
    result = whitening(x) @ slopes(whitening(certificate.points), certificate.log_weights)
    return result - result.max()
