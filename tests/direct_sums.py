"""Statistics by direct sums over modes, points and pairs, without a Fourier transform's tricks."""

from itertools import pairwise, product

import numpy as np


def wavenumbers(cells: int) -> np.ndarray:
    """Whole-numbered vectors of the full transform [n, n, n, 3], -n/2 for Nyquist's."""
    one = np.fft.fftfreq(cells, 1.0 / cells)
    return np.stack(np.meshgrid(one, one, one, indexing="ij"), axis=-1)


def power(
    first: np.ndarray, second: np.ndarray, box_size: float, edges: np.ndarray, axis: int = 2
) -> dict[str, np.ndarray]:
    """P_0, P_2, P_4 [3, bins], mean k and number of modes of two real fields."""
    cells = len(first)
    a, b = np.fft.fftn(first), np.fft.fftn(second)
    each = box_size**3 / cells**6 * (a * b.conj()).real
    vectors = 2.0 * np.pi / box_size * wavenumbers(cells)
    k = np.sqrt(np.sum(vectors**2, axis=-1))
    mu = np.divide(vectors[..., axis], k, out=np.zeros_like(k), where=k > 0)
    poles = [np.ones_like(mu), (3 * mu**2 - 1) / 2, (35 * mu**4 - 30 * mu**2 + 3) / 8]
    found: dict[str, list] = {"k": [], "modes": [], "poles": []}
    for low, high in pairwise(edges):
        chosen = (k >= low) & (k < high) & (k > 0)
        found["modes"].append(int(chosen.sum()))
        found["k"].append(k[chosen].mean())
        found["poles"].append(
            [
                (2 * ell + 1) * np.mean((each * p)[chosen])
                for ell, p in zip((0, 2, 4), poles, strict=True)
            ]
        )
    return {
        "k": np.array(found["k"]),
        "modes": np.array(found["modes"]),
        "poles": np.array(found["poles"]).T,
    }


def triangles(
    field: np.ndarray, box_size: float, shells: list[tuple[float, float]]
) -> tuple[complex, int]:
    """Mean of delta1 delta2 delta3 V^2 / N^9 over closed triangles, one side in each shell, given
    in fundamentals; and their number."""
    cells = len(field)
    modes = np.fft.fftn(field)
    vectors = wavenumbers(cells).reshape(-1, 3).astype(int)
    length = np.sqrt(np.sum(vectors**2, axis=1))
    first, second = (vectors[(length >= low) & (length < high)] for low, high in shells[:2])
    low, high = shells[2]
    total, number = 0.0 + 0.0j, 0
    for k1, k2 in product(first, second):
        k3 = -k1 - k2
        if low <= np.sqrt(np.sum(k3**2)) < high:
            total += modes[tuple(k1)] * modes[tuple(k2)] * modes[tuple(k3)]
            number += 1
    return total / number * box_size**6 / cells**9, number


def balls(field: np.ndarray, radius: float) -> np.ndarray:
    """The mean over the mesh points within a radius [cells] of every mesh point."""
    reach = int(radius)
    total, number = np.zeros_like(field), 0
    for offset in product(range(-reach, reach + 1), repeat=3):
        if sum(o**2 for o in offset) <= radius**2:
            total += np.roll(field, offset, axis=(0, 1, 2))
            number += 1
    return total / number


def separations(positions: np.ndarray, other: np.ndarray, box_size: float) -> np.ndarray:
    """Distances of all pairs in a periodic box [n, m]."""
    apart = np.abs(positions[:, None] - other[None])
    return np.sqrt(np.sum(np.minimum(apart, box_size - apart) ** 2, axis=-1))
