"""Maps, galaxies and a data vector of one lightcone: made of its file, measured, stored."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import healpy
import jax.numpy as jnp
import numpy as np

from ..learning import write_atomically
from ..nbody import (
    Crossings,
    Lightcone,
    check_memory,
    crossing_pieces,
    gaussian,
    peak_memory,
)
from ..power import power_model
from ..statistics import (
    Galaxies,
    Shells,
    angular_power,
    bias_weights,
    convergence,
    convergence_noise,
    galaxy_density,
    gaussian_smoothed,
    mock_galaxies,
    shells,
    write_galaxies,
)
from . import redshifts
from .lightcone_task import WHOLE
from .maps_plan import ROWS, SkyMaps, SkyPlan
from .mock_task import MOCK, write_mock
from .simulate_configuration import Realisation, SimulateConfiguration

MADE = "maps.json"
SHELLS = "shells.fits"
GALAXIES, COUNTS, KAPPA = "galaxies_{}", "counts_{}.fits", "convergence_{}.fits"
"""Names of files, by those of samples and sources."""


def maps_made(configuration: SimulateConfiguration, one: Realisation) -> dict[str, Any] | None:
    """What ``map_sky`` returned, where it is done by the blocks of this file."""
    plan, path = configuration.sky, configuration.output / one.name / MADE
    if plan is None or not path.is_file():
        return None
    content = json.loads(path.read_text())
    done = content["done"] and content["plan"] == f"{configuration.hash} {plan.hash}"
    return content if done else None


def map_sky(configuration: SimulateConfiguration, one: Realisation) -> dict[str, Any]:
    """Make and store all that the plan asks of a lightcone; returns the content of ``maps.json``.

    What is made already is not made again. The same lightcone gives the same bits.
    """
    found, plan, cone = maps_made(configuration, one), configuration.sky, configuration.lightcone
    if found is not None:
        return found
    assert plan is not None and cone is not None, "as was asked for"
    started, folder = time.monotonic(), configuration.output / one.name
    check_memory(configuration.sky_memory)
    content = _begun(configuration, plan, folder / MADE)
    sky = _Sky.of(configuration, one, plan)
    for crossed in crossing_pieces(folder / WHOLE, ROWS):
        sky.add(crossed)
    content["galaxies"] = {each.sample.name: each.write(folder) for each in sky.galaxies}
    if plan.maps is not None:
        assert sky.shells is not None, "they are counted where maps are asked for"
        kappa = _write_maps(configuration, plan.maps, sky, folder)
        content["spectra"] = _spectra(configuration, plan.maps, sky, kappa)
        if plan.survey is not None:
            counted = {each.sample.name: each.contrast for each in sky.galaxies}
            write_mock(configuration, one, plan, counted, kappa, sky.shells, folder)
    content["done"] = True
    content["seconds"] = round(time.monotonic() - started, 2)
    content["memory"] = peak_memory()
    write_atomically(folder / MADE, json.dumps(content, indent=1).encode())
    return content


def _begun(configuration: SimulateConfiguration, plan: SkyPlan, path: Path) -> dict[str, Any]:
    """The content to be filled in; files of another plan that this one does not make are gone."""
    files = []
    for each in plan.galaxies:
        files += [f"{GALAXIES.format(each.name)}.{suffix}" for suffix in ("fits", "hdf5")]
    if plan.maps is not None:
        files += [SHELLS, *(KAPPA.format(each.name) for each in plan.maps.sources)]
        files += [COUNTS.format(each.name) for each in plan.galaxies]
    if plan.survey is not None:
        files.append(MOCK)
    before = json.loads(path.read_text())["files"] if path.is_file() else []
    for name in set(before) - set(files):
        (path.parent / name).unlink(missing_ok=True)
    begun = {
        "plan": f"{configuration.hash} {plan.hash}",
        "done": False,
        "files": files,
        "spectra": {},
    }
    # what an interrupted call leaves is known to the next, which may have another plan
    write_atomically(path, json.dumps(begun).encode())
    return begun


@dataclass
class _Sky:
    """What has been counted of a lightcone until now."""

    cone: Lightcone
    maps: SkyMaps | None
    density: float
    """Of particles [(h/Mpc)^3]."""
    shells: Shells | None
    galaxies: list[_Counted]

    @classmethod
    def of(cls, configuration: SimulateConfiguration, one: Realisation, plan: SkyPlan) -> _Sky:
        cone, initial = configuration.lightcone, None
        assert cone is not None, "as was asked for"
        if any(each.bias != 1.0 for each in plan.galaxies):
            initial = _linear(configuration, one)
        mask = None if plan.maps is None else plan.maps.mask
        found = [
            _Counted(each, configuration, [one.seed, int(one.paired), number], initial, mask)
            for number, each in enumerate(plan.galaxies)
        ]
        return cls(cone, plan.maps, 1.0 / configuration.mesh.cell**3, None, found)

    def add(self, crossed: Crossings) -> None:
        """Count a part of the particles."""
        maps = self.maps
        if maps is not None:
            found = shells(crossed.positions, maps.edges, maps.nside, self.density, maps.mask)
            self.shells = found if self.shells is None else self.shells.plus(found)
        for each in self.galaxies:
            each.add(crossed, self.density)


class _Counted:
    """Galaxies of one sample, and the matter as their n(z) sees it."""

    def __init__(
        self,
        sample: redshifts.Galaxies,
        configuration: SimulateConfiguration,
        seed: list[int],
        initial: np.ndarray | None,
        mask: np.ndarray | None,
    ) -> None:
        self.sample, self.cosmology, self.seed = sample, configuration.cosmology, seed
        cone = configuration.lightcone
        assert cone is not None, "as was asked for"
        self.growth, self.parts = cone.growth, list[Galaxies]()
        self.mask = mask
        self.counts, self.matter = (np.zeros(0 if mask is None else mask.size) for _ in range(2))
        self.squares = 0.0
        """Sum of the squared weights of the matter, which make its noise."""
        self.linear, self.variance = None, 0.0
        if initial is not None and sample.bias != 1.0:
            self.linear = gaussian_smoothed(initial, configuration.mesh, sample.smoothing).ravel()
            self.variance = float(np.var(self.linear, dtype=np.float64))

    def add(self, crossed: Crossings, density: float) -> None:
        """Draw galaxies of a part of the particles of this mean density."""
        sample, z = self.sample, crossed.redshift
        table = sample.distribution
        inside = (z >= table.z_min) & (z <= table.z_max) & (crossed.distance > 0.0)
        positions = np.asarray(crossed.positions[inside], np.float64)
        a, weights = np.asarray(crossed.a[inside], np.float64), None
        if self.linear is not None:
            growth = np.asarray(self.growth(jnp.asarray(a))[0])[:, 0]
            local = growth * self.linear[crossed.index[inside]]
            weights = bias_weights(local, sample.bias, growth**2 * self.variance)
        velocities = crossed.velocities[inside] if sample.rsd else np.zeros_like(positions)
        self.parts.append(
            mock_galaxies(
                self.cosmology,
                positions,
                velocities,
                a,
                table,
                sample.per_steradian,
                density,
                weights,
                seed=[*self.seed, len(self.parts)],
            )
        )
        if self.mask is None:
            return
        distance = np.linalg.norm(positions, axis=1)
        mean = galaxy_density(self.cosmology, distance, a, table, sample.per_steradian) / density
        nside, pixels = healpy.npix2nside(self.mask.size), self.mask.size
        pixel, found = healpy.vec2pix(nside, *positions.T), self.parts[-1]
        mean = mean * self.mask[pixel]
        self.matter += np.bincount(pixel, mean, pixels)
        self.squares += float(np.sum(mean**2))
        pixel = healpy.ang2pix(nside, found.ra, found.dec, lonlat=True)
        self.counts += np.bincount(pixel[self.mask[pixel]], minlength=pixels)

    @property
    def contrast(self) -> tuple[np.ndarray, float]:
        """The map of galaxies, 0 outside of the mask, and its white noise: 1 over number per sr."""
        return self._contrast(self.counts, 1.0 / max(float(self.counts.sum()), 1.0))

    @property
    def matter_contrast(self) -> tuple[np.ndarray, float]:
        """The same of the matter that n(z) sees, each particle with its mean number of galaxies."""
        total = max(float(self.matter.sum()), 1e-30)
        return self._contrast(self.matter, self.squares / total**2)

    def _contrast(self, counts: np.ndarray, share: float) -> tuple[np.ndarray, float]:
        assert self.mask is not None, "there is a map"
        mean = max(float(counts[self.mask].mean()), 1e-30)
        area = healpy.nside2pixarea(healpy.npix2nside(self.mask.size)) * float(self.mask.sum())
        return np.where(self.mask, counts / mean - 1.0, 0.0), area * share

    def write(self, folder: Path) -> dict[str, Any]:
        """The catalogue in two forms; how many."""
        columns = Galaxies.__dataclass_fields__
        parts = self.parts
        whole = Galaxies(*(np.concatenate([getattr(p, n) for p in parts]) for n in columns))
        for suffix in ("fits", "hdf5"):
            write_galaxies(folder / f"{GALAXIES.format(self.sample.name)}.{suffix}", whole)
        return {"number": len(whole.ra), "bias": self.sample.bias}


def _linear(configuration: SimulateConfiguration, one: Realisation) -> np.ndarray:
    """The linear density of today from which the simulation started."""
    file = configuration.file
    initial = gaussian(
        configuration.cosmology,
        configuration.mesh,
        one.seed,
        power=power_model(file.power.linear, "none"),
        species=configuration.species,
        fixed_amplitude=file.initial.fixed_amplitude,
        paired=one.paired,
        f_nl=file.initial.f_nl,
        dtype=jnp.dtype(file.precision),
    )
    return np.asarray(initial.density)


def _write_maps(
    configuration: SimulateConfiguration, maps: SkyMaps, sky: _Sky, folder: Path
) -> dict[str, np.ndarray]:
    """Shells, convergence and counts in FITS; returns the convergence by the names of sources."""
    found = sky.shells
    assert found is not None, "they are counted where maps are asked for"
    header: list[tuple[str, Any, str]] = [
        (f"EDGE{n:03d}", float(edge), "[Mpc/h] comoving") for n, edge in enumerate(found.edges)
    ]
    names = [f"SHELL{n:03d}" for n in range(len(found.counts))]
    write_map(folder / SHELLS, found.contrast, maps.mask, names, header)
    kappa = {}
    for each in maps.sources:
        kappa[each.name] = convergence(configuration.cosmology, found, each.distribution)
        note = [("SOURCES", each.words, "")]
        path = folder / KAPPA.format(each.name)
        write_map(path, kappa[each.name][None], maps.mask, ["KAPPA"], note)
    for each in sky.galaxies:
        path = folder / COUNTS.format(each.sample.name)
        write_map(path, each.counts[None], maps.mask, ["COUNTS"], [])
    return kappa


def write_map(
    path: Path,
    values: np.ndarray,
    mask: np.ndarray,
    names: list[str],
    header: list[tuple[str, Any, str]],
) -> None:
    """[n, npix] maps in HEALPix's FITS, float32, what is not seen marked; whole or not at all."""
    draft = path.with_name(f".{path.name}.draft.fits")
    shown = np.where(mask, values, healpy.UNSEEN).astype(np.float32)
    healpy.write_map(
        draft, list(shown), column_names=names, dtype=np.float32, coord="C", overwrite=True,
        extra_header=header,
    )  # fmt: skip
    draft.replace(path)


