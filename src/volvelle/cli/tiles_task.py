"""One simulation of an ensemble by tiles: their ground, all of them, what is measured of them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..compute import Executor, call
from ..learning import write_atomically
from ..nbody import (
    Ground,
    Mesh,
    Slabs,
    TileTask,
    Tiling,
    Universe,
    check_memory,
    contrast_of_parts,
    course,
    disk_needed,
    expected_errors,
    gaussian,
    ground_memory,
    lagrangian,
    lay_ground,
    measured_pace,
    memory_needed,
    run_tiles,
    snapshot_pieces,
    stages_seen,
    tile_memory,
)
from ..nbody.ground import save_array
from ..nbody.lpt_slabs import SLABS, STEPS
from ..nbody.tiles import GROUND
from ..nbody.tiling import Index
from ..power import power_model
from ..report.numbers import duration
from ..statistics import Density
from .computing import make_executor, within_memory
from .lightcone_task import put_together
from .progress import Reporter
from .simulate_configuration import Realisation, SimulateConfiguration
from .simulate_task import (
    DONE,
    Clock,
    facts,
    grown,
    lowest,
    lowest_modes,
    redshift_name,
    store_measured,
)

NEVER = {"seconds": 0.0, "until": 0, "a": 0.0}
"""Of a tile that no lightcone crosses."""
LOWEST = "lowest.npy"
"""Longest waves of the initial conditions, for the growth that the report judges."""


def pace_of(task: tuple[Tiling, str, str, str]) -> tuple[float, float | None]:
    """``measured_pace`` in a worker."""
    found = measured_pace(*task)
    return found.tile, found.boost


def run_tiled(
    configuration: SimulateConfiguration, one: Realisation, reporter: Reporter
) -> dict[str, Any]:
    """Simulate by tiles, measure and store; returns the content of ``simulation.json``.

    Whatever part is done is on the disk, and a repeated call goes on with the rest.

    Raises MemoryNeededError where a part does not fit, TilingError where tiles fail.
    """
    folder = configuration.output / one.name
    tiling, block = configuration.tiling, configuration.file.force.pm
    assert tiling is not None and block is not None, "as was checked"
    clock = Clock()
    needed = max(configuration.memory, ground_memory(tiling, configuration.file.precision))
    place = within_memory(configuration.compute, tiling.number, needed)
    with clock.of("initial conditions"):
        ground = _ground(configuration, one, folder, reporter)
    with make_executor(place, reporter.say) as executor:
        with clock.of("potential on the faces"), reporter.bar("potential on the faces"):
            for done in lay_ground(ground, executor):
                reporter.stepping(done, ground.course.number, None)
        pace = _pace(ground, folder, executor)
    tasks = _tasks(configuration, folder, ground)
    # fresh workers, whose memory is that of tiles and of nothing before
    with make_executor(place, reporter.say) as executor:
        reporter.say(_prospect(ground, pace, executor.workers))
        with clock.of("tiles"), reporter.bar("tiles"):
            _run(tasks, executor, reporter)
    with clock.of("measuring"):
        for a in configuration.times:
            _measure_parts(configuration, folder, a, ground)
    seen: dict[str, Any] = {}
    if configuration.lightcone is not None:
        with clock.of("lightcone"):
            seen["lightcone"] = _cone(configuration, folder, tasks)
    tiles = [json.loads(task.done.read_text()) for task in tasks]
    content = {
        "seed": one.seed,
        "paired": one.paired,
        "configuration": configuration.hash,
        "stages": ground.course.number,
        "seconds": {name: round(value, 2) for name, value in clock.seconds.items()},
        "memory": max(each["memory"] for each in tiles),
        "peaks": {**clock.peaks, "tiles": max(each["memory"] for each in tiles)},
        "snapshots": {redshift_name(a): facts(folder, a) for a in configuration.times},
        "tiles": _account(ground, pace, tiles, clock),
        **seen,
    }
    write_atomically(folder / DONE, json.dumps(content, indent=1).encode())
    shutil.rmtree(folder / GROUND)
    if not configuration.file.write_snapshots:
        for path in folder.glob("z*.*.hdf5"):
            path.unlink()
    return content


def _ground(
    configuration: SimulateConfiguration, one: Realisation, folder: Path, reporter: Reporter
) -> Ground:
    """Taken or begun; its displacement fields are there when this returns."""
    file = configuration.file
    tiling, pm = configuration.tiling, file.force.pm
    assert tiling is not None and pm is not None, "as was checked"
    found = course(
        configuration.cosmology,
        start=configuration.start,
        end=configuration.stops[-1],
        steps=file.steps.number,
        spacing=file.steps.spacing,
        through=configuration.stops[:-1],
        integrator=file.integrator,
    )
    ground = Ground.begin(
        folder / GROUND,
        tiling,
        found,
        f"{configuration.hash} {one.name}",
        orders={1: 1, 2: 2, 3: 5}[file.initial.order],
        dtype=file.precision,
        assignment=pm.assignment,
        gradient=pm.gradient,
    )
    if not (ground.folder / LOWEST).is_file():
        _displace(configuration, one, ground, reporter)
    return ground


def _displace(
    configuration: SimulateConfiguration, one: Realisation, ground: Ground, reporter: Reporter
) -> None:
    """Displacement fields: slab by slab on the disk, or in memory where they cannot be."""
    file, mesh = configuration.file, configuration.mesh
    linear = power_model(file.power.linear, "none")
    fixed = file.initial.fixed_amplitude
    if file.initial.f_nl == 0.0 and file.initial.order < 3:
        slabs = Slabs(ground, configuration.cosmology, one.seed, linear, fixed, one.paired)
        with reporter.bar("initial conditions"):
            for done, _ in enumerate(slabs.make(), start=1):
                reporter.stepping(done, len(STEPS), None)
        at = lowest(mesh)[0]
        modes = next(slabs.waves([at[0].ravel() % mesh.cells]))
        low = modes[np.ix_(np.arange(len(modes)), at[1].ravel(), at[2].ravel())] / mesh.cells**3
    else:  # products of three fields, or of the potential
        reporter.say("initial conditions in memory, for f_nl or third order")
        dtype = jnp.dtype(file.precision)
        check_memory(memory_needed(mesh.cells, 2, order=file.initial.order, dtype=dtype))
        initial = gaussian(
            configuration.cosmology,
            mesh,
            one.seed,
            power=linear,
            fixed_amplitude=fixed,
            paired=one.paired,
            f_nl=file.initial.f_nl,
            dtype=dtype,
        )
        ground.write_fields(lagrangian(initial, file.initial.order))
        low = lowest_modes(initial.modes, mesh)
    save_array(ground.folder / LOWEST, low)
    shutil.rmtree(ground.folder / SLABS, ignore_errors=True)


def _pace(ground: Ground, folder: Path, executor: Executor) -> tuple[float, float | None]:
    """Seconds of a force of a tile, and how much faster a particle is there; measured once."""
    path = folder / "pace.json"
    if not path.is_file():
        task = (ground.tiling, ground.dtype, ground.assignment, ground.gradient)
        write_atomically(path, json.dumps(call(executor, pace_of, task)).encode())
    seconds, boost = json.loads(path.read_text())
    return seconds, boost


def _tasks(configuration: SimulateConfiguration, folder: Path, ground: Ground) -> list[TileTask]:
    """Of all tiles that somebody wants: for a snapshot all to the end; for a lightcone alone those
    that are seen, until they have crossed."""
    cone, indices = configuration.lightcone, ground.tiling.indices()
    universe = Universe.of(configuration.cosmology)
    names = tuple((ground.course.stage_at(a), redshift_name(a)) for a in configuration.times)
    until: dict[Index, int | None] = dict.fromkeys(indices, None)
    if cone is not None and not names:
        seen = stages_seen(ground, cone)
        indices = [index for index in indices if seen[index] is not None]
        until = seen
    return [TileTask(str(folder), i, universe, names, until[i], cone) for i in indices]


def _cone(
    configuration: SimulateConfiguration, folder: Path, tasks: list[TileTask]
) -> dict[str, Any]:
    cone, block = configuration.lightcone, configuration.file.lightcone
    assert cone is not None and block is not None, "as was asked for"
    last = None
    if configuration.times:
        path = folder / redshift_name(configuration.times[-1])
        last = (part.positions for part in snapshot_pieces(path))
    parts = [task.crossed for task in tasks]
    number = configuration.mesh.cells**3
    return put_together(cone, folder, parts, number, block.thickness, last)


def _run(tasks: list[TileTask], executor: Executor, reporter: Reporter) -> None:
    """Those that are not done."""
    waiting = [task for task in tasks if not task.done.is_file()]
    started, before = time.monotonic(), len(tasks) - len(waiting)
    for fresh, _ in enumerate(run_tiles(waiting, executor), start=1):
        left = (time.monotonic() - started) / fresh * (len(waiting) - fresh)
        reporter.stepping(before + fresh, len(tasks), left)


def _prospect(ground: Ground, pace: tuple[float, float | None], workers: int) -> str:
    """What is to come, before it comes."""
    tiling, (seconds, boost) = ground.tiling, pace
    one = seconds * ground.course.number
    all_of_them = one * -(-tiling.number // workers)
    errors = expected_errors(tiling)
    by = "the hardware's factor, which is not measured: the box does not fit in memory"
    if boost is not None:
        by = f"s = {boost:.2f}, p = {boost * tiling.potential:.3g}"
    return (
        f"{tiling.number} tiles of {tiling.inner}^3 particles, {tiling.width}^3 with buffers: "
        f"overcompute {tiling.overcompute:.2f}, (L/L_tile)^3 = {tiling.potential:.3g}, {by}; "
        f"expected to k = 1 h/Mpc: P within {100 * errors.power:.2g}%, 1 - r below "
        f"{errors.correlation:.1g}; critical path, one tile: about {duration(one)}; all on "
        f"{workers} workers: about {duration(all_of_them)}; "
        f"{tile_memory(ground.tiling, ground.orders, ground.dtype) / 2**30:.2f} GiB a worker"
    )


def _account(
    ground: Ground,
    pace: tuple[float, float | None],
    tiles: list[dict[str, Any]],
    clock: Clock,
) -> dict[str, Any]:
    """What the report says of the tiles."""
    tiling, (_, boost) = ground.tiling, pace
    errors = expected_errors(tiling)
    longest = max(each["seconds"] for each in tiles)
    ran = {tuple(each["index"]): each for each in tiles}
    every = [ran.get(index, NEVER) for index in tiling.indices()]
    stages = sum(each["until"] for each in every)
    ahead = clock.seconds["initial conditions"] + clock.seconds["potential on the faces"]
    return {
        "per_side": tiling.per_side,
        "overcompute": tiling.overcompute,
        "extent": tiling.extent,
        "potential": tiling.potential,
        "boost": boost,
        "errors": {"power": errors.power, "correlation": errors.correlation},
        "predicted_memory": tile_memory(tiling, ground.orders, ground.dtype),
        "disk": disk_needed(tiling, ground.course.number, ground.orders, ground.dtype),
        "critical_path": round(ahead + longest, 2),
        "saved": 1.0 - stages / (tiling.number * ground.course.number),
        "seconds": [each["seconds"] for each in every],
        "stages": [each["until"] for each in every],
        "a": [each["a"] for each in every],
    }


def _measure_parts(
    configuration: SimulateConfiguration, folder: Path, a: float, ground: Ground
) -> None:
    """What the report needs of a snapshot, whose particles are never in memory all at once."""
    name = redshift_name(a)
    path = folder / f"{name}.safetensors"
    if path.is_file():
        return
    mesh = Mesh(configuration.cells, configuration.mesh.box_size)

    def parts() -> Iterator[np.ndarray]:
        for part in snapshot_pieces(folder / name):
            yield part.positions

    modes = contrast_of_parts(mesh, parts)
    noise = mesh.volume / configuration.mesh.cells**3
    density = Density(mesh, modes, noise, noise**2, "pcs", True)
    total, square, number = np.zeros(3), 0.0, 0
    for part in snapshot_pieces(folder / name):
        momenta = np.asarray(part.momenta, np.float64)
        total, number = total + momenta.sum(0), number + len(momenta)
        square += float(np.sum(momenta**2))
    rms = np.sqrt(square / (3 * number))
    growth = grown(np.load(ground.folder / LOWEST), configuration.mesh, density)
    mean = float(np.linalg.norm(total / number) / rms)
    store_measured(configuration, path, density, a, growth, mean)
