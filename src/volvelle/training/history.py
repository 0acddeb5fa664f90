"""Iterations of the training on disk: what was chosen, before it is solved."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from volvelle.learning import write_atomically
from volvelle.training.errors import TrainingError


@dataclass
class Iteration:
    """Points of one iteration [n, d], the walkers they came from, and why.

    Either may be empty: a start comes from no walkers, and of walkers none may be new.
    """

    number: int
    temperature: float
    points: np.ndarray
    walkers: np.ndarray
    reason: str
    record: dict[str, Any] = field(default_factory=dict)


def _path(folder: Path, number: int) -> Path:
    return folder / f"iteration_{number:03d}.json"


def save_iteration(folder: Path, iteration: Iteration) -> None:
    """Write the choice of points; floats keep every digit."""
    content = {
        "number": iteration.number,
        "temperature": iteration.temperature,
        "points": iteration.points.tolist(),
        "walkers": iteration.walkers.tolist(),
        "reason": iteration.reason,
    }
    write_atomically(_path(folder, iteration.number), json.dumps(content).encode())


def load_iterations(folder: Path) -> list[Iteration]:
    """All stored iterations, in order.

    Raises:
        TrainingError: a file is damaged.
    """
    found: list[Iteration] = []
    while (path := _path(folder, len(found))).exists():
        try:
            content = json.loads(path.read_text())
            d = len((content["points"] or content["walkers"])[0])
            points = np.array(content["points"], dtype=float).reshape(-1, d)
            walkers = np.array(content["walkers"], dtype=float).reshape(-1, d)
            found.append(
                Iteration(
                    int(content["number"]),
                    float(content["temperature"]),
                    points,
                    walkers,
                    str(content["reason"]),
                )
            )
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise TrainingError(
                f"{path} is damaged ({error}); delete it and the later ones to choose them again"
            ) from error
    return found
