"""The noise of discrete objects in modes from which the assignment was divided out.

Poisson noise of density n has the power 1/n everywhere; painting adds that of all images of a mode
(Jing 2005, astro-ph/0409240), of which interlacing leaves the even ones:

    P(k) = (1/n) sum_m W^2(k + 2 k_N m) / W^2(k),  W = (sin x / x)^p,  x = pi k / (2 k_N).

On the planes of Nyquist's wavenumber an interlaced density has half of the first mesh, hence a
quarter of its noise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import zeta

from volvelle.nbody.assignment import ORDERS

from .density import Density
from .modes import Plane, multiplicity


def noise_planes(density: Density) -> Iterator[Plane]:
    """The expected noise [(Mpc/h)^3] of folded planes: summed over all modes of equal |i|, |j|, |l|
    (see ``modes.folded``)."""
    cells, many = density.cells, multiplicity(density.cells)
    if density.assignment is None:
        every, even = np.ones_like(many), None
    else:
        every, even = _images(cells, ORDERS[density.assignment])
    every = every * many
    plane = np.outer(every, every)
    signed = None if even is None or not density.interlaced else even * many
    for i in range(len(many)):
        total = every[i] * plane
        if signed is not None:
            at_nyquist = 0.25 * total
            total = 0.5 * (total + signed[i] * np.outer(signed, signed))
            total[-1], total[:, -1] = at_nyquist[-1], at_nyquist[:, -1]
            total = at_nyquist if i == len(many) - 1 else total
        yield density.shot_noise * total


def _images(cells: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the images of one axis, all with sign + and with alternating signs, over the mode's
    own: x^s sum_m (x + pi m)^-s, s = 2 order, by Hurwitz' zeta function."""
    q = np.arange(1, cells // 2 + 1) / cells  # x / pi
    s = 2.0 * order
    near, far = zeta(s, q / 2.0), zeta(s, 1.0 - q / 2.0)
    odd = zeta(s, 0.5 + q / 2.0) + zeta(s, 0.5 - q / 2.0)
    scale = (q / 2.0) ** s
    every, signed = scale * (near + far + odd), scale * (near + far - odd)
    return np.concatenate([[1.0], every]), np.concatenate([[1.0], signed])
