"""The distribution of the density in spheres, and its variance from the power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from volvelle.power.filters import top_hat

from .density import Density
from .errors import BinError
from .modes import folded, product, sums
from .painted_noise import noise_planes
from .smoothing import Kernel, check_radius, smoothed

BINS = 100


@dataclass(frozen=True)
class DensityPDF:
    """dP/d(delta) of the density in spheres around every mesh point.

    ``delta`` [bins] are the middles of the bins, ``values`` [bins] the fraction of cells per unit
    of delta, ``cells`` [bins] their number, ``edges`` [bins + 1]; ``mean``, ``variance`` and
    ``skewness`` (<d^3> / <d^2>^2) are those of all cells, within the edges or not, and ``outside``
    is the fraction of those that are not. Shot noise of objects is in it, and adds
    ``shot_variance`` to the variance.
    """

    delta: np.ndarray
    values: np.ndarray
    cells: np.ndarray
    edges: np.ndarray
    radius: float
    kernel: str
    mean: float
    variance: float
    skewness: float
    outside: float
    shot_variance: float


def density_pdf(
    density: Density, radius: float = 10.0, *, edges: Any = None, kernel: Kernel = "sphere"
) -> DensityPDF:
    """The distribution of delta after a top-hat; the assignment is divided out before it.

    Args:
        radius: of the top-hat [Mpc/h].
        edges: of bins in delta, ascending; without any, 100 from the least to the greatest value.
        kernel: ``sphere`` or ``cells``, see ``smoothed``.

    Raises RadiusError for a radius that the mesh does not hold, BinError for edges without a
    meaning.
    """
    values = smoothed(density, radius, kernel)
    given = _edges(values) if edges is None else np.asarray(edges, np.float64)
    if given.ndim != 1 or len(given) < 2 or not np.all(np.diff(given) > 0.0):
        raise BinError("edges of delta have to be two or more, finite and ascending")
    number, _ = np.histogram(values, given)
    mean = float(values.mean(dtype=np.float64))
    off = values - np.asarray(mean, values.dtype)
    second = float(np.mean(off * off, dtype=np.float64))
    third = float(np.mean(off * off * off, dtype=np.float64))
    return DensityPDF(
        delta=0.5 * (given[1:] + given[:-1]),
        values=number / (values.size * np.diff(given)),
        cells=number,
        edges=given,
        radius=radius,
        kernel=kernel,
        mean=mean,
        variance=second,
        skewness=third / second**2 if second else np.nan,
        outside=1.0 - float(number.sum()) / values.size,
        shot_variance=_variance(density, np.array([radius]), noise=True)[0],
    )


def _edges(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise BinError(f"the field is {low} everywhere; give edges of delta")
    return np.linspace(low, np.nextafter(high, np.inf), BINS + 1)


@dataclass(frozen=True)
class Fluctuations:
    """sigma(R) [radii] of the density in spheres of ``radius`` [radii] [Mpc/h].

        sigma^2(R) = (1 / N^6) sum_k |delta_k|^2 W^2(kR) = int d^3k P(k) W^2(kR) / (2 pi)^3

    over the modes of the mesh, exactly the variance of the smoothed field. ``shot_variance``
    [radii] is what discrete objects add to sigma^2.
    """

    radius: np.ndarray
    values: np.ndarray
    shot_variance: np.ndarray

    @property
    def subtracted(self) -> np.ndarray:
        """sigma without shot noise; NaN where nothing is left."""
        left = self.values**2 - self.shot_variance
        return np.where(left >= 0.0, np.sqrt(np.maximum(left, 0.0)), np.nan)


def sigma(density: Density, radii: Any) -> Fluctuations:
    """The root mean square of delta in spheres.

    Args:
        radii: [Mpc/h].

    Raises RadiusError for radii that the box does not hold.
    """
    given = np.atleast_1d(np.asarray(radii, np.float64))
    for radius in given:
        check_radius(density.mesh, radius, "sphere")
    values = np.sqrt(_variance(density, given))
    return Fluctuations(given, values, _variance(density, given, noise=True))


def _variance(density: Density, radii: np.ndarray, noise: bool = False) -> np.ndarray:
    """Of the whole field, or of the noise expected in it [radii]."""
    cells, mesh = density.cells, density.mesh
    if noise and not density.shot_noise:
        return np.zeros(len(radii))
    if noise:
        table = sums(noise_planes(density), cells)[0] / mesh.volume
    else:
        table = sums(folded(product(density.modes), cells), cells)[0] / float(cells) ** 6
    table[0] = 0.0
    x = mesh.fundamental * np.sqrt(np.arange(len(table)))
    return np.array([table @ top_hat(x * radius) ** 2 for radius in radii])
