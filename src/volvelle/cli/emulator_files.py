"""What ``volvelle emulator show | export | import`` do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from ..boltzmann import OUTPUTS
from ..cosmology import PARAMETERS
from ..emulator import (
    Box,
    Emulator,
    Statement,
    export_emulator,
    import_network,
    load_emulator,
    read_foreign,
)
from ..learning.untrusted import printable
from ..training import MALFORMED
from .data_app import size
from .errors import ConfigurationError

UNCERTIFIED = "none: nothing is known of its errors"


def emulator_folder(folder: Path) -> Path:
    """The emulator's own folder, given that or a run's."""
    inner = folder / "emulator"
    return inner if not (folder / "model.json").exists() and inner.is_dir() else folder


def describe(folder: Path) -> dict[str, Any]:
    """All that is known of a stored emulator, as plain values.

    Raises StorageError and EmulatorError for a folder that holds none.
    """
    folder = emulator_folder(folder)
    return described(folder, *load_emulator(folder))


def described(folder: Path, emulator: Emulator, record: Mapping[str, Any]) -> dict[str, Any]:
    """The same of what was read from its folder."""
    record, domain = printable(record), emulator.domain
    bytes_ = sum(
        p.stat().st_size for p in folder.iterdir() if p.suffix in (".json", ".safetensors")
    )
    return {
        "folder": str(folder),
        "bytes": bytes_,
        "parameters": {
            name: {"unit": PARAMETERS[name].unit if name in PARAMETERS else ""} | ends
            for name, ends in zip(emulator.parameters, _ends(emulator, record), strict=True)
        },
        "fixed": dict(emulator.fixed),
        "domain": "box" if isinstance(domain, Box) else "ellipsoid around the training points",
        "outputs": {
            output.name: {
                "unit": _unit(output.name, record),
                "shape": list(output.shape),
                "learned_as": output.transform,
            }
            for block in emulator.blocks
            for output in block.outputs
        },
        **{key: _plain(record.get(key)) for key in KEPT},
        "training_points": len(_list(record.get("points"))),
        "checks": [
            {key: value for key, value in check.items() if key != "points"}
            for check in _list(record.get("checks"))
            if isinstance(check, dict)
        ],
    }


KEPT = ("solver", "design", "surrogates", "likelihoods", "imported", "certificate", "blinded")
"""Of the record, as it stands."""


def _plain(value: Any) -> Any:
    """Without long lists: points and the like."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k != "points"}
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unit(name: str, record: Mapping[str, Any]) -> str:
    units = record.get("units")
    own = units.get(name, "") if isinstance(units, dict) else ""
    return OUTPUTS[name].unit if name in OUTPUTS else str(own)


def _ends(emulator: Emulator, record: Mapping[str, Any]) -> Iterator[dict[str, float | None]]:
    """Least and largest value of every parameter: the box's, else of the training points."""
    d = len(emulator.parameters)
    if isinstance(emulator.domain, Box):
        lower, upper = np.asarray(emulator.domain.lower), np.asarray(emulator.domain.upper)
    else:
        try:
            points = np.asarray(record.get("points", []), dtype=float).reshape(-1, d)
        except MALFORMED:
            points = np.empty((0, d))
        lower = points.min(axis=0) if len(points) else np.full(d, np.nan)
        upper = points.max(axis=0) if len(points) else np.full(d, np.nan)
    blinded = _list(record.get("blinded"))  # whose ends would tell where its reference is
    for name, low, high in zip(emulator.parameters, lower, upper, strict=True):
        known = math.isfinite(low) and math.isfinite(high) and name not in blinded
        yield {"min": float(low) if known else None, "max": float(high) if known else None}


