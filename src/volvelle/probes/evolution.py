"""How biases, slopes of counts and alignments evolve: functions of (cosmology, a)."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology, growth_factor
from volvelle.cosmology.constants import CRITICAL_DENSITY, MEGAPARSEC

from .grid import Grid

SOLAR_MASS = 1.98841e30
"""[kg], of the amplitude of intrinsic alignments."""
ALIGNMENT = 5e-14 * CRITICAL_DENSITY * MEGAPARSEC**3 / SOLAR_MASS
"""C_1 rho_crit with C_1 = 5e-14 Mpc^3 / (h^2 solar masses) (Bridle & King 2007): 0.0139."""
FunctionOfTime = Callable[[Cosmology, Float[Array, " n"]], Float[Array, " n"]]
Parameter = Float[Array, ""] | float


class Grown(eqx.Module):
    """A function of (cosmology, a) that needs D(a), which a projection has already; abstract."""

    @abstractmethod
    def at(
        self, cosmology: Cosmology, a: Float[Array, " n"], growth: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """The function, with D(a) given."""

    def __call__(self, cosmology: Cosmology, a: Float[Array, " n"]) -> Float[Array, " n"]:
        """The function. Raises as ``cosmology.growth_factor``."""
        return self.at(cosmology, a, growth_factor(cosmology, a))


class PowerLaw(eqx.Module):
    """value ((1 + z) / (1 + z0))^exponent, of a bias or a slope."""

    value: Parameter
    exponent: Parameter = 0.0
    z0: Parameter = 0.0

    def __call__(self, cosmology: Cosmology, a: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.value * (1.0 / a / (1.0 + self.z0)) ** self.exponent


class InverseGrowth(Grown):
    """value / D(a): a bias of fixed clustering amplitude."""

    value: Parameter

    def at(
        self, cosmology: Cosmology, a: Float[Array, " n"], growth: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        return self.value / growth


def at_nodes(
    parameter: Parameter | FunctionOfTime, cosmology: Cosmology, grid: Grid
) -> Float[Array, " n"] | Parameter:
    """A number as it is, a function of time at the nodes of a grid."""
    if isinstance(parameter, Grown):
        assert grid.growth is not None
        return parameter.at(cosmology, jnp.asarray(grid.a), grid.growth)
    return parameter(cosmology, jnp.asarray(grid.a)) if callable(parameter) else parameter


class Alignment(Grown):
    """Non-linear alignment of galaxies' shapes (Bridle & King 2007; Joachimi et al. 2011).

    The intrinsic shapes follow -A C_1 rho_crit Omega_m / D(a) ((1 + z) / (1 + z0))^eta times the
    density; a positive A lowers the spectra between shear and density.
    """

    amplitude: Parameter
    eta: Parameter = 0.0
    z0: Parameter = 0.62

    def at(
        self, cosmology: Cosmology, a: Float[Array, " n"], growth: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        evolution = ((1.0 / a) / (1.0 + self.z0)) ** self.eta
        return -self.amplitude * ALIGNMENT * cosmology.Omega_m * evolution / growth
