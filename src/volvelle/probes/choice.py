"""Which spectra go beyond Limber's approximation: from what is static, before any is computed."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.neutrinos import is_traced

from .bands import Band, make_band
from .errors import BeyondLimberError
from .extent import Extent, extent, limber_error
from .tracers import Tracer

MODES = ("auto", "always", "never")

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Part:
    """Multipoles and tracers that share tables."""

    index: tuple[int, ...]
    """[l] numbers of the multipoles."""
    ell: tuple[float, ...]
    tracers: tuple[int, ...]
    extents: tuple[Extent, ...]

    def band(self, orders: tuple[int, ...], tolerance: float) -> Band:
        """The tables. Raises BeyondLimberError where they would be too large."""
        return make_band(self.ell, self.extents, orders, tolerance)


_WORTH = 0.99
"""Of the work of one part, what two may cost: where they save nothing, rounding would choose."""


@dataclass(frozen=True)
class Choice:
    """Where the approximation is not taken."""

    beyond: np.ndarray
    """[pairs, l] of bool."""
    error: np.ndarray | Float[Array, "p l"]
    """[pairs, l] what the approximation may err by, over sqrt(C_ii C_jj)."""
    parts: tuple[Part, ...]


def choose(
    mode: str,
    cosmology: Cosmology,
    ell: np.ndarray | Float[Array, " l"],
    tracers: dict[int, Tracer],
    pairs: Pairs,
    tolerance: float,
) -> Choice:
    """Decide. Raises BeyondLimberError for a mode that is none, or that cannot be had."""
    if mode not in MODES:
        raise BeyondLimberError(f"limber is {mode!r}; expected one of {', '.join(MODES)}")
    hindrance = _hindrance(cosmology, ell)
    if mode == "never" and hindrance:
        raise BeyondLimberError(
            f"limber='never' {hindrance}; say limber='auto' to have Limber's approximation there"
        )
    extents = {n: extent(tracer) for n, tracer in tracers.items()}
    errors = [limber_error(extents[i], extents[j], ell) for i, j in pairs]
    shape = (len(pairs), ell.size)
    if mode == "always" or hindrance:
        return Choice(np.zeros(shape, bool), _stack(errors), ())
    error = np.stack([np.asarray(each) for each in errors])
    beyond = error > tolerance if mode == "auto" else np.ones(shape, bool)
    return Choice(beyond, error, _parts(np.asarray(ell), beyond, extents, pairs))


def _stack(errors: list) -> np.ndarray | Array:
    return np.stack(errors) if isinstance(errors[0], np.ndarray) else jnp.stack(errors)


def _hindrance(cosmology: Cosmology, ell: np.ndarray | Float[Array, " l"]) -> str:
    """Why nothing beyond Limber's approximation can be had; empty if it can."""
    if is_traced(ell):
        return "needs multipoles that are known when the program is traced; ell is traced"
    if is_traced(cosmology.Omega_k):
        return ""
    if float(cosmology.Omega_k) != 0.0:
        return (
            f"needs a flat universe, whose Bessel functions are tabulated; Omega_k is "
            f"{float(cosmology.Omega_k):g}"
        )
    return ""


def _parts(
    ell: np.ndarray, beyond: np.ndarray, extents: dict[int, Extent], pairs: Pairs
) -> tuple[Part, ...]:
    """One part, or two: above some multipole fewer tracers, over shorter distances, are needed."""
    needed = {n: np.zeros(ell.size, bool) for n in extents}
    for row, pair in zip(beyond, pairs, strict=True):
        for n in pair:
            needed[n] |= row
    every = np.any(list(needed.values()), axis=0)

    def members(chosen: np.ndarray) -> tuple[int, ...]:
        return tuple(n for n in extents if np.any(needed[n] & chosen))

    def work(chosen: np.ndarray) -> float:
        far = max((extents[n].far for n in members(chosen)), default=0.0)
        return far * float(np.sum(ell[chosen]))  # wavenumbers grow with l, their tables with both

    def both(split: tuple[np.ndarray, np.ndarray]) -> float:
        return work(split[0]) + work(split[1])

    splits = [(every & (ell <= last), every & (ell > last)) for last in np.unique(ell[every])]
    best = min(splits, key=both, default=())
    if best and both(best) > _WORTH * work(every):
        best = (every,)
    parts = []
    for chosen in best:
        index = np.flatnonzero(chosen)
        if index.size:
            index = index[np.argsort(ell[index], kind="stable")]
            found = members(chosen)
            parts.append(
                Part(
                    tuple(index.tolist()),
                    tuple(ell[index]),
                    found,
                    tuple(extents[n] for n in found),
                )
            )
    return tuple(parts)
