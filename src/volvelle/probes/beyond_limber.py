"""Angular spectra without Limber's approximation, in flat universes, as products of matrices.

    Delta^i_l(k) = f_l int dchi W_i(chi) T_i(k, a) sqrt(P(k, a)) j_l^(n)(k chi)
    C_l^ij = (2 / pi) int dk k^2 Delta^i_l(k) Delta^j_l(k)

with P(k; a, a') = sqrt(P(k, a) P(k, a')), as in the challenge of Leonard et al. 2023
(arXiv:2212.04291). W T sqrt(P) is a spline between nodes in chi, whose integrals against j_l are
tables that know no cosmology (``bands``). Beyond the last wavenumber, where kernels with structure
have ended, what is left of the smooth ones is close to the observer, and Limber's.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.power import Spectrum

from .bands import Band
from .grid import Grid, stretched_grid
from .limber import log_power, only_cold, prefactor
from .tracers import Contribution, Tracer, followed

Sheet = Float[Array, "k n"]


class Beyond(eqx.Module):
    """Spectra of one band, of every two of its tracers."""

    values: Float[Array, "l t t"]
    missing: Float[Array, "l t t"]
    """How much there could be beyond the edges of the power spectrum."""
    highest: Float[Array, " l"]
    """Wavenumbers at which the values end [1/Mpc]."""


class Columns(NamedTuple):
    """Terms that share a table and a sheet of sqrt(P)."""

    order: int
    sheet: Sheet
    kernels: Float[Array, "n c"]
    factors: Float[Array, "l c"]
    inverse: np.ndarray
    """[c] 1 where there is a factor of 1 / k^2, 0 elsewhere."""
    owners: np.ndarray
    """[c, t] 1 where a column belongs to a tracer."""


def project_beyond(
    band: Band, cosmology: Cosmology, tracers: Sequence[Tracer], spectrum: Spectrum
) -> Beyond:
    """The spectra of every two tracers up to the last wavenumbers of a band.

    Raises what the contributions of the tracers and ``spectrum`` raise.
    """
    growth = any(tracer.needs_growth for tracer in tracers)
    grid, stretch = stretched_grid(cosmology, band.z, band.nodes, growth)
    k = jnp.asarray(band.k) / stretch
    terms = [followed(tracer.contributions(cosmology, grid), spectrum) for tracer in tracers]
    columns = _columns(band, terms, _root(k, grid, spectrum), k, grid)
    known, beyond = _measures(band, k, stretch, spectrum)
    late = _late(band, grid, spectrum)
    tables = [jnp.asarray(band.tables[each.order]) for each in columns]
    rest = [each[1:] for each in columns]
    values, missing = _integrate(tables, jnp.asarray(band.start), k, known, beyond, rest, late)
    return Beyond(values, jax.lax.stop_gradient(missing), jnp.asarray(band.highest) / stretch)


def _columns(
    band: Band, terms: list[tuple[Contribution, ...]], root: Sheet, k: Array, grid: Grid
) -> list[Columns]:
    """All terms, with those together that have a table and a sheet in common."""
    groups: dict[Any, list[tuple[int, Contribution]]] = {}
    for n, each in enumerate(terms):
        for m, term in enumerate(each):
            own = "cb" if only_cold(term) else (n, m)
            key = (max(term.bessel, 0), None if term.transfer is None else own)
            groups.setdefault(key, []).append((n, term))
    found = []
    for (order, _), members in groups.items():
        sheet, transfer = root, members[0][1].transfer
        if transfer is not None:
            shape = root.shape
            a = jnp.broadcast_to(jnp.asarray(grid.a), shape)
            sheet = root * transfer(jnp.broadcast_to(k[:, None], shape), a)
        power = [-1.0 if term.bessel == -1 else 1.0 for _, term in members]  # of chi
        kernels = [
            jnp.broadcast_to(term.kernel, grid.chi.shape) * grid.chi**exponent
            for (_, term), exponent in zip(members, power, strict=True)
        ]
        factors = [  # of j_l / x^2 without Limber's 1 / x^2
            prefactor(jnp.asarray(band.ell), term.angular, 0) for _, term in members
        ]
        owners = np.zeros((len(members), len(terms)))
        owners[np.arange(len(members)), [n for n, _ in members]] = 1.0
        inverse = np.asarray([float(term.bessel == -1) for _, term in members])
        found.append(
            Columns(
                order,
                sheet,
                jnp.stack(kernels, axis=1),
                jnp.stack(factors, axis=1),
                inverse,
                owners,
            )
        )
    return found


def _root(k: Array, grid: Grid, spectrum: Spectrum) -> Sheet:
    """sqrt(P), beyond the edges of k as a power law and before a_min as at a_min."""
    a = jnp.maximum(jnp.asarray(grid.a), spectrum.a_min)
    asked = jnp.broadcast_to(k[:, None], (k.size, a.size))
    return jnp.exp(0.5 * log_power(spectrum, asked, a)[1])


def _measures(band: Band, k: Array, stretch: Array, spectrum: Spectrum) -> tuple[Array, Array]:
    """[l, rows] of the integral over k, within the edges of the spectrum and beyond them.

    A cell that holds an edge counts in part: values move smoothly with the cosmology.
    """
    rows = band.start[:, None] + np.arange(band.weights.shape[1])
    at = k[rows]
    width = np.where(band.weights > 0.0, band.weights, 1.0) / stretch / at  # in ln k
    high = jnp.clip((np.log(spectrum.k_max) - jnp.log(at)) / width + 0.5, 0.0, 1.0)
    low = jnp.clip((jnp.log(at) - jnp.log(spectrum.lowest)) / width + 0.5, 0.0, 1.0)
    measure = 2.0 / np.pi * at**2 * band.weights / stretch
    return measure * high * low, measure * (1.0 - high * low)


def _late(band: Band, grid: Grid, spectrum: Spectrum) -> Array | None:
    """[n] the fraction of every node's cell after a_min; None where that is all of it."""
    if 1.0 / (1.0 + band.z[-1]) >= spectrum.a_min:
        return None
    width = np.abs(np.gradient(np.log1p(band.z)))
    return jnp.clip(jnp.log(jnp.asarray(grid.a) / spectrum.a_min) / width + 0.5, 0.0, 1.0)


