"""The periodic mesh of a cubic box, in configuration and in Fourier space.

A field is an array [n, n, n] with its values at the mesh points (i, j, k) * cell, and a Fourier
field the array [n, n, n/2 + 1] of ``jnp.fft.rfftn``, not normalised forward.
"""

from __future__ import annotations

import math
import operator

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .errors import MeshError


class Mesh(eqx.Module):
    """A cube of ``cells`` per side and ``box_size`` [Mpc/h], periodic.

    Raises MeshError for a number of cells that is not even and positive, and for a box without a
    finite, positive size.
    """

    cells: int = eqx.field(static=True)
    box_size: float = eqx.field(static=True)

    def __init__(self, cells: int, box_size: float) -> None:
        try:
            self.cells = operator.index(cells)
            self.box_size = float(box_size)
        except (TypeError, ValueError) as error:
            raise MeshError(
                f"a mesh of {cells!r} cells in a box of {box_size!r}; expected a whole number of "
                "cells per side and a number [Mpc/h], both known when the program is traced"
            ) from error
        if self.cells < 2 or self.cells % 2:
            raise MeshError(
                f"a mesh of {self.cells} cells per side; expected an even number from 2 on"
            )
        if not (math.isfinite(self.box_size) and self.box_size > 0.0):
            raise MeshError(f"a box of {self.box_size} Mpc/h; expected a positive, finite size")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a field."""
        return (self.cells, self.cells, self.cells)

    @property
    def fourier_shape(self) -> tuple[int, int, int]:
        """Of a Fourier field."""
        return (self.cells, self.cells, self.cells // 2 + 1)

    @property
    def cell(self) -> float:
        """Side of a cell [Mpc/h]."""
        return self.box_size / self.cells

    @property
    def volume(self) -> float:
        """Of the box [(Mpc/h)^3]."""
        return self.box_size**3

    @property
    def fundamental(self) -> float:
        """2 pi / box_size [h/Mpc]."""
        return 2.0 * np.pi / self.box_size

    @property
    def nyquist(self) -> float:
        """pi / cell [h/Mpc]."""
        return np.pi / self.cell

    def wavenumbers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The components of k [h/Mpc] as [n, 1, 1], [1, n, 1] and [1, 1, n/2 + 1], in float64.

        The Nyquist wavenumber is negative on the first two axes and positive on the third.
        """
        modes = np.fft.fftfreq(self.cells, 1.0 / self.cells)
        half = np.arange(self.cells // 2 + 1.0)
        full, last = self.fundamental * modes, self.fundamental * half
        return full[:, None, None], full[None, :, None], last[None, None, :]

    def k_squared(self) -> Float[Array, "n n half"]:
        """k^2 [(h/Mpc)^2] of every mode, 0 at the first."""
        kx, ky, kz = (jnp.asarray(k**2) for k in self.wavenumbers())
        return kx + ky + kz

    def check(self, field: Array | np.ndarray) -> None:
        """Raise MeshError unless the last three axes of a field are those of this mesh."""
        if field.ndim < 3 or field.shape[-3:] != self.shape:
            raise MeshError(
                f"a field of shape {field.shape} on a mesh of {self.cells} cells per side; "
                f"expected {self.shape} as the last axes"
            )
