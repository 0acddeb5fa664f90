"""What likelihoods around a Gaussian one take over from it."""

from __future__ import annotations

from collections.abc import Collection

import equinox as eqx
import numpy as np

from ..boltzmann import Request
from .base import GaussianLikelihood, Likelihood, NuisanceParameter


class AroundGaussian(Likelihood):
    """A likelihood of the data and theory of another one; abstract: it says what it makes of them.

    ``base`` is the other one.
    """

    base: eqx.AbstractVar[GaussianLikelihood]

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the base."""
        return self.base.name

    @property
    def cites(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of the data."""
        return self.base.cites

    @property
    def simulated(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the data are."""
        return self.base.simulated

    @property
    def hashes(self) -> tuple[tuple[str, str], ...]:
        """Of the files behind the data."""
        return self.base.hashes

    @property
    def data_sha256(self) -> dict[str, str]:
        """Hashes of the files behind the data."""
        return self.base.data_sha256

    @property
    def requires(self) -> Request:
        """What the base reads."""
        return self.base.requires

    @property
    def reads_cosmology(self) -> bool:
        """Whether the base does."""
        return self.base.reads_cosmology

    def lacks(self, outputs: Collection[str]) -> tuple[str, ...]:
        """What the base does."""
        return self.base.lacks(outputs)

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """Those of the base."""
        return self.base.nuisance

    def noise(self) -> dict[str, np.ndarray]:
        """That of the base: a metric for surrogates of the theory, which is read as it is."""
        return self.base.noise()


def innermost(likelihood: Likelihood) -> Likelihood:
    """The likelihood that has the data, whatever is around it."""
    while isinstance(likelihood, AroundGaussian):
        likelihood = likelihood.base
    return likelihood
