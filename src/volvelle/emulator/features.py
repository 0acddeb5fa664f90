"""Inputs of a surrogate: the sampled parameters, with known physics taken out, whitened.

The angular scale theta_* moves the acoustic peaks; H0 moves them only through it. Where the user
samples H0 or h, the feature is therefore theta_*, itself a smooth function of the parameters.

A neutrino's mass m acts through its energy sqrt(p^2 + m^2): as m^2 where it is below the momenta,
as m above. It also sets the scale below which neutrinos do not cluster, which moves as sqrt(m). The
feature is (m^2 + m_0^2)^(1/4): spectra are smooth through m = 0 in it, and P(k) of matter about
that scale changes evenly (docs/validation/outputs.md has the errors).
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import PARAMETERS, Definitions, needs
from volvelle.learning.checking import Validated, require
from volvelle.learning.regressor import Regressor
from volvelle.learning.storage import storable

HUBBLE = ("h", "H0")
MASSES = ("m_nu", "m_ncdm")  # Volvelle's sum and CLASS's mass of a state [eV]
MASS_SCALE, MASS_POWER = 0.005, 0.25  # m_0 [eV], and the power of m^2 + m_0^2


def hubble_index(parameters: Sequence[str], definitions: Definitions = ()) -> int | None:
    """Which of the sampled parameters is the expansion rate today, or enters by it alone.

    The latter where h or H0 is defined by an expression, such as 10**log10_H0; None where it is
    neither (another parameter of the universe in the expression moves the peaks itself).
    """
    elsewhere: set[str] = set()
    for name, _ in definitions:
        if name not in HUBBLE and not {*HUBBLE} & needs(definitions, name):
            elsewhere |= needs(definitions, name)
    for name in HUBBLE:
        own = {name, *needs(definitions, name)}
        for i, parameter in enumerate(parameters):
            alone = parameter not in PARAMETERS and parameter not in elsewhere
            if parameter in own and (parameter in HUBBLE or alone):
                return i
    return None


@storable
class Whitening(eqx.Module):
    """z = M (x - centre): uncorrelated, of unit variance over the points it was made from."""

    centre: Float[Array, " d"]
    matrix: Float[Array, "d d"]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        return self.matrix @ (x - self.centre)


def whiten(x: np.ndarray, weights: np.ndarray | None = None) -> Whitening:
    """Whitening from (weighted) points [n, d]; a direction without spread keeps its own scale."""
    centre = np.average(x, axis=0, weights=weights)
    scale = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=weights))
    scale = np.where(scale > 0, scale, 1.0)
    unit = (x - centre) / scale
    correlation = np.atleast_2d(np.cov(unit, rowvar=False, aweights=weights, bias=True))
    values, vectors = np.linalg.eigh(correlation)
    values = np.maximum(values, 1e-10)
    return Whitening(
        jnp.asarray(centre), jnp.asarray((vectors / np.sqrt(values)).T / scale[None, :])
    )


@storable
class AngularScale(Validated):
    """theta_* as a function of the sampled parameters, in place of the one at ``index``."""

    inputs: Whitening
    regressor: Regressor
    offset: Float[Array, ""]
    scale: Float[Array, ""]
    index: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        theta = self.offset + self.scale * self.regressor(self.inputs(x))[0]
        return x.at[self.index].set(theta)

    def validate(self) -> None:
        d = self.inputs.centre.shape[0]
        require(0 <= self.index < d, f"index {self.index} is none of {d} parameters")
        require(self.regressor.maps(d, 1), f"its regressor does not map {d} parameters to one")


@storable
class Physical(eqx.Module):
    """Changes of single variables."""

    angular_scale: AngularScale | None
    masses: tuple[int, ...] = eqx.field(static=True)
    """Indices of the neutrino masses m [eV]."""
    mass_scale: float = eqx.field(static=True, default=MASS_SCALE)
    mass_power: float = eqx.field(static=True, default=MASS_POWER)
    """They become (m^2 + scale^2)^power."""

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        """The parameters after the changes of variables, before whitening."""
        found = x if self.angular_scale is None else self.angular_scale(x)
        for i in self.masses:
            found = found.at[i].set((x[i] ** 2 + self.mass_scale**2) ** self.mass_power)
        return found

    def batch(self, x: np.ndarray) -> np.ndarray:
        """The same of each row of ``x`` [n, d]."""
        return np.asarray(jax.vmap(self)(jnp.asarray(x)))


@storable
class Features(Validated):
    """Parameters to features: changes of single variables, then a whitening."""

    physical: Physical
    whitening: Whitening

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        return self.whitening(self.physical(x))

    def batch(self, x: np.ndarray) -> np.ndarray:
        """Features of each row of ``x`` [n, d]."""
        return np.asarray(jax.vmap(self)(jnp.asarray(x)))

    def validate(self) -> None:
        d, angular = self.whitening.centre.shape[0], self.physical.angular_scale
        fits = angular is None or angular.inputs.centre.shape[0] == d
        require(fits, f"the angular scale is not of {d} parameters")
        masses = self.physical.masses
        right = all(0 <= i < d for i in masses) and len(set(masses)) == len(masses)
        scale, power = self.physical.mass_scale, self.physical.mass_power
        possible = 0.0 < scale < np.inf and 0.0 < power < np.inf
        require(possible, f"the masses have the scale {scale} and the power {power}")
        require(right, f"the masses {masses[:9]} are not among {d} parameters, each once")
