"""The posterior of named parameters: priors, a theory, likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.inference.errors import InferenceError
from volvelle.inference.interval import SHARP
from volvelle.inference.priors import Prior
from volvelle.likelihood import Likelihood


class Posterior(eqx.Module):
    """ln P(x) = ln prior(x) + beta sum_i ln L_i(theory(x), nuisance(x)).

    ``x`` [d] holds the theory's parameters first, then the likelihoods' nuisance parameters.
    ``theory`` maps the former to named outputs: an emulator, or any differentiable function.
    ``universe``: the cosmology at a point of the theory's parameters, where the outputs do not hold
    one; likelihoods that project power spectra themselves read it as ``cosmology``.
    ``softness`` [d]: how near the edges of the priors the unbounded coordinates bend (see
    ``interval``); see ``softened``.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    priors: tuple[Prior, ...]
    likelihoods: tuple[Likelihood, ...]
    theory: Callable[[Array], Mapping[str, Array]]
    n_theory: int = eqx.field(static=True)
    fixed_nuisance: tuple[tuple[str, float], ...] = eqx.field(static=True, default=())
    softness: Float[Array, " d"] | None = None
    universe: Callable[..., Any] | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if len(self.names) != len(self.priors):
            raise InferenceError(f"{len(self.names)} parameters but {len(self.priors)} priors")
        missing = {
            name
            for likelihood in self.likelihoods
            for name in likelihood.nuisance
            if name not in self.names[self.n_theory :] and name not in dict(self.fixed_nuisance)
        }
        if missing:
            raise InferenceError(f"the likelihoods need {', '.join(sorted(missing))}; add a prior")

    def nuisance(self, x: Float[Array, " d"]) -> dict[str, Array]:
        """The nuisance parameters by name, fixed ones included."""
        fixed = {name: jnp.asarray(value) for name, value in self.fixed_nuisance}
        return fixed | {name: x[i] for i, name in enumerate(self.names) if i >= self.n_theory}

    def log_prior(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """Sum of the logarithms of the priors."""
        return jnp.sum(jnp.stack([p.log_prob(x[i]) for i, p in enumerate(self.priors)]))

    def outputs(
        self, x: Float[Array, " d"], theory: Mapping[str, Array] | None = None
    ) -> Mapping[str, Any]:
        """What the likelihoods are given at a point: outputs of its own theory or of the given one,
        and the cosmology where any of them reads it."""
        own = x[: self.n_theory]
        outputs = self.theory(own) if theory is None else theory
        if self.universe is None or "cosmology" in outputs:
            return outputs
        return {**outputs, "cosmology": self.universe(own, outputs)}

    def log_likelihoods(
        self, x: Float[Array, " d"], theory: Mapping[str, Array] | None = None
    ) -> Float[Array, " k"]:
        """ln L of every likelihood; with ``theory`` given, at that (exact) theory."""
        outputs = self.outputs(x, theory)
        nuisance = self.nuisance(x)
        return jnp.stack([like.log_prob(outputs, nuisance) for like in self.likelihoods])

    def log_likelihood(
        self, x: Float[Array, " d"], theory: Mapping[str, Array] | None = None
    ) -> Float[Array, ""]:
        """Sum of all ln L."""
        return jnp.sum(self.log_likelihoods(x, theory))

    def log_prob(self, x: Float[Array, " d"], beta: Any = 1.0) -> Float[Array, ""]:
        """ln posterior, the likelihood raised to the power ``beta`` = 1/temperature."""
        value = self.log_prior(x) + beta * self.log_likelihood(x)
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    def from_real(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        """Parameters of unbounded coordinates."""
        return jnp.stack([p.from_real(u[i], self._soft(i)) for i, p in enumerate(self.priors)])

    def to_real(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        """Unbounded coordinates of parameters."""
        return jnp.stack([p.to_real(x[i], self._soft(i)) for i, p in enumerate(self.priors)])

    def log_prob_real(self, u: Float[Array, " d"], beta: Any = 1.0) -> Float[Array, ""]:
        """ln density of the unbounded coordinates, Jacobian included."""
        return self.log_prob(self.from_real(u), beta) + self.log_jacobian(u)

    def log_jacobian(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """ln |dx/du| of ``from_real``."""
        terms = [p.log_jacobian(u[i], self._soft(i)) for i, p in enumerate(self.priors)]
        return jnp.sum(jnp.stack(terms))

    def _soft(self, i: int) -> Float[Array, ""] | None:
        return None if self.softness is None else self.softness[i]

    def softened(self, widths: np.ndarray) -> Posterior:
        """The same with coordinates for sampling: they bend only near the edges of the priors.

        ``widths`` [d] are about those of the posterior; a tenth of them is near (see ``interval``).
        """
        softness = SHARP * jnp.asarray(widths, dtype=float)
        return eqx.tree_at(lambda p: p.softness, self, softness, is_leaf=lambda v: v is None)

    def chi2(
        self, x: Float[Array, " d"], theory: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """chi2 of every likelihood, by name."""
        outputs = self.outputs(x, theory)
        nuisance = self.nuisance(x)
        return {like.name: like.chi2(outputs, nuisance) for like in self.likelihoods}

    @property
    def projects(self) -> bool:
        """Whether likelihoods project power spectra themselves: a value takes milliseconds and
        derivatives a minute to compile, while a learned theory is evaluated best in batches."""
        return any(likelihood.reads_cosmology for likelihood in self.likelihoods)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of all priors [d]."""
        ends = np.array([prior.bounds for prior in self.priors])
        return ends[:, 0], ends[:, 1]
