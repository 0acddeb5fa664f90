"""What every power spectrum is: a model makes, once per cosmology, a spectrum of k and a."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.neutrinos import is_traced
from volvelle.power.errors import RedshiftError, WavenumberError

ROUNDING = 1e-9
"""Relative distance outside of an edge that counts as the edge."""
_ABOVE = 1.0 + 1e-5
"""Of the first mode: which exists, in single precision too."""


class Spectrum(eqx.Module):
    """P(k, a) of one universe [Mpc^3], k in 1/Mpc, of matter and of baryons + cold dark matter.

    Arrays of k and a broadcast against each other, element by element. Values outside of
    [k_min, k_max] and [a_min, 1] are NaN; ``checked`` raises for them where they are known.
    """

    k_min: eqx.AbstractVar[float]
    k_max: eqx.AbstractVar[float]
    a_min: eqx.AbstractVar[float]

    @property
    def first_mode(self) -> Array | float:
        """The smallest k that the universe has [1/Mpc]: ``k_min``, unless it is closed."""
        return self.k_min

    @property
    def lowest(self) -> Array | float:
        """The smallest k at which there is a value: ``k_min``, or just above the first mode."""
        first = self.first_mode
        return first if isinstance(first, float) else jnp.maximum(self.k_min, first * _ABOVE)

    @abstractmethod
    def matter(self, k: Float[Array, " *k"], a: Float[Array, " *k"]) -> Float[Array, " *k"]:
        """P of all matter, massive neutrinos included; inside of the edges."""

    @abstractmethod
    def cb(self, k: Float[Array, " *k"], a: Float[Array, " *k"]) -> Float[Array, " *k"]:
        """P of baryons and cold dark matter; inside of the edges."""

    def __call__(
        self,
        k: Float[Array, " *k"],
        a: Float[Array, " *k"] | np.ndarray,
        species: str = "matter",
    ) -> Float[Array, " *k"]:
        """P of ``matter`` or ``cb``; NaN outside of the edges."""
        k = jnp.asarray(k)
        # known times stay known: a table takes them by a constant matrix
        at = np if isinstance(a, np.ndarray) else jnp
        a = at.asarray(a)
        low, high = self.k_min * (1.0 - ROUNDING), self.k_max * (1.0 + ROUNDING)
        first, last = self.a_min * (1.0 - ROUNDING), 1.0 + ROUNDING
        within, late = (k >= low) & (k <= high), (a >= first) & (a <= last)
        # no clip: its derivative at an edge, today's say, is half of the function's
        safe_k, safe_a = jnp.where(within, k, self.k_max), at.where(late, a, 1.0)
        value = getattr(self, species)(safe_k, safe_a)
        return jnp.where(within & late, value, jnp.nan)

    def checked(self, k: Float[Array, " *k"] | float, a: Float[Array, " *k"] | float) -> None:
        """Refuse known values outside of the edges; traced ones pass and become NaN.

        Raises WavenumberError and RedshiftError.
        """
        _refuse(k, self.k_min, self.k_max, "k", "1/Mpc", WavenumberError)
        _refuse(a, self.a_min, 1.0, "a", "1 is today", RedshiftError)


def _refuse(
    given: Float[Array, " *k"] | float,
    low: float,
    high: float,
    name: str,
    unit: str,
    error: type[WavenumberError] | type[RedshiftError],
) -> None:
    if is_traced(given):
        return
    values = np.asarray(given)
    bad = ~((values >= low * (1.0 - ROUNDING)) & (values <= high * (1.0 + ROUNDING)))
    if np.any(bad):
        raise error(
            f"{name} is {values[bad].flat[0]:.6g}; this power spectrum is known for {name} from "
            f"{low:.6g} to {high:.6g} [{unit}]: ask for that, or take another model"
        )


class Model(eqx.Module):
    """A way to compute power spectra; its fields are its choices."""

    @abstractmethod
    def spectrum(self, cosmology: Cosmology) -> Spectrum:
        """All that depends on the cosmology, computed once."""

    def check(self, cosmology: Cosmology) -> None:
        """Refuse known parameters for which the model is not made; traced ones pass.

        Raises DomainError.
        """