def _spectra(
    configuration: SimulateConfiguration, maps: SkyMaps, sky: _Sky, kappa: dict[str, np.ndarray]
) -> dict[str, Any]:
    """C_l of shells, convergence and galaxies; of these with the matter as well."""
    found = sky.shells
    assert found is not None, "they are counted where maps are asked for"
    spectra: dict[str, Any] = {}

    def keep(name: str, sky: np.ndarray, noise: float, other: np.ndarray | None = None) -> None:
        power = angular_power(sky, maps.bands, other, maps.mask, noise)
        spectra[name] = {
            "values": power.values.tolist(),
            "error": power.error.tolist(),
            "noise": float(noise),
        }

    for n, (contrast, noise) in enumerate(zip(found.contrast, found.shot_noise, strict=True)):
        keep(f"shell {n}", contrast, noise)
    for each in maps.sources:
        noise = float(convergence_noise(configuration.cosmology, found, each.distribution))
        keep(f"convergence {each.name}", kappa[each.name], noise)
    for each in sky.galaxies:
        name = each.sample.name
        contrast, noise = each.contrast
        matter, shot = each.matter_contrast
        keep(f"galaxies {name}", contrast, noise)
        keep(f"galaxies {name} with matter", contrast, shot, matter)
        keep(f"matter of {name}", matter, shot)
    return spectra
