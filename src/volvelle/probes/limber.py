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

from volvelle.cosmology.interpolation import clamp
from volvelle.power import Spectrum

from .grid import Grid
from .thinning import Thinning, thinned
from .tracers import ColdRatio, Contribution

_NUDGE = 1.05
"""Factor of k over which the slope at an edge is taken."""

_NEAREST = 2.0
"""Of P / f_K^2 at the first node times its redshift: the integral to it, where P ~ k^-1.5."""

Multipoles = Float[Array, " l"]
Sheet = Float[Array, "l n"]


class Projection(eqx.Module):
    """P at k = (l + 1/2) / f_K of every node, times the measure of the integral over nodes."""

    ell: Multipoles
    grid: Grid
    spectrum: Spectrum
    k: Sheet
    """Within the edges of the spectrum [1/Mpc]."""
    power: Float[Array, "l m"]
    """P of matter at k and at the time of the nodes ``thin`` [Mpc^3]."""
    cold: Sheet | None
    """sqrt(P_cb / P) at all, or None where nothing follows baryons and cold dark matter."""
    known: Sheet
    """P times the measure, without what lies beyond the edges."""
    unknown: Sheet
    """The rest, were P to go on as the power law that it has at its edges, and what is nearer than
    the first node, were the kernels to stay what they are there."""
    thin: Thinning | None
    """The nodes at which P is evaluated; None if at all."""

    def thinned(self, values: Array) -> Array:
        """Those of values at nodes, in the last axis, that P is evaluated for."""
        return values if self.thin is None else values[..., self.thin.index]

    def spread(self, logarithm: Float[Array, "l m"]) -> Sheet:
        """What has this logarithm at the nodes ``thin``, at all nodes."""
        return jnp.exp(logarithm if self.thin is None else logarithm @ self.thin.matrix)


def project(
    ell: Multipoles,
    grid: Grid,
    spectrum: Spectrum,
    *,
    tolerance: float | None = None,
    cold: bool = False,
) -> Projection:
    """Evaluate a spectrum for multipoles and nodes, with ``cold`` that of cb as well.

    ``tolerance``: relative error of P in between, if it may be interpolated.
    """
    thin = None
    if tolerance is not None and isinstance(grid.z, np.ndarray):
        thin = thinned(tuple(grid.z), tolerance)
    asked = (ell[:, None] + 0.5) / grid.transverse
    at = slice(None) if thin is None else thin.index
    a = np.maximum(grid.a[at], spectrum.a_min)
    logarithm, continued = log_power(spectrum, asked[:, at], a)
    inside = _inside(ell, grid, spectrum)
    made = Projection(
        ell=ell,
        grid=grid,
        spectrum=spectrum,
        k=clamp(asked, spectrum.lowest, spectrum.k_max),
        power=jnp.exp(logarithm),
        cold=None,
        known=inside,
        unknown=inside,
        thin=thin,
    )
    measure = grid.weights / (grid.hubble * grid.transverse**2)
    # Before the first known time P stays; in between, what goes on growing is smoother.
    early = 2.0 * np.minimum(np.log(grid.a / spectrum.a_min), 0.0)
    whole = made.spread(continued + early[at]) * (np.exp(-early) * measure)
    lost = jnp.abs(whole) * (1.0 - inside)
    nearest = _NEAREST * grid.z[0] / grid.weights[0]
    lost = lost.at[:, 0].add(nearest * jnp.abs(whole[:, 0]))
    parts = (whole * inside, jax.lax.stop_gradient(lost))
    made = eqx.tree_at(lambda p: (p.known, p.unknown), made, parts)
    if not cold:
        return made
    times = jnp.broadcast_to(a, logarithm.shape)
    ratio = made.spread(0.5 * (jnp.log(spectrum(made.k[:, at], times, "cb")) - logarithm))
    return eqx.tree_at(lambda p: p.cold, made, ratio, is_leaf=lambda leaf: leaf is None)


