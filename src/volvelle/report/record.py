"""The output folder of a run, read and checked: summary, chains, history, data against theory."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import safetensors
from safetensors.numpy import load_file

from .errors import MissingFileError, ReportError

EMULATOR = "emulator"
REWEIGHTED = "reweighted"
SUMMARY_BLOCKS = ("parameters", "status")
PARAMETER_KEYS = ("mean", "std")
HISTORY_KEYS = ("exact_calls_total",)
BANDPOWER_KEYS = ("l", "D_l", "sigma", "model")
DISTANCE_KEYS = ("z", "quantity", "data", "sigma", "model")
TWO_POINT_KEYS = ("at", "statistic", "axis", "pair", "data", "sigma", "model")
WORDS = ("quantity", "statistic", "axis", "pair")


@dataclass(frozen=True)
class Chain:
    """Samples of one posterior in the columns of GetDist.

    `samples` has the shape (n, d), `weights` (n,); `lengths` are the rows of each parallel chain;
    `ranges` holds the hard prior bounds, None where there is none.
    """

    names: tuple[str, ...]
    labels: dict[str, str]
    derived: tuple[str, ...]
    samples: np.ndarray
    weights: np.ndarray
    lengths: tuple[int, ...]
    ranges: dict[str, tuple[float | None, float | None]]

    def column(self, name: str) -> np.ndarray:
        """The samples of one parameter, shape (n,)."""
        return self.samples[:, self.names.index(name)]

    def effective_size(self) -> float:
        """Kish's effective number of samples, (sum w)^2 / sum w^2."""
        return float(self.weights.sum() ** 2 / np.sum(self.weights**2))


def _again(path: Path) -> str:
    """What to do about a damaged file: a run that has a summary computes nothing again."""
    both = "" if path.name == "summary.json" else " and summary.json"
    return f"delete it{both}, then repeat `volvelle run` to write it again"


