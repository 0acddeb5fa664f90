"""P(k) and the PDF as functions of the field that JAX differentiates, on any device."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from volvelle.nbody import Mesh

from .bins import checked_edges, thresholds
from .errors import BinError, DensityError
from .modes import binned, counts, multiplicity, squares
from .smoothing import Kernel, check_radius, kernel_modes


def differentiable_power(
    mesh: Mesh, modes: Complex[Array, "n n half"], other: Any = None, *, edges: Any = None
) -> tuple[np.ndarray, Float[Array, " bins"]]:
    """k and P(k) of ``power_spectrum`` for modes that may be traced; no shot noise is taken off.

    The bins are sums of |delta_k|^2, smooth in the field, made of products of matrices: scattered
    sums into few bins are slow on GPUs.

    Args:
        mesh: of the field.
        modes: ``jnp.fft.rfftn`` of delta, or what ``volvelle.nbody.density_contrast`` returns.
        other: of another field, for the cross spectrum.
        edges: of bins [h/Mpc], known numbers; as of ``power_spectrum``.

    Returns the mean |k| [bins] [h/Mpc] and P [bins] [(Mpc/h)^3]. Raises DensityError for modes of
    another mesh, BinError for other edges and for empty bins.
    """
    first = jnp.asarray(modes)
    second = first if other is None else jnp.asarray(other)
    for each in (first, second):
        if each.shape != mesh.fourier_shape:
            raise DensityError(f"modes have shape {each.shape}; expected {mesh.fourier_shape}")
    bins = checked_edges(mesh, edges)
    limits = thresholds(mesh, bins)
    number = counts(mesh.cells)
    per_bin = binned(number, limits)
    if not per_bin.all():
        raise BinError(f"{int(np.sum(per_bin == 0))} bins hold no mode; widen them")
    lengths = mesh.fundamental * np.sqrt(np.arange(len(number)))
    scale = mesh.volume / float(mesh.cells) ** 6 / per_bin
    total = _shell_sums(tuple(limits.tolist()), first, second)
    return binned(number * lengths, limits) / per_bin, total * jnp.asarray(scale, total.dtype)


@partial(jax.jit, static_argnums=0)
def _shell_sums(limits: tuple[int, ...], first: Array, second: Array) -> Float[Array, " bins"]:
    """Sums of Re(a b*) over all modes with |k|^2 / k_f^2 between whole numbers."""
    cells = first.shape[0]
    half = cells // 2
    power = first.real * second.real + first.imag * second.imag
    for axis in (0, 1):  # modes that differ by signs are added: an octant is left
        power = jnp.moveaxis(power, axis, 0)
        inner = power[1:half] + power[half + 1 :][::-1]
        power = jnp.moveaxis(jnp.concatenate([power[:1], inner, power[half : half + 1]]), 0, axis)
    power = power * jnp.asarray(multiplicity(cells), power.dtype)
    square = squares(cells)
    plane = jnp.asarray((square[:, None] + square).ravel())
    low, high = jnp.asarray(limits[:-1]), jnp.asarray(limits[1:])

    def add(total: Array, at: tuple[Array, Array]) -> tuple[Array, None]:
        i, values = at
        length = (plane + i)[:, None]
        within = ((length >= low) & (length < high)).astype(values.dtype)
        return total + values.ravel() @ within, None

    start = jnp.zeros(len(limits) - 1, power.dtype)
    return jax.lax.scan(add, start, (jnp.asarray(square), power))[0]


def differentiable_pdf(
    mesh: Mesh,
    field: Float[Array, "n n n"],
    radius: float,
    edges: Any,
    *,
    width: float | None = None,
    kernel: Kernel = "sphere",
) -> tuple[np.ndarray, Float[Array, " bins"]]:
    """dP/d(delta) after a top-hat, with bins whose edges are soft.

        p_b = <S((e_b+1 - delta) / w) - S((e_b - delta) / w)> / (e_b+1 - e_b),  S = 1/(1 + e^-x)

    which is ``density_pdf`` convolved with a logistic distribution of scale w, and that for w to 0.

    Args:
        mesh: of the field.
        field: delta, may be traced.
        radius: of the top-hat [Mpc/h].
        edges: of bins in delta, known numbers, ascending.
        width: w, in delta; without any, a tenth of the narrowest bin.
        kernel: as of ``density_pdf``.

    Returns the middles [bins] and p [bins]. Raises DensityError for a field of another mesh,
    BinError for other edges, RadiusError for a radius that the mesh does not hold.
    """
    values = jnp.asarray(field)
    if values.shape != mesh.shape:
        raise DensityError(f"the field has shape {values.shape}; expected {mesh.shape}")
    given = np.asarray(edges, np.float64)
    if given.ndim != 1 or len(given) < 2 or not np.all(np.diff(given) > 0.0):
        raise BinError("edges of delta have to be two or more, finite and ascending")
    check_radius(mesh, radius, kernel)
    soft = 0.1 * float(np.diff(given).min()) if width is None else float(width)
    if not (np.isfinite(soft) and soft > 0.0):
        raise BinError(f"the edges have a width of {soft}; expected a positive one")
    octant = kernel_modes(mesh, radius, kernel)
    index = np.minimum(np.arange(mesh.cells), mesh.cells - np.arange(mesh.cells))
    weights = jnp.asarray(octant[index][:, index], values.dtype)
    return 0.5 * (given[1:] + given[:-1]), _soft_pdf(
        values, weights, jnp.asarray(given, values.dtype), soft
    )


@jax.jit
def _soft_pdf(field: Array, weights: Array, edges: Array, soft: Any) -> Float[Array, " bins"]:
    smooth = jnp.fft.irfftn(jnp.fft.rfftn(field) * weights, s=field.shape)
    below = jax.lax.map(lambda edge: jnp.mean(jax.nn.sigmoid((edge - smooth) / soft)), edges)
    return jnp.diff(below) / jnp.diff(edges)
