"""An emulator against fresh exact solutions of its domain, whoever trained it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import OUTPUTS, LedgerEntry, Request, is_spectrum, restrict
from volvelle.emulator import (
    Box,
    Emulator,
    also_needed,
    error_at,
    error_scale,
    error_unit,
    largest_error,
)
from volvelle.emulator.block import Block, scalings, stack
from volvelle.training.errors import TrainingError
from volvelle.training.problem import Exact

PERCENTILES = (50.0, 68.0, 95.0, 100.0)
TRIES = 200  # batches of candidates before the domain counts as empty
BATCH = 4096
BLIND = 1e-9  # relative: what coefficients move by less, rounding moves as well
WIDEN = 1.2  # of the training points' largest distance: the ellipsoid that candidates fill


@dataclass(frozen=True)
class CheckResult:
    """What fresh exact solutions say of an emulator.

    ``points`` [n, d]: those whose solution succeeded; ``errors``: of each output, the largest error
    of each solution [n] in the unit of ``emulator.error_unit``; ``expected`` and ``found``: Delta
    chi2 of the error in the noise that the emulator was built with [n], empty where it knows none.
    """

    points: np.ndarray
    errors: dict[str, np.ndarray]
    expected: np.ndarray
    found: np.ndarray
    entries: tuple[LedgerEntry, ...]

    def percentiles(self, name: str) -> dict[str, float]:
        """Of an output's error over the solutions."""
        return {f"{p:g}": error_at(self.errors[name], p) for p in PERCENTILES}

    def record(self) -> dict[str, Any]:
        """Plain values for the emulator's record."""
        return {
            "n": len(self.points),
            "failed": sum(entry.failed for entry in self.entries),
            "points": self.points.tolist(),
            "errors": {
                name: {"unit": error_unit(name), "percentiles": self.percentiles(name)}
                for name in self.errors
            },
            "delta_chi2": {
                "expected": float(np.mean(self.expected)),
                "found": float(np.mean(self.found)),
            }
            if len(self.found)
            else None,
        }


def check_request(emulator: Emulator, trained: Request | None) -> Request:
    """What to ask of the solver: all that the emulator gives, and what its errors are measured in.

    Raises:
        TrainingError: the emulator gives what no solver does.
    """
    names = emulator.outputs
    own = () if trained is None else trained.scalars
    foreign = [name for name in names if name not in OUTPUTS and name not in own]
    if foreign:
        raise TrainingError(
            f"the emulator gives {foreign[0]}, which is no output of its solver's (a likelihood, "
            "or a name given on import) and cannot be solved for; check one that gives the theory"
        )
    lengths = [
        output.shape[0] - 1
        for block in emulator.blocks
        for output in block.outputs
        if is_spectrum(output.name)
    ]
    request = Request.of((*names, *also_needed(names)), max(lengths, default=2))
    return request if trained is None else request.union(trained)


def domain_points(emulator: Emulator, known: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Points [n, d], uniform in the emulator's domain, none of them among the ``known`` [m, d].

    Raises:
        TrainingError: the domain is no box and too few points say where it lies.
    """
    rng = np.random.default_rng([seed, len(known)])
    d = len(emulator.parameters)
    before = {row.tobytes() for row in np.ascontiguousarray(known)}
    kept: list[np.ndarray] = []
    box = emulator.domain if isinstance(emulator.domain, Box) else None
    if box is None and len(known) <= d:
        raise TrainingError(
            f"the emulator's record holds {len(known)} training points, too few to say where its "
            "domain lies; it was cut short, or is not a trained emulator's"
        )
    for _ in range(TRIES):
        if box is not None:
            x = rng.uniform(np.asarray(box.lower), np.asarray(box.upper), size=(BATCH, d))
        else:
            x = _ellipsoid(known, rng)
        inside = emulator.distances(x) <= 1.0
        kept += [row for row in x[inside] if row.tobytes() not in before]
        if len(kept) >= n:
            return np.array(kept[:n])
    raise TrainingError(
        f"{len(kept)} of {TRIES * BATCH} points around the training points lie in the domain; "
        "the record's points are not those that the emulator was trained on"
    )


def _ellipsoid(known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uniform candidates [BATCH, d] in an ellipsoid around the known points."""
    d = known.shape[1]
    centre = known.mean(axis=0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(known, rowvar=False, bias=True)))
    root = vectors * np.sqrt(np.maximum(values, 1e-300))
    z = np.linalg.solve(root, (known - centre).T).T
    reach = WIDEN * np.max(np.linalg.norm(z, axis=1))
    direction = rng.normal(size=(BATCH, d))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = reach * rng.uniform(size=(BATCH, 1)) ** (1.0 / d)
    return centre + (radius * direction) @ root.T


