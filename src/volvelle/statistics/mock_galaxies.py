"""Mock galaxies: particles of a lightcone drawn with n(z), linear bias and redshift distortions.

A particle's weight is w = exp(b_L delta - b_L^2 sigma^2 / 2), b_L = b - 1, with the linear contrast
delta of its place of origin. For Gaussian fields the response of its mean to a long wave is b_L
exactly, and particles move with the matter, so that on large scales galaxies have the bias b
(Bardeen et al. 1986, ApJ 304, 15; Mo & White 1996, MNRAS 282, 347).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np
from astropy.table import Table as AstropyTable

from volvelle.cosmology import LIGHT_SPEED, Cosmology, hubble
from volvelle.nbody import Mesh
from volvelle.probes import Distribution

from .errors import SkyError
from .shells import checked_positions


@dataclass(frozen=True)
class Galaxies:
    """A catalogue [N] on the sky."""

    ra: np.ndarray
    """[deg], 0 to 360."""
    dec: np.ndarray
    """[deg]."""
    z_cosmological: np.ndarray
    z_observed: np.ndarray
    """With the peculiar velocity along the line of sight."""
    weight: np.ndarray


def gaussian_smoothed(density: Any, mesh: Mesh, radius: float) -> np.ndarray:
    """A field [n, n, n] of a periodic mesh times exp(-k^2 R^2 / 2), in its own precision.

    Args:
        density: such as the linear contrast that ``bias_weights`` takes at places of origin.
        radius: R [Mpc/h].
    """
    field = np.asarray(density)
    modes = np.fft.rfftn(field)
    for k in mesh.wavenumbers():
        modes *= np.exp(-0.5 * (radius * k) ** 2)
    return np.fft.irfftn(modes, s=mesh.shape, axes=(0, 1, 2)).astype(field.dtype)


def bias_weights(density: Any, bias: float, variance: Any) -> np.ndarray:
    """[N] weights of particles whose linear bias is ``bias``; see the module.

    Args:
        density: [N] linear contrast, smoothed, where every particle started, grown to the time at
            which it is seen.
        variance: sigma^2 of that contrast, a number, or [N] at the times of the particles.
    """
    local = bias - 1.0
    return np.exp(local * np.asarray(density, np.float64) - 0.5 * local**2 * np.asarray(variance))


def galaxy_density(
    cosmology: Cosmology, distance: Any, a: Any, sample: Distribution, per_steradian: float
) -> np.ndarray:
    """[N] comoving number [(h/Mpc)^3] n_g n(z) (dz / dchi) / chi^2 of a sample on the lightcone.

    Args:
        distance: [N] comoving [Mpc/h].
        a: [N] scale factor there.
        sample: n(z), by cosmological redshift.
        per_steradian: galaxies on the sky [1/sr].
    """
    scale = np.asarray(a, np.float64)
    per_length = (
        np.asarray(hubble(cosmology, jnp.asarray(scale))) / LIGHT_SPEED / cosmology.hubble_parameter
    )
    number = per_steradian * np.asarray(sample(1.0 / scale - 1.0))
    return np.asarray(number * per_length / np.asarray(distance) ** 2)


def mock_galaxies(
    cosmology: Cosmology,
    positions: Any,
    velocities: Any,
    a: Any,
    sample: Distribution,
    per_steradian: float,
    density: float,
    weights: Any = None,
    seed: int | Sequence[int] = 0,
) -> Galaxies:
    """Draw galaxies from particles: of each a Poisson number with the mean n_g(z) w / nbar.

    Args:
        positions: [N, 3] relative to the observer [Mpc/h].
        velocities: [N, 3] peculiar [km/s].
        a: [N] scale factor at which a particle crosses the lightcone.
        sample: n(z), by cosmological redshift.
        per_steradian: galaxies on the sky [1/sr].
        density: mean comoving number of particles [(h/Mpc)^3].
        weights: [N], such as ``bias_weights``; 1, which is bias 1, for None.
        seed: one whole number or several, of which every set has its own galaxies.

    Raises SkyError for arrays that do not fit, and where more galaxies than particles are wanted:
    many at one place have shot noise of the particles.
    """
    places = checked_positions(positions)
    speeds, scale = np.asarray(velocities, np.float64), np.asarray(a, np.float64)
    number = len(places)
    weight = np.ones(number) if weights is None else np.asarray(weights, np.float64)
    if speeds.shape != places.shape or scale.shape != (number,) or weight.shape != (number,):
        raise SkyError(
            f"{number} positions with velocities {speeds.shape}, a {scale.shape} and weights "
            f"{weight.shape}; expected ({number}, 3), ({number},) and ({number},)"
        )
    distance = np.sqrt(np.sum(places**2, axis=1))
    z = 1.0 / scale - 1.0
    wanted = galaxy_density(cosmology, distance, scale, sample, per_steradian)
    if np.any(wanted > density):
        worst = int(np.argmax(wanted))
        raise SkyError(
            f"{wanted[worst]:.3g} galaxies per (Mpc/h)^3 at z = {z[worst]:.3g} from {density:.3g} "
            "particles; ask for fewer per steradian or take more particles"
        )
    rng = np.random.default_rng(seed)
    chosen = np.repeat(np.arange(number), rng.poisson(wanted / density * weight))
    x, y, height = (places[chosen] / distance[chosen, None]).T
    radial = np.sum(places * speeds, axis=1) / distance
    observed = (1.0 + z) * (1.0 + radial / LIGHT_SPEED) - 1.0
    return Galaxies(
        ra=np.degrees(np.arctan2(y, x)) % 360.0,
        dec=np.degrees(np.arcsin(np.clip(height, -1.0, 1.0))),
        z_cosmological=z[chosen],
        z_observed=observed[chosen],
        weight=np.ones(len(chosen)),
    )


def write_galaxies(path: str | Path, galaxies: Galaxies) -> Path:
    """Write a catalogue, whole or not at all: a table in FITS (.fits) or columns in HDF5 (.hdf5).

    Raises SkyError for another suffix.
    """
    target = Path(path)
    columns = {name: getattr(galaxies, name) for name in Galaxies.__dataclass_fields__}
    temporary = target.with_name(f".{target.stem}.tmp{target.suffix}")
    if target.suffix == ".fits":
        AstropyTable(columns).write(temporary, format="fits", overwrite=True)
    elif target.suffix == ".hdf5":
        with h5py.File(temporary, "w") as file:
            for name, values in columns.items():
                file[name] = values
    else:
        raise SkyError(f"{target.name} ends in {target.suffix!r}; expected .fits or .hdf5")
    temporary.replace(target)
    return target
