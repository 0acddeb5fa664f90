"""What a force is: the interface of particle-mesh and P3M forces, and of a user's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .mesh import Mesh

Modification = Callable[[Array, Any], Array]
"""A factor of the potential at k [h/Mpc] (an array) and scale factor a."""
Density = Callable[[Any], Array]
"""The density contrast of other matter as Fourier field, times its fraction, at scale factor a."""


class Force(eqx.Module):
    """The acceleration of particles: g = -grad phi, laplacian(phi) = delta, lengths in Mpc/h."""

    @abstractmethod
    def __call__(self, positions: Any, a: Any = 1.0) -> Float[Array, "n 3"]:
        """g [Mpc/h] at positions [N, 3] [Mpc/h], any real numbers, at scale factor ``a``."""


def modified(
    mesh: Mesh, modification: Modification, a: Array, dtype: Any
) -> Float[Array, "n n half"]:
    """The factor of every mode of the mesh; the mean is given the k of the fundamental."""
    k = jnp.sqrt(mesh.k_squared().astype(dtype)).at[0, 0, 0].set(mesh.fundamental)
    return jnp.asarray(modification(k, a)).astype(dtype)
