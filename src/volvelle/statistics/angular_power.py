"""Angular spectra of maps on a part of the sky, and the theory's in the same bands.

Pseudo-spectra over the fraction of the sky (Hivon et al. 2002, ApJ 567, 2): multipoles that a mask
mixes are not unmixed, so that bands have to be wider than 180 degrees over its extent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import healpy
import numpy as np
from scipy.interpolate import CubicSpline

from volvelle.cosmology import Cosmology, comoving_distance
from volvelle.power import Model, Spectrum
from volvelle.probes import NumberCounts, Table, Tracer, angular_cl

from .errors import SkyError
from .pixel_window import pixel_window
from .shells import checked_distances, checked_mask

_COMPUTED = 40  # multipoles of theory; all others are interpolated
_POINTS = 65  # of n(z) over a shell
_LAST = 1e-2  # scale factor to which distances are looked up


@dataclass(frozen=True)
class AngularPower:
    """C_l of maps in bands."""

    edges: np.ndarray
    """[n + 1] multipoles; a band is low <= l < high."""
    ell: np.ndarray
    """[n] mean multipole, weighted by 2 l + 1."""
    values: np.ndarray
    """[n] without pixels' window and without shot noise."""
    error: np.ndarray
    """[n] expected of Gaussian fields."""
    f_sky: float


def angular_power(
    first: Any,
    edges: Any,
    second: Any = None,
    mask: Any = None,
    noise: float = 0.0,
) -> AngularPower:
    """Spectrum of a map, or the cross-spectrum of two.

    Args:
        first, second: [npix] maps in ring order; their mean over the mask is taken off.
        edges: [n + 1] ascending multipoles, from 2 to at most 3 nside.
        mask: [npix] of bool, or None for the whole sky.
        noise: white noise of the map, or what two maps share of it; it is subtracted.

    The window of the pixels is divided out of what is left after the noise, which independent
    pixels do not smooth. Error: sqrt([C_12^2 + C_11 C_22] / (f_sky sum (2 l + 1))), noise included.
    Raises SkyError for arguments that do not fit.
    """
    bands = checked_bands(edges)
    maps = [np.asarray(each, np.float64) for each in (first, first if second is None else second)]
    pixels = maps[0].size
    if not healpy.isnpixok(pixels) or any(each.shape != (pixels,) for each in maps):
        raise SkyError(f"maps of shapes {[m.shape for m in maps]}; expected pixels of HEALPix")
    nside = healpy.npix2nside(pixels)
    if bands[-1] > 3 * nside:
        raise SkyError(
            f"multipoles to {bands[-1]} of maps of nside {nside}; expected at most {3 * nside}: "
            "take lower edges or finer pixels"
        )
    seen = np.ones(pixels, bool) if mask is None else checked_mask(mask, pixels)
    last = int(bands[-1]) - 1
    alms = [
        healpy.map2alm(np.where(seen, each - each[seen].mean(), 0.0), lmax=last, pol=False)
        for each in (maps[:1] if second is None else maps)
    ]
    f_sky = float(seen.mean())
    window = pixel_window(nside, last) ** 2
    autos = [healpy.alm2cl(each) / f_sky / window for each in alms]
    cross = healpy.alm2cl(alms[0], alms[-1]) / f_sky / window
    error = _error(bands, cross, autos[0], autos[-1], f_sky)
    cross = cross - noise / window
    ell = np.arange(last + 1.0)
    return AngularPower(bands, banded(bands, ell), banded(bands, cross), error, f_sky)


def banded(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[..., n] means over bands of values [..., l] from l = 0, weighted by 2 l + 1."""
    weight = 2.0 * np.arange(values.shape[-1]) + 1.0
    total = np.concatenate(
        [np.zeros((*values.shape[:-1], 1)), np.cumsum(values * weight, axis=-1)], axis=-1
    )
    return np.diff(total[..., edges], axis=-1) / np.diff(edges.astype(float) ** 2)


def _error(
    edges: np.ndarray, cross: np.ndarray, one: np.ndarray, two: np.ndarray, f_sky: float
) -> np.ndarray:
    """[n] of Gaussian fields, from what was measured."""
    mean, first, second = (banded(edges, each) for each in (cross, one, two))
    modes = f_sky * np.diff(edges.astype(float) ** 2)
    return np.sqrt((mean**2 + first * second) / modes)


def checked_bands(edges: Any) -> np.ndarray:
    """[n + 1] as integers; raises SkyError unless they are whole and ascend from 2 or more."""
    given = np.asarray(edges)
    good = given.ndim == 1 and given.size > 1 and np.all(given == np.round(given))
    if not good or given[0] < 2 or np.any(np.diff(given) <= 0):
        raise SkyError(f"edges are {edges}; expected two or more ascending whole multipoles from 2")
    return given.astype(int)


def shell_tracer(
    cosmology: Cosmology, near: float, far: float, tracing: str = "matter"
) -> NumberCounts:
    """Theory beside a shell's contrast: matter between two distances, n ~ chi^2 dchi.

    Args:
        near, far: comoving distances [Mpc/h].
        tracing: ``matter``, or ``cb``, baryons and cold dark matter.

    Without redshift-space distortions, bias 1. Raises SkyError for distances that do not ascend,
    or that lie beyond a = 0.01.
    """
    ends = checked_distances((near, far))
    chi = np.linspace(ends[0], ends[1], _POINTS)
    z = redshift_of(cosmology, chi)
    slope = np.gradient(chi, z, edge_order=2)
    values = np.maximum(chi**2 * slope, 1e-12 * far**2)
    return NumberCounts(Table(z, values), tracing=tracing)  # which jumps at both ends


def redshift_of(cosmology: Cosmology, distance: Any) -> np.ndarray:
    """z at comoving distances [Mpc/h]. Raises SkyError beyond a = 0.01."""
    a = np.exp(np.linspace(0.0, np.log(_LAST), 1000))
    chi = np.asarray(comoving_distance(cosmology, a)) * float(cosmology.hubble_parameter)
    if np.max(distance) > chi[-1]:
        raise SkyError(
            f"a distance of {np.max(distance):g} Mpc/h; expected at most {chi[-1]:g}, at a = 0.01"
        )
    return np.expm1(CubicSpline(chi, -np.log(a))(distance))


def band_theory(
    cosmology: Cosmology,
    edges: Any,
    tracers: Sequence[Tracer],
    power: Model | Spectrum | None = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    limber: str = "auto",
) -> np.ndarray:
    """[pairs, n] the theory's spectra, averaged over bands as ``angular_power`` does.

    Args:
        edges: [n + 1] ascending multipoles.
        tracers: such as ``shell_tracer`` and ``convergence_tracer``.
        power, pairs, limber: as ``probes.angular_cl`` takes them.

    It knows all waves and an infinite universe: a box of side L has none below k = 2 pi / L, so a
    shell at chi lacks power at l < 2 pi chi / L, and above l = k chi what its mesh smooths away.
    """
    bands = checked_bands(edges)
    first, last = int(bands[0]), int(bands[-1]) - 1
    number = min(_COMPUTED, last - first + 1)
    ell = np.unique(np.round(np.geomspace(first, last, number)).astype(int))
    found = angular_cl(cosmology, ell, tracers, power, pairs=pairs, limber=limber)
    values = np.asarray(found.values)
    every = np.zeros((len(values), last + 1))
    if len(ell) == last - first + 1:
        every[:, first:] = values
    else:
        log = np.log(np.arange(first, last + 1.0))
        every[:, first:] = CubicSpline(np.log(ell), values * ell, axis=1)(log) / np.exp(log)
    return banded(bands, every)
