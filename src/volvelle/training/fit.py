"""An emulator from a problem's exact solutions, which count by their likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from volvelle.emulator import BuildReport, Emulator, build_emulator
from volvelle.learning import Epochs, NetworkSettings
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

    Args:
        x: solved points, nuisance parameters included [n, d]; theories: their outputs, as
        ``Problem.learned`` has them;
        log_like: their exact ln L [n].
    """
    return build_emulator(
        problem.emulated_names,
        problem.fixed,
        x[:, : problem.n_emulated],
        theories,
        problem.noises(),
        tempered_weights(log_like, minimum=EFFECTIVE * len(x)),
        kind,
        network,
        checkpoints,
        progress,
        problem.parametrisation.definitions,
    )
