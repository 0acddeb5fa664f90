"""One set of solutions and one fit: a design that knows nothing of the posterior.

Nygaard et al. 2022 (arXiv:2205.15726), section 3: the Latin hypercube that the iteration is
compared with there, and the hypersphere without its corners (equation 3.1).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from volvelle.training.base import SurrogateSettings, Training
from volvelle.training.design import SPACE_FILLING, check_budget, check_size
from volvelle.training.history import Iteration, load_iterations, save_iteration


@dataclass(frozen=True, kw_only=True)
class SpaceFillingSettings(SurrogateSettings):
    """``sampling``: a key of ``design.SPACE_FILLING``; ``points``: exact solutions."""

    sampling: str = "latin_hypercube"
    points: int


@dataclass
class SpaceFilling(Training[SpaceFillingSettings]):
    """The reference box or its ellipsoid, filled once; it is met by being solved."""

    @property
    def design(self) -> str:
        """See ``Training``."""
        return self.settings.sampling

    def run(self, warm: np.ndarray | None = None) -> bool:
        """See ``Training``; raises TrainingError also for more points than ``max_training``."""
        self._refuse_warm(warm)
        started = time.monotonic()
        stored = load_iterations(self.folder)
        iteration = stored[0] if stored else self._placed()
        if not stored:
            save_iteration(self.folder, iteration)
        self.say(f"{self.design}: {len(iteration.points)} exact solutions")
        self._solve(iteration.points)
        what, settings = "what was solved without failure", self.settings
        size, parameters = len(self.x), self.exact.problem.n_emulated
        check_size(size, parameters, what, settings.folds, settings.kind)
        self.say(f"fitting the emulator to {len(self.x)} solutions")
        self._fit()
        iteration.record = self._entry(iteration, started)
        self.iterations.append(iteration)
        return True

    def _placed(self) -> Iteration:
        problem, settings = self.exact.problem, self.settings
        check_size(settings.points, problem.n_emulated, "points", settings.folds, settings.kind)
        check_budget(settings.points, settings.max_training, "points")
        place = SPACE_FILLING[settings.sampling]
        x = place(problem, settings.points, settings.width, settings.seed)
        return Iteration(0, float("inf"), x, np.empty((0, x.shape[1])), self.design)
