"""Nuisance parameters that data depend on linearly, integrated out exactly.

Data d = m(theta) + D(theta) nu + noise of unit covariance (whitened), nu ~ N(mu, S):

    ln L(theta) = -1/2 |r|^2 + 1/2 b^T F^-1 b - 1/2 ln |F| - 1/2 ln |S|,
    r = d - m - D mu,   b = D^T r,   F = D^T D + S^-1

(Bridle et al. 2002, astro-ph/0112114; Taylor & Kitching 2010). The determinant of F belongs to the
likelihood: where D depends on theta it moves the posterior. With a flat prior of density one S^-1
is zero and ln |S| becomes -k ln 2 pi.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.inference.errors import InferenceError
from volvelle.inference.posterior import Posterior
from volvelle.inference.priors import Normal
from volvelle.likelihood import AroundGaussian, Likelihood, NuisanceParameter
from volvelle.likelihood.base import GaussianLikelihood, Nuisance, Theory

LINEAR = 1e-8  # of the change of the residual, by which a linear mean may miss it
STEP = 3.0  # standard deviations of the priors (or units) at which linearity is tried
CONDITION = 1e-12  # of F; below it the data do not fix what has a flat prior


class LinearNuisance(AroundGaussian):
    """A Gaussian likelihood with some of its nuisance parameters integrated out.

    ``mean`` [k] and ``precision`` [k] of their Gaussian priors; a precision of zero is a flat prior
    of density one.
    """

    base: GaussianLikelihood
    integrated: tuple[str, ...] = eqx.field(static=True)
    mean: Float[Array, " k"]
    precision: Float[Array, " k"]

    def __init__(
        self, base: GaussianLikelihood, integrated: tuple[str, ...], mean: Array, precision: Array
    ) -> None:
        self.base, self.integrated, self.mean, self.precision = base, integrated, mean, precision

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """Those that are not integrated out."""
        every = self.base.nuisance
        return {name: each for name, each in every.items() if name not in self.integrated}

    @property
    def max_log_prob(self) -> float:
        """0, which is that of the part that ``chi2`` has; the determinants have no maximum."""
        return 0.0

    def log_prob(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """ln of the likelihood, averaged over the priors; determinants included."""
        residual, design, fisher = self._parts(theory, nuisance)
        flat = self.precision == 0.0
        prior = jnp.sum(jnp.where(flat, np.log(2.0 * np.pi), jnp.log(self.precision + flat)))
        log_det = jnp.linalg.slogdet(fisher)[1]
        return -0.5 * self._least(residual, design, fisher) + 0.5 * (prior - log_det)

    def chi2(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """The least |residual|^2 with the pull of the priors, over what is integrated out."""
        return self._least(*self._parts(theory, nuisance))

    def conditional(
        self, theory: Theory, nuisance: Nuisance
    ) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
        """Mean and covariance of what is integrated out, given the rest: a Gaussian, exactly."""
        residual, design, fisher = self._parts(theory, nuisance)
        covariance = jnp.linalg.inv(fisher)
        return self.mean + covariance @ (design.T @ residual), covariance

    def _parts(self, theory: Theory, nuisance: Nuisance) -> tuple[Array, Array, Array]:
        """Whitened residual at the priors' means [n], design [n, k] and F [k, k]."""

        def residual(values: Array) -> Array:
            given = {**nuisance, **dict(zip(self.integrated, values, strict=True))}
            return self.base.whitened_residual(theory, given)

        # one pass for the value and all columns of the design
        value, push = jax.linearize(residual, self.mean)
        design = -jax.vmap(push, out_axes=1)(jnp.eye(len(self.mean)))
        return value, design, design.T @ design + jnp.diag(self.precision)

    @staticmethod
    def _least(residual: Array, design: Array, fisher: Array) -> Array:
        b = design.T @ residual
        return jnp.sum(residual**2) - b @ jnp.linalg.solve(fisher, b)


