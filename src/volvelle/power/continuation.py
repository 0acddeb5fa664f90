"""A linear spectrum beyond its own wavenumbers, for integrals that need a little of what is there.

Outside of [k_min, k_max] P goes on with the shape k^n_s T^2 of Eisenstein & Hu's smooth transfer
function, joined at the edge; so it does below the first mode of a closed universe. Spectra that are
handed out are never continued: there, what is outside stays NaN.
"""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology

from .base import Spectrum
from .eisenstein_hu import smooth_transfer

Species = Literal["matter", "cb"]
SPECIES: tuple[Species, ...] = ("matter", "cb")
_APART = 1.02  # factor of k over which a slope is taken

Points = Float[Array, " *k"]


class Continued(eqx.Module):
    """A spectrum of a universe at any k, within the spectrum's own times."""

    cosmology: Cosmology
    spectrum: Spectrum

    def __call__(self, k: Points | np.ndarray, a: Points, species: Species = "matter") -> Points:
        """P [Mpc^3], elementwise; k in 1/Mpc."""
        low, high = self.spectrum.lowest, self.spectrum.k_max
        evaluate = getattr(self.spectrum, species)
        if isinstance(k, np.ndarray) and isinstance(low, float):
            return self._at_known(k, low, high, a, evaluate)
        edge = jnp.clip(k, low, high)
        return evaluate(edge, a) * self._shape(jnp.asarray(k)) / self._shape(edge)

    def _at_known(
        self,
        k: np.ndarray,
        low: float,
        high: float,
        a: Points,
        evaluate: Callable[[Points, Points], Points],
    ) -> Points:
        """The same, and the spectrum once at an edge, however many wavenumbers lie beyond."""
        edge = np.clip(k, low, high)
        if np.array_equal(edge, k):
            return evaluate(jnp.asarray(k), a)
        if k.ndim == 1 and np.all(np.diff(k) > 0.0) and jnp.shape(a)[-1:] in ((), (1,)):
            inside, ends = np.unique(edge), (np.sum(edge == low), np.sum(edge == high))
            beyond = [(0, 0)] * (a.ndim - 1) + [tuple(max(int(end) - 1, 0) for end in ends)]
            value = jnp.pad(evaluate(jnp.asarray(inside), a), beyond, mode="edge")
        else:
            value = evaluate(jnp.asarray(edge), a)
        return value * self._shape(jnp.asarray(k)) / self._shape(jnp.asarray(edge))

    def log_modes(self, k: np.ndarray, a: Points, species: Species = "matter") -> Points:
        """ln P within the spectrum's edges; where a closed universe has no mode, it goes on
        straight in ln k, so that a table may begin before the first."""
        evaluate = getattr(self.spectrum, species)
        edge = self.spectrum.lowest
        if isinstance(edge, float):
            return jnp.log(evaluate(jnp.asarray(k), a))
        here, there = (jnp.log(evaluate(at, a)) for at in (edge, edge * _APART))
        below = jnp.minimum(jnp.log(k / edge), 0.0)
        inside = jnp.log(evaluate(jnp.maximum(k, edge), a))
        return inside + (there - here) / np.log(_APART) * below

    def _shape(self, k: Points) -> Points:
        tilt = jnp.exp(jnp.asarray(self.cosmology.n_s) * jnp.log(k))
        return tilt * smooth_transfer(self.cosmology, k) ** 2
