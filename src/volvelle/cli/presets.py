"""Emulator blocks under a name; every key that a file gives beside ``preset`` overrides its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

PERCEPTRON = "perceptron"
"""`volvelle.learning.ARCHITECTURES`, without its import."""

PRESETS: dict[str, dict[str, Any]] = {
    # Nygaard et al. 2022 (arXiv:2205.15726), sections 2, 3 and 5. The paper gives no batch size:
    # that of the input file published with its massive-neutrino model. Nor a limit of solutions:
    # its two models took 49 671 and 53 959.
    "connect-2022": {
        "kind": "network",
        "max_training": 60_000,
        "network": {
            "depth": 6,
            "width": 512,
            "epochs": 300,
            "patience": 300,
            "batch": 512,
            "activation": "alsing",
            "loss": "cosmic_variance",
            "scaling": "standardise",
            "folds": 0,
        },
        "design": {
            "iterative": {
                "start": "latin_hypercube",
                "initial": 10_000,
                "first": 5_000,
                "points": 20_000,
                "temperature": 5.0,
                "keep_first": False,
                "filter": {"neighbours": 5, "tolerance": 2.0, "metric": "scaled"},
                "halt": {"r_minus_1": 0.01, "new_points": None, "when": "either"},
            }
        },
    },
}


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """An emulator block as if its preset's keys stood in it; unchanged without a known preset."""
    preset = PRESETS.get(str(given.get("preset")))
    if preset is None:
        return dict(given)
    base = copy.deepcopy(preset)
    if given.get("kind", base["kind"]) != base["kind"]:
        del base["network"]
    network = given.get("network")
    if isinstance(network, Mapping) and network.get("architecture", PERCEPTRON) != PERCEPTRON:
        base.get("network", {}).pop("activation", None)
    if isinstance(given.get("design"), Mapping) and set(given["design"]) != set(base["design"]):
        del base["design"]
    return _merged(base, given)


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in given.items():
        below = base.get(key)
        if isinstance(below, Mapping) and (value is None or isinstance(value, Mapping)):
            merged[key] = _merged(below, value or {})
        else:
            merged[key] = value
    return merged
