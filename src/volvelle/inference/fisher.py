"""Fisher matrices of named parameters: errors, sub-sets, priors, sums, other parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.compute import require_float64
from volvelle.cosmology import nearest_names
from volvelle.cosmology.neutrinos import is_traced
from volvelle.inference.errors import (
    DerivativeError,
    FisherError,
    ParameterNamesError,
    SingularFisherError,
)
from volvelle.inference.priors import LogUniform, Normal, Prior, Uniform

_SAME = 1e-9
"""Relative difference of fiducial values that is none."""
_LEAST = 1e-13
"""Smallest eigenvalue of a Fisher matrix in units of the conditional errors that counts as
information: rounding leaves some 1e-16 times the number of parameters."""
_SHARE = 0.1
"""Smallest component that is named of a direction without information."""


class Fisher(eqx.Module):
    """F_ij, the information in data about parameters near fiducial values.

    F = <- d^2 ln L / dp_i dp_j>, so that its inverse is the covariance of the parameters where the
    posterior is Gaussian. All methods are differentiable; what raises for known numbers is NaN
    where they are traced.

    Args:
        names: [d] of the parameters.
        values: [d] the fiducial ones.
        matrix: [d, d], symmetric.

    Raises FisherError for shapes that do not fit and matrices that are not symmetric;
    DerivativeError where they are not finite; ParameterNamesError for a name given twice;
    PrecisionError without float64.
    """

    names: tuple[str, ...] = eqx.field(static=True, converter=tuple)
    values: Float[Array, " d"] = eqx.field(converter=lambda v: jnp.asarray(v, dtype=float))
    matrix: Float[Array, "d d"] = eqx.field(converter=lambda m: jnp.asarray(m, dtype=float))

    def __check_init__(self) -> None:
        require_float64("a Fisher matrix")
        size = len(self.names)
        if len(set(self.names)) < size or not size:
            raise ParameterNamesError(f"names are {self.names}; expected different ones")
        if self.values.shape != (size,) or self.matrix.shape != (size, size):
            raise FisherError(
                f"{size} names with values of shape {self.values.shape} and a matrix of shape "
                f"{self.matrix.shape}; expected ({size},) and ({size}, {size})"
            )
        if is_traced(self.matrix):
            return
        bad = np.argwhere(~np.isfinite(np.asarray(self.matrix)))
        if bad.size:
            first, second = (self.names[n] for n in bad[0])
            raise DerivativeError(
                f"the Fisher matrix is not finite at ({first}, {second}): a derivative does not "
                "exist there; move the fiducial values off edges, or look at the model"
            )
        size = np.sqrt(np.abs(np.diag(self.matrix)))
        if not np.all(np.abs(self.matrix - self.matrix.T) <= 1e-6 * np.outer(size, size) + 1e-300):
            raise FisherError("the Fisher matrix is not symmetric; expected F_ij = F_ji")

    def index(self, name: str) -> int:
        """Where a parameter stands; raises ParameterNamesError."""
        if name not in self.names:
            near = nearest_names(name, self.names) or list(self.names)
            raise ParameterNamesError(
                f"no parameter '{name}' in this Fisher matrix; there are {', '.join(near)}"
            )
        return self.names.index(name)

    @property
    def conditional_errors(self) -> Float[Array, " d"]:
        """[d] of each parameter when all others are known: 1 / sqrt(F_ii)."""
        return 1.0 / jnp.sqrt(jnp.diagonal(self.matrix))

    @property
    def covariance(self) -> Float[Array, "d d"]:
        """The inverse. Raises SingularFisherError, which names the direction without information.

        It is taken of the matrix in conditional errors, so that units cost no digits.
        """
        scale = self._scale
        scaled = self.matrix * scale[:, None] * scale
        if not is_traced(scaled):
            self._refuse_singular(np.asarray(scaled))
        factor = jnp.linalg.cholesky(0.5 * (scaled + scaled.T))
        root = jax.scipy.linalg.solve_triangular(factor, jnp.diag(scale), lower=True)
        return root.T @ root

    @property
    def marginal_errors(self) -> Float[Array, " d"]:
        """[d] of each parameter when all others are unknown: sqrt((F^-1)_ii). Raises likewise."""
        return jnp.sqrt(jnp.diagonal(self.covariance))

    def error(self, name: str) -> Float[Array, ""]:
        """The marginal error of one parameter."""
        return self.marginal_errors[self.index(name)]

    @property
    def correlation(self) -> Float[Array, "d d"]:
        """Correlation of the parameters' errors."""
        errors = self.marginal_errors
        return self.covariance / (errors[:, None] * errors)

    def fixed(self, *names: str) -> Fisher:
        """Of the other parameters, these being known: rows and columns go."""
        gone = {self.index(name) for name in names}
        kept = [n for n in range(len(self.names)) if n not in gone]
        if not kept:
            raise ParameterNamesError("all parameters are fixed; expected one that is not")
        chosen = np.asarray(kept)
        left = tuple(self.names[n] for n in kept)
        return Fisher(left, self.values[chosen], self.matrix[np.ix_(chosen, chosen)])

    def marginalised(self, *names: str) -> Fisher:
        """Of the other parameters, these being unknown: F_aa - F_ab F_bb^-1 F_ba.

        Raises SingularFisherError where the data say nothing about some of them at fixed others.
        """
        gone = np.asarray([self.index(name) for name in names], dtype=int)
        rest = self.fixed(*names)
        if not gone.size:
            return rest
        inner = self.fixed(*rest.names).covariance  # in the order of this matrix
        inside = np.asarray([n for n in range(len(self.names)) if self.names[n] in names])
        kept = np.asarray([self.index(name) for name in rest.names])
        cross = self.matrix[np.ix_(kept, inside)]
        reduced = rest.matrix - cross @ inner @ cross.T
        return Fisher(rest.names, rest.values, 0.5 * (reduced + reduced.T))

    def of(self, *names: str) -> Fisher:
        """Of these parameters, in this order, all others being unknown."""
        for name in names:
            self.index(name)  # refuses unknown ones
        left = self.marginalised(*(n for n in self.names if n not in names))
        order = np.asarray([left.index(name) for name in names])
        return Fisher(names, left.values[order], left.matrix[np.ix_(order, order)])

    def with_priors(self, priors: Mapping[str, float | Array | Prior]) -> Fisher:
        """With Gaussian priors added: standard deviations by name, or ``Normal`` priors.

        A flat prior has no curvature and adds nothing. Raises ParameterNamesError for other names,
        FisherError for a standard deviation that is not above 0 and for a prior that is neither.
        """
        added = jnp.zeros(len(self.names))
        for name, prior in priors.items():
            added = added.at[self.index(name)].add(_information(name, prior))
        return Fisher(self.names, self.values, self.matrix + jnp.diag(added))

    def __add__(self, other: Fisher) -> Fisher:
        """Of both data sets together, if they are independent; parameters are matched by name.

        Raises FisherError where the same parameter has two fiducial values.
        """
        names = self.names + tuple(n for n in other.names if n not in self.names)
        values, matrix = jnp.zeros(len(names)), jnp.zeros((len(names), len(names)))
        for each in (other, self):
            at = np.asarray([names.index(name) for name in each.names])
            values = values.at[at].set(each.values)
            matrix = matrix.at[np.ix_(at, at)].add(each.matrix)
        for name in set(self.names) & set(other.names):
            first, second = self.values[self.index(name)], other.values[other.index(name)]
            if is_traced(first) or is_traced(second):
                continue
            if not abs(first - second) <= _SAME * max(abs(first), abs(second)):
                raise FisherError(
                    f"{name} is {float(first):.10g} in one Fisher matrix and {float(second):.10g} "
                    "in the other; expected one fiducial universe: compute them at the same values"
                )
        return Fisher(names, values, matrix)

    def figure_of_merit(self, *names: str) -> Float[Array, ""]:
        """1 / sqrt(det of the covariance of these parameters), all others being unknown.

        For w0 and wa that of the Dark Energy Task Force (Albrecht et al. 2006,
        astro-ph/0609591, as it is used since: without a factor of pi or of the 95% level).
        """
        if not names:
            raise ParameterNamesError("a figure of merit of no parameter; expected one or more")
        at = np.asarray([self.index(name) for name in names])
        return 1.0 / jnp.sqrt(jnp.linalg.det(self.covariance[np.ix_(at, at)]))

    def transformed(
        self, names: Sequence[str], values: ArrayLike, old: Callable[[Array], Array] | ArrayLike
    ) -> Fisher:
        """Of other parameters q: J^T F J with J = d p / d q.

        Args:
            names: [m] of the new parameters, m <= d (fewer: the data's within a sub-space).
            values: [m] their fiducial values.
            old: the old parameters [d] as a function of the new ones, or J [d, m] itself.

        Raises FisherError where the function does not give the old fiducial values, or J has
        another shape; DerivativeError where it has no finite derivative.
        """
        at = jnp.asarray(values, dtype=float)
        if callable(old):
            found = jnp.asarray(old(at))
            jacobian = jax.jacfwd(old)(at)
            self._refuse_elsewhere(found)
        else:
            jacobian = jnp.asarray(old, dtype=float)
        wanted = (len(self.names), len(tuple(names)))
        if jacobian.shape != wanted:
            raise FisherError(
                f"derivatives of old by new parameters of shape {jacobian.shape}; expected {wanted}"
            )
        if not is_traced(jacobian) and not np.all(np.isfinite(jacobian)):
            row, column = np.argwhere(~np.isfinite(np.asarray(jacobian)))[0]
            raise DerivativeError(
                f"d {self.names[row]} / d {tuple(names)[column]} is not finite at the new fiducial "
                "values; choose others"
            )
        return Fisher(tuple(names), at, jacobian.T @ self.matrix @ jacobian)

    def propagated(self, function: Callable[[Array], Array]) -> Float[Array, "m m"]:
        """Covariance of any functions [m] of the parameters [d], to first order."""
        slope = jax.jacfwd(lambda x: jnp.atleast_1d(function(x)))(self.values)
        return slope @ self.covariance @ slope.T

    @property
    def _scale(self) -> Float[Array, " d"]:
        diagonal = jnp.diagonal(self.matrix)
        return jnp.where(diagonal > 0.0, 1.0 / jnp.sqrt(jnp.abs(diagonal)), 1.0)

    def _refuse_singular(self, scaled: np.ndarray) -> None:
        """Raise SingularFisherError for a matrix (in conditional errors) without an inverse."""
        nothing = [name for name, f in zip(self.names, np.diag(self.matrix), strict=True) if f <= 0]
        if nothing:
            raise SingularFisherError(
                f"the data say nothing about {', '.join(nothing)}; fix them or add a prior"
            )
        values, vectors = np.linalg.eigh(0.5 * (scaled + scaled.T))
        if values[0] > _LEAST * len(self.names):
            return
        direction = vectors[:, 0] * np.sign(vectors[np.argmax(np.abs(vectors[:, 0])), 0])
        order = np.argsort(-np.abs(direction))
        words = " ".join(
            f"{direction[n]:+.2f} {self.names[n]}" for n in order if abs(direction[n]) >= _SHARE
        )
        kind = "curvature below 0" if values[0] < -1e-6 else "no information"
        raise SingularFisherError(
            f"the Fisher matrix has {kind} along {words} (in units of their conditional errors); "
            "fix one of them, add a prior, or choose other parameters"
        )

    def _refuse_elsewhere(self, found: Array) -> None:
        if is_traced(found) or is_traced(self.values):
            return
        if found.shape != self.values.shape:
            raise FisherError(
                f"the function gives {found.shape} old parameters; expected {self.values.shape}"
            )
        size = np.maximum(np.abs(self.values), np.abs(found))
        wrong = np.abs(found - self.values) > 1e-6 * size
        if np.any(wrong):
            n = int(np.argmax(wrong))
            raise FisherError(
                f"the new fiducial values give {self.names[n]} = {float(found[n]):.8g}, and the "
                f"Fisher matrix stands at {float(self.values[n]):.8g}; expected the same universe"
            )


def _information(name: str, prior: Any) -> Any:
    """1 / sigma^2 of a prior."""
    if isinstance(prior, Uniform | LogUniform):
        return 0.0
    if isinstance(prior, Normal):
        if np.isfinite(prior.lower) or np.isfinite(prior.upper):
            raise FisherError(
                f"the prior of {name} is a Gaussian that is cut, which has no Fisher matrix; "
                "give its standard deviation, or sample"
            )
        return 1.0 / prior.scale**2
    if not is_traced(prior) and not (np.ndim(prior) == 0 and float(prior) > 0.0):
        raise FisherError(f"the prior of {name} is {prior!r}; expected a standard deviation > 0")
    return 1.0 / jnp.asarray(prior, dtype=float) ** 2
