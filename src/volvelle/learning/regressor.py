"""What maps parameters to the coefficients of an output basis: one protocol for all surrogates."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Array, Float

from volvelle.learning.checking import Validated


class Regressor(Validated):
    """A fitted map from features x to coefficients s, with its own estimate of its error.

    Every regressor is a differentiable function of one point; batches go through ``jax.vmap``.
    """

    @abstractmethod
    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        """Coefficients at the features ``x``; the unit is that of the training coefficients."""

    @abstractmethod
    def variance(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        """Predicted mean-square error of each coefficient at ``x``, in its unit squared."""

    @abstractmethod
    def maps(self, inputs: int, outputs: int) -> bool:
        """Whether it takes so many features and gives so many coefficients."""
