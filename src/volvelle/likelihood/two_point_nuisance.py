"""The nuisance parameters of 3x2pt: which there are, with what priors, and what tells them apart.

Named after the samples of the file: ``bias_X``, ``dz_X`` shift of n(z), ``m_X`` multiplicative bias
of shear, and ``A_IA``, ``eta_IA`` of all intrinsic alignments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..cosmology.neutrinos import is_traced
from .base import NuisanceParameter
from .two_point_data import COUNTS, SHEAR, TwoPointData

PIVOT = 0.62
"""Of the evolution of alignments, in DES Y1's analysis."""
_DEVIATIONS = 6.0


Prior = Mapping[str, Any]
DEFAULT_PRIORS: Mapping[str, tuple[Prior, float]] = {
    "bias": ({"min": 0.8, "max": 3.0}, 1.5),
    "dz": ({"dist": "norm", "loc": 0.0, "scale": 0.01}, 0.0),
    "m": ({"dist": "norm", "loc": 0.0, "scale": 0.02}, 0.0),
    "A_IA": ({"min": -5.0, "max": 5.0}, 0.5),
    "eta_IA": ({"min": -5.0, "max": 5.0}, 0.0),
}
"""Prior and reference of a nuisance parameter by its name or first part, unless a survey has its
own."""
_LABELS = {"bias": "b", "dz": r"\Delta z", "m": "m", "A_IA": "A_\\mathrm{IA}"}
_LABELS["eta_IA"] = r"\eta_\mathrm{IA}"


def nuisance_parameters(
    data: TwoPointData, own: Mapping[str, tuple[Prior, float]]
) -> dict[str, NuisanceParameter]:
    """By name, with the priors and references of ``own`` before `DEFAULT_PRIORS`."""
    return {name: _parameter(name, own, data) for name in _names(data)}


def _names(data: TwoPointData) -> list[str]:
    """Names in the order biases, alignments, calibration, shifts."""
    lenses, sources = data.of(COUNTS), data.of(SHEAR)
    return [
        *(f"bias_{name}" for name in lenses),
        *(("A_IA", "eta_IA") if sources else ()),
        *(f"m_{name}" for name in sources),
        *(f"dz_{name}" for name in (*lenses, *sources)),
    ]


def _parameter(
    name: str, own: Mapping[str, tuple[Prior, float]], data: TwoPointData
) -> NuisanceParameter:
    first, _, sample = name.partition("_")
    general = name if name in DEFAULT_PRIORS else first
    prior, reference = own.get(name, DEFAULT_PRIORS[general])
    label = _LABELS[general]
    if general != name:
        label = f"{label}_\\mathrm{{{sample.replace('_', ',')}}}"
    samples = data.of(SHEAR) if general == name else (sample,)
    return NuisanceParameter(prior=prior, ref=reference, label=label, of=_mark(data, samples))


def explained(
    name: str, parameter: NuisanceParameter, settings: Mapping[str, Any]
) -> NuisanceParameter:
    """With what the settings make of its value."""
    if name == "A_IA":
        return replace(parameter, convention=f"at pivot: {settings.get('pivot', PIVOT):g}")
    if name.startswith("bias_"):
        return replace(parameter, convention=f"with tracing: {settings.get('tracing', 'matter')}")
    if name.startswith("dz_"):
        return replace(parameter, limits=(-settings["margin"], settings["margin"]))
    return parameter


def _mark(data: TwoPointData, samples: Sequence[str]) -> str:
    """Of samples of galaxies: a hash of their n(z); nothing where these are differentiated."""
    tables = [data.tracers[name] for name in samples]
    if any(is_traced(table.values) for table in tables):
        return ""
    numbers = [np.concatenate([table.z, np.asarray(table.values)]) for table in tables]
    return hashlib.sha256(np.concatenate(numbers).tobytes()).hexdigest()


def widest_shift(parameters: Mapping[str, NuisanceParameter]) -> float:
    """Within which all shifts that the priors allow lie, six standard deviations of normal ones."""
    found = [0.1]
    for name, parameter in parameters.items():
        if name.startswith("dz_"):
            prior = parameter.prior
            if "scale" in prior:
                found.append(abs(prior["loc"]) + _DEVIATIONS * prior["scale"])
            else:
                found.extend((abs(prior["min"]), abs(prior["max"])))
    return float(max(found))