@partial(jax.jit, inline=False)
def _integrate(
    tables: list[Array],
    start: Array,
    k: Array,
    known: Array,
    beyond: Array,
    columns: list[tuple],
    late: Array | None,
) -> tuple[Array, Array]:
    """[l, t, t] of values and of what may be missing."""
    rows, nodes = tables[0].shape[1:]

    @jax.checkpoint
    def one(carry: None, x: tuple) -> tuple[None, tuple[Array, Array]]:
        first, measure, outside, sheets, factors = x
        at = jax.lax.dynamic_slice(k, (first,), (rows,))
        tracers = columns[0][4].shape[1]
        whole = early = jnp.zeros((rows, tracers))
        for table, factor, (root, kernels, _, inverse, owners) in zip(
            sheets, factors, columns, strict=True
        ):
            part = table * jax.lax.dynamic_slice(root, (first, 0), (rows, nodes))
            scale = factor * jnp.where(inverse > 0.0, at[:, None] ** -2.0, 1.0)
            whole = whole + ((part @ kernels) * scale) @ owners
            if late is not None:
                early = early + ((part @ (kernels * (1.0 - late)[:, None])) * scale) @ owners
        inside = whole - early
        value = inside.T @ (inside * measure[:, None])
        missing = jnp.abs(whole).T @ (jnp.abs(whole) * outside[:, None])
        if late is not None:
            both = jnp.abs(inside).T @ (jnp.abs(early) * measure[:, None])
            missing += both + both.T + jnp.abs(early).T @ (jnp.abs(early) * measure[:, None])
        return carry, (value, missing)

    factors = [each[2] for each in columns]
    return jax.lax.scan(one, None, (start, known, beyond, tables, factors))[1]
