"""What the report says of maps: the mean of an ensemble's spectra beside the theory's."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..learning import write_atomically
from ..likelihood import TwoPoint
from ..power import power_model
from ..probes import NumberCounts, Tracer
from ..statistics import band_theory, banded, convergence_tracer, shell_tracer
from .maps_plan import SkyMaps, SkyPlan
from .maps_task import maps_made
from .mock_task import MOCK
from .redshifts import Galaxies
from .resolution import Interval
from .simulate_configuration import SimulateConfiguration

THEORY = "maps_theory.json"
"""Kept in the output folder, as it takes a minute to compile."""


def sky_content(configuration: SimulateConfiguration) -> dict[str, Any]:
    """Measured and expected spectra, galaxies and their bias, chi2 of the data vector."""
    plan = configuration.sky
    assert plan is not None, "as was asked for"
    each = {one.name: maps_made(configuration, one) for one in configuration.realisations}
    made = [content for content in each.values() if content is not None]
    took = {name: (c["seconds"], c["memory"]) for name, c in each.items() if c is not None}
    names = [sample.name for sample in plan.galaxies]
    numbers = {name: [content["galaxies"][name]["number"] for content in made] for name in names}
    found: dict[str, Any] = {
        "galaxies": {
            sample.name: {
                "number": float(np.mean(numbers[sample.name])),
                "expected": sample.number,
                "bias": sample.bias,
            }
            for sample in plan.galaxies
        },
        "took": took,
        "spectra": {},
        "mock": None,
        "maps": None,
    }
    if plan.maps is None:
        return found
    maps, theory = plan.maps, _theory(configuration, plan)
    found["maps"] = {
        "nside": maps.nside,
        "f_sky": maps.f_sky,
        "edges": maps.edges.tolist(),
        "shell": (len(maps.edges) - 2) // 2,
        "bands": maps.bands.tolist(),
        "ell": banded(maps.bands, np.arange(maps.bands[-1] + 1.0)).tolist(),
        "nonlinear": configuration.file.power.nonlinear,
        "sources": {s.name: {"words": s.words, "missing": s.missing} for s in maps.sources},
    }
    box = configuration.mesh.box_size**3 / (4.0 / 3.0 * np.pi * maps.f_sky)
    for name, (title, resolved, (near, far)) in _drawn(plan).items():
        repeated = max((far**3 - near**3) / box, 1.0)
        found["spectra"][name] = {
            "title": title,
            "resolved": resolved,
            "theory": theory["spectra"][name],
            "repeated": repeated,
            **_mean([content["spectra"][name] for content in made], repeated),
        }
    for sample in plan.galaxies:
        found["galaxies"][sample.name] |= _achieved(
            maps, sample, [content["spectra"] for content in made]
        )
    found["mock"] = theory["mock"]
    return found


def _drawn(plan: SkyPlan) -> dict[str, tuple[str, Interval, Interval]]:
    """Spectra that have a theory beside them: their titles, multipoles that are resolved, and
    distances between which they are made [Mpc/h]."""
    maps = plan.maps
    assert maps is not None, "spectra are those of maps"
    last, ends = len(maps.edges) - 2, (float(maps.edges[0]), float(maps.edges[-1]))
    found = {}
    for n in sorted({last // 2, last}):
        low, high = float(maps.edges[n]), float(maps.edges[n + 1])
        resolved = plan.shell_resolved(low, high)
        found[f"shell {n}"] = (f"{low:.0f} to {high:.0f} Mpc/h", resolved, (low, high))
    for source in maps.sources:
        found[f"convergence {source.name}"] = (source.name, source.resolved, ends)
    for sample in plan.galaxies:
        found[f"galaxies {sample.name}"] = (sample.name, sample.resolved, sample.ends)
    return found


def _tracer(configuration: SimulateConfiguration, plan: SkyPlan, name: str) -> Tracer:
    maps, cosmology, species = plan.maps, configuration.cosmology, configuration.species
    assert maps is not None, "spectra are those of maps"
    kind, _, which = name.partition(" ")
    if kind == "shell":
        n = int(which)
        return shell_tracer(cosmology, maps.edges[n], maps.edges[n + 1], species)
    if kind == "convergence":
        (source,) = (each for each in maps.sources if each.name == which)
        ends = (float(maps.edges[0]), float(maps.edges[-1]))
        return convergence_tracer(cosmology, ends, source.distribution, species)
    (sample,) = (each for each in plan.galaxies if each.name == which)
    return NumberCounts(sample.distribution, sample.bias, tracing=species)


def _theory(configuration: SimulateConfiguration, plan: SkyPlan) -> dict[str, Any]:
    """Spectra by name, and the data vector's chi2; computed once."""
    path, owner = configuration.output / THEORY, f"{configuration.hash} {plan.hash}"
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept["plan"] == owner:
            return kept
    maps, power = plan.maps, configuration.file.power
    assert maps is not None, "spectra are those of maps"
    model = power_model(power.linear, power.nonlinear)
    content: dict[str, Any] = {"plan": owner, "spectra": {}, "mock": None}
    for name in _drawn(plan):
        tracer = _tracer(configuration, plan, name)
        values = band_theory(configuration.cosmology, maps.bands, [tracer], model)
        content["spectra"][name] = values[0].tolist()
    if plan.survey is not None:
        content["mock"] = _judged(configuration, plan)
    write_atomically(path, json.dumps(content).encode())
    return content


