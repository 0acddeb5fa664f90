"""Gaussian data whose covariance was estimated from simulations.

The inverse of an estimated covariance is too large on average, by (n_s - 1) / (n_s - n_d - 2) for
n_s simulations of n_d data (Hartlap, Simon & Schneider 2007, astro-ph/0608064), and scatters. The
likelihood marginalised over the true covariance is a multivariate t (Sellentin & Heavens 2016,
arXiv:1511.05969):

    ln L = -(n_s / 2) ln(1 + chi2 / (n_s - 1)).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .around import AroundGaussian
from .base import GaussianLikelihood, Nuisance, Theory
from .errors import LikelihoodOptionError


def hartlap_factor(simulations: int, data: int) -> float:
    """(n_s - n_d - 2) / (n_s - 1): what makes the inverse of an estimated covariance unbiased.

    Raises LikelihoodOptionError for n_s <= n_d + 2, where it has no mean.
    """
    _check(simulations, data, "the covariance")
    return (simulations - data - 2.0) / (simulations - 1.0)


def sellentin_heavens(chi2: ArrayLike, simulations: int, data: int) -> Float[Array, ""]:
    """ln L of data with a chi2 by an estimated covariance, 0 at chi2 = 0.

    Raises LikelihoodOptionError for n_s <= n_d + 2.
    """
    _check(simulations, data, "the covariance")
    return -0.5 * simulations * jnp.log1p(jnp.asarray(chi2) / (simulations - 1.0))


class HartlapLikelihood(AroundGaussian, GaussianLikelihood):
    """A Gaussian likelihood whose estimated covariance is corrected for its bias.

    Contours have the right size on average and no more: the scatter of the covariance moves best
    fits about, by 1 + (n_d - n_p)(n_s - n_d - 2) / ((n_s - n_d - 1)(n_s - n_d - 4)) in variance
    (Dodelson & Schneider 2013, arXiv:1304.2593), which they do not know of.

    Args:
        base: with the covariance as it was estimated.
        simulations: how many made it.

    Raises LikelihoodOptionError for n_s <= n_d + 2, here or, where the size of the data is not
    known before, at the first value.
    """

    base: GaussianLikelihood
    simulations: int = eqx.field(static=True)

    def __init__(self, base: GaussianLikelihood, simulations: int) -> None:
        _check_size(base, simulations)
        self.base, self.simulations = base, simulations

    def whitened_residual(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """W (d - t) by the corrected covariance."""
        residual = self.base.whitened_residual(theory, nuisance)
        return jnp.sqrt(hartlap_factor(self.simulations, residual.size)) * residual


class SellentinHeavensLikelihood(AroundGaussian):
    """A Gaussian likelihood, marginalised over what its estimated covariance does not know.

    Arguments and errors as of ``HartlapLikelihood``. ``log_prob`` is 0 at most, as a Gaussian's.
    """

    base: GaussianLikelihood
    simulations: int = eqx.field(static=True)

    def __init__(self, base: GaussianLikelihood, simulations: int) -> None:
        _check_size(base, simulations)
        self.base, self.simulations = base, simulations

    @property
    def max_log_prob(self) -> float:
        """0, at the data."""
        return 0.0

    def log_prob(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """-(n_s / 2) ln(1 + chi2 / (n_s - 1))."""
        residual = self.base.whitened_residual(theory, nuisance)
        return sellentin_heavens(jnp.sum(residual**2), self.simulations, residual.size)


CORRECTIONS = {"sellentin_heavens": SellentinHeavensLikelihood, "hartlap": HartlapLikelihood}
"""By name; the first is the default, as it is exact."""


def corrected(
    base: GaussianLikelihood, simulations: object, correction: object = "sellentin_heavens"
) -> HartlapLikelihood | SellentinHeavensLikelihood:
    """A likelihood whose covariance so many simulations made, by the name of the correction.

    Raises LikelihoodOptionError for another name, for what is no number of simulations, and for too
    few of them.
    """
    if not isinstance(correction, str) or correction not in CORRECTIONS:
        raise LikelihoodOptionError(
            f"{base.name}: correction is {correction!r}; choose {' or '.join(CORRECTIONS)}"
        )
    if isinstance(simulations, bool) or not isinstance(simulations, int):
        raise LikelihoodOptionError(
            f"{base.name}: simulations is {simulations!r}; expected how many made the covariance, "
            "a whole number"
        )
    return CORRECTIONS[correction](base, simulations)


def _check_size(base: GaussianLikelihood, simulations: int) -> None:
    if not isinstance(base, GaussianLikelihood):
        raise LikelihoodOptionError(
            f"{getattr(base, 'name', base)!r} is no Gaussian likelihood; expected one whose "
            "covariance was estimated"
        )
    data = getattr(base, "data", None)
    if isinstance(data, jax.Array | np.ndarray):
        _check(simulations, data.size, base.name)


def _check(simulations: int, data: int, who: str) -> None:
    if simulations <= data + 2:
        raise LikelihoodOptionError(
            f"{who}: {simulations} simulations for {data} data; an estimated covariance takes at "
            f"least {data + 3}: make more, or compress the data (volvelle.inference.Moped)"
        )
