"""What is made of a lightcone: maps, galaxies, a data vector; checked before all else runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .document import Document, Key
from .maps_block import MapsBlock, SurveyBlock
from .redshifts import Galaxies, Sources, checked_galaxies, checked_sources
from .resolution import Interval, Resolution

if TYPE_CHECKING:
    from ..cosmology import Cosmology
    from ..nbody import Lightcone, Mesh
    from .lightcone_block import LightconeBlock
    from .simulate_configuration import SimulateFile

BLOCKS = ("maps", "galaxies", "survey")
"""Of a lightcone, which do not change it: what is made of it can be made anew."""
FEWEST = 1.0
"""Particles to a pixel, all shells together; fewer are noise and nothing else."""
NUMBER, FIRST = 10, 8
"""Of bands where none are given, and the lowest multipole."""
ROWS = 2**20
"""Particles that are looked at together."""
PARTICLE, PIXEL = 400, 40
"""Bytes of one of these, and of one pixel of a shell or a sample, while maps are made."""
KERNEL = 0.02
"""Part of the lensing kernel that may be missing where a likelihood counts all of it."""


@dataclass(frozen=True)
class SkyMaps:
    """Shells and convergence."""

    nside: int
    edges: np.ndarray
    """[n + 1] of shells [Mpc/h]."""
    bands: np.ndarray
    """[m + 1] multipoles."""
    mask: np.ndarray
    """[npix] of bool: pixels that lie in the footprint as a whole."""
    sources: tuple[Sources, ...]

    @property
    def f_sky(self) -> float:
        """Fraction of the sky that is seen."""
        return float(self.mask.mean())


@dataclass(frozen=True)
class MockSurvey:
    """A data vector."""

    samples: tuple[str, ...]
    """Galaxies first."""
    statistics: tuple[str, ...]
    bands: np.ndarray
    super_sample: bool
    """In the covariance."""


@dataclass(frozen=True)
class SkyPlan:
    """All that is made of one lightcone."""

    maps: SkyMaps | None
    galaxies: tuple[Galaxies, ...]
    survey: MockSurvey | None
    resolution: Resolution
    spacing: float
    """Of the particles [Mpc/h]."""
    hash: str
    """sha256 of the three blocks."""

    @property
    def sources(self) -> tuple[Sources, ...]:
        """Of the maps."""
        return () if self.maps is None else self.maps.sources

    def shell_resolved(self, low: float, high: float) -> Interval:
        """Multipoles of a shell of matter between two distances [Mpc/h]."""
        chi = np.linspace(low, high, 65)
        return self.resolution.multipoles(chi, chi**2)


def checked_sky(
    document: Document, file: SimulateFile, cosmology: Cosmology, mesh: Mesh, cone: Lightcone
) -> SkyPlan | None:
    """The plan, or None where nothing is asked for; ConfigurationError for what cannot be had."""
    block = file.lightcone
    assert block is not None, "where the cone is from"
    content = block.model_dump(mode="json", include=set(BLOCKS))
    if block.maps is None and not block.galaxies and block.survey is None:
        return None
    resolution = Resolution.of(cosmology, mesh, file.box.mesh or 2 * mesh.cells, cone)
    galaxies = tuple(
        checked_galaxies(document, name, each, cosmology, mesh, cone, resolution)
        for name, each in (block.galaxies or {}).items()
    )
    maps = None
    if block.maps is not None:
        maps = _maps(document, block.maps, cosmology, mesh, cone, resolution)
    plan = SkyPlan(
        maps,
        galaxies,
        None,
        resolution,
        mesh.cell,
        hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
    )
    if block.survey is None:
        return plan
    survey = _survey(document, block.survey, plan, _given(block))
    if file.neutrinos != "none" and any(each.name in survey.samples for each in plan.sources):
        raise document.error(
            ("lightcone", "survey", "samples"),
            "shear beside neutrinos: grid, whose particles are baryons and cold dark matter, and "
            "light is bent by neutrinos too; take galaxies alone",
        )
    return replace(plan, survey=survey)


def _given(block: LightconeBlock) -> Mapping[str, Any]:
    """Blocks of samples by name."""
    sources = (block.maps.sources if block.maps is not None else None) or {}
    return {**(block.galaxies or {}), **sources}


def _maps(
    document: Document,
    block: MapsBlock,
    cosmology: Cosmology,
    mesh: Mesh,
    cone: Lightcone,
    resolution: Resolution,
) -> SkyMaps:
    import healpy

    key: Key = ("lightcone", "maps")
    edges = _edges(document, block, cone)
    nside = block.nside or _finest(mesh.cell / cone.far)
    volume = (edges[-1] ** 3 - edges[0] ** 3) / 3.0 * healpy.nside2pixarea(nside)
    mean = volume / mesh.cell**3
    if mean < FEWEST:
        raise document.error(
            (*key, "nside"),
            f"nside {nside} has {mean:.2g} particles to a pixel, all shells together: pixels are "
            f"{healpy.nside2resol(nside) * cone.far:.3g} Mpc/h at the far end, particles "
            f"{mesh.cell:.3g} Mpc/h apart, and a map would be their noise; take a smaller nside, "
            f"at most {_finest(mesh.cell / cone.far)} to resolve no more than particles do",
        )
    mask = _mask(document, cone, nside)
    width = _mixed(float(mask.mean()))
    bands = _default_bands(nside, cone.far * np.pi / mesh.cell, width)
    if block.bands is not None:
        bands = np.array(block.bands)
        _check_bands(document, (*key, "bands"), bands, nside, width)
    sources = checked_sources(document, block.sources, cosmology, cone, edges, resolution)
    return SkyMaps(nside, edges, bands, mask, sources)


def _edges(document: Document, block: MapsBlock, cone: Lightcone) -> np.ndarray:
    if isinstance(block.shells, int):
        return np.linspace(cone.near, cone.far, block.shells + 1)
    edges = np.array(block.shells)
    if edges[0] < cone.near * (1.0 - 1e-6) or edges[-1] > cone.far * (1.0 + 1e-6):
        raise document.error(
            ("lightcone", "maps", "shells"),
            f"from {edges[0]:g} to {edges[-1]:g} Mpc/h of a lightcone from {cone.near:.5g} to "
            f"{cone.far:.5g}; take distances within it, or change lightcone.redshifts",
        )
    return np.clip(edges, cone.near, cone.far)


def _finest(angle: float) -> int:
    """The largest nside whose pixels are as wide as an angle [rad] at least."""
    import healpy

    nside = 1
    while nside < 8192 and healpy.nside2resol(2 * nside) >= angle:
        nside *= 2
    return nside


def _mask(document: Document, cone: Lightcone, nside: int) -> np.ndarray:
    import healpy

    from ..nbody import LightconeError

    if cone.footprint is None:
        return np.ones(healpy.nside2npix(nside), bool)
    try:
        mask = cone.footprint.pixels(nside)
    except LightconeError as error:
        raise document.error(("lightcone", "mask"), str(error)) from error
    if not mask.any():
        raise document.error(
            ("lightcone", "maps", "nside"),
            f"no pixel of nside {nside} lies in the footprint as a whole; take a larger nside or "
            "footprint",
        )
    return mask


def _mixed(f_sky: float) -> int:
    """Multipoles that a mask mixes: 180 degrees over its width, were it round."""
    across = 2.0 * np.degrees(np.arccos(np.clip(1.0 - 2.0 * f_sky, -1.0, 1.0)))
    return int(np.ceil(min(180.0 / across, 1000.0))) if f_sky < 1.0 else 1


def _default_bands(nside: int, last: float, width: int) -> np.ndarray:
    """Equal steps of ln l, none narrower than a mask allows."""
    high = max(min(2 * nside, int(last)), 4)
    low = min(max(FIRST, 2 * width), high // 2)
    low, edges = max(low, 2), [max(low, 2)]
    for wanted in np.geomspace(low, high, NUMBER + 1)[1:]:
        edge = max(round(float(wanted)), edges[-1] + width)
        if edge > high:
            break
        edges.append(edge)
    return np.array(edges if len(edges) > 1 else [edges[0], min(edges[0] + width, 3 * nside)])


def _check_bands(document: Document, key: Key, bands: np.ndarray, nside: int, width: int) -> None:
    if bands[-1] > 3 * nside:
        raise document.error(
            key,
            f"multipoles to {bands[-1] - 1} of maps of nside {nside}, which have them to "
            f"{3 * nside - 1}; take lower ones, or a larger maps.nside",
        )
    narrow = int(np.diff(bands).min())
    if narrow < width:
        raise document.error(
            key,
            f"a band of {narrow} multipoles, and the footprint mixes {width}; take bands as wide, "
            "or a larger footprint",
        )


def _survey(
    document: Document, block: SurveyBlock, plan: SkyPlan, given: Mapping[str, Any]
) -> MockSurvey:
    key: Key = ("lightcone", "survey")
    if plan.maps is None:
        raise document.error(key, "spectra are those of maps; add lightcone.maps")
    known = [each.name for each in plan.galaxies]
    known += [each.name for each in plan.maps.sources if each.name in given]
    default = [each.name for each in plan.galaxies]
    default += [each.name for each in plan.maps.sources if each.width]
    named = block.samples or default
    for name in named:
        if name not in known:
            raise document.error(
                (*key, "samples"),
                f"'{name}' is no sample of lightcone.galaxies or lightcone.maps.sources, which "
                f"have {', '.join(known) or 'none'}",
            )
    if not named:
        raise document.error(key, "there are no samples; add lightcone.galaxies or maps.sources")
    for each in plan.sources:
        if each.name in named:
            _check_shear(document, each)
    chosen = tuple(name for name in known if name in named)
    ranges = [e.resolved for e in (*plan.galaxies, *plan.maps.sources) if e.name in chosen]
    width = _mixed(plan.maps.f_sky)
    if block.bands is not None:
        bands = np.array(block.bands)
        _check_bands(document, (*key, "bands"), bands, plan.maps.nside, width)
    else:
        low, high = max(first for first, _ in ranges), min(last for _, last in ranges)
        bands = plan.maps.bands[(plan.maps.bands >= low) & (plan.maps.bands <= high + 1.0)]
        if len(bands) < 2:
            raise document.error(
                key,
                f"no band of the maps lies where the simulation resolves all samples, l = "
                f"{low:.0f} to {high:.0f}; give survey.bands, take a larger box with more "
                "particles, or samples at similar distances",
            )
    statistics = tuple(dict.fromkeys(block.statistics or ("counts", "counts_shear", "shear")))
    survey = MockSurvey(chosen, statistics, bands, block.super_sample)
    if not survey_pairs(plan, survey):
        raise document.error(
            (*key, "statistics"), f"{', '.join(statistics)} of {', '.join(chosen)}: there are none"
        )
    return survey


def _check_shear(document: Document, sources: Sources) -> None:
    key: Key = ("lightcone", "maps", "sources", sources.name)
    if not sources.width:
        raise document.error(
            key, "a data vector needs n(z), which one redshift has not; give n_z, or leave it out "
            "of survey.samples"
        )  # fmt: skip
    if sources.density is None or sources.sigma_e is None:
        raise document.error(key, "a data vector needs density and sigma_e, which make its noise")
    if sources.missing > KERNEL:
        raise document.error(
            key,
            f"{100 * sources.missing:.2g}% of its lensing kernel lies outside of the shells, and a "
            "likelihood counts all; begin the lightcone nearer, or leave it out of survey.samples",
        )


def maps_memory(plan: SkyPlan, cells: int, dtype: str) -> int:
    """Bytes: of maps while they are made, of a part of the particles, and of the linear density on
    ``cells`` points per side that biased galaxies follow."""
    from ..nbody import memory_needed

    maps = plan.maps
    needed = PARTICLE * ROWS
    if maps is not None:
        needed += PIXEL * (len(maps.edges) - 1 + len(plan.galaxies)) * maps.mask.size
    if any(each.bias != 1.0 for each in plan.galaxies):
        needed += memory_needed(cells, 2, order=1, dtype=dtype)  # pyright: ignore[reportArgumentType]
    return needed


def survey_pairs(plan: SkyPlan, survey: MockSurvey) -> list[tuple[str, str]]:
    """Pairs of samples whose spectra are in the data vector."""
    counts = {each.name for each in plan.galaxies}
    kinds = {0: "counts", 1: "counts_shear", 2: "shear"}
    return [
        (one, two)
        for one, two in combinations_with_replacement(survey.samples, 2)
        if kinds[(one not in counts) + (two not in counts)] in survey.statistics
    ]


def resolved_words(multipoles: Interval) -> str:
    """Which multipoles a simulation has."""
    low, high = multipoles
    return f"resolved from l = {low:.0f} to {high:.0f}" if low < high else "resolved nowhere"


def sky_summary(plan: SkyPlan) -> dict[str, Any]:
    """What will be made, in words."""
    import healpy

    found: dict[str, Any] = {}
    maps = plan.maps
    if maps is not None:
        bands = ", ".join(f"{low}-{high - 1}" for low, high in pairwise(maps.bands))
        width = healpy.nside2resol(maps.nside) * maps.edges[-1]
        found["maps"] = (
            f"nside {maps.nside}, {len(maps.edges) - 1} shells, {int(maps.mask.sum())} pixels "
            f"({maps.f_sky:.3g} of the sky) of {width:.3g} Mpc/h at the far end; particles "
            f"are {plan.spacing:.3g} Mpc/h apart"
        )
        found["bands of multipoles"] = bands
        for each in maps.sources:
            missing = f", {100 * each.missing:.2g}% of the kernel missing" if each.missing else ""
            words = resolved_words(each.resolved)
            found[f"convergence {each.name}"] = f"sources {each.words}{missing}; {words}"
    for each in plan.galaxies:
        words = resolved_words(each.resolved)
        found[f"galaxies {each.name}"] = (
            f"about {each.number:.3g}, {each.words}, bias {each.bias:g}; {words}"
        )
    if plan.survey is not None:
        pairs, bands = survey_pairs(plan, plan.survey), plan.survey.bands
        found["mock data vector"] = (
            f"{len(pairs) * (len(bands) - 1)} numbers: {len(pairs)} spectra of "
            f"{', '.join(plan.survey.samples)} in {len(bands) - 1} bands from l = {bands[0]} to "
            f"{bands[-1] - 1}"
        )
    return found
