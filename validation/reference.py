"""The certified posterior of a finished run, and how far an emulator's posterior is from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from volvelle.emulator import Emulator, load_emulator
from volvelle.inference import explore, log_likelihoods_at
from volvelle.training import Problem
from volvelle.training.adaptive import REACH
from volvelle.training.weights import effective_number, weights_at

GOOD = ("converged",)
POINTS = 4000  # of the reference chains, re-weighted to every emulator's posterior
LEAST_EFFECTIVE = 0.3  # of them; below, the emulator's posterior is sampled
WALKERS, LEG, LEGS = 512, 100, 8  # of that sampling; the last half of its looks counts


@dataclass(frozen=True)
class Samples:
    """Points [n, d] of a posterior with their weights [n], and how they were made."""

    x: np.ndarray
    weights: np.ndarray
    how: str
    effective: float


@dataclass(frozen=True)
class Distance:
    """From a reference, of the parameter where it is largest: of the mean [sigma], of the width."""

    shift: float
    parameter: str
    width: float
    width_parameter: str


@dataclass(frozen=True)
class Reference:
    """The certified posterior: exact means and widths, and the chains of its emulator."""

    names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    emulator_mean: np.ndarray
    emulator_std: np.ndarray
    x: np.ndarray
    log_like: np.ndarray
    simulated: bool

    @classmethod
    def load(cls, folder: Path, problem: Problem, statuses: Sequence[str] = GOOD) -> Reference:
        """From the output folder of a finished run that ended in one of some ways."""
        summary = json.loads((folder / "summary.json").read_text())
        if summary["status"] not in statuses:
            raise SystemExit(f"{folder} is {summary['status']}: no reference for a comparison")
        of = [summary["parameters"][name] for name in problem.names]
        chains = [np.loadtxt(p) for p in sorted((folder / "chains").glob("emulator.[0-9]*.txt"))]
        x = np.concatenate(chains)[:, 2 : 2 + len(problem.names)]
        x = x[:: max(1, len(x) // POINTS)]
        emulator, _ = load_emulator(folder / "emulator")
        return cls(
            problem.names,
            np.array([p["mean"] for p in of]),
            np.array([p["std"] for p in of]),
            np.array([p["emulator"]["mean"] for p in of]),
            np.array([p["emulator"]["std"] for p in of]),
            x,
            log_likelihoods_at(problem.posterior(emulator), x),
            bool(summary["simulated"]),
        )

    def samples(self, problem: Problem, emulator: Emulator, seed: int) -> Samples:
        """Of an emulator's posterior: the reference's, re-weighted, or others where few count."""
        posterior = problem.posterior(emulator)
        ratio = log_likelihoods_at(posterior, self.x) - self.log_like
        weights = weights_at(np.where(np.isnan(ratio), -np.inf, ratio), 1.0)
        fraction = effective_number(weights) / len(weights)
        if fraction >= LEAST_EFFECTIVE:
            return Samples(self.x, weights, "re-weighted", fraction)
        walkers = self.x[np.random.default_rng(seed).permutation(len(self.x))[:WALKERS]]
        looks = []
        for leg in range(LEGS):
            walkers, _ = explore(
                posterior, walkers, temperature=1.0, steps=LEG, seed=seed + leg, reach=REACH
            )
            looks.append(walkers)
        x = np.concatenate(looks[LEGS // 2 :])
        return Samples(x, np.ones(len(x)), "sampled", fraction)

    def distance(self, samples: Samples) -> Distance:
        """Largest shift of a mean and largest change of a width from the exact posterior."""
        mean, std = _moments(samples.x, samples.weights)
        if samples.how == "re-weighted":
            # the reference emulator's own points: their Monte-Carlo noise cancels
            plain, width = _moments(self.x, np.ones(len(self.x)))
            mean, std = mean - plain + self.emulator_mean, std / width * self.emulator_std
        shift, change = (mean - self.mean) / self.std, std / self.std - 1.0
        i, j = int(np.argmax(np.abs(shift))), int(np.argmax(np.abs(change)))
        return Distance(abs(float(shift[i])), self.names[i], float(change[j]), self.names[j])


def _moments(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = np.average(x, axis=0, weights=weights)
    return mean, np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
