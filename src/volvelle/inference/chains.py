"""Chains on disk, as GetDist and ArviZ read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from volvelle.learning import write_atomically


def save_getdist(
    root: Path,
    names: Sequence[str],
    labels: Sequence[str],
    chains: Sequence[np.ndarray],
    minus_log_prob: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    bounds: Mapping[str, tuple[float, float]],
    derived: frozenset[str] = frozenset(),
) -> None:
    """Write ``root.1.txt`` ... with ``.paramnames`` and ``.ranges`` (weight, -ln P, parameters).

    Args:
        chains: of each chain its samples [n, d]; bounds: hard edges of the priors, where finite;
        derived: names of derived parameters (marked with a star).
    """
    rows = [
        f"{name}{'*' if name in derived else ''}\t{label}"
        for name, label in zip(names, labels, strict=True)
    ]
    write_atomically(Path(f"{root}.paramnames"), ("\n".join(rows) + "\n").encode())
    ranges = []
    for name in names:
        low, high = bounds.get(name, (-np.inf, np.inf))
        ends = ["N" if not np.isfinite(end) else f"{end:.10g}" for end in (low, high)]
        ranges.append(f"{name} {ends[0]} {ends[1]}")
    write_atomically(Path(f"{root}.ranges"), ("\n".join(ranges) + "\n").encode())
    for i, (x, minus, weight) in enumerate(zip(chains, minus_log_prob, weights, strict=True)):
        table = np.column_stack([weight, minus, x])
        lines = [" ".join(f"{value:.10e}" for value in row) for row in table]
        write_atomically(Path(f"{root}.{i + 1}.txt"), ("\n".join(lines) + "\n").encode())


def save_arviz(
    path: Path,
    names: Sequence[str],
    samples: np.ndarray,
    log_prob: np.ndarray,
    log_weights: np.ndarray | None = None,
) -> None:
    """Write samples [c, n, d] in ArviZ's layout of netCDF-4 groups."""
    temporary = path.with_name(f".{path.name}.tmp")
    with h5py.File(temporary, "w", track_order=True) as stream:
        sizes = {"chain": samples.shape[0], "draw": samples.shape[1]}
        columns = {name: samples[:, :, i] for i, name in enumerate(names)}
        _group(stream.create_group("posterior", track_order=True), sizes, columns)
        stats = {"lp": log_prob}
        if log_weights is not None:
            stats["log_weight"] = log_weights
        _group(stream.create_group("sample_stats", track_order=True), sizes, stats)
    temporary.replace(path)


def _group(group: h5py.Group, sizes: Mapping[str, int], columns: Mapping[str, np.ndarray]) -> None:
    for name, size in sizes.items():
        scale = group.create_dataset(name, data=np.arange(size))
        scale.make_scale(name)
    for name, values in columns.items():
        data = group.create_dataset(name, data=np.asarray(values, dtype=float))
        for axis, dimension in enumerate(sizes):
            data.dims[axis].attach_scale(group[dimension])
