"""Ionisation fraction and visibility with the known step of reionisation taken out.

Both codes add reionisation as a tanh in (1+z)^1.5 and the second ionisation of helium as a tanh in
z (Lewis, arXiv:0804.3865, appendix B):

    x_e = (1 + f) S(z) + f S_He(z) + (1 - S(z)) x_rec(z)

with f the number of helium per hydrogen nuclei. The step moves with the optical depth, so x_e(z) at
a fixed z is a bad thing to learn; its redshift, f and ln x_rec(z) are good ones. The visibility
after z = 30 is proportional to x_e: it is learned as the logarithm of its ratio to such a step,
whose place and foot are numbers of their own, and before as it stands. What does not follow this
form is learned without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.integrate import cumulative_trapezoid

from volvelle.boltzmann import HISTORY_Z

EXTRA = 2
"""Numbers that stand before the functions of z: (1 + z_reio)^1.5, and f or the foot of the step."""
TOLERANCE = 3e-3
"""Relative, of x_e rebuilt: CLASS has 3e-4; CAMB interpolates its own table at the foot of the step
to 1.4e-3. Any other model of reionisation is off by far more."""
FOOT_TOLERANCE = 0.2  # of ln g over its step: x_rec falls by 10% or so from z = 30 to the step
WIDTH = 0.5  # of the step in z
HELIUM_Z = 3.5
HELIUM_WIDTH = 0.5
HELIUM = (
    0.082  # f where it is not found: the visibility knows it by 1%, at a redshift that is fixed
)
LATE = int(np.searchsorted(HISTORY_Z, 30.0))
_FADED = 1e-4  # S below which x_rec is read off; at larger S it is continued
_BEYOND = 5.0  # in z behind the step, where nothing of it is left
_CONTINUED_FROM = 60  # nodes of x_rec behind the step, 3 in z, whose straight line continues it
_BLIND = 1e-6  # least change of the output [its noise] per unit of a number


class Stepped(NamedTuple):
    """To the fitted vector (None where there is no such step) and back."""

    split: Callable[[np.ndarray], np.ndarray | None]
    join: Callable[[Float[Array, " m"]], Float[Array, " k"]]


def _steps(power: Array) -> tuple[Array, Array]:
    """S and S_He on HISTORY_Z for a step at (1+z)^1.5 = ``power``."""
    z = jnp.asarray(HISTORY_Z)
    width = 1.5 * WIDTH * jnp.cbrt(power)
    hydrogen = 0.5 * (1.0 + jnp.tanh((power - (1.0 + z) ** 1.5) / width))
    return hydrogen, 0.5 * (1.0 + jnp.tanh((HELIUM_Z - z) / HELIUM_WIDTH))


_HELIUM_STEP = 0.5 * (1.0 + np.tanh((HELIUM_Z - HISTORY_Z) / HELIUM_WIDTH))


def _find(x_e: np.ndarray, f: float) -> tuple[float, float] | None:
    """(1 + z_reio)^1.5 and x_e behind the step; None where x_e (at least to z = 30) has none."""
    rest = x_e - f * _HELIUM_STEP[: len(x_e)]
    crossed = int(np.argmax(rest < 0.5 * (1.0 + f)))  # the first node behind the middle
    after = int(np.searchsorted(HISTORY_Z[:LATE], HISTORY_Z[crossed] + _BEYOND))
    if f <= 0.0 or crossed == 0 or after + _CONTINUED_FROM >= LATE:
        return None
    # artanh(2 S - 1) is a straight line in (1+z)^1.5, which crosses zero at the step
    ends = slice(crossed - 1, crossed + 1)
    fraction = (rest[ends] - x_e[after]) / (1.0 + f - x_e[after])
    if not (x_e[after] > 0.0 and np.all((fraction > 0.0) & (fraction < 1.0))):
        return None
    line, at = np.arctanh(2.0 * fraction - 1.0), (1.0 + HISTORY_Z[ends]) ** 1.5
    power = at[0] + (at[1] - at[0]) * line[0] / (line[0] - line[1])
    return float(power), float(x_e[after])


def _join_ionisation(vector: Float[Array, " m"]) -> Float[Array, " k"]:
    hydrogen, helium = _steps(vector[0])
    f, recombination = vector[1], jnp.exp(vector[EXTRA:])
    return (1.0 + f) * hydrogen + f * helium + (1.0 - hydrogen) * recombination


def _split_ionisation(x_e: np.ndarray) -> np.ndarray | None:
    if x_e.shape != HISTORY_Z.shape:
        return None
    f = 0.5 * (float(x_e[0]) - 1.0)
    found = _find(x_e, f)
    if found is None:
        return None
    hydrogen = np.asarray(_steps(jnp.asarray(found[0]))[0])
    start = int(np.argmax(hydrogen < _FADED))
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = x_e - f * _HELIUM_STEP - (1.0 + f) * hydrogen
        log = np.log(rest / (1.0 - hydrogen))
    known, ln_z = slice(start, start + _CONTINUED_FROM), np.log1p(HISTORY_Z)
    if not np.all(np.isfinite(log[start:])):
        return None
    log[:start] = np.polyval(np.polyfit(ln_z[known], log[known], 1), ln_z[:start])
    vector = np.concatenate([[found[0], f], log])
    error = np.abs(np.asarray(_join_ionisation(jnp.asarray(vector))) / x_e - 1.0)
    return vector if error.max() < TOLERANCE else None


def _late_step(power: Array, ln_foot: Array) -> Array:
    """The step over its foot, to z = 30."""
    hydrogen, helium = (step[:LATE] for step in _steps(power))
    return (1.0 + HELIUM) * hydrogen + HELIUM * helium + (1.0 - hydrogen) * jnp.exp(ln_foot)


def _join_visibility(vector: Float[Array, " m"]) -> Float[Array, " k"]:
    late = _late_step(vector[0], vector[1]) * jnp.exp(vector[EXTRA : EXTRA + LATE])
    return jnp.concatenate([late, vector[EXTRA + LATE :]])


def _ionised(g: np.ndarray) -> np.ndarray:
    """x_e to z = 30 as the visibility [1/Mpc] tells it, 1 + 2 f today.

    kappa' = g e^kappa = C x_e (1+z)^2; for kappa, which is 0.05 in all, any H(z) will do.
    """
    z = HISTORY_Z[:LATE]
    hubble = np.sqrt(0.143 * (1.0 + z) ** 3 + 0.31) / 2997.92  # [1/Mpc]
    depth = np.zeros(LATE)
    for _ in range(4):
        opacity = g[:LATE] * np.exp(depth)
        depth = cumulative_trapezoid(opacity / hubble, z, initial=0.0)
    x_e = opacity / (1.0 + z) ** 2
    return (1.0 + 2.0 * HELIUM) * x_e / x_e[0]


def _split_visibility(g: np.ndarray) -> np.ndarray | None:
    if g.shape != HISTORY_Z.shape or not np.all(g[:LATE] > 0.0):
        return None
    x_e = _ionised(g)
    found = _find(x_e, HELIUM)
    if found is None:
        return None
    head = np.array([found[0], np.log(found[1])])
    step = np.asarray(_late_step(jnp.asarray(head[0]), jnp.asarray(head[1])))
    if np.max(np.abs(np.log(x_e / step))) > FOOT_TOLERANCE:
        return None
    return np.concatenate([head, np.log(g[:LATE] / step), g[LATE:]])


STEPPED = {
    "ionisation": Stepped(_split_ionisation, _join_ionisation),
    "visibility": Stepped(_split_visibility, _join_visibility),
}
"""By the name of the transformation."""


def noise(transform: str, vector: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Noise of a fitted vector [m] for noise ``sigma`` of the output [k]: the error of each number
    with all others right."""
    jacobian = np.asarray(jax.jacfwd(STEPPED[transform].join)(jnp.asarray(vector)))
    return 1.0 / np.maximum(np.sqrt(np.sum((jacobian / sigma[:, None]) ** 2, axis=0)), _BLIND)
