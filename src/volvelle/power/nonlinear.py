"""What non-linear models share: a linear model, and a table of ln(P / P_linear) per cosmology."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.interpolation import Nodes

from .base import Model, Spectrum
from .continuation import Continued
from .errors import RedshiftError, WavenumberError
from .table import Surface

K_FIRST, K_LAST, K_STEP = 1e-4, 100.0, 0.045
"""Wavenumbers of the table [1/Mpc] and its step in ln k, which baryonic oscillations ask for."""
Z_LAST, Z_STEP = 20.0, 0.1
"""Highest redshift of the table and its largest step in ln(1 + z)."""

Points = Float[Array, " *k"]
Values = Float[Array, "z k"]


class NonLinearSpectrum(Spectrum):
    """A linear spectrum times what structure formation makes of it, within the linear one's times.

    The factor is the same for matter and for baryons + cold dark matter. Below the table's first k
    it stays as it is there, 1 to 2e-4; beyond its last redshift as well: 1 with halofit.
    """

    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)
    linear: Spectrum
    log_boost: Surface

    def boost(self, k: Points, a: Points) -> Points:
        """P / P_linear."""
        x = jnp.maximum(jnp.log(k), self.log_boost.x.values[0])
        y = jnp.minimum(-jnp.log(a), self.log_boost.y.values[-1])
        return jnp.exp(self.log_boost(x, y))

    def matter(self, k: Points, a: Points) -> Points:
        """P of all matter."""
        return self.linear.matter(k, a) * self.boost(k, a)

    def cb(self, k: Points, a: Points) -> Points:
        """P of baryons and cold dark matter."""
        return self.linear.cb(k, a) * self.boost(k, a)


class NonLinearModel(Model):
    """A model that corrects a linear one."""

    linear: eqx.AbstractVar[Model]

    @abstractmethod
    def log_boost(self, cosmology: Cosmology, linear: Continued, k: np.ndarray, a: Array) -> Values:
        """ln(P / P_linear) at wavenumbers [1/Mpc] and scale factors, shape (a, k)."""

    def times(self, last: float) -> np.ndarray:
        """Nodes of the table in ln(1 + z), from 0 to ``last``."""
        return np.linspace(0.0, last, _count(last, Z_STEP))

    def check(self, cosmology: Cosmology) -> None:
        """As the linear model."""
        self.linear.check(cosmology)

    def spectrum(self, cosmology: Cosmology) -> NonLinearSpectrum:
        """The linear spectrum and the table of its factors, for wavenumbers up to 100/Mpc.

        Raises WavenumberError for a linear spectrum without the wavenumbers where structure forms,
        RedshiftError for one of a single moment, ParameterError without h.
        """
        linear = self.linear.spectrum(cosmology)
        highest = min(linear.k_max, K_LAST)
        if linear.k_max < _K_NEEDED:
            raise WavenumberError(
                f"the linear spectrum ends at k = {linear.k_max:.4g}/Mpc; non-linear models need "
                f"{_K_NEEDED:g}/Mpc, to find where structure forms: take a longer table"
            )
        last = min(-np.log(linear.a_min), np.log1p(Z_LAST))
        if last <= 0.0:
            raise RedshiftError("the linear spectrum knows today only; give it some redshifts")
        x = np.linspace(np.log(K_FIRST), np.log(highest), _count(np.log(highest / K_FIRST), K_STEP))
        y = self.times(float(last))
        continued = Continued(cosmology, linear)
        values = self.log_boost(cosmology, continued, np.exp(x), jnp.exp(-jnp.asarray(y)))
        surface = Surface.through(Nodes.of(x), Nodes.of(y), values)
        return NonLinearSpectrum(linear.k_min, highest, linear.a_min, linear, surface)


_K_NEEDED = 1.0


def _count(length: float, step: float) -> int:
    return max(int(np.ceil(length / step)) + 1, 4)