def _judged(configuration: SimulateConfiguration, plan: SkyPlan) -> dict[str, Any]:
    """chi2 of the first simulation's data vector at the universe that was simulated."""
    survey, power, cone = plan.survey, configuration.file.power, configuration.lightcone
    assert survey is not None and cone is not None, "as was asked for"
    file = configuration.output / configuration.realisations[0].name / MOCK
    likelihood = TwoPoint.from_sacc(file, linear=power.linear, nonlinear=power.nonlinear)
    values = dict.fromkeys(likelihood.nuisance, 0.0)
    values |= {f"bias_{each.name}": each.bias for each in plan.galaxies}
    values = {name: values[name] for name in likelihood.nuisance}
    theory = {"cosmology": configuration.cosmology}
    residual = np.asarray(likelihood.whitened_residual(theory, values))
    return {
        "chi2": float(np.sum(residual**2)),
        "numbers": len(residual),
        "samples": list(survey.samples),
        "bands": survey.bands.tolist(),
        "repeated": cone.volume / cone.box_size**3,
    }


def _mean(spectra: list[dict[str, Any]], repeated: float) -> dict[str, Any]:
    """Of an ensemble, with its scatter, and the error of the mean as Gaussian fields have it.

    Where what is seen is so many times the box, waves are as often the same.
    """
    values = np.array([each["values"] for each in spectra])
    number = len(values)
    scatter = values.std(axis=0, ddof=1) if number > 1 else np.zeros(values.shape[1])
    error = np.mean([each["error"] for each in spectra], axis=0) * np.sqrt(repeated / number)
    return {
        "values": values.mean(axis=0).tolist(),
        "error": error.tolist(),
        "scatter": scatter.tolist(),
        "noise": float(np.mean([each["noise"] for each in spectra])),
    }


def _achieved(maps: SkyMaps, sample: Galaxies, spectra: list[dict[str, Any]]) -> dict[str, Any]:
    """The bias C_gm / C_mm and its error, over the bands that the mesh does not smooth.

    Waves that the box has not are missing in both. All bands where the mesh smooths all.
    """
    name = sample.name

    def mean(which: str) -> np.ndarray:
        return np.mean([each[which]["values"] for each in spectra], axis=0)

    matter, cross = mean(f"matter of {name}"), mean(f"galaxies {name} with matter")
    noise = float(np.mean([each[f"galaxies {name}"]["noise"] for each in spectra]))
    galaxies = mean(f"galaxies {name}") + noise
    here = maps.bands[1:] <= sample.resolved[1] + 1.0
    used = here if here.any() else np.ones(len(matter), bool)
    modes = maps.f_sky * np.diff(maps.bands.astype(float) ** 2) * len(spectra)
    variance = np.maximum(galaxies * matter - cross**2, 1e-6 * cross**2) / (matter**2 * modes)
    weight = used / variance
    return {
        "achieved": float(np.sum(weight * cross / matter) / np.sum(weight)),
        "achieved_error": float(1.0 / np.sqrt(np.sum(weight))),
        "achieved_at": [int(maps.bands[:-1][used].min()), int(maps.bands[1:][used].max()) - 1],
    }
