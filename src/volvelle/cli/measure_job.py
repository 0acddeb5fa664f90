"""What ``volvelle measure`` does: measure file by file, put together, write."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator, Sequence
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
from .compute_block import ComputeBlock
from .computing import make_executor, within_memory
from .errors import MeasureError
from .measurements import Settings, measure_snapshot, packed, unpacked
from .progress import Reporter
from .verbs import enable_float64

SAME = 1e-6
"""Relative, of the times and boxes of snapshots that a mean is taken of."""
SHARED = ("a", "box_size", "Omega_m", "Omega_de", "h")


Task = tuple[Path, Settings, Path]
"""A snapshot, how it is measured, and the folder of the measurements."""
Known = tuple[list[Measured], dict[str, float]]
"""What was measured of a snapshot, and its universe."""


def measure_files(
    files: Sequence[Path],
    settings: Settings,
    output: Path,
    *,
    compute: ComputeBlock | None = None,
    progress: bool = True,
) -> int:
    """Measure snapshots and write mean, scatter and covariance; returns 0.

    What was measured of a file lies in ``output/files`` and is not measured again while neither
    file nor settings change. ``compute``: where; in this process, if None. Raises VolvelleError for
    what the user can mend.
    """
    settings.check()
    if not files:
        raise MeasureError("no file to measure; name snapshots")
    if output.exists() and not output.is_dir():
        raise MeasureError(f"{output} is a file; name a folder, it is made if need be")
    console = Console()
    reporter = Reporter(console, silent=not progress)
    started = time.monotonic()
    tasks = [(path.absolute(), settings, output.absolute()) for path in files]
    waiting = [task for task in tasks if _known(task) is None]
    with reporter.bar("measuring"):
        known = len(tasks) - len(waiting)
        reporter.files(known, len(tasks), None)
        for done, _ in enumerate(_measured(waiting, compute, reporter), start=1):
            left = (time.monotonic() - started) / done * (len(waiting) - done)
            reporter.files(known + done, len(tasks), left)
    found = [measure_one(task) for task in tasks]
    universes = [universe for _, universe in found]
    for path, universe in zip(files, universes, strict=True):
        _check_same(path, universe, files[0], universes[0])
    result = ensemble([blocks for blocks, _ in found])
    content = _content(files, settings, result, universes[0], time.monotonic() - started)
    write_atomically(output / "measurements.h5", _hdf5(result, files))
    write_atomically(output / "measurements.json", json.dumps(content, indent=1).encode())
    _write_sacc(output / "measurements.sacc.fits", result)
    report = write_measurements_report(output)
    if progress:
        console.print(measurements_table(content))
        others = "measurements.json, .h5, .sacc.fits and .png beside it"
        console.print(f"written: {report}, {others}", soft_wrap=True, highlight=False)
    return 0


def _measured(
    waiting: list[Task], compute: ComputeBlock | None, reporter: Reporter
) -> Iterator[Known]:
    """Each as it is done, here or by an executor."""
    if compute is None or not waiting:
        yield from map(measure_one, waiting)
        return
    block = within_memory(compute, len(waiting), max(_memory(*task[:2]) for task in waiting))
    failures = []
    with make_executor(block, reporter.say) as executor:
        for index, outcome in executor.map(measure_one, waiting, limited=False):
            if outcome.value is None:
                failures.append(f"{waiting[index][0]}: {outcome.error}")
            else:
                yield outcome.value
    if failures:
        raise MeasureError(
            f"{len(failures)} of {len(waiting)} snapshots could not be measured; what was measured "
            f"of the others is kept: {'; '.join(failures[:3])}"
        )


def _store(task: Task) -> Path:
    path, settings, output = task
    return output / "files" / f"{path.name}-{settings.key(path, snapshot_parts(path))}.json"


def _known(task: Task) -> Known | None:
    """What is on the disk of a file."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):  # not there, or damaged
        content = json.loads(_store(task).read_text())
        return unpacked(content["blocks"]), content["universe"]
    return None


def measure_one(task: Task) -> Known:
    """Blocks and universe of a file, from the disk or measured and put there."""
    found = _known(task)
    if found is not None:
        return found
    enable_float64()
    path, settings, _ = task
    _check_memory(path, _memory(path, settings))
    snapshot = read_snapshot(path, kind=settings.kind, length=settings.length, ids=False)
    itemsize = np.dtype(snapshot.positions.dtype).itemsize
    _check_memory(path, settings.memory(snapshot.count, itemsize))
    blocks, universe = measure_snapshot(settings, snapshot), _universe(snapshot)
    content = {"file": str(path), "universe": universe, "blocks": packed(blocks)}
    write_atomically(_store(task), json.dumps(content).encode())
    return blocks, universe


def _memory(path: Path, settings: Settings) -> int:
    """Bytes that a file takes, by its header."""
    return settings.memory(sum(read_header(path).totals[settings.kind :][:1]))


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
    path: Path, universe: dict[str, float], first: Path, expected: dict[str, float]
) -> None:
    """A mean is taken over realisations of one universe at one time."""
    for name in SHARED:
        if abs(universe[name] - expected[name]) > SAME * abs(expected[name]):
            raise MeasureError(
                f"{path} has {name} = {universe[name]:.8g} and {first} {expected[name]:.8g}; "
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
