"""Tiles against the box as a whole; kept, killed and resumed to the same bits."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dask_cluster import dask_cluster
from volvelle.compute import DaskExecutor, ProcessExecutor, SerialExecutor
from volvelle.cosmology import planck18
from volvelle.nbody import (
    Cap,
    Course,
    Crossings,
    Ground,
    InitialConditions,
    Lightcone,
    Mesh,
    ParticleMesh,
    Particles,
    ScheduleError,
    SimulationError,
    TileParticles,
    TileTask,
    Tiling,
    TilingError,
    Universe,
    course,
    density_contrast,
    gaussian,
    lagrangian,
    lay_ground,
    observe,
    prepare,
    read_crossings,
    read_snapshot,
    run_tile,
    run_tiles,
    simulate,
    snapshot_pieces,
    stages_seen,
    tiles,
)
from volvelle.power import EisensteinHu

MESH = Mesh(32, 192.0)
TILING = Tiling(32, 32, 192.0, per_side=2, buffer=6, margin=1)
STEPS, SNAPSHOT = 5, 0.5
AWAY = {"cola": 0.05, "bullfrog": 0.08}
"""Rms of positions against the whole box [Mpc/h], of which particles move 10; cells are 6 wide, and
faces let through what perturbation theory has wrong there."""
ALIKE = 2e-3
"""1 - r and |P/P - 1| of the density, at wavenumbers up to half of Nyquist's."""
UNIVERSE = Universe(0.31, 0.69, 0.67)


@pytest.fixture(scope="module")
def initial() -> InitialConditions:
    return gaussian(planck18(), MESH, 2, power=EisensteinHu())


def laid(
    folder: Path, initial: InitialConditions, found: Course, tiling: Tiling = TILING
) -> Ground:
    ground = Ground.begin(folder / tiles.GROUND, tiling, found, "seed 2")
    ground.write_fields(lagrangian(initial, 2))
    done = list(lay_ground(ground, SerialExecutor()))
    assert done == list(range(1, found.number + 1))
    return ground


@pytest.fixture(scope="module", params=["cola", "bullfrog"])
def both(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    initial: InitialConditions,
) -> tuple[str, Ground, list[Particles]]:
    """An integrator, tiles, and the same of the whole box, at two times."""
    name = request.param
    found = course(planck18(), steps=STEPS, through=[SNAPSHOT], integrator=name)
    ground = laid(tmp_path_factory.mktemp(name), initial, found)
    whole = simulate(
        planck18(),
        initial,
        steps=STEPS,
        snapshots=[SNAPSHOT],
        integrator=name,
        force=ParticleMesh(MESH, "tsc"),
    )
    assert isinstance(whole, list)
    return name, ground, whole


def test_tiles_are_the_box_as_a_whole(both: tuple[str, Ground, list[Particles]]) -> None:
    """At both times, in positions, momenta and the density; paths are continuous."""
    name, ground, whole = both
    found = [np.zeros((2, 32**3, 3)) for _ in whole]
    stages = [ground.course.stage_at(a) for a in (SNAPSHOT, 1.0)]

    def note(particles: TileParticles) -> None:
        if particles.done in stages:
            held = found[stages.index(particles.done)]
            held[0, particles.ids], held[1, particles.ids] = particles.positions, particles.momenta

    for index in TILING.indices():
        ground.tile(index).run(visit=note)
    points = np.stack(np.meshgrid(*[np.arange(32) * 6.0] * 3, indexing="ij"), -1).reshape(-1, 3)
    k = np.sqrt(np.asarray(MESH.k_squared()))
    band = (k > 0.0) & (k < 0.5 * MESH.nyquist)
    for held, truth in zip(found, whole, strict=True):
        away = held[0] - points - np.asarray(truth.displacement)
        assert np.sqrt(np.mean(np.sum(away**2, -1))) < AWAY[name]
        slower = held[1] - np.asarray(truth.momentum)
        assert np.sqrt(np.mean(slower**2)) < AWAY[name]
        one = np.asarray(density_contrast(MESH, jnp.asarray(held[0])))[band]
        other = np.asarray(density_contrast(MESH, truth.positions))[band]
        power, true = (np.vdot(each, each).real for each in (one, other))
        assert abs(power / true - 1.0) < ALIKE
        assert 1.0 - np.vdot(one, other).real / np.sqrt(power * true) < ALIKE


