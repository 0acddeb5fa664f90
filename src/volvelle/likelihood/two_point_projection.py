"""From angular spectra to the elements of a data vector: correlation functions and bandpowers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import block_diag

from ..probes import (
    SKIES,
    angular_transform,
    beam_at,
    correlation_multipoles,
    sufficient_multipole,
)
from .errors import DataFormatError, LikelihoodOptionError
from .two_point_data import SHEAR, Kind, TwoPointData

SHEAR_BEGINS = 2.0
"""Its lowest multipole; windows of masked skies have weights below."""
_MOST = 200
"""Multipoles that are computed as they are; more of them are interpolated."""


def projection(
    data: TwoPointData, edges: Sequence[float] | None, sky: str = "curved"
) -> tuple[np.ndarray, np.ndarray]:
    """Multipoles [l] and the matrix [n, l] from C_l there to every element.

    ``edges``: of the bins of angles [arcmin], over which correlation functions are averaged; None
    takes them at the angles. ``sky``: ``curved`` or ``flat``, of correlation functions. Spectra
    with a map that has one of ``data.beams`` are multiplied by it. Raises
    LikelihoodOptionError for data of both kinds, angles outside of the edges and another sky,
    DataFormatError for windows without weight.
    """
    if sky not in SKIES or (sky != "curved" and not _angular(data).all()):
        raise LikelihoodOptionError(
            f"{data.name}: sky is {sky!r}; expected {' or '.join(SKIES)}, and flat for correlation "
            "functions alone"
        )
    angular = _angular(data)
    if angular.any() and not angular.all():
        raise LikelihoodOptionError(
            f"{data.name}: correlation functions and angular spectra in one data vector; make two "
            "likelihoods of them, or keep some with statistics"
        )
    if not angular.all():
        return _bandpowers(data)
    return _correlations(data, edges, sky)


def _angular(data: TwoPointData) -> np.ndarray:
    """[n] which elements are functions of angle."""
    return np.array([kind.axis == "theta" for kind in data.kinds])


def _correlations(
    data: TwoPointData, edges: Sequence[float] | None, sky: str
) -> tuple[np.ndarray, np.ndarray]:
    ell = correlation_multipoles(sufficient_multipole(data.at.min()))
    matrix = np.empty((len(data.at), ell.size))
    ends = None if edges is None else np.asarray(edges, dtype=float)
    maps = [next(iter(_smoothed(data, pair)), "") for pair in data.pairs]  # one has a beam at most
    kinds = list(zip(data.kinds, maps, strict=True))
    for kind, smoothed in dict.fromkeys(kinds):
        where = np.array([each == (kind, smoothed) for each in kinds])
        beam = data.beams.get(smoothed)
        if ends is None:
            transform = angular_transform(
                kind.function, ell, theta=data.at[where], sky=sky, beam=beam
            )
            matrix[where] = transform.matrix
        else:
            transform = angular_transform(kind.function, ell, edges=ends, sky=sky, beam=beam)
            matrix[where] = transform.matrix[_bins(data, kind, data.at[where], ends)]
    return ell, matrix


def _bins(data: TwoPointData, kind: Kind, at: np.ndarray, edges: np.ndarray) -> np.ndarray:
    inside = (at > edges[0]) & (at < edges[-1])
    if not inside.all():
        raise LikelihoodOptionError(
            f"{data.name}: {kind.name} at {at[~inside][0]:g} arcmin lies outside of the edges, "
            f"{edges[0]:g} to {edges[-1]:g}; give those of the measurement"
        )
    return np.searchsorted(edges, at) - 1


def _smoothed(data: TwoPointData, pair: tuple[str, str]) -> list[str]:
    """Those of a pair that are maps with a beam."""
    return [tracer for tracer in pair if tracer in data.beams]


def _bandpowers(data: TwoPointData) -> tuple[np.ndarray, np.ndarray]:
    windows = []
    for kind, at, window, pair in zip(data.kinds, data.at, data.windows, data.pairs, strict=True):
        ell, weight = (np.array([at]), np.ones(1)) if window is None else window
        for tracer in _smoothed(data, pair):
            weight = weight * beam_at(ell, *data.beams[tracer])
        used = (weight != 0.0) & (ell >= (SHEAR_BEGINS if SHEAR in kind.fields else 0.0))
        if not used.any():
            raise DataFormatError(
                f"{data.name}: an element of {kind.name} at ell = {at:g} has no weight at "
                "multipoles that there are; expected some, from 2 on with shear"
            )
        windows.append((ell[used], weight[used]))
    every = np.unique(np.concatenate([ell for ell, _ in windows]))
    few, rest = every[every < SHEAR_BEGINS], every[every >= SHEAR_BEGINS]
    nodes, spread = rest, np.eye(rest.size)
    if rest.size > _MOST:  # l^2 C_l is smooth in ln l
        nodes = np.geomspace(rest[0], rest[-1], _MOST)
        spline = CubicSpline(np.log(nodes), np.diag(nodes**2))
        spread = spline(np.log(rest)) / rest[:, None] ** 2
    nodes, spread = np.concatenate([few, nodes]), block_diag(np.eye(few.size), spread)
    matrix = np.empty((len(windows), nodes.size))
    for n, (ell, weight) in enumerate(windows):
        matrix[n] = weight @ spread[np.searchsorted(every, ell)]
    return nodes, matrix
