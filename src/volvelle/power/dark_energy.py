"""What the perturbations of dark energy do to matter near the horizon.

Dark energy with w != -1 clusters on scales beyond its sound horizon: percents of P(k). As in
CLASS, its perturbations follow the parametrised post-Friedmann scheme, which passes w = -1 (Fang,
Hu & Lewis 2008, arXiv:0808.3125), with the sound speed of light. In matter's synchronous gauge,
with lengths in c/H0, ' = d/dx, x = ln a, Hc = aH/H0, s = 1 - 3K/k^2 and rho in units of rho_crit,

    alpha  = [eta + 3/2 a^2 rho_m delta / (s k^2) - Gamma] / Hc
    S      = 3/2 a^2 rho_de (1 + w) alpha / Hc
    Gamma' = S / (1 + c) - (1 + c) Gamma,        c = (0.4 k / Hc)^2
    q      = -2/3 k^2 Hc (S - Gamma' - Gamma) / (1 + 9/2 a^2 rho_m / (s k^2))
    h'     = 2 / Hc^2 [s k^2 eta + 3/2 a^2 rho_m delta - s k^2 Gamma - 9/2 Hc q / k^2]
    delta' = -h'/2,        eta' = (3/2 q / Hc + K h'/2) / (s k^2).

Massive neutrinos count as matter with the energy that
they have beyond massless ones; small scales, where dark energy is smooth, follow the growth of that
background, and what is returned is the ratio to it.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import Densities, densities
from volvelle.cosmology.constants import HUBBLE_DISTANCE
from volvelle.cosmology.growth import GrowthTable
from volvelle.cosmology.interpolation import Nodes
from volvelle.cosmology.neutrinos import is_exactly

from .table import Surface

_FIRST, _STEPS = 0.01, 128
"""a before which dark energy does nothing, and steps of ln a from there."""
_K = np.geomspace(1e-4, 0.05, 28)
"""Nodes of k [1/Mpc]; above the last one dark energy is smooth."""
_SOUND = 0.4**2
"""(c_Gamma / c_s)^2 of the scheme, times c_s^2 = 1."""
_LOWEST = 4.0
"""k^2 / K below which nothing is computed: a closed universe has no modes below 8."""

Points = Float[Array, " *k"]


class HorizonGrowth(eqx.Module):
    """ln of matter's density contrast over the one that it had with smooth dark energy."""

    surface: Surface | None
    """None where dark energy is known to be a cosmological constant, which does not cluster."""

    @classmethod
    def of(cls, cosmology: Cosmology, growth: GrowthTable) -> HorizonGrowth:
        """Of one universe and its growth with clustering neutrinos.

        Raises ParameterError without h.
        """
        if is_exactly(cosmology.w0, -1.0) and is_exactly(cosmology.wa, 0.0):
            return cls(None)
        x = np.linspace(np.log(_FIRST), 0.0, _STEPS + 1)
        ratio = jnp.log(_contrast(cosmology, growth, x))
        return cls(Surface.through(_NODES, Nodes.of(-x[::-1] + x[-1]), ratio[::-1]))

    def __call__(self, k: Points, a: Points) -> Points:
        """At k [1/Mpc] and a, elementwise; 0 on small scales and early."""
        if self.surface is None:
            return jnp.zeros(())
        x = jnp.minimum(jnp.log(k), _NODES.values[-1])
        y = -jnp.log(jnp.maximum(a, _FIRST))
        return self.surface(x, y)


_NODES = Nodes.of(np.log(_K))


def _contrast(cosmology: Cosmology, table: GrowthTable, x: np.ndarray) -> Float[Array, "a k"]:
    """The contrast at every x and node of k, over the one at the last node."""
    found, a = densities(cosmology), jnp.exp(x)
    growth, slope = table(a[:1])
    curvature = -jnp.asarray(cosmology.Omega_k)
    k = jnp.asarray(_K) * HUBBLE_DISTANCE / jnp.asarray(cosmology.hubble_parameter)
    k2 = jnp.maximum(k**2, _LOWEST * curvature)
    curved = k2 - 3.0 * curvature
    rates, hubble, matter = _rates(found, a, k2, curved, curvature)
    # The trapezoidal rule, which the stiff Gamma of small scales needs.
    half, unit = 0.5 * float(x[1] - x[0]), jnp.eye(3)
    steps = _inverse(unit - half * rates[1:]) @ (unit + half * rates[:-1])
    start = -(hubble[0] ** 2) * slope / growth - 1.5 * matter[0]
    state = jnp.stack([start / curved, jnp.ones_like(k2), jnp.zeros_like(k2)], axis=-1)

    def advance(state: Array, step: Array) -> tuple[Array, Array]:
        state = (step @ state[..., None])[..., 0]
        return state, state[:, 1]

    later = jax.lax.scan(advance, state, steps)[1]
    contrast = jnp.concatenate([state[None, :, 1], later])
    return contrast / contrast[:, -1:]


def _rates(
    found: Densities, a: Array, k2: Array, curved: Array, curvature: Array
) -> tuple[Float[Array, "a k 3 3"], Array, Array]:
    """Matrix of d(eta, delta, Gamma)/dx; Hc and a^2 rho_m, of every a."""
    today = found.total(jnp.ones(()))
    hubble = a * jnp.sqrt(found.total(a) / today)
    matter = (found.matter / a**3 + found.non_relativistic(a)) * a**2 / today
    pull = (1.0 + found.w0 + found.wa * (1.0 - a)) * found.dark(a) * a**2 / today
    h, m, p = (each[:, None, None] for each in (hubble, matter, pull))
    k2, curved = k2[:, None], curved[:, None]
    eta, delta, gamma = jnp.eye(3)  # rows: what multiplies each of the three
    alpha = (eta + 1.5 * m / curved * delta - gamma) / h
    source = 1.5 * p / h * alpha
    stiff = 1.0 + _SOUND * k2 / h**2
    gamma_rate = source / stiff - stiff * gamma
    momentum = -2.0 / 3.0 * k2 * h / (1.0 + 4.5 * m / curved) * (source - gamma_rate - gamma)
    dark = -2.0 / 3.0 * curved * gamma - 3.0 * h / k2 * momentum
    trace = 2.0 / h**2 * (curved * eta + 1.5 * (m * delta + dark))  # dh/dx
    eta_rate = (1.5 * momentum / h + 0.5 * curvature * trace) / curved
    return jnp.stack([eta_rate, -0.5 * trace, gamma_rate], axis=-2), hubble, matter


def _inverse(matrix: Float[Array, "*n 3 3"]) -> Float[Array, "*n 3 3"]:
    """By cross products of the rows, which compile and differentiate quickly."""
    a, b, c = matrix[..., 0, :], matrix[..., 1, :], matrix[..., 2, :]
    columns = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=-1)
    return columns / jnp.sum(a * columns[..., 0], axis=-1)[..., None, None]
