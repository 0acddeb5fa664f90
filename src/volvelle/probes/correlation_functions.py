"""Correlation functions of a cosmology: xi_+, xi_-, gamma_t and w, averaged over bins of angle.

Each is ``angular_cl`` at multipoles that follow from the bins, times a constant matrix
(``angular_transform``), which is made once per set of bins with NumPy and kept outside of every
pytree. Who has C_l already applies ``angular_transform`` to them.
"""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.power import Model, Spectrum

from .correlation import (
    SPINS,
    angular_transform,
    checked_edges,
    correlation_multipoles,
    sufficient_multipole,
)
from .errors import PairError, TracerError
from .spectra import AngularSpectra, Pairs, angular_cl, place_of
from .tracers import Tracer

_SPIN = {0: "counts or convergence", 2: "shear"}

Power = Model | Spectrum | None


class AngularCorrelation(eqx.Module):
    """One correlation function of pairs of tracers in bins of angle."""

    edges: np.ndarray
    """[bins + 1] angles [arcmin]."""
    values: Float[Array, "p bins"]
    """In the order of ``pairs``."""
    missing: Float[Array, "p bins"]
    """What the parts of C_l that lie beyond the edges of the power spectrum would add, relative
    (``AngularSpectra.missing``)."""
    unsettled: Float[Array, "p bins"]
    """How much the last third of the multipoles changes each value, relative."""
    pairs: Pairs = eqx.field(static=True)

    def __getitem__(self, pair: tuple[int, int]) -> Float[Array, " bins"]:
        """The function of two tracers, by their numbers, in either order."""
        return self.values[place_of(pair, self.pairs)]

    def flags(self, tolerance: float = 1e-3) -> Array:
        """[pairs, bins]: where more than a fraction ``tolerance`` could be missing, or is unknown.

        Both counts: the ends of the power spectrum and the end of the sum over multipoles.
        """
        return ~((self.missing <= tolerance) & (self.unsettled <= tolerance))


def xi_plus(
    cosmology: Cosmology,
    edges: ArrayLike,
    tracers: Sequence[Tracer],
    power: Power = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    **settings: Any,
) -> AngularCorrelation:
    """xi_+(theta) of shear, averaged over bins on the curved sky.

    Args:
        edges: [bins + 1] increasing angles [arcmin], known numbers.
        tracers: as for ``angular_cl``; those that are no shear are left aside.
        power: as for ``angular_cl``: HMcode-2020 of the learned linear power, if None.
        pairs: numbers of the tracers to correlate; unless given, all pairs i <= j of shear.
        settings: more of ``angular_cl``, such as ``tolerance``.

    The sum begins at l = 2 and ends where the smallest bin asks for (``unsettled`` says whether
    that was enough). Differentiable in all but the edges.

    Raises AngleError for edges that are none or traced, PairError for pairs that are no shear,
    TracerError without shear, and what ``angular_cl`` raises.
    """
    return _function("xi_plus", cosmology, edges, tracers, power, pairs, settings)


def xi_minus(
    cosmology: Cosmology,
    edges: ArrayLike,
    tracers: Sequence[Tracer],
    power: Power = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    **settings: Any,
) -> AngularCorrelation:
    """xi_-(theta) of shear. Arguments and errors as ``xi_plus``."""
    return _function("xi_minus", cosmology, edges, tracers, power, pairs, settings)


def gamma_t(
    cosmology: Cosmology,
    edges: ArrayLike,
    tracers: Sequence[Tracer],
    power: Power = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    **settings: Any,
) -> AngularCorrelation:
    """Tangential shear gamma_t(theta) around counts (or convergence).

    Arguments and errors as ``xi_plus``; a pair is one of counts or convergence and one of shear,
    in either order, and all of them unless given (the tracer without spin first).
    """
    return _function("gamma_t", cosmology, edges, tracers, power, pairs, settings)


def w_theta(
    cosmology: Cosmology,
    edges: ArrayLike,
    tracers: Sequence[Tracer],
    power: Power = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    **settings: Any,
) -> AngularCorrelation:
    """w(theta) of counts (or convergence), without monopole and dipole.

    Arguments and errors as ``xi_plus``, with tracers that are no shear.
    """
    return _function("w_theta", cosmology, edges, tracers, power, pairs, settings)


def _function(
    kind: str,
    cosmology: Cosmology,
    edges: ArrayLike,
    tracers: Sequence[Tracer],
    power: Power,
    pairs: Sequence[tuple[int, int]] | None,
    settings: dict[str, Any],
) -> AngularCorrelation:
    ends = checked_edges(edges)
    chosen = _chosen(kind, tuple(tracers), pairs)
    ell = _multipoles(ends)
    spectra = angular_cl(cosmology, ell, tracers, power, pairs=chosen, **settings)
    transform = angular_transform(kind, ell, edges=ends)
    values = transform(spectra.values)
    return AngularCorrelation(
        edges=ends,
        values=values,
        missing=jax.lax.stop_gradient(_missing(transform, spectra, values)),
        unsettled=jax.lax.stop_gradient(transform.unsettled(spectra.values)),
        pairs=chosen,
    )


def _missing(
    transform: Callable[[Array], Array], spectra: AngularSpectra, values: Array
) -> Float[Array, "p bins"]:
    """The transform of what the spectra may lack, over that of what they have."""
    return jnp.abs(transform(spectra.missing * jnp.abs(spectra.values)) / values)


def _multipoles(ends: np.ndarray) -> np.ndarray:
    return correlation_multipoles(sufficient_multipole((ends[0] + ends[1]) / 2.0))


def _chosen(
    kind: str, tracers: tuple[Tracer, ...], pairs: Sequence[tuple[int, int]] | None
) -> Pairs:
    """Pairs whose spins are those of the function."""
    spins = [tracer.least_ell for tracer in tracers if isinstance(tracer, Tracer)]
    if not tracers or len(spins) < len(tracers):
        raise TracerError(f"tracers are {tracers!r}; expected one or more Tracers in a list")
    wanted = sorted(abs(spin) for spin in SPINS[kind])
    words = " with ".join(_SPIN[spin] for spin in wanted)
    if pairs is None:
        every = combinations_with_replacement(range(len(tracers)), 2)
        found = [(i, j) if spins[i] <= spins[j] else (j, i) for i, j in every]
        found = [(i, j) for i, j in found if sorted((spins[i], spins[j])) == wanted]
        if not found:
            raise TracerError(f"{kind} is of {words}; no two of the tracers are that")
        return tuple(found)
    chosen = tuple((int(i), int(j)) for i, j in pairs)
    if any(not 0 <= n < len(tracers) for pair in chosen for n in pair):
        raise PairError(
            f"pairs are {chosen}; expected numbers of tracers from 0 to {len(tracers) - 1}"
        )
    for i, j in chosen:
        if sorted((spins[i], spins[j])) != wanted:
            raise PairError(f"{kind} is of {words}; the pair {(i, j)} is not")
    return chosen
