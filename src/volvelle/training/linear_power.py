"""The linear power spectrum that the package ships, learned from CLASS's solutions of a design.

Many solutions are learned first; fewer and finer ones correct what was learned, and judge it. The
longest waves are learned from solutions of their own, fine at all points (``long_waves``).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import make_interp_spline

from volvelle.boltzmann import EARLY_Z, POWER_K, POWER_Z
from volvelle.cosmology import Cosmology
from volvelle.emulator.basis import principal_components
from volvelle.learning.gaussian_process import fit_gaussian_process
from volvelle.learning.polynomial import design_matrix
from volvelle.learning.process_mean import mean_of
from volvelle.power.analytic import Analytic, stretched
from volvelle.power.learned import (
    DEGREE,
    SPECIES,
    LearnedPower,
    LearnedSpectrum,
    WavenumberBlock,
)
from volvelle.power.learned_features import PARAMETERS, early_features, late_features
from volvelle.training.linear_power_design import BOX, EARLY_LARGEST, Solutions, universe

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
CURVED = 0.1
"""Largest K / k^2 that the early rest is taken from in closed universes: up to their first mode, at
1/8, CLASS interpolates between few, some 6e-4 off."""
TRUNCATION = 1e-4
"""Scatter of ln P below which a component takes the smoothness of the one before it."""
LONG_FIT: dict[str, Any] = {"tolerance": 5e-6, "truncation": 2e-5, "searched": None}
"""The three of the long waves' own solutions, which are as good as that."""
PAIRS_FIT: dict[str, Any] = {"tolerance": 1e-3, "truncation": 1e-3, "searched": None}
"""Those of what pairs add, per eV^2 of masses' products, of which there is 0.12 at most; chosen by
the errors of solutions that were left out."""
BANDS = {"k < 1e-3": (0.0, 1e-3), "1e-3 to 0.01": (1e-3, 0.01), "0.01 to 0.1": (0.01, 0.1),
         "0.1 to 1": (0.1, 1.0), "1 to 10": (1.0, 20.0)}  # fmt: skip
"""Wavenumbers that are judged apart [1/Mpc]."""


def rest_of(point: Mapping[str, float], theory: Mapping[str, Any], z: np.ndarray) -> np.ndarray:
    """ln P less the analytic part, of matter and cb, at redshifts ``z`` of the solver's [2, z, k].

    At the first wavenumbers only, if the tables have no more. Where a closed universe has no mode,
    the value of the first one.
    """
    known = _known(universe(point))
    all_z = np.concatenate([POWER_Z, EARLY_Z])
    chosen = np.searchsorted(all_z, z)
    k = POWER_K[: np.shape(theory["matter_power"])[-1]]
    exists = int(np.argmax(known.exists(jnp.asarray(k * (1.0 - 1e-6)))))
    fits = _log_power(known, jnp.asarray(k), 1.0 / (1.0 + jnp.asarray(z)))
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

    Next to the first mode of a closed universe it goes on as a + b k^1.5 from the wavenumbers
    above, as it does in flat universes between 1e-4 and 1e-3/Mpc.
    """
    known = _known(universe(point))
    curved = int(np.sum(float(known.curvature) > CURVED * POWER_K**2))
    found = rest.copy()
    if curved:
        near = slice(curved, int(np.searchsorted(POWER_K, _REACH * POWER_K[curved])))
        x = (POWER_K[: rest.size] / POWER_K[curved]) ** _RISE
        found[:curved] = np.polyval(np.polyfit(x[near], rest[near], 1), x[:curved])
    log_k = _LOG_K[: rest.size]
    fine = np.linspace(log_k[0], log_k[-1], _FINE)
    nodes = np.interp(log_k, np.asarray(stretched(fine, known.sound_horizon)), fine)
    return make_interp_spline(log_k, found, k=DEGREE)(nodes)


_RISE, _REACH = 1.5, 1.6
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

    What they differ by is learned first, as a polynomial: what CLASS's settings are off by, and
    none of the learned one's own errors, which are others at every point. Then all is learned anew,
    from the old one with its correction at its points, and from the solutions. The left-out errors,
    as in ``fit_linear_power``, are of the latter alone.
    """
    ours, theirs = _features(points), _features(finer.points)
    exact = _targets(finer)
    known = [_predicted(learned, *features) for features in (ours, theirs)]
    corrected = [
        known[0][n] + _polynomial(theirs[n], exact[n] - known[1][n], ours[n])
        for n in range(len(exact))
    ]
    features = tuple(np.concatenate(pair) for pair in zip(theirs, ours, strict=True))
    targets = tuple(np.concatenate(pair) for pair in zip(exact, corrected, strict=True))
    fitted, errors = _fitted(features, targets)
    return fitted, errors[: len(finer.points)]


