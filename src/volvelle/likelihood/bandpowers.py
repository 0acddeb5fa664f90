"""Binned angular power spectra with a Gaussian covariance, in the bins of Planck's plik-lite."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..boltzmann import Request
from .base import (
    GaussianLikelihood,
    Nuisance,
    NuisanceParameter,
    Theory,
    read_nuisance,
    read_output,
)
from .errors import DataFormatError
from .gaussian_algebra import check_finite, conditional_sigma, noise_of_means, scattered, whitening

L_MIN = 30
L_MAX = 2508
OUTPUTS = {"TT": "lensed_tt", "TE": "lensed_te", "EE": "lensed_ee"}
N_BINS = {"TT": 215, "TE": 199, "EE": 199}
CALIBRATION = NuisanceParameter(
    prior={"dist": "norm", "loc": 1.0, "scale": 0.0025}, ref=1.0, label=r"A_\mathrm{Planck}"
)
"""Planck's absolute calibration of the maps, Planck 2018 V, section 3.3.4."""


class Run(eqx.Module):
    """Adjacent bins of equal width: bin i sums weights[i] C_l from l = start + i width on."""

    weights: Float[Array, "n width"]
    start: int = eqx.field(static=True)

    @property
    def stop(self) -> int:
        """One past the last l."""
        return self.start + self.weights.size


class Binning(eqx.Module):
    """Adjacent bins in l, as runs of equal width, so that binning is a reshape and a sum."""

    runs: tuple[Run, ...]

    @classmethod
    def from_edges(cls, first: np.ndarray, last: np.ndarray, weights: np.ndarray) -> Binning:
        """Bins [first_i, last_i] (inclusive) with weights indexed by l.

        Raises DataFormatError unless the bins follow each other without gaps.
        """
        if np.any(first[1:] != last[:-1] + 1) or np.any(last < first):
            raise DataFormatError("bandpower bins overlap or leave gaps; expected adjacent bins")
        width = last - first + 1
        starts = [0, *(np.flatnonzero(np.diff(width)) + 1), len(width)]
        runs = []
        for a, b in itertools.pairwise(starts):
            block = weights[first[a] : last[b - 1] + 1].reshape(b - a, width[a])
            runs.append(Run(weights=jnp.asarray(block), start=int(first[a])))
        return cls(runs=tuple(runs))

    def bin(self, spectrum: Float[Array, " n_l"]) -> Float[Array, " n_bin"]:
        """Binned spectrum, sum_l w_l C_l per bin; ``spectrum`` is indexed by l from 0."""
        return jnp.concatenate(
            [
                jnp.sum(spectrum[r.start : r.stop].reshape(r.weights.shape) * r.weights, axis=1)
                for r in self.runs
            ]
        )

    def matrix(self, n_l: int) -> np.ndarray:
        """The same as a matrix, shape (n_bin, n_l)."""
        rows = []
        for run in self.runs:
            for i, weights in enumerate(np.asarray(run.weights)):
                row = np.zeros(n_l)
                start = run.start + i * len(weights)
                row[start : start + len(weights)] = weights
                rows.append(row)
        return np.array(rows)


class Bandpowers(eqx.Module):
    """Binned spectra [muK^2] one after another, and their Gaussian covariance.

    ``spectra`` names them (TT, TE, EE); ``data`` has shape (n,); ``whitener`` W, shape (n, n),
    gives chi2 = |W (data - model)|^2; ``sigma`` are the square roots of the variances.
    """

    data: Float[Array, " n"]
    whitener: Float[Array, "n n"]
    sigma: Float[Array, " n"]
    binnings: tuple[Binning, ...]
    spectra: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        data: np.ndarray,
        covariance: np.ndarray,
        binnings: Mapping[str, Binning],
        who: str,
    ) -> Bandpowers:
        """From a data vector [muK^2] and covariance [muK^4] ordered like ``binnings``."""
        check_finite(data, "the data vector", who)
        return cls(
            data=jnp.asarray(data),
            whitener=jnp.asarray(whitening(covariance, who)),
            sigma=jnp.asarray(np.sqrt(np.diag(covariance))),
            binnings=tuple(binnings.values()),
            spectra=tuple(binnings),
        )

    def model(self, spectra: Mapping[str, Array]) -> Float[Array, " n"]:
        """Binned theory [muK^2] in the order of ``data``; C_l [muK^2] by name TT, TE, EE."""
        parts = zip(self.spectra, self.binnings, strict=True)
        return jnp.concatenate([binning.bin(spectra[name]) for name, binning in parts])

    def with_data(self, mean: Float[Array, " n"], key: Array | None) -> Bandpowers:
        """The same covariance with other data, scattered by it when a key is given."""
        return replace(self, data=scattered(mean, self.whitener, key))

    def noise(self) -> dict[str, np.ndarray]:
        """Noise per C_l [muK^2], l = 0..2508, by theory output; see `Likelihood.noise`."""
        sigma = conditional_sigma(np.asarray(self.whitener))
        outputs, start = {}, 0
        for name, binning in zip(self.spectra, self.binnings, strict=True):
            window = binning.matrix(L_MAX + 1)
            outputs[OUTPUTS[name]] = noise_of_means(window, sigma[start : start + len(window)])
            start += len(window)
        return outputs


class CmbBandpowers(GaussianLikelihood):
    """chi2 = |W (d - B C_l / A_planck^2)|^2: bandpowers with one calibration parameter."""

    bandpowers: eqx.AbstractVar[Bandpowers]

    @property
    def requires(self) -> Request:
        """The binned spectra, to l = 2508."""
        return Request(
            spectra=tuple(OUTPUTS[name] for name in self.bandpowers.spectra),
            lmax=L_MAX,
            background=False,
        )

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """The calibration."""
        return {"A_planck": CALIBRATION}

    def model(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """Calibrated, binned theory [muK^2], to be compared with ``bandpowers.data``."""
        calibration = read_nuisance(nuisance, "A_planck", self.name)
        spectra = {
            name: read_output(theory, OUTPUTS[name], self.name, L_MAX + 1)
            for name in self.bandpowers.spectra
        }
        return self.bandpowers.model(spectra) / calibration**2

    def whitened_residual(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """W (d - t)."""
        bandpowers = self.bandpowers
        return bandpowers.whitener @ (bandpowers.data - self.model(theory, nuisance))

    def noise(self) -> dict[str, np.ndarray]:
        """Conditional errors of the bins, spread over their l; C_l [muK^2], l = 0..2508."""
        return self.bandpowers.noise()
