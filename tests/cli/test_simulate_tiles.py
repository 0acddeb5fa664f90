"""``tiles:`` in a file of ``volvelle simulate``: what is written, resumed and refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from volvelle.cli import ConfigurationError
from volvelle.cli.app import app
from volvelle.cli.simulate_configuration import SimulateConfiguration
from volvelle.cli.simulate_job import simulate_box
from volvelle.cli.tiles_task import GROUND
from volvelle.nbody import MemoryNeededError, memory_needed, read_snapshot

from .conftest import changed
from .test_simulate import HEAVY, SMALL, written

TILES: dict[str, Any] = {
    "box": {"size": 192.0, "particles": 32, "mesh": 32},
    "steps": {"start": 9.0, "number": 3},
    "tiles": {"per_side": 2, "buffer": 36.0},
    "snapshots": [1.0, 0.0],
}
POWER = 0.01
"""|P/P - 1| against the whole box, to half of Nyquist's wavenumber, in cells of 6 Mpc/h."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    words = ["simulate", str(written(folder, **TILES)), "--output", str(folder / "box")]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    for part in (
        "8 tiles of 16^3 particles, 28^3 with buffers: overcompute 5.36",
        "critical path, one tile: about",
        "GiB a worker",
        "8 tiles were simulated apart",
    ):
        assert part in said
    return folder / "box"


def test_what_is_written(finished: Path) -> None:
    content = json.loads((finished / "simulate.json").read_text())
    tiles = content["tiles"]
    assert content["passed"] and len(tiles["seconds"]) == 8
    assert tiles["a"] == [1.0] * 8 and tiles["stages"] == [4] * 8
    assert tiles["boost"] > 0.0 and tiles["critical_path"] > max(tiles["seconds"])
    assert (finished / "tiles.png").stat().st_size > 5_000
    assert "How far every tile ran" in (finished / "report.html").read_text()
    one = finished / "seed_00003"
    assert read_snapshot(one / "z0.000").count == 32**3
    assert not (one / GROUND).exists()


def test_power_is_that_of_the_box_as_a_whole(finished: Path, tmp_path: Path) -> None:
    path = written(tmp_path, **{**TILES, "tiles": None, "write_snapshots": False})
    configuration = SimulateConfiguration.load(path, output=tmp_path / "box")
    simulate_box(configuration, progress=False)
    for name in ("z1.000", "z0.000"):
        part, whole = (
            load_file(each / "seed_00003" / f"{name}.safetensors")
            for each in (finished, tmp_path / "box")
        )
        low = (whole["k"] > 0.0) & (whole["k"] < 0.5 * configuration.mesh.nyquist)
        np.testing.assert_allclose(part["power"][low] / whole["power"][low], 1.0, atol=POWER)
        assert part["grown"] == pytest.approx(whole["grown"], abs=POWER)


PROGRAM = """
import sys
from volvelle.cli.app import app
app(["simulate", sys.argv[1], "--output", sys.argv[2], "--quiet"])
"""


def test_a_killed_command_goes_on_to_the_same_bits(finished: Path, tmp_path: Path) -> None:
    """SIGKILL after the first tile; tiles that are done are not touched again."""
    path, folder = written(tmp_path, **TILES), tmp_path / "box"
    command = [sys.executable, "-c", PROGRAM, str(path), str(folder)]
    process = subprocess.Popen(command)
    one = folder / "seed_00003"
    while process.poll() is None and not list(one.glob("tile_*.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    first = {each: each.stat().st_mtime_ns for each in one.glob("tile_*.json")}
    assert 1 <= len(first) < 8
    assert simulate_box(SimulateConfiguration.load(path, output=folder), progress=False) == 0
    assert first == {each: each.stat().st_mtime_ns for each in first}
    for name in ("z1.000", "z0.000"):
        for part in range(8):
            found = (one / f"{name}.{part}.hdf5").read_bytes()
            assert found == (finished / "seed_00003" / f"{name}.{part}.hdf5").read_bytes()


def test_a_folder_of_another_file_is_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "box")
    path = written(tmp_path, **{**TILES, "tiles": {"per_side": 2, "buffer": 30.0}})
    configuration = SimulateConfiguration.load(path, output=tmp_path / "box")
    with pytest.raises(ConfigurationError, match="holds the run of another configuration"):
        simulate_box(configuration, progress=False)


def test_a_tile_beyond_the_memory_is_refused_beforehand(tmp_path: Path) -> None:
    box = {"size": 12288.0, "particles": 8192, "mesh": 8192}
    path = written(tmp_path, **{**TILES, "box": box, "compute": {"local": {}}})
    configuration = SimulateConfiguration.load(path, output=tmp_path / "big")
    assert configuration.memory < memory_needed(8192, 8192)
    with pytest.raises(MemoryNeededError, match=r"needs about \d+\.\d+ GiB and .* are free"):
        simulate_box(configuration, progress=False)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("tiles.per_side", 3, "3 tiles per side of 32 particles per side; expected a number that"),
        ("tiles.per_side", 0, "at least 1"),
        ("tiles.buffer", 60.0, "a buffer of 10 particles on each side of tiles of 16"),
        ("tiles.margin", 36.0, "a margin of 6 particles in a buffer of 6"),
        ("box.mesh", 48, "a mesh of 48 cells per side of 32 particles per side"),
        ("force", {"p3m": {}}, "tiles: need the force of a mesh"),
    ],
)
def test_what_is_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = written(tmp_path, **changed({key: value}, {**SMALL, **TILES}))
    with pytest.raises(ConfigurationError, match=words):
        SimulateConfiguration.load(path)


def test_neutrinos_on_the_mesh_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, **{**HEAVY, "tiles": {"per_side": 2, "buffer": 40.0}})
    with pytest.raises(ConfigurationError, match="tiles: and neutrinos: grid"):
        SimulateConfiguration.load(path)


def test_files_without_tiles_are_what_they_were(tmp_path: Path) -> None:
    """Their folders are those of before there were tiles."""
    plain = SimulateConfiguration.load(written(tmp_path))
    null = SimulateConfiguration.load(written(tmp_path, tiles=None))
    cut = SimulateConfiguration.load(written(tmp_path, **TILES))
    assert plain.hash == null.hash != cut.hash
    assert plain.tiling is None and cut.tiling is not None


def test_the_example_is_right() -> None:
    found = SimulateConfiguration.load(Path(__file__).parents[2] / "examples" / "19_tiles.yaml")
    assert found.tiling is not None and found.tiling.number == 8
    assert found.tiling.extent <= 0.75 and found.tiling.overcompute < 8.0