def render(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The description for people."""
    parameters = Table("parameter", "from", "to", "unit", title=escape(found["folder"]))
    for name, about in found["parameters"].items():
        ends = ("?" if about[e] is None else f"{about[e]:.6g}" for e in ("min", "max"))
        parameters.add_row(escape(name), *ends, about["unit"])
    for name, value in found["fixed"].items():
        parameters.add_row(escape(name), f"{value:.6g}", "fixed", "")
    yield parameters
    yield f"domain: {found['domain']}"
    if blinded := _list(found["blinded"]):
        yield escape(f"blinded, and so without their ends: {', '.join(map(str, blinded))}")
    outputs = Table("output", "shape", "unit", "learned as")
    for name, about in found["outputs"].items():
        shape = " x ".join(map(str, about["shape"])) or "number"
        outputs.add_row(escape(name), shape, escape(about["unit"]), about["learned_as"])
    yield outputs
    yield escape(f"solver: {_solver_words(found)}")
    yield escape(f"training: {_training_words(found)}")
    certificate = found["certificate"]
    words = certificate.get("words") if isinstance(certificate, dict) else None
    yield escape(f"certificate: {words or UNCERTIFIED}")
    for check in found["checks"]:
        yield from _check_words(check)
    yield f"size: {size(found['bytes'])}"


def _solver_words(found: Mapping[str, Any]) -> str:
    solver, imported = found["solver"], found["imported"]
    if isinstance(solver, dict):
        return f"{solver.get('solver')} {solver.get('version')}, settings {solver.get('settings')}"
    layout = imported.get("layout") if isinstance(imported, dict) else None
    return f"unknown; imported from a file of {layout}" if layout else "unknown"


def _training_words(found: Mapping[str, Any]) -> str:
    if not found["training_points"]:
        return "elsewhere"
    surrogates = found["surrogates"]
    kinds = sorted(set(map(str, surrogates.values()))) if isinstance(surrogates, dict) else []
    return (
        f"{found['training_points']} exact solutions, design {found['design']}, "
        f"{', '.join(kinds) or 'surrogate unknown'}"
    )


def _check_words(check: Mapping[str, Any]) -> Iterator[RenderableType]:
    """A check as a table."""
    from .emulator_check import check_table

    try:
        yield check_table(check)
    except MALFORMED:
        yield "check: its record cannot be understood"


def export_folder(folder: Path, file: Path, outputs: Sequence[str]) -> tuple[str, ...]:
    """Write the exported file; the names of its outputs.

    Raises EmulatorError and StorageError; ConfigurationError for another ending than .npz.
    """
    if file.suffix != ".npz":
        raise ConfigurationError(f"{file}: the exported file is a .npz; give it that ending")
    emulator, record = load_emulator(emulator_folder(folder))
    return export_emulator(emulator, file, outputs, record)


def import_file(
    source: Path,
    folder: Path,
    said: Statement,
    parameters: Sequence[str],
    last_bias: str | None,
    components: Sequence[Path],
) -> None:
    """Read a foreign network and store it; an emulator that is there already is not replaced.

    Raises EmulatorError; ConfigurationError for a folder that is taken.
    """
    if (folder / "model.json").exists():
        raise ConfigurationError(f"{folder} holds an emulator already; choose another folder")
    foreign = read_foreign(source, parameters, last_bias, components)
    emulator, record = import_network(foreign, said)
    record["imported"]["file"] = source.name
    emulator.save(folder, record)


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """``a=b`` as a mapping; raises ConfigurationError for what is none."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in found:
            raise ConfigurationError(f"--{option} {text}: expected NAME=VALUE, each name once")
        found[name] = value
    return found


def numbers(option: str, given: Sequence[str]) -> dict[str, float]:
    """``a=1.5`` as a mapping."""
    return {name: _number(option, text) for name, text in pairs(option, given).items()}


def ranges(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    """``a=0:1`` as a mapping."""
    found: dict[str, tuple[float, float]] = {}
    for name, text in pairs("range", given).items():
        low, colon, high = text.partition(":")
        if not colon:
            raise ConfigurationError(f"--range {name}={text}: expected NAME=LOW:HIGH")
        found[name] = (_number("range", low), _number("range", high))
    return found


def _number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigurationError(f"--{option}: {text!r} is no number")
    return value
