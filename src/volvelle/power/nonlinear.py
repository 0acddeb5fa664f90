"""What non-linear models share: a linear model, and a table of ln(P / P_linear) per cosmology."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.interpolation import Nodes

from .base import Model, Spectrum
from .continuation import SPECIES, Continued
from .errors import RedshiftError, WavenumberError
from .table import Surface

K_FIRST, K_LAST = 1e-4, 100.0
"""Wavenumbers of the factors' table [1/Mpc]."""
STEPS = ((0.05, 0.045), (0.6, 0.03), (K_LAST, 0.1))
"""Largest steps in ln k up to a wavenumber [1/Mpc]; oscillations ask for the short ones: what is
between nodes is right to 1e-4 of P."""
_LARGE = 0.25  # the same below ``K_FIRST``, where P is a power law all but exactly
Z_LAST, Z_STEP = 20.0, 0.1
"""Highest redshift of the factors' table and its largest step in ln(1 + z)."""
_EARLY = 0.2  # the largest step in ln(1 + z) before, of the linear power

Points = Float[Array, " *k"]
Values = Float[Array, "z k"]


class NonLinearSpectrum(Spectrum):
    """A linear spectrum times what structure formation makes of it, both in one table.

    The factor is the same for matter and for baryons + cold dark matter. Below ``K_FIRST`` it stays
    as it is there, 1 to 2e-4; beyond ``Z_LAST`` as well: 1 with halofit.
    """

    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)
    linear: Spectrum
    log_boost: Surface
    log_matter: Surface
    log_cb: Surface

    @property
    def first_mode(self) -> Array | float:
        """That of the linear spectrum."""
        return self.linear.first_mode

    def boost(self, k: Points, a: Points) -> Points:
        """P / P_linear."""
        x = jnp.maximum(jnp.log(k), self.log_boost.x.values[0])
        y = jnp.minimum(-jnp.log(a), self.log_boost.y.values[-1])
        return jnp.exp(self.log_boost(x, y))

    def matter(self, k: Points, a: Points) -> Points:
        """P of all matter."""
        return self._power(self.log_matter, k, a)

    def cb(self, k: Points, a: Points) -> Points:
        """P of baryons and cold dark matter."""
        return self._power(self.log_cb, k, a)

    def _power(self, surface: Surface, k: Points, a: Points) -> Points:
        y = -np.log(a) if isinstance(a, np.ndarray) else -jnp.log(a)
        value = jnp.exp(surface(jnp.log(k), y))
        first = self.first_mode
        return value if isinstance(first, float) else jnp.where(k >= first, value, jnp.nan)


class NonLinearModel(Model):
    """A model that corrects a linear one."""

    linear: eqx.AbstractVar[Model]

    @abstractmethod
    def log_boost(
        self, cosmology: Cosmology, linear: Continued, k: np.ndarray, a: Array, power: Values
    ) -> Values:
        """ln(P / P_linear) at wavenumbers [1/Mpc] and scale factors, shape (a, k).

        ``power`` is P_linear of all matter there, ``linear`` the same anywhere.
        """

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
        last, earliest = min(-np.log(linear.a_min), np.log1p(Z_LAST)), -np.log(linear.a_min)
        if last <= 0.0:
            raise RedshiftError("the linear spectrum knows today only; give it some redshifts")
        x, y = _wavenumbers(max(K_FIRST, linear.k_min), highest), self.times(float(last))
        below = _between(np.log(linear.k_min), x[0], _LARGE)[:-1]
        before = _between(y[-1], earliest, _EARLY)[1:]
        wide, long = np.concatenate([below, x]), np.concatenate([y, before])
        k = np.clip(np.exp(wide), linear.k_min, linear.k_max)
        a = np.clip(np.exp(-long), linear.a_min, 1.0)
        continued = Continued(cosmology, linear)
        matter, cb = (
            continued.log_modes(k, jnp.asarray(a[:, None]), species) for species in SPECIES
        )
        within = jnp.exp(matter[: y.size, below.size :])
        boost = self.log_boost(
            cosmology, continued, k[below.size :], jnp.asarray(a[: y.size]), within
        )
        everywhere = jnp.pad(boost, ((0, before.size), (below.size, 0)), mode="edge")
        nodes = Nodes.of(wide), Nodes.of(long)
        return NonLinearSpectrum(
            linear.k_min,
            highest,
            linear.a_min,
            linear,
            Surface.through(Nodes.of(x), Nodes.of(y), boost),
            *(Surface.through(*nodes, values + everywhere) for values in (matter, cb)),
        )


_K_NEEDED = 1.0


def _wavenumbers(first: float, last: float) -> np.ndarray:
    """Nodes in ln k."""
    ends = [first, *(float(np.clip(end, first, last)) for end, _ in STEPS)]
    pieces = [
        _between(np.log(low), np.log(high), step)[:-1]
        for low, high, (_, step) in zip(ends[:-1], ends[1:], STEPS, strict=True)
    ]
    return np.concatenate([*pieces, [np.log(last)]])


def _between(low: float, high: float, step: float) -> np.ndarray:
    """Equal steps, none longer than ``step``, from end to end; none if there is no way to go."""
    return np.linspace(low, high, max(int(np.ceil((high - low) / step)), 0) + 1)


def _count(length: float, step: float) -> int:
    return max(int(np.ceil(length / step)) + 1, 4)
