"""The information in data about parameters: Fisher matrices by two methods, and biases.

By the curvature of a log-likelihood, or by the derivatives of the mean (Tegmark et al. 1997,
astro-ph/9603021, equation 15)

    F_ij = mu,i^T C^-1 mu,j + 1/2 tr(C^-1 C,i C^-1 C,j),

without the second term where the covariance does not vary. Derivatives are exact, there are no
steps to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.cosmology.neutrinos import is_traced
from volvelle.inference.covariances import (
    Covariance,
    DenseCovariance,
    GivenCovariance,
    as_covariance,
)
from volvelle.inference.errors import DerivativeError, FisherError
from volvelle.inference.fisher import Fisher
from volvelle.probes import BlockCovariance

Mean = Callable[[Array], Array]
"""Parameters [d] to data: [n], or [pairs, l] of angular spectra."""


def gaussian_log_likelihood(
    data: ArrayLike, mean: Mean, covariance: GivenCovariance
) -> Callable[[Array], Array]:
    """ln P(data | parameters [d]) = -chi2 / 2 - ln det C / 2, up to a constant.

    The determinant is there where the covariance is a function of the parameters; of a fixed one
    it is a constant too, and left out. Raises NotPositiveDefiniteError for what is no covariance.
    """
    observed = jnp.asarray(data)
    if callable(covariance):

        def varying(x: Array) -> Array:
            at = as_covariance(covariance(x))
            return -0.5 * (at.chi2(observed - mean(x)) + at.log_determinant)

        return varying
    fixed = as_covariance(covariance)
    return lambda x: -0.5 * fixed.chi2(observed - mean(x))


def mean_derivatives(mean: Mean, names: Sequence[str], values: ArrayLike) -> Float[Array, "d ..."]:
    """d mean / d parameter, one row of the shape of the data per parameter.

    Raises DerivativeError where one is not finite, with the name of its parameter; FisherError for
    values that are not one per name.
    """
    at = _fiducial(names, values)
    slope = jnp.moveaxis(jax.jit(jax.jacfwd(mean))(at), -1, 0)
    if not is_traced(slope):
        _refuse_infinite(np.asarray(slope), names, "mean")
    return slope


def fisher_from_jacobian(
    mean: Mean, covariance: GivenCovariance, names: Sequence[str], values: ArrayLike
) -> Fisher:
    """The Fisher matrix of Gaussian data, by the derivatives of their mean and covariance.

    Args:
        mean: parameters [d] to data, [n] or [pairs, l].
        covariance: a fixed one (an object or a matrix), or a function of the parameters, which adds
            1/2 tr(C^-1 C,i C^-1 C,j).
        names, values: [d] of the parameters and where to take the derivatives.

    Raises NotPositiveDefiniteError or CovarianceError for what is no covariance; DerivativeError
    where a derivative is not finite; FisherError for shapes that do not fit, and a varying
    covariance of blocks and modes, whose trace is not made: take its ``dense()``.
    """
    at = _fiducial(names, values)
    fixed = as_covariance(covariance(at) if callable(covariance) else covariance)
    slope = mean_derivatives(mean, names, at)
    matrix = from_derivatives(slope, fixed)
    if callable(covariance):
        matrix = matrix + trace_term(lambda x: as_covariance(covariance(x)), fixed, names, at)
    return Fisher(tuple(names), at, matrix)


def from_derivatives(slope: Float[Array, "d ..."], covariance: Covariance) -> Float[Array, "d d"]:
    """mu,i^T C^-1 mu,j."""
    _same_data(slope, covariance)
    rows = slope.shape[0]
    flat, solved = slope.reshape(rows, -1), covariance.solve(slope).reshape(rows, -1)
    matrix = flat @ solved.T
    return 0.5 * (matrix + matrix.T)


def fisher_from_hessian(
    log_likelihood: Callable[[Array], Array], names: Sequence[str], values: ArrayLike
) -> Fisher:
    """Minus the second derivatives of a log-likelihood (or log-posterior) at given values.

    For data equal to the mean and a fixed covariance it is ``fisher_from_jacobian``'s; for noisy
    data it is the observed information, whose mean over data that is. No maximum is searched for.

    Raises DerivativeError where a derivative is not finite; FisherError for values that are not
    one per name.
    """
    at = _fiducial(names, values)
    hessian = -jax.jit(jax.hessian(log_likelihood))(at)
    if hessian.shape != (at.size, at.size):
        raise FisherError(
            f"second derivatives of shape {hessian.shape}; expected a log-likelihood that is one "
            "number"
        )
    return Fisher(tuple(names), at, 0.5 * (hessian + hessian.T))


def parameter_bias(
    fisher: Fisher,
    derivatives: Float[Array, "d ..."],
    covariance: Covariance | ArrayLike,
    offset: ArrayLike,
) -> Float[Array, " d"]:
    """How far parameters are fitted off when the data have an offset that the model has not.

    b = F^-1 mu,i^T C^-1 offset, to first order (Knox et al. 1998, astro-ph/9805084); priors in
    ``fisher`` pull back.

    Args:
        derivatives: of the mean, as ``mean_derivatives`` gives them, in the order of ``fisher``.
        offset: the data with the effect minus the data without, in the shape of the data.

    Raises FisherError for shapes that do not fit; as ``Fisher.covariance``.
    """
    weighted = _same_data(derivatives, as_covariance(covariance))
    shift = jnp.asarray(offset)
    if derivatives.shape != (len(fisher.names), *shift.shape):
        raise FisherError(
            f"derivatives of shape {derivatives.shape} with an offset of shape {shift.shape}; "
            f"expected {len(fisher.names)} rows of the shape of the offset"
        )
    solved = weighted.solve(shift[None])[0]
    return fisher.covariance @ (derivatives.reshape(len(fisher.names), -1) @ solved.ravel())


def trace_term(
    covariance: Callable[[Array], Covariance],
    fixed: Covariance,
    names: Sequence[str],
    at: Float[Array, " d"],
) -> Float[Array, "d d"]:
    """1/2 tr(C^-1 C,i C^-1 C,j), block by block."""
    if isinstance(fixed, BlockCovariance):
        blocks = jax.jit(jax.jacfwd(lambda x: _blocks(covariance(x))))(at)
        slope, factor = jnp.moveaxis(blocks, -1, 0), fixed.factor  # d, l, p, p
    elif isinstance(fixed, DenseCovariance):
        whole = jax.jit(jax.jacfwd(lambda x: _blocks(covariance(x))))(at)
        scaled = jnp.moveaxis(whole, -1, 0) / (fixed.sigma[:, None] * fixed.sigma)
        slope, factor = scaled[:, None], fixed.factor[None]
    else:
        raise FisherError(
            "a covariance of blocks and modes that varies with the parameters; fix it, vary the "
            "blocks alone, or give its dense() as a matrix"
        )
    if not is_traced(slope):
        _refuse_infinite(np.asarray(slope), names, "covariance")
    moved = jnp.moveaxis(slope, 0, -3)  # l, d, p, p
    tall = jnp.moveaxis(moved, -3, -2)  # l, p, d, p
    shape = tall.shape
    flat = tall.reshape(*shape[:-2], -1)
    solved = jax.lax.map(lambda each: cho_solve((each[0], True), each[1]), (factor, flat))
    solved = solved.reshape(shape)
    return 0.5 * jnp.einsum("lpiq,lqjp->ij", solved, solved)


def _blocks(covariance: Covariance) -> Array:
    assert isinstance(covariance, BlockCovariance | DenseCovariance)
    return covariance.blocks if isinstance(covariance, BlockCovariance) else covariance.matrix


def _fiducial(names: Sequence[str], values: ArrayLike) -> Float[Array, " d"]:
    at = jnp.asarray(values, dtype=float)
    if at.shape != (len(tuple(names)),):
        raise FisherError(
            f"{len(tuple(names))} names with values of shape {at.shape}; expected one per name"
        )
    return at


def _same_data(slope: Array, covariance: Covariance) -> Covariance:
    """The covariance; raises FisherError where it is of other data than the derivatives."""
    if isinstance(covariance, DenseCovariance):
        wanted = covariance.sigma.shape
    else:
        block = covariance if isinstance(covariance, BlockCovariance) else covariance.block
        wanted = (block.blocks.shape[1], block.blocks.shape[0])
    if slope.shape[1:] != wanted:
        raise FisherError(
            f"data of shape {slope.shape[1:]} with a covariance of data of shape {wanted}; "
            "expected the same: a mean of [pairs, l] for blocks, [n] for a matrix"
        )
    return covariance


def _refuse_infinite(slope: np.ndarray, names: Sequence[str], what: str) -> None:
    bad = ~np.isfinite(slope.reshape(slope.shape[0], -1))
    if np.any(bad):
        row = int(np.argmax(bad.any(axis=1)))
        raise DerivativeError(
            f"the derivative of the {what} by {tuple(names)[row]} is not finite in "
            f"{int(bad[row].sum())} of {bad.shape[1]} elements; move the fiducial values off edges "
            "of the model, or look at it there"
        )
