"""Principal components of spectra in l, held at the solver's own sparse multipoles.

CLASS computes C_l at every l_linstep-th multipole of high l and splines to the others. A component,
a linear combination of such spectra, is then a cubic spline through the same knots, whose
coefficients give it back to rounding: 425 numbers for 2507 multipoles. Knots are found from the
components, for any solver; what the spline misses is measured, and without knots that fit the
components stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.emulator.basis import Basis, PrincipalComponents
from volvelle.emulator.block import Output
from volvelle.learning.checking import require
from volvelle.learning.storage import storable

STEPS = (40, 20, 10)  # in l between knots, CLASS's default first
FIRST_KNOT = (
    360  # the steps of CLASS grow up to there; multipoles below the first knot are all kept
)
INTERPOLATION_CHI2 = 1e-3  # largest Delta chi2 that the spline may cost any training solution


def _pieces(step: int) -> np.ndarray:
    """The four uniform cubic B-splines that overlap an interval, at its multipoles [step, 4]."""
    u = np.arange(step) / step
    return np.stack(
        [(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1
    ) / 6.0  # fmt: skip


def _spline(count: int, step: int) -> np.ndarray:
    """B-spline coefficients to values at ``count`` multipoles from a knot on [count, c]."""
    intervals = -(-count // step)
    pieces = _pieces(step)
    matrix = np.zeros((intervals * step, intervals + 3))
    for i in range(intervals):
        matrix[i * step : (i + 1) * step, i : i + 4] = pieces
    return matrix[:count]


@storable
class SplinedComponents(Basis):
    """y = mean + s V for ``copies`` spectra of ``size`` multipoles each, side by side.

    The first ``dense`` multipoles of each are stored as they are, the others as coefficients of a
    cubic B-spline with a knot every ``step``.
    """

    mean: Float[Array, " k"]
    components: Float[Array, "m c"]  # dense values of all copies, then coefficients of all copies
    copies: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    dense: int = eqx.field(static=True)
    step: int = eqx.field(static=True)

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        compact = s @ self.components
        low = compact[: self.copies * self.dense].reshape(self.copies, self.dense)
        high = compact[self.copies * self.dense :].reshape(self.copies, -1)
        intervals = high.shape[1] - 3
        overlapping = jnp.stack([high[:, j : j + intervals] for j in range(4)], axis=-1)
        values = (overlapping @ jnp.asarray(_pieces(self.step).T, s.dtype)).reshape(self.copies, -1)
        spectra = jnp.concatenate([low, values[:, : self.size - self.dense]], axis=1)
        return self.mean + spectra.reshape(-1)

    @property
    def shape(self) -> tuple[int, int]:
        return self.components.shape[0], self.mean.shape[0]

    def validate(self) -> None:
        copies, size, dense, step = self.copies, self.size, self.dense, self.step
        sound = copies > 0 and 0 <= dense < size and 0 < step <= size
        require(sound, f"{copies} spectra of {size} with {dense} dense and steps of {step}")
        coefficients = copies * (dense + -(-(size - dense) // step) + 3)
        fits = (self.mean.size, self.components.shape[1]) == (copies * size, coefficients)
        require(fits, f"{copies} spectra of {size} need {coefficients} coefficients")


def splined(
    basis: PrincipalComponents, noise: np.ndarray, s: np.ndarray, outputs: Sequence[Output]
) -> tuple[Basis, float]:
    """The same basis at sparse multipoles, and the largest Delta chi2 that this costs a solution.

    Args:
        noise: of the outputs' elements [k]; s: coefficients of the training solutions [n, m];
        outputs: what the basis consists of.

    Returns:
        ``basis`` itself and 0 when these are not spectra of one length, or when no knots reproduce
        them within ``INTERPOLATION_CHI2``.
    """
    spectra = all(output.transform in ("cmb", "potential") for output in outputs)
    if not spectra or len({output.size for output in outputs}) > 1:
        return basis, 0.0
    copies, m = len(outputs), basis.components.shape[0]
    components = np.asarray(basis.components).reshape(m, copies, -1)
    sigma = noise.reshape(copies, -1)
    size = components.shape[2]
    first = FIRST_KNOT - 2  # index of l = FIRST_KNOT
    for step in STEPS:
        if size < first + 4 * step:
            continue
        leading = [
            np.sum(_project(components[:1, 0], sigma[0], start, step)[1] ** 2)
            for start in range(first, first + step)
        ]
        start = first + int(np.argmin(leading))
        pairs = [_project(components[:, i], sigma[i], start, step) for i in range(copies)]
        missed = sum((s @ residual) ** 2 @ np.ones(size - start) for _, residual in pairs)
        chi2 = float(np.max(missed))
        if chi2 <= INTERPOLATION_CHI2:
            low = components[:, :, :start].reshape(m, -1)
            compact = np.concatenate([low, *(high for high, _ in pairs)], axis=1)
            return SplinedComponents(
                basis.mean, jnp.asarray(compact), copies, size, start, step
            ), chi2
    return basis, 0.0


def _project(
    rows: np.ndarray, sigma: np.ndarray, start: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Spline coefficients [r, c] of ``rows`` [r, size] from index ``start`` on, by least squares
    in units of ``sigma`` [size]; and what they miss, in these units [r, size - start]."""
    spline = _spline(rows.shape[1] - start, step) / sigma[start:, None]
    target = (rows[:, start:] / sigma[start:]).T
    coefficients, *_ = np.linalg.lstsq(spline, target, rcond=None)
    return coefficients.T, (target - spline @ coefficients).T