def compare(
    emulator: Emulator,
    exact: Exact,
    x: np.ndarray,
    say: Callable[[str], None] = lambda text: None,
    chi2: bool = True,
    limits: Mapping[str, float] | None = None,
) -> CheckResult:
    """Solve points [n, d] exactly and measure the emulator there.

    Args:
        chi2: whether by Delta chi2 too; limits: of the error of each output, if these are the
            noise that the emulator was built with; else Delta chi2 is found by the coefficients
            that the exact solutions have, to a factor of a few.

    Raises:
        TrainingError: no solution succeeds.
    """
    say(f"{len(x)} exact solutions")
    entries = exact.solve(x)
    good = [i for i, entry in enumerate(entries) if entry.theory is not None]
    if not good:
        raise TrainingError(f"no exact solution succeeded; the first says: {entries[0].failure}")
    points = x[good]
    request = exact.problem.request
    theories = [restrict(entries[i].theory or {}, request) for i in good]
    return _measure(emulator, points, theories, entries, chi2, limits)


def _measure(
    emulator: Emulator,
    points: np.ndarray,
    theories: Sequence[Mapping[str, Any]],
    entries: Sequence[LedgerEntry],
    chi2: bool,
    limits: Mapping[str, float] | None,
) -> CheckResult:
    """The emulator's errors at points [n, d] with their exact solutions."""
    names = emulator.outputs
    predicted = emulator.batch(points, names)
    cut = [_cut(theory, predicted) for theory in theories]
    errors = {
        name: np.array([largest_error(name, predicted[name][i], t) for i, t in enumerate(cut)])
        for name in names
    }
    known = [block for block in emulator.blocks if block.in_data and chi2]
    expected = emulator.expected(points) if known else np.empty(0)
    found = np.zeros(len(points)) if known else np.empty(0)
    for block in known:
        if limits is None:
            found += _found(emulator, block, points, cut)
            continue
        for name in (output.name for output in block.outputs):
            found += [
                _sum(predicted[name][i], name, theory, limits[name]) for i, theory in enumerate(cut)
            ]
    return CheckResult(points, errors, expected, found, tuple(entries))


def _cut(theory: Mapping[str, Any], predicted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Spectra as long as the emulator's."""
    lmax = max((v.shape[1] for n, v in predicted.items() if is_spectrum(n)), default=0)
    return {n: np.asarray(v)[:lmax] if is_spectrum(n) else np.asarray(v) for n, v in theory.items()}


def _sum(predicted: np.ndarray, name: str, exact: Mapping[str, np.ndarray], limit: float) -> float:
    """Sum over all elements of (error / limit)^2; an element without scale has none."""
    scale = limit * error_scale(name, exact)
    error = np.asarray(predicted) - exact[name]
    return float(np.sum((error / np.where(scale > 0.0, scale, np.inf)) ** 2))


def _found(
    emulator: Emulator, block: Block, x: np.ndarray, theories: Sequence[dict[str, np.ndarray]]
) -> np.ndarray:
    """Delta chi2 of a block's error [n], by the coefficients that the exact solutions have.

    These are least squares, in which every element counts by how far the coefficients move it.
    """
    ln = [scalings(emulator.amplitude, jnp.asarray(row)) for row in x]
    y = stack(block.outputs, theories, [(float(a), float(b)) for a, b in ln])
    s = np.asarray(jax.vmap(lambda row: block.regressor(emulator.features(row)))(jnp.asarray(x)))
    basis = block.basis
    decode = jax.jit(lambda row: basis.decode(row))
    slope = jax.jit(jax.jacfwd(lambda row: basis.decode(row)))
    chi2 = np.empty(len(x))
    for i, row in enumerate(s):
        jacobian = np.asarray(slope(jnp.asarray(row)))
        scale = np.linalg.norm(jacobian, axis=1)
        scale = np.maximum(scale, BLIND * np.maximum(np.abs(y[i]), 1e-300))
        residual = (y[i] - np.asarray(decode(jnp.asarray(row)))) / scale
        off, *_ = np.linalg.lstsq(jacobian / scale[:, None], residual, rcond=None)
        chi2[i] = float(np.sum(np.asarray(block.weight) * off**2))
    return chi2
