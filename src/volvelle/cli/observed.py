"""Data beside the best-fit theory, for the report's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..likelihood import (
    Bao,
    Gaussian,
    Likelihood,
    LowL,
    PlikLite,
    SimulatedCmb,
    Supernovae,
    TwoPoint,
)
from ..likelihood.around import innermost
from ..likelihood.bandpowers import L_MAX
from ..likelihood.bao import QUANTITIES


def bandpowers(
    likelihoods: Sequence[Likelihood], theory: Mapping[str, Any], nuisance: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """D_l = l(l+1)C_l/2pi [muK^2] of every binned spectrum: l, data, sigma, best-fit model."""
    result: dict[str, dict[str, Any]] = {}
    for likelihood in map(innermost, likelihoods):
        if isinstance(likelihood, PlikLite | SimulatedCmb):
            result.update(_high_l(likelihood, theory, nuisance))
        elif isinstance(likelihood, LowL):
            result.update(_low_l(likelihood, theory))
    return result


def _high_l(
    likelihood: PlikLite | SimulatedCmb, theory: Mapping[str, Any], nuisance: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    powers = likelihood.bandpowers
    model = np.asarray(likelihood.model(theory, nuisance))
    data, sigma = np.asarray(powers.data), np.asarray(powers.sigma)
    ell = np.arange(L_MAX + 1)
    result: dict[str, dict[str, Any]] = {}
    start = 0
    for name, binning in zip(powers.spectra, powers.binnings, strict=True):
        window = binning.matrix(L_MAX + 1)
        part = slice(start, start + len(window))
        centre = window @ ell / window.sum(axis=1)
        factor = centre * (centre + 1.0) / (2.0 * np.pi)
        result[f"{likelihood.name} {name}"] = {
            "l": centre.tolist(),
            "D_l": (factor * data[part]).tolist(),
            "sigma": (factor * sigma[part]).tolist(),
            "model": (factor * model[part]).tolist(),
        }
        start += len(window)
    return result


def _low_l(likelihood: LowL, theory: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for output, bins in zip(likelihood.outputs, likelihood.bins, strict=True):
        mu, sigma, loc = (np.asarray(v) for v in (bins.mu, bins.sigma, bins.loc))
        window = np.asarray(bins.window)
        ell = np.arange(window.shape[1])
        inside = (window > 0).astype(float)
        middle = np.exp(mu)
        result[f"{likelihood.name} {output.removeprefix('lensed_').upper()}"] = {
            "l": (inside @ ell / inside.sum(axis=1)).tolist(),
            "D_l": (middle + loc).tolist(),
            "sigma": [
                (middle - np.exp(mu - sigma)).tolist(),
                (np.exp(mu + sigma) - middle).tolist(),
            ],
            "model": (window @ np.asarray(theory[output])[: len(ell)]).tolist(),
        }
    return result


def two_point_functions(
    likelihoods: Sequence[Likelihood], theory: Mapping[str, Any], nuisance: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Correlation functions [at arcmin] or spectra [at l] of every pair, with the best-fit model.

    ``theory`` holds the cosmology of the best fit.
    """
    result: dict[str, dict[str, Any]] = {}
    for likelihood in map(innermost, likelihoods):
        if isinstance(likelihood, TwoPoint):
            result[likelihood.name] = {
                "statistic": [kind.name for kind in likelihood.kinds],
                "axis": [kind.axis for kind in likelihood.kinds],
                "pair": [" x ".join(likelihood.pairs[row]) for row in likelihood.row],
                "at": list(likelihood.at),
                "data": np.asarray(likelihood.data).tolist(),
                "sigma": np.asarray(likelihood.sigma).tolist(),
                "model": np.asarray(likelihood.model(theory, nuisance)).tolist(),
            }
    return result


def data_sizes(likelihoods: Sequence[Likelihood]) -> dict[str, int]:
    """Number of data of every likelihood that has a data vector or bins."""
    sizes: dict[str, int] = {}
    for likelihood in map(innermost, likelihoods):
        if isinstance(likelihood, PlikLite | SimulatedCmb):
            sizes[likelihood.name] = likelihood.bandpowers.data.size
        elif isinstance(likelihood, LowL):
            sizes[likelihood.name] = sum(bins.mu.size for bins in likelihood.bins)
        elif isinstance(likelihood, Bao | Supernovae | Gaussian | TwoPoint):
            sizes[likelihood.name] = likelihood.data.size
    return sizes


def distances(
    likelihoods: Sequence[Likelihood], theory: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """BAO ratios and supernova magnitudes with the best-fit model, the free offset taken out."""
    result: dict[str, dict[str, Any]] = {}
    for likelihood in map(innermost, likelihoods):
        if isinstance(likelihood, Bao):
            result[likelihood.name] = {
                "z": np.asarray(likelihood.z).tolist(),
                "quantity": [QUANTITIES[int(q)] for q in likelihood.quantity],
                "data": np.asarray(likelihood.data).tolist(),
                "sigma": np.asarray(likelihood.sigma).tolist(),
                "model": np.asarray(likelihood.model(theory)).tolist(),
            }
        elif isinstance(likelihood, Supernovae):
            residual = np.asarray(likelihood.data - likelihood.model(theory))
            unit = np.asarray(likelihood.whitener @ np.ones(len(residual)))
            white = np.asarray(likelihood.whitener) @ residual
            offset = float(unit @ white / (unit @ unit))
            result[likelihood.name] = {
                "z": np.asarray(likelihood.z_cmb).tolist(),
                "quantity": "magnitude",
                "data": np.asarray(likelihood.data).tolist(),
                "sigma": np.asarray(likelihood.sigma).tolist(),
                "model": (np.asarray(likelihood.model(theory)) + offset).tolist(),
            }
    return result
