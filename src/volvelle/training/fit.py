"""An emulator from a problem's exact solutions, which count by their likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from volvelle.emulator import BuildReport, Emulator, build_emulator
from volvelle.learning import Epochs, NetworkSettings
from volvelle.training.edges import can_be_left_out, copies, edges_of
from volvelle.training.problem import Problem
from volvelle.training.weights import tempered_weights

EFFECTIVE = 0.5  # of the solutions: their weights are tempered until so many count


def fit_emulator(
    problem: Problem,
    x: np.ndarray,
    theories: Sequence[dict[str, Any]],
    log_like: np.ndarray,
    kind: str = "auto",
    network: NetworkSettings | None = None,
    checkpoints: Path | None = None,
    progress: Epochs | None = None,
) -> tuple[Emulator, BuildReport]:
    """See ``emulator.build_emulator``; the metric is the noise of the problem's likelihoods.

    Solutions on an edge (see ``edges``) count at several values of what is idle there, unless a
    network learns them, and have no weight: left out, they are known from their copies.

    Args:
        x: solved points, nuisance parameters included [n, d]; theories: their outputs, as
        ``Problem.learned`` has them;
        log_like: their exact ln L [n].
    """
    edges = edges_of(problem, kind)
    more, rows = copies(edges, x)
    judged = can_be_left_out(edges, x)
    weights = np.zeros(len(x) + len(rows))
    weights[np.flatnonzero(judged)] = tempered_weights(
        log_like[judged], minimum=EFFECTIVE * np.sum(judged)
    )
    emulator, report = build_emulator(
        problem.emulated_names,
        problem.fixed,
        np.concatenate([x, more])[:, : problem.n_emulated],
        [*theories, *(theories[row] for row in rows)],
        problem.noises(),
        weights,
        kind,
        network,
        checkpoints,
        progress,
        problem.parametrisation.definitions,
    )
    return emulator, replace(report, left_out=report.left_out[: len(x)])
