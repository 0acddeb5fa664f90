"""The window of HEALPix's pixels, computed: healpy fetches its table from the network.

w_l^2 = < mean over pairs of points of a pixel of P_l(cos theta) >_pixels
"""

from __future__ import annotations

from functools import lru_cache

import healpy
import numpy as np
from scipy.special import eval_legendre

_DIVIDED = 8  # subpixels per side of a pixel, a power of 2
_PIXELS = 400  # of which the mean is taken; shapes differ from pixel to pixel
_BINS = 2000  # of separations


@lru_cache(maxsize=16)
def pixel_window(nside: int, last: int) -> np.ndarray:
    """w_l [last + 1] from l = 0: what averaging over pixels does to a map's multipoles.

    Args:
        nside: resolution, a power of 2.
        last: largest multipole.
    """
    pixels = healpy.nside2npix(nside)
    chosen = np.unique(np.linspace(0, pixels - 1, min(_PIXELS, pixels)).astype(int))
    inside = chosen[:, None] * _DIVIDED**2 + np.arange(_DIVIDED**2)
    points = np.stack(healpy.pix2vec(nside * _DIVIDED, inside, nest=True), axis=-1)
    i, j = np.triu_indices(_DIVIDED**2, 1)
    chord = np.sqrt(np.sum((points[:, i] - points[:, j]) ** 2, axis=-1)).ravel()
    angle = 2.0 * np.arcsin(chord / 2.0)
    number, ends = np.histogram(angle, _BINS)
    middle = (ends[1:] + ends[:-1]) / 2.0
    ell = np.arange(last + 1)
    share = number / number.sum()
    pairs = eval_legendre(ell[:, None], np.cos(middle)) @ share
    same = 1.0 / _DIVIDED**2  # pairs of a point with itself
    # Points stand for subpixels, squares nearly, whose own window is close to 1.
    area = healpy.nside2pixarea(nside * _DIVIDED)
    window = (same + (1.0 - same) * pairs) * np.exp(-ell * (ell + 1.0) * area / 12.0)
    return np.sqrt(np.maximum(window, 0.0))
