"""A user's likelihood that leaves JAX: values only, no gradients."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import Request
from volvelle.likelihood import Likelihood, NuisanceParameter

MEAN = {"sigma8": 0.811, "Omega_m": 0.316}
SIGMA = 0.008


class Callback(Likelihood):
    """A Gaussian of sigma8 and Omega_m, evaluated by NumPy; NaN where sigma8 is above ``hole``.

    ``parameter``: of a nuisance parameter that it does not read, if any, at ``ref``.
    """

    parameter: str = eqx.field(static=True, default="")
    ref: float = eqx.field(static=True, default=0.5)
    hole: float = eqx.field(static=True, default=9.0)
    name: str = eqx.field(static=True, default="callback")
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    simulated: bool = eqx.field(static=True, default=False)

    @property
    def requires(self) -> Request:
        return Request.of(MEAN)

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        prior = {"min": -5.0, "max": 5.0}
        own = NuisanceParameter(prior, self.ref, "x", of="mine")
        return {self.parameter: own} if self.parameter else {}

    @property
    def data_sha256(self) -> dict[str, str]:
        return {}

    @property
    def max_log_prob(self) -> float:
        return 0.0

    def log_prob(self, theory: Any, nuisance: Any) -> Any:
        def value(given: np.ndarray) -> np.ndarray:
            given = np.asarray(given)  # [..., 2]: a whole ensemble in one call
            chi2 = np.sum(((given - np.array(list(MEAN.values()))) / SIGMA) ** 2, axis=-1)
            return np.where(given[..., 0] > self.hole, np.nan, -0.5 * chi2)

        given = jnp.stack([jnp.asarray(theory[name]).reshape(()) for name in MEAN])
        shape = jax.ShapeDtypeStruct((), jnp.float64)
        return jax.pure_callback(value, shape, given, vmap_method="broadcast_all")

    def noise(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(SIGMA) for name in MEAN}
