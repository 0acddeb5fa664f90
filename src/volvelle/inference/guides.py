"""Families of distributions that a posterior is approximated by: maps of a standard normal.

A guide is z = loc + S T(eps), eps ~ N(0, 1), with S lower triangular and T the identity
(``normal``), a block neural autoregressive flow of numpyro's (``bnaf``; De Cao et al. 2020) or a
flow of spline couplings (``spline``; see ``spline_flow``). All start as the standard normal of the
whitened coordinates, that is as the Laplace approximation, or near it.
"""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.inference import spline_flow
from volvelle.inference.errors import InferenceError

Kind = Literal["normal", "bnaf", "spline"]
KINDS: tuple[Kind, ...] = ("normal", "bnaf", "spline")
BNAF_HIDDEN = (8, 8)  # units per coordinate of the hidden layers, as in Campagne et al. 2023
SPLINE_LAYERS, SPLINE_HIDDEN = 6, 32


class Guide(eqx.Module):
    """A distribution of z [d] that can be drawn from, with its density at the draws."""

    kind: Kind = eqx.field(static=True)
    parameters: Any

    @classmethod
    def start(cls, kind: Kind, dimension: int, key: Array) -> Guide:
        """The first guess.

        Raises InferenceError for an unknown kind, or a flow of one parameter.
        """
        check_guide(kind, dimension)
        flow: Any = ()
        if kind == "bnaf":
            flow = _bnaf(dimension)[0](key, (dimension,))[1]
        if kind == "spline":
            flow = spline_flow.start(key, dimension, SPLINE_LAYERS, SPLINE_HIDDEN)
        return cls(
            kind,
            {
                "loc": jnp.zeros(dimension),
                "log_scale": jnp.zeros(dimension),
                "lower": jnp.zeros((dimension, dimension)),
                "flow": flow,
            },
        )

    def forward(self, eps: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """z of a standard normal vector, and ln |dz/deps|."""
        y, log_det = self._flow(eps)
        p = self.parameters
        factor = jnp.tril(p["lower"], -1) + jnp.diag(jnp.exp(p["log_scale"]))
        return p["loc"] + factor @ y, log_det + jnp.sum(p["log_scale"])

    def _flow(self, eps: Array) -> tuple[Array, Array]:
        if self.kind == "bnaf":
            y, log_slopes = _bnaf(len(eps))[1](self.parameters["flow"], eps)
            return y, jnp.sum(log_slopes)
        if self.kind == "spline":
            return spline_flow.forward(self.parameters["flow"], eps)
        return eps, jnp.zeros(())


@eqx.filter_jit
def forward(
    guide: Guide, eps: Float[Array, "n d"]
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """z of many standard normal vectors, and ln |dz/deps| of each."""
    return jax.vmap(guide.forward)(eps)


def check_guide(kind: str, dimension: int) -> None:
    """Raise InferenceError for an unknown kind, or a flow of one parameter."""
    if kind not in KINDS:
        raise InferenceError(f"unknown guide {kind!r}; choose {', '.join(KINDS)}")
    if kind != "normal" and dimension < 2:
        raise InferenceError(
            f"a {kind} guide of one parameter has nothing to couple; choose normal"
        )


def log_normal(eps: Float[Array, " d"]) -> Float[Array, ""]:
    """ln density of the standard normal."""
    return -0.5 * jnp.sum(eps**2) - 0.5 * len(eps) * np.log(2.0 * np.pi)


def draw_eps(key: Array, number: int, dimension: int) -> Float[Array, "n d"]:
    """Standard normal vectors."""
    return jax.random.normal(key, (number, dimension))


def _bnaf(dimension: int) -> tuple[Any, Any]:
    """numpyro's network: (init, apply); gated, so that it is the identity or near it at first."""
    from numpyro.nn.block_neural_arn import BlockNeuralAutoregressiveNN

    return BlockNeuralAutoregressiveNN(dimension, list(BNAF_HIDDEN), "gated")
