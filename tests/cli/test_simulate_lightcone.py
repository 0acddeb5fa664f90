"""The lightcone of ``volvelle simulate``: from a file to particles, pictures and a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from volvelle.cli import simulate_task
from volvelle.cli.app import app
from volvelle.cli.simulate_configuration import SimulateConfiguration
from volvelle.nbody import read_crossings, write_crossings

FILE = {
    "cosmology": "planck18",
    "box": {"size": 64, "particles": 8, "mesh": 8},
    "steps": {"start": 1, "number": 3},
    "power": {"linear": "eisenstein_hu", "nonlinear": "halofit"},
    "write_snapshots": False,
    "lightcone": {"redshifts": [0.0, 0.08]},
}
CLUSTERED = 0.4
"""Of the number of galaxies with bias in so small a volume."""


def write(folder: Path, **changes: object) -> Path:
    path = folder / "cone.yaml"
    path.write_text(yaml.safe_dump({**FILE, "output": str(folder / "out"), **changes}))
    return path


def simulate(path: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["simulate", str(path), "--quiet"])
    return done.exit_code, " ".join(done.output.split())


def test_a_cone_is_found_and_an_interrupted_one_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tmp_path / "once"
    once.mkdir()
    status, said = simulate(write(once))
    assert status == 0, said
    whole = read_crossings(once / "out/seed_00001/lightcone.hdf5")
    content = json.loads((once / "out/simulate.json").read_text())["lightcone"]
    assert whole.count == content["particles"] == pytest.approx(content["expected"], rel=0.05)
    assert whole.distance.max() < content["far"]
    page = (once / "out/report.html").read_text()
    assert "Snapshot, lightcone, difference" in page and "The lightcone from redshift 0" in page

    class Killed(Exception):
        pass

    def dies(path: Path, *given: object) -> None:
        if path.name == "0003.hdf5":
            raise Killed
        write_crossings(path, *given)  # type: ignore[arg-type]

    monkeypatch.setattr("volvelle.cli.lightcone_task.write_crossings", dies)
    configuration = SimulateConfiguration.load(write(tmp_path))
    with pytest.raises(Killed):
        simulate_task.run(configuration, configuration.realisations[0])
    monkeypatch.undo()
    assert simulate(configuration.source)[0] == 0
    again = read_crossings(tmp_path / "out/seed_00001/lightcone.hdf5")
    for name in ("positions", "velocities", "a", "index", "replication"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert not (tmp_path / "out/seed_00001/lightcone_steps").exists()


@pytest.mark.parametrize(
    ("lightcone", "words"),
    [
        ({"redshifts": [0.0, 2.0]}, "lightcone.redshifts: a lightcone to redshift 2 of a simul"),
        ({"redshifts": [0.3, 0.1]}, "lightcone: a lightcone of redshifts 0.3 to 0.1"),
        ({"redshifts": [0.0]}, "lightcone.redshifts"),
        ({"redshifts": [0.0, 0.1], "replicate": False}, "without replication, whose walls are 32"),
        ({"redshifts": [0.0, 0.1], "observer": [0, 0, 70]}, "three coordinates in the box"),
        ({"redshifts": [0.0, 0.1], "footprint": {"ra": 0, "dec": 0, "radius": 0}}, "above 0"),
        ({"redshifts": [0.0, 0.1], "mask": "nothing.fits"}, "lightcone.mask: nothing.fits"),
        (
            {
                "redshifts": [0.0, 0.1],
                "mask": "m.fits",
                "footprint": {"ra": 0, "dec": 0, "radius": 9},
            },
            "beside footprint; choose one",
        ),
    ],
)
def test_lightcones_that_are_refused(tmp_path: Path, lightcone: dict, words: str) -> None:
    status, said = simulate(write(tmp_path, lightcone=lightcone))
    assert status == 2
    assert words in said


def test_nothing_to_look_at(tmp_path: Path) -> None:
    path = write(tmp_path, snapshots=[])
    content = yaml.safe_load(path.read_text())
    del content["lightcone"]
    path.write_text(yaml.safe_dump(content))
    status, said = simulate(path)
    assert status == 2
    assert "snapshots: nothing to look at; give a redshift, or a lightcone" in said


@pytest.mark.parametrize("snapshots", [[], [0.1]])
def test_tiles_find_the_same_cone_and_do_no_more_than_they_must(
    tmp_path: Path, snapshots: list[float]
) -> None:
    """A cone that ends before today; where snapshots are wanted too, beside them."""
    changes = {
        "snapshots": snapshots,
        "integrator": "cola",
        "box": {"size": 96, "particles": 16, "mesh": 16},
        "lightcone": {
            "redshifts": [0.05, 0.1],
            "footprint": {"ra": 45, "dec": 35, "radius": 20},
            "galaxies": {"lens": {"n_z": {"comoving": 2e-3}, "bias": 1.5}},
        },
        "steps": {"start": 1, "number": 5},
        "compute": {"in_process": {}},
    }
    status, said = simulate(write(tmp_path, **changes))
    assert status == 0, said
    whole = read_crossings(tmp_path / "out/seed_00001/lightcone.hdf5")
    apart = tmp_path / "apart"
    apart.mkdir()
    tiles = {"per_side": 2, "buffer": 24}
    status, said = simulate(write(apart, tiles=tiles, **changes))
    assert status == 0, said
    found = read_crossings(apart / "out/seed_00001/lightcone.hdf5")
    assert found.count == pytest.approx(whole.count, rel=0.03) and whole.count > 100
    content = json.loads((apart / "out/simulate.json").read_text())
    assert content["lightcone"]["particles"] == found.count
    galaxies = content["sky"]["galaxies"]["lens"]
    assert galaxies["number"] == pytest.approx(galaxies["expected"], rel=CLUSTERED)
    assert (apart / "out/seed_00001/galaxies_lens.fits").is_file()
    assert content["tiles"]["saved"] == 0.0
    page = (apart / "out/report.html").read_text()
    assert ("Snapshot, lightcone, difference" in page) == bool(snapshots)
    assert not list((apart / "out/seed_00001").glob("*.cone.hdf5"))
