"""High-l bandpowers simulated from a theory with Planck's published noise and beams.

White noise levels and beam widths: Planck 2018 I (arXiv:1807.06205), table 4. The bins follow
plik-lite's rule, Planck 2018 V (arXiv:1907.12875), section 3.6. Foregrounds, their residuals and
correlations between bins are left out, so that errors are somewhat smaller than the real ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import equinox as eqx
import numpy as np
from jaxtyping import Array

from ..compute import require_float64
from .bandpowers import L_MAX, N_BINS, OUTPUTS, Bandpowers, Binning, CmbBandpowers
from .base import (
    Nuisance,
    Theory,
    read_output,
)
from .errors import LikelihoodOptionError

NAME = "planck_2018_simulated"
CITES = ("arXiv:1807.06205", "arXiv:1907.12875")
SPECTRA = ("TT", "TE", "EE")

ARCMIN = np.pi / 180.0 / 60.0  # [rad]
FWHM = np.array([9.66, 7.22, 4.90])  # [arcmin] at 100, 143, 217 GHz
NOISE_T = np.array([77.4, 33.0, 46.8])  # [muK arcmin]
NOISE_P = np.array([117.6, 70.2, 105.0])  # [muK arcmin]
F_SKY = 0.57  # of the 143 GHz temperature mask, Planck 2018 V, section 3.3.2

BIN_WIDTHS = ((30, 5), (100, 9), (1504, 17), (2014, 33))
"""Planck 2018 V, section 3.6: from this l on, this width."""


def noise_spectrum(levels: np.ndarray, l_max: int = L_MAX) -> np.ndarray:
    """Noise N_l [muK^2] of the channels combined by inverse variance, beam divided out.

    1/N_l = sum over channels of exp(-l(l+1) FWHM^2 / 8 ln 2) / level^2; shape (l_max + 1,).
    """
    l = np.arange(l_max + 1)[:, None]  # noqa: E741
    beam = np.exp(-l * (l + 1) * (FWHM * ARCMIN) ** 2 / (8.0 * np.log(2.0)))
    return 1.0 / np.sum(beam / (levels * ARCMIN) ** 2, axis=1)


def plik_lite_binning(n_bins: int) -> Binning:
    """The first ``n_bins`` bins of plik-lite's rule, weights proportional to l(l+1)."""
    first: list[int] = []
    stops = (*(start for start, _ in BIN_WIDTHS[1:]), L_MAX + 1)
    for (start, width), stop in zip(BIN_WIDTHS, stops, strict=True):
        first.extend(range(start, stop, width))
    edges = np.array([*first, L_MAX + 1])
    weights = np.zeros(L_MAX + 1)
    for a, b in itertools.pairwise(edges):
        l = np.arange(a, b)  # noqa: E741
        weights[a:b] = l * (l + 1) / np.sum(l * (l + 1))
    return Binning.from_edges(edges[:n_bins], edges[1 : n_bins + 1] - 1, weights)


def _spectra_covariance(fiducial: Mapping[str, np.ndarray], f_sky: float) -> np.ndarray:
    """Gaussian covariance of C_l between TT, TE and EE at each l [muK^4], shape (3, 3, n_l).

    Cov(XY, ZW) = (S^XZ S^YW + S^XW S^YZ) / ((2l+1) f_sky), S = C + N.
    """
    total = {
        "TT": fiducial["TT"] + noise_spectrum(NOISE_T),
        "TE": fiducial["TE"],
        "EE": fiducial["EE"] + noise_spectrum(NOISE_P),
    }
    total["ET"] = total["TE"]
    modes = (2 * np.arange(L_MAX + 1) + 1) * f_sky
    covariance = np.zeros((3, 3, L_MAX + 1))
    for i, (x, y) in enumerate(SPECTRA):
        for j, (z, w) in enumerate(SPECTRA):
            pairs = total[x + z] * total[y + w] + total[x + w] * total[y + z]
            covariance[i, j] = pairs / modes
    return covariance


class SimulatedCmb(CmbBandpowers):
    """Gaussian bandpowers like plik-lite's, their data vector made from a fiducial theory."""

    bandpowers: Bandpowers
    name: str = eqx.field(static=True)
    hashes: tuple[tuple[str, str], ...] = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True)
    simulated: bool = eqx.field(static=True)

    @classmethod
    def from_theory(
        cls, fiducial: Theory, f_sky: float = F_SKY, key: Array | None = None
    ) -> SimulatedCmb:
        """Bandpowers of a theory with Planck's noise.

        Args:
            fiducial: theory with ``lensed_tt``, ``lensed_te``, ``lensed_ee`` [muK^2] to l = 2508.
            f_sky: observed fraction of the sky.
            key: JAX random key; when given, the data vector is scattered by its covariance,
                otherwise it is the theory itself.

        Raises LikelihoodOptionError, TheoryError or PrecisionError.
        """
        require_float64(NAME)
        if isinstance(f_sky, bool) or not 0.0 < float(f_sky) <= 1.0:
            raise LikelihoodOptionError(f"{NAME}: f_sky is {f_sky!r}, expected 0 < f_sky <= 1")
        spectra = {
            s: np.asarray(read_output(fiducial, OUTPUTS[s], NAME, L_MAX + 1)) for s in SPECTRA
        }
        covariance = _spectra_covariance(spectra, float(f_sky))
        binnings = {s: plik_lite_binning(N_BINS[s]) for s in SPECTRA}
        windows = [binning.matrix(L_MAX + 1) for binning in binnings.values()]
        blocks = [
            [(windows[i] * covariance[i, j]) @ windows[j].T for j in range(3)] for i in range(3)
        ]
        mean = np.concatenate(
            [window @ spectra[s] for s, window in zip(SPECTRA, windows, strict=True)]
        )
        bandpowers = Bandpowers.create(mean, np.block(blocks), binnings, NAME)
        bandpowers = bandpowers.with_data(bandpowers.data, key)
        return cls(bandpowers=bandpowers, name=NAME, hashes=(), cites=CITES, simulated=True)

    def simulate(
        self, theory: Theory, nuisance: Nuisance, key: Array | None = None
    ) -> SimulatedCmb:
        """The same covariance with data made from another theory; noise when a key is given."""
        drawn = self.bandpowers.with_data(self.model(theory, nuisance), key)
        return replace(self, bandpowers=drawn)
