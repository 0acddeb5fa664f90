"""A mock 3x2pt data vector in SACC form, from maps of galaxies and of convergence.

Shear has no B-modes in Born's approximation, and

    C_l^EE = (l + 2)(l - 1) / [l (l + 1)] C_l^kk,

with the root of that factor where one of two fields is shear; within a band it is that of the
band's mean multipole, which at l > 10 is right to 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import healpy
import numpy as np
import sacc

from volvelle.cosmology import Cosmology
from volvelle.power import Model
from volvelle.probes import (
    NumberCounts,
    Table,
    WeakLensing,
    angular_cl,
    gaussian_covariance,
    super_sample_covariance,
)

from .angular_power import angular_power, checked_bands
from .errors import SkyError

COUNTS, SHEAR = "galaxy_density", "galaxy_shear"
_TYPES = {
    (COUNTS, COUNTS): "galaxy_density_cl",
    (COUNTS, SHEAR): "galaxy_shearDensity_cl_e",
    (SHEAR, SHEAR): "galaxy_shear_cl_ee",
}


@dataclass(frozen=True)
class SkySample:
    """A map of a sample, and what is known of it."""

    kind: str
    """``galaxy_density``: the map is a contrast; ``galaxy_shear``: a convergence."""
    sky: np.ndarray
    """[npix] in ring order."""
    distribution: Table
    noise: float
    """White spectrum of the map's noise, subtracted from its own spectrum; in the covariance."""
    bias: float = 1.0
    """Of counts, for the covariance."""


def mock_data_vector(
    cosmology: Cosmology,
    samples: Mapping[str, SkySample],
    edges: Any,
    mask: Any = None,
    power: Model | None = None,
    super_sample: bool = False,
) -> Any:
    """Spectra of all pairs of maps with bandpower windows, n(z) and a Gaussian covariance.

    Args:
        samples: by name, counts first.
        edges: [n + 1] ascending multipoles from 2.
        mask: [npix] of bool, or None for the whole sky.
        power: of the covariance's spectra, as ``probes.angular_cl`` takes it (Limber's).
        super_sample: whether the covariance has what waves longer than the mask do to all bands
            together, beside the Gaussian one.

    Returns a ``sacc.Sacc``, to be saved by ``save_fits`` and read by the likelihood ``two_point``.
    Raises SkyError for a kind that is none, and for shear before counts.
    """
    bands = checked_bands(edges)
    kinds = [each.kind for each in samples.values()]
    if not kinds or any(kind not in (COUNTS, SHEAR) for kind in kinds) or kinds != sorted(kinds):
        raise SkyError(f"samples are {kinds}; expected {COUNTS} first and then {SHEAR}")
    made = sacc.Sacc()
    for name, each in samples.items():
        n = np.asarray(each.distribution.values)
        spin = 2 if each.kind == SHEAR else 0
        made.add_tracer("NZ", name, each.distribution.z, n, quantity=each.kind, spin=spin)
    ell = np.arange(bands[0], bands[-1], dtype=float)
    inside = (ell[:, None] >= bands[:-1]) & (ell[:, None] < bands[1:])
    weight = inside * (2.0 * ell[:, None] + 1.0)
    window = sacc.BandpowerWindow(ell, weight / weight.sum(axis=0))
    f_sky, middle = 1.0, window.weight.T @ ell
    for one, two in combinations_with_replacement(samples, 2):
        first, second = samples[one], samples[two]
        auto = one == two
        found = angular_power(
            first.sky, bands, None if auto else second.sky, mask, first.noise if auto else 0.0
        )
        f_sky, pair = found.f_sky, (first.kind, second.kind)
        factor = ((middle + 2.0) * (middle - 1.0) / (middle * (middle + 1.0))) ** (
            0.5 * pair.count(SHEAR)
        )
        made.add_ell_cl(_TYPES[pair], one, two, middle, factor * found.values, window=window)
    tracers = [
        NumberCounts(each.distribution, bias=each.bias)
        if each.kind == COUNTS
        else WeakLensing(each.distribution)
        for each in samples.values()
    ]
    spectra = angular_cl(cosmology, middle, tracers, power, limber="always")
    noise = np.array([each.noise for each in samples.values()])
    covariance = gaussian_covariance(spectra, noise, f_sky, edges=bands).dense()
    if super_sample:
        shared = super_sample_covariance(
            cosmology, middle, tracers, power, window=_window(mask, samples)
        )
        covariance = covariance + shared.dense()
    made.add_covariance(np.asarray(covariance))
    return made


def _window(mask: Any, samples: Mapping[str, SkySample]) -> np.ndarray:
    """[l] sum over m of |w_lm|^2 of a mask of integral 1."""
    pixels = next(iter(samples.values())).sky.size
    seen = np.ones(pixels) if mask is None else np.asarray(mask, np.float64)
    nside = healpy.npix2nside(pixels)
    last = 2 * nside
    whole = seen / (seen.sum() * healpy.nside2pixarea(nside))
    found = np.asarray(healpy.anafast(whole, lmax=last, pol=False))
    return (2.0 * np.arange(last + 1.0) + 1.0) * found
