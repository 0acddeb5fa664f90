"""CLASS's linear power of the longest waves alone, at a small part of what all cost.

Long waves hardly oscillate: few multipoles and momenta are enough for them, and there are few of
them. So the many modes that strongly curved universes need there are affordable at every point of a
design, not only at some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from volvelle.boltzmann import (
    EARLY_Z,
    POWER_K,
    POWER_Z,
    ClassSolver,
    Ledger,
    LedgerEntry,
    Request,
    Theory,
)
from volvelle.boltzmann.class_outputs import linear_tables
from volvelle.boltzmann.solve import Progress
from volvelle.compute import Executor
from volvelle.cosmology import Cosmology

from .linear_power_design import FINER, REQUEST, Solutions, solve_design, solved

LONGEST = 0.01
"""Where the tables end [1/Mpc], far above what is learned of them."""
LONG_K = POWER_K[POWER_K < LONGEST]
LONG: Mapping[str, float | int | str] = {
    **FINER,
    # to 2e-5 of P below LONGEST what FINER gives: docs/validation/linear_power.md
    "l_max_g": 20,
    "l_max_pol_g": 15,
    "l_max_ur": 30,
    "l_max_ncdm": 25,
    "tol_ncdm_synchronous": 1e-4,
}
"""Of the long waves."""
DENSER = 120.0
"""Modes per decade of those that judge: next to the first mode of closed universes those of FINER
are some 6e-4 off."""
LONG_REQUEST = replace(REQUEST, standard=False)
"""Tables alone: CLASS's scalars, sigma8 among them, need larger wavenumbers."""


@dataclass(frozen=True)
class LongWaves:
    """A solver of the outputs of ``LONG_REQUEST`` on ``LONG_K`` in the place of ``POWER_K``."""

    settings: Mapping[str, float | int | str] = field(default_factory=lambda: dict(LONG))

    @classmethod
    def judging(cls) -> LongWaves:
        """With ``DENSER`` modes."""
        return cls({**LONG, "k_per_decade_for_bao": DENSER, "k_per_decade_for_pk": DENSER})

    @property
    def exact(self) -> ClassSolver:
        """CLASS with its settings."""
        return ClassSolver(non_linear="none", precision=dict(self.settings))

    @property
    def name(self) -> str:
        """``class``."""
        return self.exact.name

    def identity(self) -> dict[str, str]:
        """CLASS's, and where the tables end."""
        return {
            **self.exact.identity(),
            "longest": f"{LONG_K.size} wavenumbers to {LONG_K[-1]:.6g}",
        }

    def solve(self, cosmology: Cosmology, request: Request) -> Theory:
        """See ``Solver``."""
        with self.exact.computed(cosmology, request, largest=LONGEST) as (cosmo, _):
            late, early = (linear_tables(cosmo, LONG_K, z) for z in (POWER_Z, EARLY_Z))
        return {
            "matter_power": late[0],
            "cb_power": late[1],
            "matter_power_early": early[0],
            "cb_power_early": early[1],
        }


def solve_long_waves(
    points: list[dict[str, float]],
    ledger: Ledger,
    executor: Executor,
    progress: Progress | None = None,
) -> Solutions:
    """As ``solve_design``, of the long waves."""
    return solved(LongWaves(), LONG_REQUEST, points, ledger, executor, progress)


def solve_judges(
    points: list[dict[str, float]],
    ledger: Ledger,
    executor: Executor,
    progress: Progress | None = None,
) -> Solutions:
    """What judges: finer solutions, their long waves by ``DENSER`` modes."""
    finer = solve_design(points, ledger, executor, progress, finer=True)
    solver = LongWaves.judging()
    long = solved(solver, LONG_REQUEST, finer.points, ledger, executor, progress)
    kept = [finer.entries[finer.points.index(point)] for point in long.points]
    pairs = zip(kept, long.entries, strict=True)
    return Solutions(long.points, [replace(one, theory=_joined(one, two)) for one, two in pairs])


def _joined(finer: LedgerEntry, long: LedgerEntry) -> dict[str, np.ndarray]:
    """Tables on ``POWER_K``, their first wavenumbers from others."""
    below, all_ = long.theory or {}, finer.theory or {}
    names = LONG_REQUEST.functions
    return {n: np.concatenate([below[n], all_[n][:, LONG_K.size :]], axis=1) for n in names}
