"""Exact linear power spectra for the learned one that the package ships.

The design fills a box of eight parameters with a Sobol sequence, which can be continued; amplitude
and tilt are known exactly and stay out of it. CLASS solves each point with settings of its own
(``PRECISION``), through the ledger: an interrupted training goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.stats import qmc

from volvelle.boltzmann import (
    EARLY_Z,
    POWER_K,
    POWER_Z,
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
from volvelle.emulator.basis import principal_components
from volvelle.learning.gaussian_process import fit_gaussian_process
from volvelle.learning.polynomial import design_matrix
from volvelle.learning.process_mean import mean_of
from volvelle.power.analytic import Analytic, stretched
from volvelle.power.learned import (
    DARK_ENERGY_LEAST,
    PARAMETERS,
    SPECIES,
    LearnedPower,
    LearnedSpectrum,
    WavenumberBlock,
    early_features,
    late_features,
)
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
_LATE_Z = POWER_Z[::4]
Z_NODES = np.concatenate([_LATE_Z, EARLY_Z[1::2]])
"""Redshifts of the learned table; the rest is smooth between."""
TOLERANCE = 2e-5
"""Scatter of ln P of components that are left out."""
SEARCHED = 200
"""Solutions that the processes' length scales are found with."""
EARLY_NODE = len(_LATE_Z) + 1
"""Number of the redshift, 9.6, at which the early rest is taken."""
SPLITS = (4e-3, 0.06)
"""Wavenumbers between blocks [1/Mpc]: curvature and the early radiation matter below the first
only; baryons, and CLASS's own error with massive neutrinos, most above the last."""
DEGREES = (2, 1)
"""Of the polynomial means of the early and the late rest."""
CORRECTION_DEGREE = 1
"""Of the polynomials that finer solutions correct by."""
CURVED = 0.05
"""Largest |K| / k^2 that the early rest is taken from: CLASS has few modes there, and what it
interpolates between them is up to 2% off in the closed universes of the box."""
TRUNCATION = 1e-4
"""Scatter of ln P below which a component takes the smoothness of the one before it."""
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


TRAINING_SEED, FRESH_SEED, LIGHT_SEED, FRESH_LIGHT_SEED = 1, 5, 3, 4
"""Of the sequences that train and that judge, and of those with light neutrinos that do."""
_LIGHT = 0.1
"""What the mass is multiplied by for light neutrinos: most universes that are asked for have them,
and a tenth of the box is too few for what changes as they turn non-relativistic late."""
BANDS = {"k < 1e-3": (0.0, 1e-3), "1e-3 to 0.01": (1e-3, 0.01), "0.01 to 0.1": (0.01, 0.1),
         "0.1 to 1": (0.1, 1.0), "1 to 10": (1.0, 20.0)}  # fmt: skip
"""Wavenumbers that are judged apart [1/Mpc]."""


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
    solver = exact_solver(finer)
    cosmologies = [universe(point) for point in points]
    entries = solve_many(solver, cosmologies, REQUEST, ledger, executor, "linear-power", progress)
    failed, words = failure_summary(entries)
    if failed > len(points) / 10:
        raise TrainingError(f"CLASS solved only {len(points) - failed} of {len(points)}: {words}")
    good = [n for n, entry in enumerate(entries) if entry.theory is not None]
    return Solutions([points[n] for n in good], [entries[n] for n in good])


def rest_of(point: Mapping[str, float], theory: Mapping[str, Any], z: np.ndarray) -> np.ndarray:
    """ln P less the analytic part, of matter and cb, at redshifts ``z`` of the solver's [2, z, k].

    Where a closed universe has no mode, the value of the first one.
    """
    known = _known(universe(point))
    all_z = np.concatenate([POWER_Z, EARLY_Z])
    chosen = np.searchsorted(all_z, z)
    exists = int(np.argmax(known.exists(jnp.asarray(POWER_K * (1.0 - 1e-6)))))
    fits = _log_power(known, jnp.asarray(POWER_K), 1.0 / (1.0 + jnp.asarray(z)))
    found = []
    for name, fit in zip(("matter_power", "cb_power"), fits, strict=True):
        table = np.concatenate([theory[name], theory[f"{name}_early"]])[chosen, exists:]
        rest = np.log(table) - np.asarray(fit)[:, exists:]
        found.append(np.pad(rest, ((0, 0), (exists, 0)), mode="edge"))
    return np.stack(found)


_known = jax.jit(Analytic.of)


