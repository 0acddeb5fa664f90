"""Exact linear power spectra for the learned one that the package ships.

The design fills a box of eight parameters with a Sobol sequence, which can be continued; amplitude
and tilt are known exactly and stay out of it. CLASS solves each point with settings of its own
(``PRECISION``), through the ledger: an interrupted training goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from volvelle.boltzmann import (
    ClassSolver,
    Ledger,
    LedgerEntry,
    Request,
    failure_summary,
    solve_many,
)
from volvelle.boltzmann.solve import Progress
from volvelle.compute import Executor
from volvelle.cosmology import Cosmology
from volvelle.training.errors import TrainingError

BOX: Mapping[str, tuple[float, float]] = {
    "omega_b": (0.017, 0.028),
    "omega_cdm": (0.07, 0.2),
    "h": (0.5, 0.95),
    "m_nu": (0.0, 0.6),
    "N_eff": (2.0, 4.5),
    "Omega_k": (-0.1, 0.1),
    "w0": (-1.6, -0.5),
    "wa": (-1.5, 1.0),
}
"""Edges of the parameters; one neutrino has the mass, so that N_eff may be below 3."""
DARK_ENERGY_LEAST = 0.05
"""Of Omega_de; and w0 + wa at most ``EARLY_LARGEST``: other corners of the box are left out."""
EARLY_LARGEST = -0.1
AMPLITUDE, TILT = 2.1e-9, 0.965
"""Of the exact solutions; the spectra are divided by the primordial one."""
REQUEST = Request.of(["matter_power", "cb_power", "matter_power_early", "cb_power_early"])
PRECISION: Mapping[str, float | int | str] = {
    # converged to 2e-4 without massive neutrinos, see docs/validation/linear_power.md
    "tol_perturbations_integration": 1e-6,
    "l_max_g": 40,
    "l_max_pol_g": 25,
    "l_max_ur": 60,
    "ur_fluid_trigger_tau_over_tau_k": 40.0,
    "radiation_streaming_trigger_tau_over_tau_k": 60.0,
    "start_small_k_at_tau_c_over_tau_h": 4e-4,
    "start_large_k_at_tau_h_over_tau_k": 0.02,
    # the default fluid of massive neutrinos suppresses P by 0.4% too little or much at 0.3 eV
    "l_max_ncdm": 45,
    "ncdm_fluid_trigger_tau_over_tau_k": 101.0,
    "tol_ncdm_synchronous": 1e-5,
}


def exact_solver() -> ClassSolver:
    """CLASS without non-linear corrections, with ``PRECISION``."""
    return ClassSolver(non_linear="none", precision=dict(PRECISION))


def universe(point: Mapping[str, float]) -> Cosmology:
    """The cosmology of a point of the box."""
    return Cosmology(**point, A_s=AMPLITUDE, n_s=TILT, tau_reio=0.06)


def design(first: int, count: int, seed: int = 1) -> list[dict[str, float]]:
    """Points ``first`` to ``first + count`` of one endless sequence in the box, corners left out.

    Raises TrainingError for a negative place or count.
    """
    if first < 0 or count < 0:
        raise TrainingError(f"points {first} to {first + count} were asked for; expected from 0 on")
    sequence = qmc.Sobol(len(BOX), rng=np.random.default_rng(seed))
    low, high = np.array(list(BOX.values())).T
    found: list[dict[str, float]] = []
    while len(found) < first + count:
        for row in qmc.scale(sequence.random(256), low, high):
            point = dict(zip(BOX, row.tolist(), strict=True))
            if _is_wanted(point):
                found.append(point)
    return found[first : first + count]


def _is_wanted(point: Mapping[str, float]) -> bool:
    matter = (point["omega_b"] + point["omega_cdm"] + point["m_nu"] / 93.14) / point["h"] ** 2
    dark = 1.0 - point["Omega_k"] - matter
    return dark >= DARK_ENERGY_LEAST and point["w0"] + point["wa"] <= EARLY_LARGEST


@dataclass(frozen=True)
class Solutions:
    """Points and their exact solutions, failures left out."""

    points: list[dict[str, float]]
    entries: list[LedgerEntry]


def solve_design(
    points: list[dict[str, float]],
    ledger: Ledger,
    executor: Executor,
    progress: Progress | None = None,
) -> Solutions:
    """Solve all points, each once ever. Raises TrainingError if more than a tenth fails."""
    solver = exact_solver()
    cosmologies = [universe(point) for point in points]
    entries = solve_many(solver, cosmologies, REQUEST, ledger, executor, "linear-power", progress)
    failed, words = failure_summary(entries)
    if failed > len(points) / 10:
        raise TrainingError(f"CLASS solved only {len(points) - failed} of {len(points)}: {words}")
    good = [n for n, entry in enumerate(entries) if entry.theory is not None]
    return Solutions([points[n] for n in good], [entries[n] for n in good])
