"""A black box whose posterior is known: at the top of a module, so that workers find it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from volvelle.boltzmann import SolverError

NAMES = ("a", "b", "noise")
BEND = 0.3


@dataclass(frozen=True)
class Banana:
    """a ~ N(centre, 0.5^2); b ~ N(BEND (a^2 - 1), 0.1^2); noise ~ N(0, 1), cut below -3.

    ``forbidden``: a above which it cannot be evaluated.
    """

    forbidden: float = np.inf
    centre: float = 1.0
    cites: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "banana"

    @property
    def derived(self) -> tuple[str, ...]:
        return ("product",)

    def identity(self) -> dict[str, str]:
        return {"solver": "banana", "version": "1", "settings": f"{self.forbidden} {self.centre}"}

    def evaluate(self, parameters: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        a, b, noise = (parameters[name] for name in NAMES)
        if a > self.forbidden:
            raise SolverError(f"a = {a:.3g} is forbidden")
        chi2 = ((a - self.centre) / 0.5) ** 2 + ((b - BEND * (a**2 - 1.0)) / 0.1) ** 2 + noise**2
        value = -0.5 * chi2 if noise > -3.0 else -np.inf
        return value, {"product": a * b}
