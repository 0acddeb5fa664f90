"""What ``volvelle measure`` does: measure file by file, put together, write."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rich.console import Console

from .. import __version__
from ..learning import write_atomically
from ..nbody import Snapshot, memory_free, read_header, read_snapshot, snapshot_parts
from ..report import measurements_table, write_measurements_report
from ..statistics import Ensemble, Measured, ensemble
from .errors import MeasureError
from .measurements import Settings, measure_snapshot, packed, unpacked
from .progress import Reporter

SAME = 1e-6
"""Relative, of the times and boxes of snapshots that a mean is taken of."""
SHARED = ("a", "box_size", "Omega_m", "Omega_de", "h")


def measure_files(
    files: Sequence[Path], settings: Settings, output: Path, *, progress: bool = True
) -> int:
    """Measure snapshots and write mean, scatter and covariance; returns 0.

    What was measured of a file lies in ``output/files`` and is not measured again while neither
    file nor settings change. Raises VolvelleError for what the user can mend.
    """
    settings.check()
    if not files:
        raise MeasureError("no file to measure; name snapshots")
    if output.exists() and not output.is_dir():
        raise MeasureError(f"{output} is a file; name a folder, it is made if need be")
    console = Console()
    reporter = Reporter(console, silent=not progress)
    started = time.monotonic()
    realisations, universes, known = [], [], 0
    with reporter.bar("measuring"):
        for number, path in enumerate(files):
            reporter.files(number, len(files), _left(started, number - known, len(files) - number))
            blocks, universe, fresh = _measured(path, settings, output)
            known += not fresh
            _check_same(path, universe, files[0], universes)
            realisations.append(blocks)
            universes.append(universe)
        reporter.files(len(files), len(files), None)
    found = ensemble(realisations)
    content = _content(files, settings, found, universes[0], time.monotonic() - started)
    write_atomically(output / "measurements.h5", _hdf5(found, files))
    write_atomically(output / "measurements.json", json.dumps(content, indent=1).encode())
    _write_sacc(output / "measurements.sacc.fits", found)
    report = write_measurements_report(output)
    if progress:
        console.print(measurements_table(content))
        others = "measurements.json, .h5, .sacc.fits and .png beside it"
        console.print(f"written: {report}, {others}", soft_wrap=True, highlight=False)
    return 0


def _left(started: float, done: int, waiting: int) -> float | None:
    """Seconds left, by those that were measured here."""
    return (time.monotonic() - started) / done * waiting if done > 0 else None


def _measured(
    path: Path, settings: Settings, output: Path
) -> tuple[list[Measured], dict[str, float], bool]:
    """Blocks and universe of a file, and whether they were measured now."""
    store = output / "files" / f"{path.name}-{settings.key(path, snapshot_parts(path))}.json"
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):  # not there, or damaged
        content = json.loads(store.read_text())
        return unpacked(content["blocks"]), content["universe"], False
    particles = sum(read_header(path).totals[settings.kind :][:1])
    _check_memory(path, settings.memory(particles))
    snapshot = read_snapshot(path, kind=settings.kind, length=settings.length, ids=False)
    itemsize = np.dtype(snapshot.positions.dtype).itemsize
    _check_memory(path, settings.memory(snapshot.count, itemsize))
    blocks, universe = measure_snapshot(settings, snapshot), _universe(snapshot)
    content = {"file": str(path), "universe": universe, "blocks": packed(blocks)}
    write_atomically(store, json.dumps(content).encode())
    return blocks, universe, True


def _check_memory(path: Path, needed: int) -> None:
    free = memory_free()
    if free is not None and needed > free:
        raise MeasureError(
            f"{path} takes about {needed / 2**30:.3g} GiB to measure and {free / 2**30:.3g} GiB "
            "are free; take fewer --cells, or fewer statistics at a time"
        )


def _universe(snapshot: Snapshot) -> dict[str, float]:
    return {name: float(getattr(snapshot, name)) for name in SHARED} | {
        "particles": float(snapshot.count)
    }


def _check_same(
    path: Path, universe: dict[str, float], first: Path, others: list[dict[str, float]]
) -> None:
    """A mean is taken over realisations of one universe at one time."""
    for name in SHARED if others else ():
        if abs(universe[name] - others[0][name]) > SAME * abs(others[0][name]):
            raise MeasureError(
                f"{path} has {name} = {universe[name]:.8g} and {first} {others[0][name]:.8g}; "
                "measure snapshots of other times or universes with an --output of their own"
            )


def _content(
    files: Sequence[Path],
    settings: Settings,
    found: Ensemble,
    universe: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    blocks = []
    for block, where in zip(found.blocks, found.slices, strict=True):
        noise = block.noise
        blocks.append(
            {
                "name": block.name,
                "axis": block.axis,
                "axis_unit": block.axis_unit,
                "unit": block.unit,
                "at": _numbers(block.at),
                "mean": _numbers(found.mean[where]),
                "scatter": None if found.scatter is None else _numbers(found.scatter[where]),
                "shot_noise": _numbers(noise),
            }
        )
    return {
        "version": __version__,
        "files": [str(path) for path in files],
        "settings": settings.record(),
        "universe": universe,
        "realisations": found.count,
        "invertible": found.invertible,
        "blocks": blocks,
        "seconds": round(seconds, 1),
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    """For JSON, which has no NaN: null."""
    return [float(v) if np.isfinite(v) else None for v in values]


def _hdf5(found: Ensemble, files: Sequence[Path]) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["files"] = [str(path) for path in files]
        for block, where in zip(found.blocks, found.slices, strict=True):
            group = file.create_group(block.name)
            group.attrs.update(
                {"axis": block.axis, "axis_unit": block.axis_unit, "unit": block.unit}
            )
            group.attrs["slice"] = [where.start, where.stop]
            group["at"], group["values"] = block.at, found.values[:, where]
            group["mean"], group["shot_noise"] = found.mean[where], block.noise
        file["mean"] = found.mean
        if found.covariance is not None:
            file["covariance"] = found.covariance
    return stream.getvalue()


def _write_sacc(path: Path, found: Ensemble) -> None:
    """The mean with the covariance of one realisation, as SACC keeps data vectors."""
    import sacc

    data = sacc.Sacc()
    data.add_tracer("misc", "matter")
    for block, where in zip(found.blocks, found.slices, strict=True):
        for at, value in zip(block.at, found.mean[where], strict=True):
            kind = f"matter_density_{block.name}"
            data.add_data_point(kind, ("matter",), value, **{block.axis: at})
    if found.covariance is not None:
        data.add_covariance(found.covariance)
    data.metadata["realisations"] = found.count
    draft = path.with_name(f".{path.name}.draft")
    data.save_fits(str(draft), overwrite=True)
    draft.replace(path)