def marginalise(
    posterior: Posterior, names: Sequence[str], at: np.ndarray, flat: Sequence[str] = ()
) -> Posterior:
    """The posterior of the other parameters, with nuisance parameters integrated out.

    Args:
        names: nuisance parameters of one Gaussian likelihood each, on which its mean depends
            linearly, with Gaussian priors without edges;
        at: parameters [d] at which linearity is tried;
        flat: those of the names whose prior, whatever it is, is to be replaced by a flat one of
            density one and without edges.

    Raises:
        InferenceError: a name that is no nuisance parameter, that several likelihoods share, of a
            likelihood that is not Gaussian, with another prior, or in which the data are not
            linear; a flat one that the data do not fix.
    """
    places = {name: _place(posterior, name) for name in names}
    unknown = [name for name in flat if name not in places]
    if unknown:
        raise InferenceError(f"flat names {', '.join(unknown)}, which names does not")
    likelihoods = list(posterior.likelihoods)
    for number in sorted(set(places.values())):
        own = tuple(name for name in names if places[name] == number)
        made = _integrated(posterior, likelihoods[number], own, frozenset(flat))
        _check(posterior, made, at)
        likelihoods[number] = made
    kept = [i for i, name in enumerate(posterior.names) if name not in places]
    softness = posterior.softness
    return replace(
        posterior,
        names=tuple(posterior.names[i] for i in kept),
        priors=tuple(posterior.priors[i] for i in kept),
        likelihoods=tuple(likelihoods),
        softness=None if softness is None else softness[np.array(kept)],
    )


def _place(posterior: Posterior, name: str) -> int:
    """Which likelihood a nuisance parameter belongs to."""
    sampled = posterior.names[posterior.n_theory :]
    if name not in sampled:
        raise InferenceError(
            f"{name} is not among the sampled nuisance parameters: {', '.join(sampled) or 'none'}"
        )
    found = [i for i, like in enumerate(posterior.likelihoods) if name in like.nuisance]
    if len(found) != 1:
        raise InferenceError(
            f"{name} belongs to {len(found)} likelihoods; it can be integrated out of one only"
        )
    return found[0]


def _integrated(
    posterior: Posterior, likelihood: Likelihood, names: tuple[str, ...], flat: frozenset[str]
) -> LinearNuisance:
    if not isinstance(likelihood, GaussianLikelihood):
        raise InferenceError(
            f"{likelihood.name} is not Gaussian (it has no whitened residual); sample "
            f"{', '.join(names)}"
        )
    means, precisions = [], []
    for name in names:
        prior = posterior.priors[posterior.names.index(name)]
        gaussian = isinstance(prior, Normal) and not np.any(np.isfinite(prior.bounds))
        if name not in flat and not gaussian:
            raise InferenceError(
                f"the prior of {name} is no Gaussian without edges: the integral has no closed form"
                "; give one (dist: norm), name it in flat, or sample it"
            )
        means.append(
            prior.loc if isinstance(prior, Normal) else float(prior.quantile(jnp.asarray(0.5)))
        )
        precisions.append(0.0 if name in flat or not isinstance(prior, Normal) else prior.scale**-2)
    return LinearNuisance(likelihood, names, jnp.array(means), jnp.array(precisions))


def _check(posterior: Posterior, made: LinearNuisance, at: np.ndarray) -> None:
    """Raise InferenceError unless the data are linear in what is integrated out, and fix it."""
    x = jnp.asarray(at, dtype=float)
    theory, nuisance = posterior.outputs(x), posterior.nuisance(x)
    value, design, fisher = made._parts(theory, nuisance)
    values = np.linalg.eigvalsh(np.asarray(fisher) / np.sqrt(np.outer(*[np.diag(fisher)] * 2)))
    if not np.all(np.isfinite(values)) or values.min() < CONDITION:
        raise InferenceError(
            f"the data do not fix {', '.join(made.integrated)} where the priors are flat; give "
            "Gaussian ones"
        )
    scale = np.where(made.precision > 0, 1.0 / np.sqrt(np.asarray(made.precision) + 1e-300), 1.0)
    scale = np.where(np.asarray(made.precision) > 0, scale, 1.0 / np.sqrt(np.diag(fisher)))
    for sign in (STEP, -STEP):
        for step in (*np.diag(scale), scale):
            moved = dict(zip(made.integrated, made.mean + sign * step, strict=True))
            found = made.base.whitened_residual(theory, {**nuisance, **moved})
            expected = value - design @ (sign * step)
            change = float(jnp.linalg.norm(design @ (sign * step))) + 1e-300
            if not float(jnp.linalg.norm(found - expected)) <= LINEAR * max(change, 1.0):
                names = [n for n, s in zip(made.integrated, step, strict=True) if s]
                raise InferenceError(
                    f"{made.name} does not depend linearly on {', '.join(names)}; sample it"
                )
