"""White noise whose phases are the same at every resolution.

Every mode's amplitude and phase follow from the seed and the mode's own integer wave vector, by the
counter-based generator Threefry-2x32 (Salmon et al. 2011) and the transform of Box & Muller. A
finer mesh of the same box has the modes of the coarser one and more.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Complex, Float

from volvelle.cosmology.neutrinos import is_traced

from .errors import InitialConditionsError
from .mesh import Mesh

_MOST_CELLS = 2**15
"""Per side: two components of a wave vector share a counter of 32 bits."""

Seed = int | np.integer | Array


def white_noise(
    seed: Seed,
    mesh: Mesh,
    *,
    fixed_amplitude: bool = False,
    paired: bool = False,
    dtype: jnp.dtype | type = jnp.float32,
) -> Float[Array, "n n n"]:
    """A Gaussian field of mean 0 and unit variance per cell, without correlations.

    In units of n^(3/2), the modes of ``jnp.fft.rfftn`` below the Nyquist wavenumber do not depend
    on the number of cells n per side, nor on the box.

    Args:
        seed: a whole number from 0 to 2^64 - 1; below 2^32 where it is an array (for ``vmap``).
        fixed_amplitude: every mode has the root mean square of its amplitude (Angulo & Pontzen
            2016): power spectra of large scales without scatter.
        paired: every phase is turned by pi: the second of a pair.
        dtype: of the field; both precisions have the same phases.

    Raises InitialConditionsError for other seeds and for more than 32768 cells per side.
    """
    if mesh.cells > _MOST_CELLS:
        raise InitialConditionsError(
            f"white noise on {mesh.cells} cells per side; expected at most {_MOST_CELLS}"
        )
    noise = _noise(key_of(seed), mesh, fixed_amplitude, jnp.dtype(dtype))
    return -noise if paired else noise


def key_of(seed: Seed) -> Array:
    """The two words of the generator's key."""
    if isinstance(seed, jax.Array):
        if seed.ndim or not jnp.issubdtype(seed.dtype, jnp.integer):
            raise InitialConditionsError(
                f"the seed is an array of shape {seed.shape} and type {seed.dtype}; expected one "
                "whole number"
            )
        if is_traced(seed):
            return jnp.stack([jnp.zeros((), jnp.uint32), seed.astype(jnp.uint32)])
        seed = int(seed)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise InitialConditionsError(
            f"the seed is {seed!r}; expected a whole number from 0 to 2^64 - 1"
        )
    high, low = divmod(int(seed), 2**32)
    return jnp.array([high, low], dtype=jnp.uint32)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _noise(key: Array, mesh: Mesh, fixed: bool, dtype: jnp.dtype) -> Float[Array, "n n n"]:
    modes = modes_of_rows(key, mesh, fixed, dtype, np.arange(mesh.cells))
    return jnp.fft.irfftn(modes, s=mesh.shape) * jnp.asarray(mesh.cells**1.5, dtype)


def modes_of_rows(
    key: Array, mesh: Mesh, fixed: bool, dtype: jnp.dtype, rows: Array | np.ndarray
) -> Complex[Array, "r n half"]:
    """Modes of unit variance, Hermitian; of some numbers along the first axis."""
    n = mesh.cells
    index = np.fft.fftfreq(n, 1.0 / n).astype(np.int32)
    index[n // 2] = n // 2  # the same wave as -n/2, and below written as its own opposite
    opposite = np.where(index == n // 2, index, -index)
    xp = jnp if isinstance(rows, jax.Array) else np
    first, second = xp.asarray(index)[rows][:, None], index[None, :]
    other_first, other_second = xp.asarray(opposite)[rows][:, None], opposite[None, :]
    # On the planes that are their own opposites, one of each pair of modes gives both.
    turned = (first < other_first) | ((first == other_first) & (second < other_second))
    own = (first == other_first) & (second == other_second)
    i, j = xp.where(turned, other_first, first), xp.where(turned, other_second, second)

    def drawn(i: Any, j: Any, k: np.ndarray) -> tuple[Array, Array]:
        planes = ((i + _MOST_CELLS).astype(np.uint32) << 16) | (j + _MOST_CELLS).astype(np.uint32)
        shape = (len(rows), n, k.size)
        counters = (jnp.broadcast_to(each, shape) for each in (planes[..., None], k))
        bits = threefry_2x32(key, jnp.stack(list(counters)).astype(jnp.uint32).ravel())
        amplitude, phase = ((bits.reshape(2, *shape).astype(dtype) + 0.5) * 2.0**-32).astype(dtype)
        return amplitude, 2.0 * np.pi * phase

    half = np.arange(n // 2 + 1, dtype=np.uint32)
    square = (len(rows), n)
    inside = drawn(xp.broadcast_to(first, square), xp.broadcast_to(second, square), half[1:-1])
    planes = drawn(i, j, half[[0, -1]])
    sizes = [jnp.ones_like(a) if fixed else jnp.sqrt(-jnp.log(a)) for a, _ in (inside, planes)]
    middle = sizes[0] * jnp.exp(1j * inside[1])
    cosine, sine = jnp.cos(planes[1]), jnp.sin(planes[1])
    real = jnp.sign(cosine) if fixed else np.sqrt(2.0).astype(dtype) * cosine
    one = jax.lax.complex(
        jnp.where(own[..., None], real, cosine),
        jnp.where(own[..., None], 0.0, jnp.where(turned[..., None], -sine, sine)),
    )
    ends = sizes[1] * one
    return jnp.concatenate([ends[..., :1], middle, ends[..., 1:]], -1)