def log_power(
    spectrum: Spectrum, asked: Sheet, a: Float[Array, " n"] | np.ndarray
) -> tuple[Sheet, Sheet]:
    """ln P of matter at wavenumbers ``asked`` [k, n] and times ``a`` [n]: as it is at the edges of
    k beyond them, and going on there as the power law of the edge, unless that diverges."""
    low, high = spectrum.lowest, spectrum.k_max
    ends = jnp.stack([jnp.asarray(end) for end in (low, low * _NUDGE, high, high / _NUDGE)])
    k = clamp(asked, low, high)
    # In one call with the slopes at the edges.
    sample = jnp.concatenate([k, jnp.broadcast_to(ends[:, None], (4, a.size))])
    found = jnp.log(spectrum(sample, a))
    inside, edges = found[:-4], found[-4:]
    rising = jnp.maximum(edges[1] - edges[0], 0.0) / np.log(_NUDGE)
    falling = jnp.minimum(edges[2] - edges[3], 0.0) / np.log(_NUDGE)
    beyond = jnp.log(asked / k)
    return inside, inside + beyond * jnp.where(beyond > 0.0, falling, rising)


def above(projection: Projection, highest: Multipoles) -> Projection:
    """The part of the integrals at wavenumbers above ``highest`` [1/Mpc] of each multipole."""
    x = _log_wavenumber(projection.ell, projection.grid)
    beyond = (x - jnp.log(highest)[:, None]) / _width(projection.grid)
    share = clamp(beyond + 0.5, 0.0, 1.0)
    parts = (projection.known * share, projection.unknown * jax.lax.stop_gradient(share))
    return eqx.tree_at(lambda p: (p.known, p.unknown), projection, parts)


def _log_wavenumber(ell: Multipoles, grid: Grid) -> Sheet:
    """ln k of every multipole and node, of as few logarithms as there are of both."""
    return jnp.log(ell + 0.5)[:, None] - jnp.log(grid.transverse)


def _width(grid: Grid) -> Float[Array, " n"]:
    """Of every node's cell in ln k, at a fixed multipole."""
    between = jnp.abs(jnp.diff(jnp.log(grid.transverse)))
    return 0.5 * (jnp.append(between, between[-1]) + jnp.insert(between, 0, between[0]))


def _inside(ell: Multipoles, grid: Grid, spectrum: Spectrum) -> Sheet:
    """The fraction of every node's cell inside of the edges.

    A cell that holds an edge counts in part: values move smoothly with the cosmology.
    """
    x, width = _log_wavenumber(ell, grid), _width(grid)
    high = clamp((np.log(spectrum.k_max) - x) / width + 0.5, 0.0, 1.0)
    low = clamp((x - jnp.log(spectrum.lowest)) / width + 0.5, 0.0, 1.0)
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
    return any(term.bessel > 0 or not (term.transfer is None or only_cold(term)) for term in terms)


def follows_cold(terms: tuple[Contribution, ...]) -> bool:
    """Whether a term follows baryons and cold dark matter."""
    return any(term.species == "cb" for term in terms)


def only_cold(term: Contribution) -> bool:
    """Whether all that its transfer function is, is that of baryons and cold dark matter."""
    return isinstance(term.transfer, ColdRatio) and term.transfer.further is None


def sheet(terms: tuple[Contribution, ...], projection: Projection) -> Sheet:
    """Delta_l at every node, the sum of all terms."""
    return sum((_term(term, projection) for term in terms), jnp.zeros_like(projection.known))


def _term(term: Contribution, projection: Projection) -> Sheet:
    ell = projection.ell[:, None]
    factor = prefactor(projection.ell, term.angular, term.bessel)[:, None]
    here = jnp.broadcast_to(term.kernel, projection.known.shape)
    if only_cold(term) and projection.cold is not None:
        here = here * projection.cold
    elif term.transfer is not None:
        times = jnp.broadcast_to(projection.grid.a, here.shape)
        here = here * term.transfer(projection.k, times)
    if term.bessel < 1:
        return factor * here
    # Derivatives of j_l need j_(l+1), which Limber puts at f_K' = (l + 3/2) / k, and there the
    # square root of P of its own time (CCL's form; arXiv:1812.05995, section 4.2).
    there, a, inside = _interpolate(projection, term.kernel)
    late = jnp.maximum(projection.thinned(a), projection.spectrum.a_min)
    later = projection.spectrum(projection.thinned(projection.k), late)
    later = projection.spread(jnp.log(later / projection.power))
    if term.transfer is not None:
        there = there * term.transfer(projection.k, a)
    ratio = jnp.where(inside, later, 1.0)
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
