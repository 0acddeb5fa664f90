"""Multipoles at which spectra of maps are those of the universe, and not of the box or its mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..cosmology import Cosmology
    from ..nbody import Lightcone, Mesh

WAVES, SMOOTH = 2.0, 0.4
"""Wavenumbers that count as resolved: this many times 2 pi / L, below which a box has few, to this
part of the particles' Nyquist wavenumber, above which a mesh of twice as many cells smooths power
away (docs/validation/lightcone_maps.md)."""
SHARE = 0.9
"""Of the power of a multipole that resolved waves have to make."""
NODES, LAYERS, MOST = 96, 4, 8000
"""Of k and a where P is computed; the largest multipole that is looked at."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Resolution:
    """P(k) along a lightcone, and which of its waves a simulation has."""

    waves: Interval
    """[h/Mpc]."""
    log_k: np.ndarray
    distance: np.ndarray
    """[m] of the layers, ascending [Mpc/h]."""
    log_power: np.ndarray
    """[m, k]."""

    @classmethod
    def of(cls, cosmology: Cosmology, mesh: Mesh, cells: int, cone: Lightcone) -> Resolution:
        """By halofit of Eisenstein and Hu's linear power, enough for shares.

        Args:
            mesh: of the particles.
            cells: of the force's mesh, per side.
        """
        import jax.numpy as jnp

        from ..power import nonlinear_power, power_model

        h = float(cosmology.hubble_parameter)
        log_k = np.linspace(np.log(1e-4), np.log(30.0), NODES)
        z = np.linspace(*cone.redshifts, LAYERS)
        k, a = np.meshgrid(np.exp(log_k) * h, 1.0 / (1.0 + z))
        model = power_model("eisenstein_hu", "halofit")
        power = nonlinear_power(cosmology, jnp.asarray(k), jnp.asarray(a), model)
        chi = np.array([cone.distance(1.0 / (1.0 + each)) for each in z])
        coarse = min(1.0, 0.5 * cells / mesh.cells)
        waves = WAVES * mesh.fundamental, SMOOTH * coarse * mesh.nyquist
        return cls(waves, log_k, chi, np.log(np.asarray(power)))

    def multipoles(self, distance: np.ndarray, kernel: np.ndarray) -> Interval:
        """The first and the last multipole that resolved waves make, by Limber's approximation.

        Args:
            distance: [n] in equal steps [Mpc/h].
            kernel: [n] of a field's projection, up to a factor.

        The first is above the last where there is none.
        """
        ell = np.unique(np.round(np.geomspace(2, MOST, 200)))
        chi, weight = distance[distance > 0.0], kernel[distance > 0.0]
        k = ell[:, None] / chi
        terms = (weight / chi) ** 2 * self._power(k, chi)
        has = (k >= self.waves[0]) & (k <= self.waves[1])
        share = np.sum(terms * has, axis=1) / np.maximum(np.sum(terms, axis=1), 1e-300)
        good = ell[share >= SHARE]
        if good.size == 0:
            best = float(ell[int(np.argmax(share))])
            return best, best - 1.0
        return float(good[0]), float(good[-1])

    def _power(self, k: np.ndarray, chi: np.ndarray) -> np.ndarray:
        log_k = np.clip(np.log(k), self.log_k[0], self.log_k[-1])
        layers = np.array([np.interp(log_k, self.log_k, row) for row in self.log_power])
        place = np.interp(chi, self.distance, np.arange(len(self.distance)))
        low = np.clip(place.astype(int), 0, len(self.distance) - 2)
        part, column = place - low, np.arange(chi.size)
        lower, upper = (layers[low + n, :, column].T for n in (0, 1))
        return np.exp(lower + part * (upper - lower))
