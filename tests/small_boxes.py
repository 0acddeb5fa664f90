"""What tests of simulations share: universes, boxes that run in a second, single waves."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from volvelle.cosmology import Cosmology, planck18
from volvelle.nbody import InitialConditions, Mesh, ParticleMesh, gaussian
from volvelle.power import EisensteinHu

PLANCK = planck18()
EINSTEIN_DE_SITTER = Cosmology(
    omega_b=0.05, omega_cdm=0.44, h=0.7, A_s=2e-9, n_s=1.0, tau_reio=0.05,
    m_nu=0.0, N_eff=1e-3, T_cmb=0.11,
)  # fmt: skip
"""All matter, radiation 1e-9 of it."""
POWER = EisensteinHu()
MESH = Mesh(16, 32.0)


def small_box(cosmology: Cosmology = PLANCK, seed: int = 5) -> InitialConditions:
    """Gaussian initial conditions on ``MESH`` in float64."""
    return gaussian(cosmology, MESH, seed, power=POWER, dtype=jnp.float64)


def wave(mesh: Mesh, amplitude: float, vector: tuple[int, int, int] = (1, 0, 0)) -> np.ndarray:
    """amplitude cos(k q) on the points of a mesh."""
    axes = 2.0 * np.pi * np.arange(mesh.cells) / mesh.cells
    x, y, z = np.meshgrid(axes, axes, axes, indexing="ij")
    return amplitude * np.cos(vector[0] * x + vector[1] * y + vector[2] * z)


def sharpened(mesh: Mesh) -> ParticleMesh:
    """A force without the smoothing of painting and reading: exact for waves of many cells."""

    def modification(k: object, a: object) -> jnp.ndarray:
        windows = [np.sinc(each * mesh.cell / (2.0 * np.pi)) ** 4 for each in mesh.wavenumbers()]
        return jnp.asarray((windows[0] * windows[1] * windows[2]) ** -2.0)

    return ParticleMesh(mesh, "pcs", modification=modification)
