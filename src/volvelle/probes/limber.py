"""Limber's projection of P(k, a): k = (l + 1/2) / f_K, with the factors of l kept whole.

    C_l^ij = int dchi / f_K^2  Delta^i_l Delta^j_l  P((l + 1/2) / f_K, a)

(LoVerde & Afshordi 2008, arXiv:0809.5112). P is evaluated once per (l, node), for all pairs. What
a spectrum does not know is left out, and how much that could be is said.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.power import Spectrum

from .grid import Grid
from .tracers import Contribution

NUDGE = 1.05
"""Factor of k over which the slope at an edge is taken."""

Multipoles = Float[Array, " l"]
Sheet = Float[Array, "l n"]


class Projection(eqx.Module):
    """P at k = (l + 1/2) / f_K of every node, times the measure of the integral over nodes."""

    ell: Multipoles
    grid: Grid
    spectrum: Spectrum
    k: Sheet
    """Within the edges of the spectrum [1/Mpc]."""
    power: Sheet
    """P at k and at the node's time [Mpc^3]."""
    known: Sheet
    """P times the measure, without what lies beyond the edges."""
    unknown: Sheet
    """The rest, were P to go on as the power law that it has at its edges."""


def project(ell: Multipoles, grid: Grid, spectrum: Spectrum) -> Projection:
    """Evaluate a spectrum for multipoles and nodes."""
    asked = (ell[:, None] + 0.5) / grid.transverse
    k = jnp.clip(asked, spectrum.k_min, spectrum.k_max)
    a = np.maximum(grid.a, spectrum.a_min)
    # With it, in one call, the slopes at the edges of k.
    ends = np.asarray(
        [spectrum.k_min, spectrum.k_min * NUDGE, spectrum.k_max, spectrum.k_max / NUDGE]
    )
    sample = jnp.concatenate([k, jnp.broadcast_to(ends[:, None], (4, a.size))])
    power = spectrum(sample, jnp.broadcast_to(a, sample.shape))
    power, ends = power[:-4], jnp.log(power[-4:])
    rising = jnp.maximum(ends[1] - ends[0], 0.0) / np.log(NUDGE)
    falling = jnp.minimum(ends[2] - ends[3], 0.0) / np.log(NUDGE)
    beyond = jnp.log(asked / k)
    continued = jnp.exp(beyond * jnp.where(beyond > 0.0, falling, rising))
    measure = grid.weights / (grid.hubble * grid.transverse**2)
    inside = _inside(asked, grid, spectrum)
    return Projection(
        ell=ell,
        grid=grid,
        spectrum=spectrum,
        k=k,
        power=power,
        known=power * inside * measure,
        unknown=jax.lax.stop_gradient(power * (1.0 - inside) * continued * jnp.abs(measure)),
    )


def above(projection: Projection, highest: Multipoles) -> Projection:
    """The part of the integrals at wavenumbers above ``highest`` [1/Mpc] of each multipole."""
    x = jnp.log((projection.ell[:, None] + 0.5) / projection.grid.transverse)
    beyond = (x - jnp.log(highest)[:, None]) / _width(projection.grid)
    share = jnp.clip(beyond + 0.5, 0.0, 1.0)
    parts = (projection.known * share, projection.unknown * jax.lax.stop_gradient(share))
    return eqx.tree_at(lambda p: (p.known, p.unknown), projection, parts)


def _width(grid: Grid) -> Float[Array, " n"]:
    """Of every node's cell in ln k, at a fixed multipole."""
    between = jnp.abs(jnp.diff(jnp.log(grid.transverse)))
    return 0.5 * (jnp.append(between, between[-1]) + jnp.insert(between, 0, between[0]))


def _inside(asked: Sheet, grid: Grid, spectrum: Spectrum) -> Sheet:
    """The fraction of every node's cell inside of the edges.

    A cell that holds an edge counts in part: values move smoothly with the cosmology.
    """
    x, width = jnp.log(asked), _width(grid)
    high = jnp.clip((np.log(spectrum.k_max) - x) / width + 0.5, 0.0, 1.0)
    low = jnp.clip((x - np.log(spectrum.k_min)) / width + 0.5, 0.0, 1.0)
    reach = np.log(grid.a / spectrum.a_min) / np.abs(np.gradient(np.log(grid.a)))
    return high * low * np.clip(reach + 0.5, 0.0, 1.0)


def prefactor(ell: Multipoles, angular: int, bessel: int) -> Multipoles:
    """f_l, over (l + 1/2)^2 for j_l / x^2."""
    if angular == 1:
        factor = ell * (ell + 1.0)
    elif angular == 2:
        factor = jnp.sqrt((ell + 2.0) * (ell + 1.0) * ell * (ell - 1.0))
    else:
        factor = jnp.ones_like(ell)
    return factor / (ell + 0.5) ** 2 if bessel == -1 else factor


def depends_on_ell(terms: tuple[Contribution, ...]) -> bool:
    """Whether a kernel is more than a factor of l times a function of chi."""
    return any(term.bessel > 0 or term.transfer is not None for term in terms)


def sheet(terms: tuple[Contribution, ...], projection: Projection) -> Sheet:
    """Delta_l at every node, the sum of all terms."""
    return sum((_term(term, projection) for term in terms), jnp.zeros_like(projection.power))


def _term(term: Contribution, projection: Projection) -> Sheet:
    ell = projection.ell[:, None]
    factor = prefactor(projection.ell, term.angular, term.bessel)[:, None]
    here = jnp.broadcast_to(term.kernel, projection.power.shape)
    if term.transfer is not None:
        times = jnp.broadcast_to(projection.grid.a, here.shape)
        here = here * term.transfer(projection.k, times)
    if term.bessel < 1:
        return factor * here
    # Derivatives of j_l need j_(l+1), which Limber puts at f_K' = (l + 3/2) / k, and there the
    # square root of P of its own time (CCL's form; arXiv:1812.05995, section 4.2).
    there, a, inside = _interpolate(projection, term.kernel)
    later = projection.spectrum(projection.k, jnp.maximum(a, projection.spectrum.a_min))
    if term.transfer is not None:
        there = there * term.transfer(projection.k, a)
    ratio = jnp.where(inside, later / projection.power, 1.0)
    there = there * jnp.sqrt((ell + 0.5) / (ell + 1.5) * ratio)
    if term.bessel == 1:
        return factor * (ell / (ell + 0.5) * here - there)
    return factor * (2.0 / (ell + 1.5) * there - (0.25 + 2.0 * ell) / (ell + 0.5) ** 2 * here)


def _interpolate(projection: Projection, kernel: Float[Array, " n"]) -> tuple[Sheet, Sheet, Array]:
    """A kernel and a at f_K (l + 3/2) / (l + 1/2), through the four nearest nodes."""
    grid, ell = projection.grid, projection.ell[:, None]
    nodes = grid.transverse
    wanted = nodes * (ell + 1.5) / (ell + 0.5)
    inside = wanted <= nodes[-1]
    x = jnp.where(inside, wanted, nodes[-1])
    start = jnp.clip(jnp.searchsorted(nodes, x) - 2, 0, nodes.size - 4)
    at = [nodes[start + j] for j in range(4)]
    value, a = jnp.zeros_like(x), jnp.zeros_like(x)
    for j in range(4):
        weight = jnp.ones_like(x)
        for m in range(4):
            if m != j:
                weight = weight * (x - at[m]) / (at[j] - at[m])
        value = value + weight * kernel[start + j]
        a = a + weight * jnp.asarray(grid.a)[start + j]
    return jnp.where(inside, value, 0.0), a, inside
