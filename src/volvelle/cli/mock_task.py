"""A mock data vector of one lightcone, with noise of shapes, in SACC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import healpy
import numpy as np

from ..power import power_model
from ..probes import Table, shape_noise
from ..statistics import Shells, SkySample, convergence_noise, mock_data_vector
from .maps_plan import SkyPlan, survey_pairs
from .simulate_configuration import Realisation, SimulateConfiguration

MOCK = "mock.sacc.fits"
SHAPES = 1000
"""In the seed of the noise of shapes, apart from those of galaxies."""


def write_mock(
    configuration: SimulateConfiguration,
    one: Realisation,
    plan: SkyPlan,
    counted: dict[str, tuple[np.ndarray, float]],
    kappa: dict[str, np.ndarray],
    shells: Shells,
    folder: Path,
) -> Path:
    """Spectra of the survey's samples, written as ``mock.sacc.fits``.

    Args:
        counted: maps of galaxies with their noise.
        kappa: convergence without noise.
    """
    survey, maps = plan.survey, plan.maps
    assert survey is not None and maps is not None, "as was asked for"
    samples: dict[str, SkySample] = {}
    for each in plan.galaxies:
        if each.name in survey.samples:
            sky, noise = counted[each.name]
            samples[each.name] = SkySample(
                "galaxy_density", sky, each.distribution, noise, each.bias
            )
    area = healpy.nside2pixarea(maps.nside)
    for number, each in enumerate(maps.sources):
        if each.name not in survey.samples:
            continue
        assert isinstance(each.distribution, Table), "as was checked"
        assert each.density is not None and each.sigma_e is not None, "as was checked"
        noise = float(shape_noise(each.density, each.sigma_e))
        rng = np.random.default_rng([one.seed, int(one.paired), SHAPES + number])
        drawn = np.sqrt(noise / area) * rng.standard_normal(maps.mask.size)
        shot = float(convergence_noise(configuration.cosmology, shells, each.distribution))
        sky = np.where(maps.mask, kappa[each.name] + drawn, 0.0)
        samples[each.name] = SkySample("galaxy_shear", sky, each.distribution, noise + shot)
    power = configuration.file.power
    made = mock_data_vector(
        configuration.cosmology,
        samples,
        survey.bands,
        maps.mask,
        power_model(power.linear, power.nonlinear),
        survey.super_sample,
    )
    _keep(made, survey_pairs(plan, survey))
    path = folder / MOCK
    draft = path.with_name(f".{MOCK}.draft")
    made.save_fits(str(draft), overwrite=True)
    draft.replace(path)
    return path


def _keep(made: Any, pairs: list[tuple[str, str]]) -> None:
    """Take out all other spectra."""
    indices = [n for n, point in enumerate(made.data) if tuple(point.tracers) in pairs]
    made.keep_indices(np.array(indices))
