"""Exact re-weighting of a chain that another program made with an emulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from volvelle.boltzmann import Ledger, LedgerEntry
from volvelle.boltzmann.solve import Progress
from volvelle.compute import Executor
from volvelle.emulator import load_emulator
from volvelle.inference import ChainFiles
from volvelle.learning import write_atomically
from volvelle.plugins.errors import ForeignError
from volvelle.training import BlackBox, Certificate, evaluate_all
from volvelle.training.black_box import log_likelihood_of
from volvelle.training.certificate import ChainSample, Evaluated, reweigh, smooth_part
from volvelle.training.reweighting import SAMPLES, Whitening

CHECKED = 5  # samples at which the chain's own ln L is computed again
REPRODUCED = 0.01  # of ln L, which matters to no posterior
DIGITS = 1e-5  # relative: MontePython writes six digits of ln L, Cobaya eight


@dataclass(frozen=True)
class ForeignChain:
    """A chain with the black boxes behind it.

    ``sampled`` and ``derived`` are names of the chain's columns, and the black boxes' own;
    ``log_like`` [m]: ln L of every row as the chain has it, in the sense of the black boxes;
    ``emulated`` made the chain, ``exact`` is the same with an exact solver.
    """

    files: ChainFiles
    sampled: tuple[str, ...]
    derived: tuple[str, ...]
    log_like: np.ndarray
    emulated: BlackBox
    exact: BlackBox

    def points(self, x: np.ndarray) -> list[dict[str, float]]:
        """Samples [n, d] by name."""
        return [dict(zip(self.sampled, row, strict=True)) for row in x.tolist()]


def check_solver(emulator: str | Path, solver: str) -> None:
    """Refuse another solver than the one that an emulator was trained with."""
    trained = load_emulator(emulator)[1]["solver"]["solver"]
    if trained != solver:
        raise ForeignError(
            f"--with {solver}: the chain's emulator was trained with {trained}, whose place "
            f"another solver cannot take; certify --with {trained}"
        )


def check_reproduced(chain: ForeignChain, seed: int) -> None:
    """Compute the chain's own ln L again at a few of its samples.

    Raises ForeignError where it differs: the likelihoods, their data or the emulator are not those
    that the chain was made with, and weights would mean nothing.
    """
    rows = np.unique(chain.files.spread(CHECKED, seed))
    x = chain.files.columns(chain.sampled)[rows]
    for point, known in zip(chain.points(x), chain.log_like[rows], strict=True):
        again, _ = chain.emulated.evaluate(point)
        if not abs(again - known) <= REPRODUCED + DIGITS * abs(known):
            place = ", ".join(f"{name} = {value:.6g}" for name, value in point.items())
            raise ForeignError(
                f"the chain has ln L = {known:.6g} at {place}, its model, loaded again, "
                f"{again:.6g}; they should agree to {REPRODUCED:g}. Give the chain's own emulator, "
                "likelihoods and data (packages_path), unchanged since"
            )


def certify_chain(
    chain: ForeignChain,
    ledger: Ledger,
    executor: Executor,
    *,
    limit: float,
    points: int,
    max_points: int,
    seed: int,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> tuple[Certificate, np.ndarray]:
    """The certificate of a chain, and ln w of all its rows [m].

    Args:
        limit: of |shift| + 2 errors [sigma]; points: exact evaluations at first; max_points: at
        most, until it is known whether every mean and width is within its limit.

    Raises:
        ForeignError: see ``check_reproduced``; TrainingError: more than a fifth of the evaluations
        fail.
    """
    if chain.exact.identity() == chain.emulated.identity():
        raise ForeignError(
            "the exact theory is the chain's own: nothing would be certified; give the exact code"
        )
    independent = chain.files.independent(chain.sampled)
    if independent < max_points:
        say(f"the chain counts as {independent} independent samples: as many points at most")
    max_points = min(max_points, independent)
    check_reproduced(chain, seed)
    files = chain.files
    x, weights = files.columns(chain.sampled), files.weights
    derived = _varying(files, chain.derived)
    if set(derived) != set(chain.derived):
        lacking = ", ".join(name for name in chain.derived if name not in derived)
        say(f"not certified, as they have no width or are no numbers in the chain: {lacking}")
    quantities = np.column_stack([x, files.columns(derived)]) if derived else x
    mean = np.average(quantities, axis=0, weights=weights)
    sigma = np.sqrt(np.average((quantities - mean) ** 2, axis=0, weights=weights))
    order = files.spread(max_points, seed)
    many = files.spread(SAMPLES, seed + 1)
    sample = ChainSample(
        chain.sampled,
        (*chain.sampled, *derived),
        x[order],
        x[many],
        quantities[many],
        sigma,
        Whitening.of(x[many]),
        independent,
    )

    def solve(chosen: np.ndarray) -> list[LedgerEntry]:
        run = f"certify {files.root.name}"
        return evaluate_all(chain.exact, chain.points(chosen), ledger, executor, run, progress)

    def evaluate(chosen: np.ndarray, entries: Sequence[LedgerEntry]) -> Evaluated:
        known = [chain.emulated.evaluate(point) for point in chain.points(chosen)]
        numbers: list[Mapping[str, Any]] = [values for _, values in known]
        log_exact = np.full(len(chosen), -np.inf)
        exact = list(numbers)
        for i, entry in enumerate(entries):
            if entry.theory is not None:
                log_exact[i] = log_likelihood_of(chain.exact, entry.theory)
                exact[i] = entry.theory

        def quantities_of(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
            values = [[float(row[name]) for name in derived] for row in rows]
            return np.column_stack([chosen, np.reshape(values, (len(chosen), len(derived)))])

        log_emulated = np.array([value for value, _ in known])
        return Evaluated(
            chosen, log_exact, log_emulated, quantities_of(numbers), quantities_of(exact)
        )

    certificate = reweigh(
        sample,
        solve,
        evaluate,
        limit=limit,
        points=points,
        max_points=max_points,
        seed=seed,
        say=say,
    )
    return certificate, smooth_part(certificate, sample.whitening, x)


def _varying(files: ChainFiles, derived: Sequence[str]) -> tuple[str, ...]:
    """Derived parameters that have a width."""
    return tuple(name for name in derived if np.ptp(files.column(name)) > 0.0)


def write_certified(
    chain: ForeignChain, certificate: Certificate, log_weights: np.ndarray, folder: Path
) -> Path:
    """The corrected chain in its own format, the certificate, and the exact points; their root."""
    root = chain.files.write_reweighted(folder, log_weights)
    summary = certificate.summary() | {"exact": chain.exact.identity()}
    write_atomically(folder / "certificate.json", json.dumps(summary, indent=1).encode())
    names = " ".join(("log_weight", *certificate.names))
    table = np.column_stack([certificate.raw_log_weights, certificate.points])
    lines = [f"# {names}", *(" ".join(f"{value:.12g}" for value in row) for row in table)]
    write_atomically(folder / "exact_points.txt", ("\n".join(lines) + "\n").encode())
    return root