def test_tiles_cross_a_lightcone_as_the_box_does(
    both: tuple[str, Ground, list[Particles]], initial: InitialConditions
) -> None:
    """Those that are never seen do not run; the others stop when they have crossed."""
    name, ground, _ = both
    cone = Lightcone.of(
        planck18(), 192.0, redshifts=(0.0, 0.03), observer=(10.0, 10.0, 10.0),
        footprint=Cap(45.0, 35.0, 25.0), replicate=False,
    )  # fmt: skip
    force = ParticleMesh(MESH, "tsc")
    simulation = prepare(planck18(), initial, steps=STEPS, integrator=name, force=force)
    whole = Crossings.joined([found for _, found in observe(simulation, cone)])
    seen = stages_seen(ground, cone)
    tile_of = {int(n): index for index in TILING.indices() for n in TILING.interior(index)}
    assert {tile_of[n] for n in whole.index.tolist()} <= {i for i in seen if seen[i]}
    tasks = [
        TileTask(str(ground.folder.parent), index, UNIVERSE, (), until, cone)
        for index, until in seen.items()
        if until is not None
    ]
    for task in tasks:
        run_tile(task)
    found = Crossings.joined([read_crossings(task.crossed) for task in tasks])
    for task in tasks:
        task.done.unlink()
    assert whole.count > 100
    both_in = set(found.index.tolist()) & set(whole.index.tolist())
    assert len(both_in) > 0.97 * max(found.count, whole.count)
    ordered = [each.positions[np.argsort(each.index)] for each in (found, whole)]
    kept = [
        x[np.isin(np.sort(each.index), list(both_in))]
        for x, each in zip(ordered, (found, whole), strict=True)
    ]
    assert np.sqrt(np.mean(np.sum((kept[0] - kept[1]) ** 2, -1))) < AWAY[name]
    near = Lightcone.of(planck18(), 192.0, redshifts=(0.0, 0.002), observer=(48.0,) * 3)
    reached = stages_seen(ground, near)
    assert [index for index in TILING.indices() if reached[index]] == [(0, 0, 0)]
    past = Lightcone.of(planck18(), 192.0, redshifts=(0.2, 0.5))
    assert all(until is not None and until < ground.course.number for until in
               stages_seen(ground, past).values())  # fmt: skip


def test_a_tile_is_handed_out_at_every_step(both: tuple[str, Ground, list[Particles]]) -> None:
    """At the same times whatever ``until``; stopping early is the beginning of the whole run."""
    _, ground, _ = both
    times = np.linspace(0.1, 1.0, STEPS + 1)
    seen: list[TileParticles] = []
    tile = ground.tile((1, 0, 1))
    end = tile.run(visit=seen.append)
    np.testing.assert_array_equal(end.positions, seen[-1].positions)
    shown = [each.a for each in seen]
    assert shown[0] == pytest.approx(0.1) and shown[-1] == pytest.approx(1.0)
    assert len(shown) == len(times) and np.all(np.diff(shown) > 0.05)
    part: list[TileParticles] = []
    early = tile.run(until=3, visit=part.append)
    assert [each.a for each in part] == shown[: len(part)]
    same = seen[len(part) - 1]
    np.testing.assert_array_equal(early.positions, same.positions)
    np.testing.assert_array_equal(early.momenta, same.momenta)
    nothing = tile.run(until=0)
    np.testing.assert_allclose(nothing.positions, seen[0].positions, rtol=1e-6)
    with pytest.raises(ScheduleError, match="run until 99 stages are done; there are "):
        tile.run(until=99)