def add_massless(
    learned: LearnedPower, points: list[dict[str, float]], massless: Solutions
) -> tuple[LearnedPower, np.ndarray]:
    """What was learned at ``points``, and solutions without mass of all wavenumbers, together.

    What was learned stands for itself at its own points, so that nothing is solved twice. Without
    mass CLASS's matter is baryons and cold dark matter, which nothing with mass tends to
    (``volvelle.power.learned``): it is these that the solutions tell, and the matter of the limit
    is off by as much as they are. The left-out errors, as in ``fit_linear_power``, are of the
    solutions without mass.
    """
    ours, theirs = _features(points), _features(massless.points)
    known, exact = _predicted(learned, *ours), list(_targets(massless))
    limit = _predicted(learned, *theirs)[1]
    exact[1][:, 0] = limit[:, 0] + exact[1][:, 1] - limit[:, 1]
    features = tuple(np.concatenate(pair) for pair in zip(theirs, ours, strict=True))
    targets = tuple(np.concatenate(pair) for pair in zip(exact, known, strict=True))
    fitted, errors = _fitted(features, targets)
    fitted, long = _fit_long(fitted, features, targets)
    errors[..., : long.shape[-1]] = long
    return fitted, errors[: len(massless.points)]


def add_pairs(learned: LearnedPower, several: Solutions) -> tuple[LearnedPower, np.ndarray]:
    """The same, with what pairs of massive neutrinos add to the sum of their states' rests.

    ``several`` have three equal states (``several_design``). The left-out errors of ln P
    [n, 2, z, k] are of these.
    """
    alone = eqx.tree_at(lambda each: each.pairs, learned, None, is_leaf=lambda x: x is None)
    features, targets, products = [], [], []
    for point, entry in zip(several.points, several.entries, strict=True):
        cosmology = universe(point)
        mass = point["m_nu"] / 3.0
        products.append(3.0 * mass**2)
        features.append(np.asarray(_late(cosmology, mass)))
        targets.append(_missed(alone, cosmology, entry.theory or {}) / products[-1])
    pairs, left_out = _fit_block(np.stack(features), np.stack(targets), 1, **PAIRS_FIT)
    found = eqx.tree_at(lambda each: each.pairs, alone, pairs, is_leaf=lambda x: x is None)
    return found, left_out * np.array(products)[:, None, None, None]


def _missed(learned: LearnedPower, cosmology: Cosmology, theory: Mapping[str, Any]) -> np.ndarray:
    """ln P of exact solutions less what was learned, at the nodes [2, z, k]; where a closed
    universe has no mode, as at the first one."""
    chosen = np.searchsorted(np.concatenate([POWER_Z, EARLY_Z]), Z_NODES)
    a = 1.0 / (1.0 + jnp.asarray(Z_NODES))
    ours = np.stack(_evaluate(_spectrum_of(learned, cosmology), jnp.asarray(POWER_K), a))
    first = int(np.argmax(np.isfinite(ours[0, 0])))
    theirs = np.stack(
        [
            np.concatenate([theory[f"{name}_power"], theory[f"{name}_power_early"]])
            for name in SPECIES
        ]
    )[:, chosen]
    found = np.log(theirs[..., first:] / ours[..., first:])
    return np.pad(found, ((0, 0), (0, 0), (first, 0)), mode="edge")


def learn_long_waves(learned: LearnedPower, long: Solutions) -> tuple[LearnedPower, np.ndarray]:
    """The same with the wavenumbers below the first of ``SPLITS`` from solutions of their own.

    The left-out errors, as in ``fit_linear_power``, are of these wavenumbers [n, 2, z, k].
    """
    return _fit_long(learned, _features(long.points), _targets(long))


def _fit_long(
    learned: LearnedPower, features: tuple[np.ndarray, ...], targets: tuple[np.ndarray, ...]
) -> tuple[LearnedPower, np.ndarray]:
    end = int(np.searchsorted(POWER_K, SPLITS[0]))
    (early, first), (late, second) = (
        _fit_block(x, rest[..., :end], degree, **LONG_FIT)
        for x, rest, degree in zip(features, targets, DEGREES, strict=True)
    )
    found = eqx.tree_at(lambda each: (each.early[0], each.late[0]), learned, (early, late))
    return found, first[:, None, None] + second


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


def _fit_block(
    x: np.ndarray,
    part: np.ndarray,
    degree: int,
    tolerance: float = TOLERANCE,
    truncation: float = TRUNCATION,
    searched: int | None = SEARCHED,
) -> tuple[WavenumberBlock, np.ndarray]:
    flat = part.reshape(len(x), -1)
    root = np.full(flat.shape[1], np.sqrt(flat.shape[1]))  # coefficients are rms of ln P
    basis, s = principal_components(flat, root, np.ones(len(x)), tolerance)
    process, left_out = fit_gaussian_process(x, s, degree, truncation, searched)
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
