"""Gravity of particles by a mesh and by pairs: Newton's law down to a softening length."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .compiled import kernel_threads
from .errors import ForceError
from .force import Density, Force, Modification, modified
from .mesh import Mesh
from .painting_jax import Sums
from .pairs import pull
from .pairs_jax import Pairs
from .particles import as_particles
from .pm import inverse_square, painted_contrast, spectral_slopes
from .splitting import sharpness, short_part, smooth_part
from .sums import gather, sums_on

ASSIGNMENT, ORDER = "pcs", 4
SHORTEST, LONGEST, LARGEST_SHARE = 3.0, 6.0, 0.4
"""Of cutoffs: in cells, and as a share of the box."""
BALL = 2.1875
"""Radius of a softened point over the softening length of Plummer's that has the same depth."""


class P3M(Force):
    """The acceleration of ``ParticleMesh`` with what the mesh smooths away added pair by pair.

    The mesh (cubic splines, spectral gradient) solves for the smooth part of the force, with the
    influence function that is best for it (Hockney & Eastwood 1988, equation 8-22, with the
    images of the assignment and without those of the smooth part, which it hardly has):

        phi = -psi(k)/k^2 U^2/(sum over images of U^2)^2 delta,  U = product of (sin x / x)^4

    and pairs closer than the cutoff add the rest (``splitting``). A pair's force is that of Ewald's
    sum to this share of the mean at its distance, wherever it lies on the mesh:

        cutoff [cells]   3        3.5      4        5
        rms              0.4%     0.24%    0.12%    0.05%
        largest          1.2%     0.6%     0.3%     0.14%

    Closer than 2.1875 softening lengths a point is a ball of density (1 - d^2/b^2)^2 with the
    central potential of Plummer's, -1/softening; it is Newton's point outside.

    The time of the pairs goes with the number of neighbours: 268 within 4 cells where there is a
    particle per cell, more where they cluster.

    Args:
        mesh: a cell or less per particle is usual.
        softening: length as of Plummer's [Mpc/h]; 1/50 to 1/20 of the particles' distance is usual.
        cutoff: of the pairs [cells], 3 to 6.
        modification, density, fraction: as for ``ParticleMesh``. Pairs have the modification at
            the mesh's Nyquist wavenumber, and the mesh the rest of it; other matter is the mesh's.

    Raises ForceError for a cutoff that is too short, too long or more than 0.4 of the box, and for
    a softening that is not positive or reaches to the cutoff.
    """

    mesh: Mesh
    softening: float = eqx.field(static=True)
    cutoff: float = eqx.field(static=True)
    modification: Modification | None
    density: Density | None
    fraction: float | Array

    def __init__(
        self,
        mesh: Mesh,
        softening: float,
        cutoff: float = 4.0,
        *,
        modification: Modification | None = None,
        density: Density | None = None,
        fraction: float | Array = 1.0,
    ) -> None:
        self.mesh, self.softening, self.cutoff = mesh, float(softening), float(cutoff)
        self.modification, self.density, self.fraction = modification, density, fraction
        if not SHORTEST <= self.cutoff <= LONGEST:
            raise ForceError(
                f"a cutoff of {cutoff} cells; expected {SHORTEST} to {LONGEST}: a shorter one is "
                "less accurate than 1%, a longer one costs more than a finer mesh"
            )
        if self.cutoff > LARGEST_SHARE * mesh.cells:
            raise ForceError(
                f"a cutoff of {cutoff} cells on a mesh of {mesh.cells} per side; expected at most "
                f"{LARGEST_SHARE} of the box: take a finer mesh"
            )
        reach = BALL * self.softening
        if not (math.isfinite(reach) and 0.0 < reach < self.cutoff * mesh.cell):
            raise ForceError(
                f"a softening of {softening} Mpc/h; expected more than 0 and less than "
                f"{self.cutoff * mesh.cell / BALL:.4g}, where softened points reach the cutoff"
            )

    def __call__(self, positions: Any, a: Any = 1.0) -> Float[Array, "n 3"]:
        """g [Mpc/h] at positions [N, 3] [Mpc/h], any real numbers, at scale factor ``a``.

        Raises ParticleError for positions of another shape, NaN and infinity.
        """
        on = sums_on(self.mesh, ASSIGNMENT)
        return self._solve(on, self.pairs(), as_particles(positions), jnp.asarray(a))

    @eqx.filter_jit
    def _solve(
        self, on: Sums, pairs: Pairs, x: Float[Array, "n 3"], a: Array
    ) -> Float[Array, "n 3"]:
        mesh, near = self.mesh, self.fraction
        green = self.influence(x.dtype)
        factor: Array | float = 1.0
        if self.modification is not None:
            factor = modified(mesh, self.modification, a, x.dtype)
            limit = factor[0, 0, -1]  # k = (0, 0, Nyquist)
            green = limit * green + (factor - limit) * self.influence(x.dtype, smooth=False)
            near = near * limit
        potential = -self.fraction * green * painted_contrast(on, x)
        if self.density is not None:
            other = jnp.asarray(self.density(a)).astype(potential.dtype)
            potential -= factor * self.influence(x.dtype, smooth=False, painted=False) * other
        smooth = gather(on, x, spectral_slopes(mesh, potential))
        per_point = mesh.volume / (4.0 * np.pi * len(x))
        return smooth + (near * per_point) * pull(pairs, x)

    def pairs(self) -> Pairs:
        """The short part of the force."""
        return Pairs(
            box_size=self.mesh.box_size,
            cutoff=self.cutoff * self.mesh.cell,
            softening=BALL * self.softening,
            short=short_part(sharpness(self.cutoff)),
            threads=kernel_threads(),
        )

    def influence(
        self, dtype: Any, *, smooth: bool = True, painted: bool = True
    ) -> Float[Array, "n n half"]:
        """From a density to -potential, psi/k^2 (U/sum of U^2)^2 [(Mpc/h)^2].

        With psi = 1 if not ``smooth``; with U/sum of U^2 once for what is only read.
        """
        mesh, found = self.mesh, inverse_square(self.mesh, dtype)
        if smooth:
            modes = np.arange(3 * (mesh.cells // 2) ** 2 + 1)  # (k/fundamental)^2 as it occurs
            kappa = 2.0 * np.pi / mesh.cells * self.cutoff * np.sqrt(modes)
            psi = jnp.asarray(smooth_part(kappa, sharpness(self.cutoff)), dtype)
            x, y, z = (np.rint((k / mesh.fundamental) ** 2) for k in mesh.wavenumbers())
            found = found * psi[sum(jnp.asarray(each, jnp.int32) for each in (x, y, z))]
        for k in mesh.wavenumbers():
            x = 0.5 * mesh.cell * k
            undone = np.sinc(x / np.pi) ** ORDER / image_sum(x)
            found = found * jnp.asarray(undone ** (2 if painted else 1), dtype)
        return found


def image_sum(x: np.ndarray) -> np.ndarray:
    """The sum over m of (sin y / y)^8 at y = x + pi m (Hockney & Eastwood 1988, section 8-4-2)."""
    s = np.sin(x) ** 2
    return 1.0 - 4.0 / 3.0 * s + 2.0 / 5.0 * s**2 - 4.0 / 315.0 * s**3
