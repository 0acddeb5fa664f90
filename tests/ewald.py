"""The force of a periodic lattice of points by Ewald's sum, in float64 with NumPy."""

import numpy as np
from scipy.special import erfc

REAL_IMAGES, WAVES = 3, 8
"""Boxes and modes on either side: with alpha = 5.6/L both sums are cut at 1e-10 of Newton's force
at the box's size."""


def point_force(d: np.ndarray, box_size: float) -> np.ndarray:
    """g = -grad phi [..., 3] at separations d from a point, laplacian(phi) = L^3 (delta_D - 1/L^3).

    (Hernquist, Bouchet & Suto 1991, equations 2.14a and b, in these units.)
    """
    alpha, flat = 5.6 / box_size, d.reshape(-1, 3)
    force = np.zeros_like(flat)
    for image in np.ndindex(*[2 * REAL_IMAGES + 1] * 3):
        e = flat - box_size * (np.array(image) - REAL_IMAGES)
        r = np.linalg.norm(e, axis=-1, keepdims=True)
        x = alpha * r
        near = erfc(x) + 2.0 / np.sqrt(np.pi) * x * np.exp(-(x**2))
        force -= e * near / r**3 * box_size**3 / (4.0 * np.pi)
    for mode in np.ndindex(*[2 * WAVES + 1] * 3):
        m = np.array(mode) - WAVES
        if 0 < m @ m <= WAVES**2:
            k = 2.0 * np.pi / box_size * m
            k2 = k @ k
            force -= k * (np.sin(flat @ k) * np.exp(-k2 / (4.0 * alpha**2)) / k2)[:, None]
    return force.reshape(d.shape)


def forces(x: np.ndarray, box_size: float) -> np.ndarray:
    """g [N, 3] of particles x [N, 3] on each other, laplacian(phi) = delta."""
    i, j = np.triu_indices(len(x), 1)
    each = point_force(x[i] - x[j], box_size) / len(x)
    total = np.zeros_like(x)
    np.add.at(total, i, each)
    np.add.at(total, j, -each)
    return total
