"""Fourier fields of a mesh: derivatives, and products without aliases."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .mesh import Mesh

Modes = Complex[Array, "n n half"]
Field = Float[Array, "n n n"]
Axes = tuple[Array, Array, Array]


def first_derivatives(mesh: Mesh, dtype: jnp.dtype) -> Axes:
    """Components of k [h/Mpc], broadcastable, 0 at the Nyquist wavenumber.

    There a real field has no odd derivative.
    """
    limit = mesh.nyquist * (1.0 - 1e-9)
    waves = (np.where(np.abs(k) < limit, k, 0.0) for k in mesh.wavenumbers())
    x, y, z = (jnp.asarray(k, dtype) for k in waves)
    return x, y, z


def real_dtype(modes: Modes) -> jnp.dtype:
    """The precision of a Fourier field's real and imaginary parts."""
    return jnp.finfo(modes.dtype).dtype


def refined(mesh: Mesh, factor: float) -> Mesh:
    """A mesh of the same box with at least ``factor`` times the cells per side."""
    return Mesh(2 * int(np.ceil(mesh.cells * factor / 2.0)), mesh.box_size)


def resized(modes: Modes, cells: int) -> Modes:
    """The same field with ``cells`` per side: modes beyond the smaller mesh's Nyquist wavenumber,
    and those at it, are dropped or zero."""
    n = modes.shape[0]
    keep = min(n, cells) // 2

    def along(modes: Array, axis: int) -> Array:
        low = jnp.take(modes, np.arange(keep), axis)
        high = jnp.take(modes, np.arange(n - keep + 1, n), axis)
        shape = list(modes.shape)
        shape[axis] = cells - 2 * keep + 1
        return jnp.concatenate([low, jnp.zeros(shape, modes.dtype), high], axis)

    modes = along(along(modes, 0), 1)[..., :keep]
    modes = jnp.pad(modes, ((0, 0), (0, 0), (0, cells // 2 + 1 - keep)))
    return modes * (cells / n) ** 3


def product(
    terms: Callable[[Callable[[Modes], Field]], Field], cells: int, mesh: Mesh | None
) -> Modes:
    """Modes on ``cells`` per side of what ``terms`` makes of fields in configuration space.

    ``terms`` is handed a function from modes to the field. On a finer ``mesh``, of 3/2 of the cells
    for a product of two and twice for one of three, no mode is an alias of one beyond the mesh
    (Orszag 1971); on None, fields stay on the cells that they have.
    """
    if mesh is None:
        return jnp.fft.rfftn(terms(lambda modes: jnp.fft.irfftn(modes, s=(cells,) * 3)))
    found = terms(lambda modes: jnp.fft.irfftn(resized(modes, mesh.cells), s=mesh.shape))
    return resized(jnp.fft.rfftn(found), cells)
