"""The density contrast of particles in Fourier space, for measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Complex, Float

from volvelle.cosmology.neutrinos import is_traced

from .assignment import window
from .errors import ParticleError
from .mesh import Mesh
from .painting_jax import Sums
from .particles import as_particles, as_weights
from .sums import spread, sums_on


def density_contrast(
    mesh: Mesh,
    positions: Any,
    weights: Any = None,
    assignment: str = "tsc",
    *,
    interlaced: bool = True,
    deconvolved: bool = True,
) -> Complex[Array, "n n half"]:
    """delta = rho/mean - 1 of particles, transformed (not normalised), with 0 for the mean.

    Interlacing paints a second mesh, shifted by half a cell along every axis, and averages the two:
    images of odd order, the nearest and largest, cancel (Sefusatti et al. 2016, arXiv:1512.07295).
    On the planes of Nyquist's wavenumber a wave and its image are the same numbers: the average is
    half of the first mesh there. Deconvolution divides by the transform of the assignment,

        product over axes of (sin x / x)^order,  x = k cell / 2,  order 1 to 4 for NGP to PCS.

    Differentiable in positions and weights.

    Args:
        mesh: to paint on.
        positions: [N, 3], any real numbers: the box is periodic [Mpc/h].
        weights: [N] or a number, 1 if left out.
        assignment: ``ngp``, ``cic``, ``tsc`` or ``pcs``.
        interlaced: average two meshes.
        deconvolved: divide by the transform of the assignment.

    Raises ParticleError for shapes that do not fit, NaN, no particles, and weights whose sum is not
    positive where values are known; MeshError for an unknown assignment.
    """
    x = as_particles(positions)
    w = as_weights(1.0 if weights is None else weights, len(x))
    if not is_traced(total := w.sum()) and not total > 0.0:
        raise ParticleError(
            f"the weights of {len(x)} particles add up to {float(total):.6g}; a density contrast "
            "needs a positive sum"
        )
    dtype = x.dtype if weights is None else jnp.result_type(x, w)
    on = sums_on(mesh, assignment)
    return _contrast(mesh, on, interlaced, deconvolved, x.astype(dtype), w.astype(dtype))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _contrast(
    mesh: Mesh, on: Sums, interlaced: bool, deconvolved: bool, x: Array, w: Array
) -> Complex[Array, "n n half"]:
    def painted(shift: float) -> Array:
        return jnp.fft.rfftn(spread(on, x + shift, w[:, None])[0])

    phases = [jnp.asarray(0.5 * mesh.cell * k, x.dtype) for k in mesh.wavenumbers()]
    delta = painted(0.0)
    if interlaced:
        turned = [_half_turn(phase) for phase in phases]
        delta = 0.5 * (delta + painted(0.5 * mesh.cell) * turned[0] * turned[1] * turned[2])
    factor: Array | Float[Array, ""] = mesh.cells**3 / w.sum()
    if deconvolved:
        for phase in phases:
            factor = factor / window(on.order, phase)
    return (delta * factor).at[0, 0, 0].set(0.0)


def contrast_of_parts(
    mesh: Mesh, parts: Callable[[], Iterable[np.ndarray]], assignment: str = "pcs"
) -> np.ndarray:
    """``density_contrast``, interlaced and deconvolved, of particles that come in parts.

    Holds two fields of the mesh, and a part.

    Args:
        parts: begins anew at every call, of which there are two; positions [N, 3] each.

    Raises ParticleError where there are none, and as ``density_contrast``.
    """
    on, total = sums_on(mesh, assignment), 0

    def painted(shift: float) -> np.ndarray:
        nonlocal total
        count, total = np.zeros(mesh.shape, np.float32), 0
        for part in parts():
            x = as_particles(part)
            count += np.asarray(_painted(on, x + shift))
            total += len(x)
        return np.asarray(scipy.fft.rfftn(count, overwrite_x=True))

    phases = [np.asarray(0.5 * mesh.cell * k) for k in mesh.wavenumbers()]
    delta = painted(0.5 * mesh.cell)
    for phase in phases:
        delta *= np.asarray(_half_turn(jnp.asarray(phase))).astype(delta.dtype)
    delta += painted(0.0)
    if total == 0:
        raise ParticleError("no particles; a density contrast needs one at least")
    for phase in phases:
        delta /= np.sinc(phase / np.pi).astype(np.float32) ** on.order
    delta *= np.float32(0.5 * mesh.cells**3 / total)
    delta[0, 0, 0] = 0.0
    return delta


@partial(jax.jit, static_argnums=0)
def _painted(on: Sums, x: Array) -> Array:
    return spread(on, x, jnp.ones((len(x), 1), x.dtype))[0]


def _half_turn(phase: Float[Array, "*s"]) -> Complex[Array, "*s"]:
    """exp(i phase), and its mean over both signs, 0, where the phase is a quarter turn."""
    turned = jnp.exp(1j * phase)
    return jnp.where(jnp.abs(phase) < 0.4999 * jnp.pi, turned, 0.0)
