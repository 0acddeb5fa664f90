"""The design of the learned linear power, and CLASS's solutions of it.

The design fills a box of eight parameters with a Sobol sequence, which can be continued; amplitude
and tilt are known exactly and stay out of it. CLASS solves each point with settings of its own,
``PRECISION`` or ``FINER``, through the ledger: an interrupted training goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
from volvelle.boltzmann.solve import AnySolver, Progress
from volvelle.compute import Executor
from volvelle.cosmology import Cosmology
from volvelle.cosmology.neutrinos import minimal_sum
from volvelle.power.learned import DARK_ENERGY_LEAST
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
EARLY_LARGEST = -0.5
"""Of w0 + wa; beyond, and below ``DARK_ENERGY_LEAST``, corners of the box are left out."""
AMPLITUDE, TILT = 2.1e-9, 0.965
"""Of the exact solutions; the spectra are divided by the primordial one."""
REQUEST = Request.of(["matter_power", "cb_power", "matter_power_early", "cb_power_early"])
PRECISION: Mapping[str, float | int | str] = {
    # what these leave is in docs/validation/linear_power.md
    "tol_perturbations_integration": 1e-6,
    "l_max_g": 40,
    "l_max_pol_g": 25,
    "l_max_ur": 60,
    "ur_fluid_trigger_tau_over_tau_k": 40.0,
    "radiation_streaming_trigger_tau_over_tau_k": 60.0,
    "start_small_k_at_tau_c_over_tau_h": 4e-4,
    "start_large_k_at_tau_h_over_tau_k": 0.02,
    # the default fluid of massive neutrinos and their default momenta are not converged
    "l_max_ncdm": 45,
    "ncdm_fluid_trigger_tau_over_tau_k": 101.0,
    "tol_ncdm_synchronous": 1e-5,
}


FINER: Mapping[str, float | int | str] = {
    **PRECISION,
    # fewer multipoles reflect what reaches them before the fluid begins: 0.2% of P above 1/Mpc
    "l_max_ncdm": 60,
    # many modes from the longest waves of curved universes to the last acoustic oscillations:
    # a window about k_bao_center 2 pi / r_s that is k_bao_width wide to both sides
    "k_bao_center": 0.14,
    "k_bao_width": 220.0,
    "k_per_decade_for_bao": 60.0,
}
"""Of the solutions that correct what was learned from many, and of those that judge: at twice the
cost."""


def exact_solver(finer: bool = False) -> ClassSolver:
    """CLASS without non-linear corrections, with ``PRECISION`` or ``FINER``."""
    return ClassSolver(non_linear="none", precision=dict(FINER if finer else PRECISION))


def universe(point: Mapping[str, float]) -> Cosmology:
    """The cosmology of a point of the box."""
    fixed = {"A_s": AMPLITUDE, "n_s": TILT, "tau_reio": 0.06}
    return Cosmology.from_parameters({**point, **fixed})


TRAINING_SEED, FRESH_SEED, LIGHT_SEED, FRESH_LIGHT_SEED = 1, 8, 3, 9
SEVERAL_SEED, FRESH_SEVERAL_SEED = 4, 2
"""Of the sequences that train and that judge, of those with light neutrinos that do, and of those
with three massive states. Blocks, searches and settings were compared by others than those that
judge; the degree of the early rest's splines was by these, of what their own rests lose."""
_LIGHT = 0.1
"""What the mass is multiplied by for light neutrinos: most universes that are asked for have them,
and a tenth of the box is too few for what changes as they turn non-relativistic late."""


def design(first: int, count: int, seed: int = TRAINING_SEED) -> list[dict[str, float]]:
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


def light_design(first: int, count: int, seed: int = LIGHT_SEED) -> list[dict[str, float]]:
    """Points as ``design`` has them, with a tenth of the mass: up to 0.06 eV."""
    points = design(first, count, seed)
    return [{**point, "m_nu": _LIGHT * point["m_nu"]} for point in points]


def massless_design(first: int, count: int, seed: int = TRAINING_SEED) -> list[dict[str, float]]:
    """Points as ``design`` has them, with no mass."""
    return [{**point, "m_nu": 0.0} for point in design(first, count, seed)]


def several_design(first: int, count: int, seed: int = SEVERAL_SEED) -> list[dict[str, Any]]:
    """Points as ``design`` has them, with three equal massive states of 0.2 to 0.6 eV in all and
    N_eff from 3.1 on."""
    found: list[dict[str, Any]] = []
    ahead = 0
    while len(found) < first + count:
        for point in design(ahead, 64, seed):
            changed = dict(point)
            for name, least in _SEVERAL.items():
                low, high = BOX[name]
                changed[name] = high - (high - least) * (high - point[name]) / (high - low)
            if _is_wanted(changed):
                found.append({**changed, "neutrino_hierarchy": "degenerate"})
        ahead += 64
    return found[first : first + count]


def fresh_several_design(count: int) -> list[dict[str, Any]]:
    """Points that judge: masses and N_eff as ``design`` has them, where three states can have them,
    two of them equal and then one of each ordering."""
    found: list[dict[str, Any]] = []
    order = itertools.cycle(("degenerate", "degenerate", "normal", "inverted"))
    for point, name in zip(design(0, 64 * count, FRESH_SEVERAL_SEED), order, strict=False):
        if point["N_eff"] > _SEVERAL["N_eff"] and point["m_nu"] > minimal_sum(name):
            found.append({**point, "neutrino_hierarchy": name})
    return found[:count]


_SEVERAL = {"m_nu": 0.2, "N_eff": 3.1}
"""The least of three massive states: less of N_eff than they have themselves there is not, and of
lighter ones the sum is right."""


def _is_wanted(point: Mapping[str, float]) -> bool:
    dark = 1.0 - point["Omega_k"] - float(universe(point).Omega_m)
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
    finer: bool = False,
) -> Solutions:
    """Solve all points, each once ever. Raises TrainingError if more than a tenth fails."""
    return solved(exact_solver(finer), REQUEST, points, ledger, executor, progress)


def solved(
    solver: AnySolver,
    request: Request,
    points: list[dict[str, float]],
    ledger: Ledger,
    executor: Executor,
    progress: Progress | None = None,
) -> Solutions:
    """Solve all points by any solver; raises as ``solve_design``."""
    cosmologies = [universe(point) for point in points]
    entries = solve_many(solver, cosmologies, request, ledger, executor, "linear-power", progress)
    failed, words = failure_summary(entries)
    if failed > len(points) / 10:
        raise TrainingError(f"CLASS solved only {len(points) - failed} of {len(points)}: {words}")
    good = [n for n, entry in enumerate(entries) if entry.theory is not None]
    return Solutions([points[n] for n in good], [entries[n] for n in good])