@jax.jit
def _log_power(known: Analytic, k: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    return known.log_power(k[None], a[:, None])


def early_rest(point: Mapping[str, float], rest: np.ndarray) -> np.ndarray:
    """The rest of cb at one redshift [k], on nodes of ``stretched`` ln k.

    At wavenumbers of strong curvature it goes on as a + b k^1.5 from those above, as it does in
    flat universes between 1e-4 and 1e-3/Mpc.
    """
    known = _known(universe(point))
    curved = int(np.sum(abs(float(known.curvature)) > CURVED * POWER_K**2))
    found = rest.copy()
    if curved:
        near = slice(curved, int(np.searchsorted(POWER_K, _REACH * POWER_K[curved])))
        x = (POWER_K / POWER_K[curved]) ** _RISE
        found[:curved] = np.polyval(np.polyfit(x[near], rest[near], 1), x[:curved])
    fine = np.linspace(_LOG_K[0], _LOG_K[-1], _FINE)
    nodes = np.interp(_LOG_K, np.asarray(stretched(fine, known.sound_horizon)), fine)
    return CubicSpline(_LOG_K, found)(nodes)


_RISE, _REACH = 1.5, 2.5
"""Exponent of the rest at small wavenumbers; range that a fit uses, over its first wavenumber."""
_LOG_K, _FINE = np.log(POWER_K), 20_000


def fit_linear_power(solutions: Solutions) -> tuple[LearnedPower, np.ndarray]:
    """Learn both rests of all solutions; also their summed left-out errors of ln P [n, 2, z, k],
    those of the early rest at its stretched nodes.

    Raises LearningError for too few solutions.
    """
    targets = _targets(solutions)
    features = _features(solutions.points)
    return _fitted(features, targets)


def correct_linear_power(
    learned: LearnedPower, points: list[dict[str, float]], finer: Solutions
) -> tuple[LearnedPower, np.ndarray]:
    """What was learned at ``points``, corrected by fewer and finer solutions at others.

    What they differ by is learned first. Above the first of ``SPLITS`` it is a polynomial: what
    CLASS's settings are off by, and none of the learned one's own errors, which are others at every
    point. Below it is whatever CLASS interpolates between few modes, as smooth as it is found to
    be. Then all is learned anew, from the old one with its correction at its points, and from the
    solutions. The left-out errors, as in ``fit_linear_power``, are of the latter alone.
    """
    ours, theirs = _features(points), _features(finer.points)
    exact = _targets(finer)
    known = [_predicted(learned, *features) for features in (ours, theirs)]
    corrected, long = [], slice(0, int(np.searchsorted(POWER_K, SPLITS[0])))
    for n in range(len(exact)):
        off, wanted = exact[n] - known[1][n], known[0][n]
        correction = _polynomial(theirs[n], off, ours[n])
        block, _ = _fit_block(theirs[n], off[..., long], CORRECTION_DEGREE)
        correction[..., long] = _values((block,), ours[n], wanted.shape[1:-1])
        corrected.append(wanted + correction)
    features = tuple(np.concatenate(pair) for pair in zip(theirs, ours, strict=True))
    targets = tuple(np.concatenate(pair) for pair in zip(exact, corrected, strict=True))
    fitted, errors = _fitted(features, targets)
    return fitted, errors[: len(finer.points)]


def _polynomial(x: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The polynomial of least squares through ``values`` [n, ...] at ``x`` [n, f], elsewhere."""
    known = design_matrix(x, CORRECTION_DEGREE)
    coefficients = np.linalg.lstsq(known, values.reshape(len(x), -1), rcond=None)[0]
    found = design_matrix(at, CORRECTION_DEGREE) @ coefficients
    return found.reshape(len(at), *values.shape[1:])


def _features(points: list[dict[str, float]]) -> tuple[np.ndarray, ...]:
    """Of the early and of the late rest, a row per point."""
    universes = [universe(point) for point in points]
    return tuple(
        np.stack([np.asarray(of(each, each.m_nu)) for each in universes]) for of in (_early, _late)
    )


def _targets(solutions: Solutions) -> tuple[np.ndarray, ...]:
    """The early rests [n, k] and the late ones [n, 2, z, k] of exact solutions."""
    rest = np.stack(
        [
            rest_of(point, entry.theory or {}, Z_NODES)
            for point, entry in zip(solutions.points, solutions.entries, strict=True)
        ]
    )
    start = rest[:, 1, EARLY_NODE]
    early = [early_rest(p, r) for p, r in zip(solutions.points, start, strict=True)]
    return np.stack(early), rest - start[:, None, None]


def _predicted(learned: LearnedPower, *features: np.ndarray) -> list[np.ndarray]:
    """The rests that were learned, as ``_targets`` has them."""
    late = (len(SPECIES), len(Z_NODES))
    return [_values(learned.early, features[0], ()), _values(learned.late, features[1], late)]


def _values(
    blocks: tuple[WavenumberBlock, ...], x: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    rows = [np.asarray(jax.vmap(block)(jnp.asarray(x))) for block in blocks]
    return np.concatenate([row.reshape(len(x), *shape, -1) for row in rows], axis=-1)


def _fitted(
    features: tuple[np.ndarray, ...], targets: tuple[np.ndarray, ...]
) -> tuple[LearnedPower, np.ndarray]:
    (early, early_errors), (late, late_errors) = (
        _fit_blocks(*each) for each in zip(features, targets, DEGREES, strict=True)
    )
    edges = np.array([BOX[name] for name in PARAMETERS])
    learned = LearnedPower(
        lower=tuple(edges[:, 0].tolist()),
        upper=tuple(edges[:, 1].tolist()),
        largest_early=EARLY_LARGEST,
        log_k=tuple(_LOG_K.tolist()),
        log_z=tuple(np.log1p(Z_NODES).tolist()),
        early=early,
        late=late,
    )
    return learned, early_errors[:, None, None] + late_errors


_early, _late = jax.jit(early_features), jax.jit(late_features)


def _fit_blocks(
    x: np.ndarray, rest: np.ndarray, degree: int
) -> tuple[tuple[WavenumberBlock, ...], np.ndarray]:
    """Blocks of a rest [n, ..., k] as a function of features [n, f], and its left-out errors."""
    blocks, errors = [], []
    for first, last in itertools.pairwise((0, *np.searchsorted(POWER_K, SPLITS), len(POWER_K))):
        block, error = _fit_block(x, rest[..., first:last], degree)
        blocks.append(block)
        errors.append(error)
    return tuple(blocks), np.concatenate(errors, axis=-1)


def _fit_block(x: np.ndarray, part: np.ndarray, degree: int) -> tuple[WavenumberBlock, np.ndarray]:
    flat = part.reshape(len(x), -1)
    root = np.full(flat.shape[1], np.sqrt(flat.shape[1]))  # coefficients are rms of ln P
    basis, s = principal_components(flat, root, np.ones(len(x)), TOLERANCE)
    process, left_out = fit_gaussian_process(x, s, degree, TRUNCATION, SEARCHED)
    components, centre = np.asarray(basis.components), np.asarray(basis.mean)
    error = left_out @ components + flat - centre - s @ components
    return WavenumberBlock(basis, mean_of(process, s)), error.reshape(part.shape)


def judge(learned: LearnedPower, fresh: Solutions) -> dict[str, Any]:
    """The learned spectrum against exact solutions that it has not seen, at their own redshifts.

    Of each band of k, in units of P: the rms error, and the least that 95% of the solutions do
    not exceed at any k, redshift to 4 and species, and that none exceeds; ``early`` is the former
    from z = 4 to 100.
    """
    late: dict[str, list[np.ndarray]] = {name: [] for name in BANDS}
    early: dict[str, list[np.ndarray]] = {name: [] for name in BANDS}
    for point, entry in zip(fresh.points, fresh.entries, strict=True):
        theory = entry.theory or {}
        spectrum = _spectrum_of(learned, universe(point))
        for suffix, z, kept in (("", POWER_Z, late), ("_early", EARLY_Z, early)):
            found = _evaluate(spectrum, jnp.asarray(POWER_K), 1.0 / (1.0 + jnp.asarray(z)))
            exact = np.stack([theory[f"{name}_power{suffix}"] for name in SPECIES])
            with np.errstate(divide="ignore", invalid="ignore"):
                error = np.abs(np.stack(found) / exact - 1.0)
            for name, (low, high) in BANDS.items():
                inside = (low <= POWER_K) & (high > POWER_K) & np.isfinite(found[0][0])
                kept[name].append(error[..., inside])
    return {
        "solutions": len(fresh.points),
        "rms": {name: _rms(found) for name, found in late.items()},
        "largest": {name: _most(found) for name, found in late.items()},
        "worst": {name: _most(found, 1.0) for name, found in late.items()},
        "early": {name: _most(found) for name, found in early.items()},
    }


def _rms(errors: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate([e.ravel() for e in errors]) ** 2)))


def _most(errors: list[np.ndarray], share: float = 0.95) -> float:
    largest = [float(np.max(e)) for e in errors if e.size]
    return float(np.quantile(largest, share, method="higher"))


_spectrum_of = jax.jit(lambda learned, cosmology: learned.spectrum(cosmology))


@jax.jit
def _evaluate(spectrum: LearnedSpectrum, k: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    return spectrum(k[None], a[:, None]), spectrum(k[None], a[:, None], "cb")
