"""Densities averaged over spheres.

Two kernels, because a sphere of a few cells is no sphere:

- ``sphere``: W(kR) = 3 (sin x - x cos x) / x^3, the sphere itself, of which a mesh knows the modes
  below Nyquist's only; it rings, below -1 even, where R is a few cells.
- ``cells``: the mean over the mesh points at a distance of R or less, a kernel that is positive.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from volvelle.nbody import Mesh
from volvelle.power.filters import top_hat

from .density import Density, cosine_transform, inverse
from .errors import RadiusError
from .modes import squares

Kernel = Literal["sphere", "cells"]
KERNELS = ("sphere", "cells")
INSIDE = 1e-9
"""Relative, of a squared distance that is meant to be R."""


def check_radius(mesh: Mesh, radius: float, kernel: str) -> None:
    """Raise RadiusError for a sphere that the mesh does not hold, or another kernel."""
    if kernel not in KERNELS:
        raise RadiusError(f"kernel is {kernel!r}; expected one of {', '.join(KERNELS)}")
    if not (np.isfinite(radius) and 0.0 < radius < 0.5 * mesh.box_size):
        raise RadiusError(
            f"a radius of {radius} Mpc/h; expected more than 0 and less than half of the box, "
            f"{0.5 * mesh.box_size:.6g}"
        )
    if kernel == "cells" and radius < mesh.cell:
        raise RadiusError(
            f"a radius of {radius:.4g} Mpc/h is less than a cell, {mesh.cell:.4g}; take more cells "
            "or kernel='sphere'"
        )


def smoothed(density: Density, radius: float, kernel: Kernel = "sphere") -> np.ndarray:
    """delta averaged over spheres [n, n, n], in the precision of the density.

    Args:
        radius: of the spheres [Mpc/h].
        kernel: ``sphere`` or ``cells``, see above.

    Raises RadiusError for a radius that the mesh does not hold.
    """
    check_radius(density.mesh, radius, kernel)
    weights = kernel_modes(density.mesh, radius, kernel)
    half = density.cells // 2
    modes = np.empty_like(density.modes)
    for i in range(density.cells):
        octant = weights[min(i, density.cells - i)].astype(density.precision, copy=False)
        plane = density.modes[i]
        np.multiply(plane[: half + 1], octant, out=modes[i, : half + 1])
        np.multiply(plane[half + 1 :], octant[half - 1 : 0 : -1], out=modes[i, half + 1 :])
    return inverse(modes, density.cells)


def kernel_modes(mesh: Mesh, radius: float, kernel: Kernel) -> np.ndarray:
    """The transform of a kernel, 1 for the mean, over |i|, |j|, |l| [n/2 + 1, n/2 + 1, n/2 + 1]."""
    square = squares(mesh.cells)
    total = square[:, None, None] + square[:, None] + square
    if kernel == "sphere":
        x = mesh.fundamental * radius * np.sqrt(np.arange(3.0 * square[-1] + 1.0))
        return top_hat(x).astype(np.float32 if mesh.cells > 64 else np.float64)[total]
    ball = inside(total, radius / mesh.cell).astype(np.float32 if mesh.cells > 64 else np.float64)
    # even along every axis: the cosine transform of an octant is the transform of the whole
    found = cosine_transform(ball)
    return found / found[0, 0, 0]


def inside(squared: np.ndarray, radius: float) -> np.ndarray:
    """Which squared distances [cells^2] are those of mesh points at ``radius`` [cells] or less."""
    return squared <= radius**2 * (1.0 + INSIDE)