def read_json(path: Path) -> Any:
    """The content of a JSON file of the run.

    Raises MissingFileError when it is not there and ReportError when it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(
            f"{path} is not there; expected the output folder of a run: repeat `volvelle run`"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReportError(f"{path} is damaged ({error}); expected JSON: {_again(path)}") from None


def read_summary(folder: Path) -> dict[str, Any]:
    """The checked `summary.json` of a run.

    Raises ReportError when a block that every run writes is missing, or when a mean or standard
    deviation is no finite number.
    """
    path = Path(folder) / "summary.json"
    summary = read_json(path)
    if not isinstance(summary, dict):
        raise ReportError(f"{path} holds a {type(summary).__name__}; expected a mapping")
    for block in SUMMARY_BLOCKS:
        if block not in summary:
            raise ReportError(f"{path} has no '{block}'; {_again(path)}")
    if not isinstance(summary["parameters"], dict) or not summary["parameters"]:
        raise ReportError(f"{path}: 'parameters' names no parameter; expected at least one")
    for name, entry in summary["parameters"].items():
        for key in PARAMETER_KEYS:
            value = entry.get(key) if isinstance(entry, dict) else None
            if not is_finite(value):
                raise ReportError(
                    f"{path}: parameters.{name}.{key} is {value!r}; expected a finite number"
                )
    for block in ("certificate", "diagnostics", "exact_calls", "best_fit", "seconds", "data"):
        if not isinstance(summary.get(block) or {}, dict):
            raise ReportError(f"{path}: '{block}' is {summary[block]!r}; expected a mapping")
    return summary


def is_finite(value: object) -> TypeGuard[float]:
    """Whether `value` is a finite number (bool is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_chain(folder: Path, root: str) -> Chain:
    """The chains `chains/ROOT.txt` or `chains/ROOT.1.txt`, ... with their names and ranges.

    Columns: weight, -log(posterior), parameters. A root without names of its own has those of
    the emulator's chains.
    """
    chains = Path(folder) / "chains"
    single = chains / f"{root}.txt"
    numbered = sorted(
        (p for p in chains.glob(f"{root}.*.txt") if p.name.split(".")[-2].isdigit()),
        key=lambda p: int(p.name.split(".")[-2]),
    )
    files = [single] if single.exists() else numbered
    if not files:
        raise MissingFileError(f"{chains} has no {root}.txt or {root}.1.txt: repeat `volvelle run`")
    names, labels, derived = _read_paramnames(chains, root)
    rows = [_read_table(path, len(names) + 2) for path in files]
    table = np.concatenate(rows)
    return Chain(
        names=names,
        labels=labels,
        derived=derived,
        samples=table[:, 2:],
        weights=table[:, 0],
        lengths=tuple(len(r) for r in rows),
        ranges=_read_ranges(chains, root),
    )


def _own_or_emulators(chains: Path, root: str, suffix: str) -> Path:
    own = chains / f"{root}.{suffix}"
    return own if own.exists() else chains / f"{EMULATOR}.{suffix}"


def _read_paramnames(
    chains: Path, root: str
) -> tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]:
    path = _own_or_emulators(chains, root, "paramnames")
    if not path.exists():
        raise MissingFileError(f"{path} is not there: repeat `volvelle run` to write it again")
    names, labels, derived = [], {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        first, _, label = line.strip().partition("\t" if "\t" in line else " ")
        name = first.rstrip("*").strip()
        names.append(name)
        labels[name] = label.strip() or name
        if first.strip().endswith("*"):
            derived.append(name)
    return tuple(names), labels, tuple(derived)


def _read_ranges(chains: Path, root: str) -> dict[str, tuple[float | None, float | None]]:
    path = _own_or_emulators(chains, root, "ranges")
    if not path.exists():
        return {}
    ranges = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words:
            continue
        try:
            name, low, high = words[:3]
            bounds = tuple(None if w.strip() == "N" else float(w) for w in (low, high))
        except ValueError:
            raise ReportError(f"{path}: '{line}' is no line of 'name low high'") from None
        ranges[name] = bounds
    return ranges


def _read_table(path: Path, columns: int) -> np.ndarray:
    if not path.read_bytes().strip():
        raise ReportError(f"{path} is empty; expected {columns} columns: {_again(path)}")
    try:
        table = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise ReportError(f"{path} is damaged: {error}; {_again(path)}") from None
    if table.shape[1] != columns:
        raise ReportError(
            f"{path} has {table.shape[1]} columns; expected {columns}: weight, -log(posterior) "
            "and one for each name in the .paramnames file"
        )
    if not np.all(np.isfinite(table[:, 2:])):
        raise ReportError(f"{path} holds numbers that are not finite: {_again(path)}")
    if not (np.all(np.isfinite(table[:, 0])) and table[:, 0].min() >= 0 < table[:, 0].max()):
        raise ReportError(f"{path} holds weights that are not finite or negative, or only zeros")
    return table


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The iterations of the training, `history.json`."""
    path = Path(folder) / "history.json"
    history = read_json(path)
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise ReportError(f"{path} holds no list of iterations: {_again(path)}")
    for number, row in enumerate(history):
        for key in HISTORY_KEYS:
            if not is_finite(row.get(key)):
                raise ReportError(f"{path}: iteration {number} has no number '{key}'")
    return history


def read_bandpowers(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Measured and modelled bandpowers, `bandpowers.json`: name -> l, D_l, sigma, model [muK^2].

    sigma is one row, or two rows (below, above) where the error is not symmetric.
    """
    return _read_points(Path(folder) / "bandpowers.json", BANDPOWER_KEYS)


def read_distances(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Measured and modelled distances, `distances.json`.

    For each name: z, quantity, data, sigma, model.
    """
    return _read_points(Path(folder) / "distances.json", DISTANCE_KEYS)


def read_two_point(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Measured and modelled two-point functions, `two_point.json`.

    For each name: statistic, axis (``theta`` or ``ell``), pair, at, data, sigma, model.
    """
    return _read_points(Path(folder) / "two_point.json", TWO_POINT_KEYS)


def _read_points(path: Path, keys: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ReportError(f"{path} holds no mapping of names: {_again(path)}")
    points: dict[str, dict[str, np.ndarray]] = {}
    for name, block in content.items():
        missing = [key for key in keys if not isinstance(block, dict) or key not in block]
        if missing:
            raise ReportError(f"{path}: '{name}' has no {', '.join(missing)}; expected {keys}")
        try:
            rows = {k: np.asarray(block[k], str if k in WORDS else float) for k in keys}
        except (TypeError, ValueError):
            raise ReportError(f"{path}: '{name}' holds something that is no number") from None
        length = len(np.atleast_1d(rows[keys[0]]))
        if rows.get("quantity") is not None and rows["quantity"].ndim == 0:
            rows["quantity"] = np.full(length, rows["quantity"])
        if any(row.ndim == 0 or row.shape[-1] != length for row in rows.values()):
            raise ReportError(f"{path}: '{name}' has columns of different length")
        points[name] = rows
    return points


def read_best_fit(folder: Path) -> dict[str, np.ndarray]:
    """The exact theory at the best fit, `best_fit.safetensors`, under the names of Theory."""
    path = Path(folder) / "best_fit.safetensors"
    if not path.exists():
        raise MissingFileError(f"{path} is not there: repeat `volvelle run` to write it again")
    try:
        return load_file(path)
    except safetensors.SafetensorError as error:
        raise ReportError(f"{path} is damaged ({error}): {_again(path)}") from None
