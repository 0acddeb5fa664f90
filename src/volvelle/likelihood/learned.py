"""A likelihood that is itself learned: its logarithm as one more output of the emulator.

Where a likelihood takes longer than the theory (many nuisance parameters, large covariances), its
ln L is learned as a function of all sampled parameters (Nygaard et al. 2022, arXiv:2205.15726,
section 5), and the certificate compares it with the likelihood itself.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..boltzmann import Request
from .base import Likelihood, Nuisance, NuisanceParameter, Theory, read_output

NOISE = 1.0  # of ln L: an error of this size moves a posterior by about one sigma


def learned_output(likelihood: Likelihood) -> str:
    """Name of the output that holds a likelihood's ln L."""
    return f"log_likelihood_{likelihood.name}"


class LearnedLikelihood(Likelihood):
    """Stands for a likelihood whose ln L an emulator gives; nuisance parameters are its inputs."""

    name: str = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True)
    simulated: bool = eqx.field(static=True)
    original: Likelihood

    @classmethod
    def of(cls, likelihood: Any) -> LearnedLikelihood:
        """In the place of a likelihood."""
        return cls(
            name=likelihood.name,
            cites=likelihood.cites,
            simulated=likelihood.simulated,
            original=likelihood,
        )

    @property
    def requires(self) -> Request:
        """Nothing of a solver: the emulator alone gives ln L."""
        return Request(spectra=(), background=False)

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """None: they are inputs of the emulator."""
        return {}

    @property
    def data_sha256(self) -> dict[str, str]:
        """Hashes of the data files."""
        return self.original.data_sha256

    @property
    def max_log_prob(self) -> ArrayLike:
        """That of the likelihood itself."""
        return self.original.max_log_prob

    def log_prob(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """ln L as the emulator has it; see `learned_output`."""
        return jnp.reshape(read_output(theory, learned_output(self), self.name), ())

    def noise(self) -> dict[str, np.ndarray]:
        """The metric in which the surrogate is built: ln L itself."""
        return {learned_output(self): np.array([NOISE])}