def tasks(folder: Path, ground: Ground) -> list[TileTask]:
    names = ((ground.course.stage_at(SNAPSHOT), "z1.000"), (ground.course.number, "z0.000"))
    return [TileTask(str(folder), index, UNIVERSE, names) for index in TILING.indices()]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, initial: InitialConditions) -> Iterator[Path]:
    """A folder with all tiles of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("stored")
    ground = laid(folder, initial, course(planck18(), steps=2, through=[SNAPSHOT]))
    assert len(list(run_tiles(tasks(folder, ground), SerialExecutor()))) == 8
    yield folder


def test_results_are_parts_of_a_snapshot(stored: Path) -> None:
    whole = read_snapshot(stored / "z0.000")
    np.testing.assert_array_equal(np.sort(whole.ids), np.arange(1, 32**3 + 1))
    assert whole.a == pytest.approx(1.0) and whole.positions.max() < 192.0
    pieces = np.concatenate([each.positions for each in snapshot_pieces(stored / "z0.000")])
    np.testing.assert_array_equal(pieces, whole.positions)


def killed_once(task: TileTask) -> dict:
    """Ends its own process in the middle of one tile, the first time."""
    mark = Path(task.folder) / "killed"
    if task.index == (0, 1, 0) and not mark.exists():
        mark.touch()
        Ground.open(Path(task.folder) / tiles.GROUND).tile(task.index).run(
            visit=lambda particles: os.kill(os.getpid(), signal.SIGKILL)
        )
    return run_tile(task)


def test_a_killed_worker_costs_its_tile_only(
    tmp_path: Path, stored: Path, initial: InitialConditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done again in the same call, to the same bits; a repeated call does nothing."""
    ground = laid(tmp_path, initial, course(planck18(), steps=2, through=[SNAPSHOT]))
    monkeypatch.setattr(tiles, "run_tile", killed_once)
    with ProcessExecutor(1) as executor:
        done = list(run_tiles(tasks(tmp_path, ground), executor))
    assert (tmp_path / "killed").exists() and len(done) == 8
    assert done[-1]["index"] == [0, 1, 0]  # the others did not wait
    monkeypatch.undo()
    for name in ("z1.000", "z0.000"):
        for part in range(8):
            found = (tmp_path / f"{name}.{part}.hdf5").read_bytes()
            assert found == (stored / f"{name}.{part}.hdf5").read_bytes()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(list(run_tiles(tasks(tmp_path, ground), SerialExecutor()))) == 8
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_cluster_gives_the_same_bits(
    tmp_path: Path, stored: Path, initial: InitialConditions
) -> None:
    """Tiles are tasks of Dask's, whose workers share the folder."""
    folder = tmp_path / "tiles"
    ground = laid(folder, initial, course(planck18(), steps=2, through=[SNAPSHOT]))
    some = tasks(folder, ground)[3:5]
    with (
        dask_cluster(tmp_path, workers=1) as cluster,
        DaskExecutor(cluster.address, say=lambda _: None) as executor,
    ):
        assert len(list(run_tiles(some, executor))) == 2
    for part in (3, 4):
        found = (folder / f"z0.000.{part}.hdf5").read_bytes()
        assert found == (stored / f"z0.000.{part}.hdf5").read_bytes()


def test_a_tile_that_fails_is_named(tmp_path: Path, initial: InitialConditions) -> None:
    ground = laid(tmp_path, initial, course(planck18(), steps=2, through=[SNAPSHOT]))
    ground.faces_path(1).unlink()
    with pytest.raises(TilingError, match=r"1 of 1 tiles failed; .*\(0, 0, 0\): FileNotFoundError"):
        list(run_tiles(tasks(tmp_path, ground)[:1], SerialExecutor()))


def test_folders_of_others_are_refused(stored: Path, tmp_path: Path) -> None:
    ground = Ground.open(stored / tiles.GROUND)
    with pytest.raises(TilingError, match="holds tiles of another configuration"):
        Ground.begin(ground.folder, TILING, ground.course, "seed 3")
    with pytest.raises(TilingError, match="no ground of tiles was begun there"):
        Ground.open(tmp_path)
    begun = Ground.begin(tmp_path, TILING, ground.course, "seed 3")
    with pytest.raises(TilingError, match="its ground is begun and not finished"):
        begun.tile((0, 0, 0))
    path = stored / "tile_00_00_00.json"
    content = path.read_text()
    path.write_text(json.dumps({**json.loads(content), "owner": "another"}))
    with pytest.raises(TilingError, match="is of another configuration"):
        run_tile(tasks(stored, ground)[0])
    path.write_text(content)


def test_times_between_steps_are_refused() -> None:
    with pytest.raises(ScheduleError, match=r"a = 0.33 is not the end of a step"):
        course(planck18(), steps=2).stage_at(0.33)


def test_another_integrator_is_refused() -> None:
    with pytest.raises(SimulationError, match="integrator is 'euler'"):
        course(planck18(), integrator="euler")


def test_double_precision_does_not_depend_on_the_worker(
    tmp_path: Path, initial: InitialConditions
) -> None:
    found = course(planck18(), steps=1)
    ground = Ground.begin(tmp_path / tiles.GROUND, TILING, found, "double", dtype="float64")
    ground.write_fields(lagrangian(initial, 2))
    list(lay_ground(ground, SerialExecutor()))
    assert ground.tile((0, 0, 0)).run().positions.dtype == np.float64


def test_the_page() -> None:
    """The code of docs/tiles.md runs as it stands."""
    page = Path(__file__).parents[2] / "docs" / "tiles.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    assert names["end"].done == 4 and len(names["seen"]) == 4
