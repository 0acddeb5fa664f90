"""``volvelle simulate``: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from volvelle.cli import ConfigurationError, simulate_task
from volvelle.cli.app import app
from volvelle.cli.simulate_configuration import Realisation, SimulateConfiguration
from volvelle.cli.simulate_job import simulate_box
from volvelle.cli.simulate_task import DONE, STATE, realise, run
from volvelle.nbody import MemoryNeededError, read_snapshot

from .conftest import changed

SMALL: dict[str, Any] = {
    "output": "box",
    "cosmology": {
        "Omega_cdm": 0.26, "Omega_b": 0.049, "h": 0.67, "n_s": 0.96, "sigma8": 0.8, "m_nu": 0.0,
    },
    "box": {"size": 300.0, "particles": 32, "mesh": 64},
    "steps": {"start": 9.0, "number": 4},
    "integrator": "cola",
    "power": {"linear": "eisenstein_hu", "nonlinear": "halofit"},
    "snapshots": [1.0, 0.0],
    "seed": 3,
    "compute": {"in_process": {}},
}  # fmt: skip


HEAVY = {"cosmology": "planck18", "neutrinos": "grid", "power": {"linear": "learned"}}


def written(folder: Path, **changes: Any) -> Path:
    """A file of the small simulation, with changes."""
    path = folder / "simulate.yaml"
    path.write_text(json.dumps({**SMALL, **changes}))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two seeds, each with its pair, at fixed amplitude."""
    folder = tmp_path_factory.mktemp("simulate")
    initial = {"fixed_amplitude": True}
    path = written(folder, realisations=2, paired=True, initial=initial)
    words = ["simulate", str(path), "--output", str(folder / "box")]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "4 simulations of 32^3 particles in 300 Mpc/h: cola, 5 forces" in result.output
    return folder / "box"


def test_what_is_written(finished: Path) -> None:
    content = json.loads((finished / "simulate.json").read_text())
    assert content["passed"] and len(content["realisations"]) == 4
    assert [snapshot["z"] for snapshot in content["snapshots"]] == pytest.approx([1.0, 0.0])
    for name in ("seed_00003", "seed_00003_paired", "seed_00004", "seed_00004_paired"):
        for z in ("z1.000", "z0.000"):
            snapshot = read_snapshot(finished / name / f"{z}.hdf5")
            assert snapshot.count == 32**3
            assert snapshot.box_size == pytest.approx(300.0)
            assert snapshot.redshift == pytest.approx(float(z[1:]), abs=1e-6)
        assert not (finished / name / STATE).exists()
    for name in ("slices.png", "power.png", "times.png"):
        assert (finished / name).stat().st_size > 10_000
    page = (finished / "report.html").read_text()
    assert "checks passed" in page


def test_power_and_growth_are_those_of_theory(finished: Path) -> None:
    """At fixed amplitude and in pairs the longest waves scatter little."""
    for snapshot in json.loads((finished / "simulate.json").read_text())["snapshots"]:
        k, power = np.array(snapshot["k"]), np.array(snapshot["power"])
        linear = np.array(snapshot["linear"], dtype=float)
        long = k < 0.06
        np.testing.assert_allclose(power[long] / linear[long], 1.0, atol=0.08)
        assert snapshot["amplitude"]["linear"] == pytest.approx(1.0, abs=0.03)


def test_pairs_have_opposite_phases(finished: Path) -> None:
    """What is dense in one is empty in the other, beyond the lattice of the particles."""

    def seen(name: str) -> np.ndarray:
        density = load_file(finished / name / "z1.000.safetensors")["slice"]
        return density.reshape(8, 8, 8, 8).mean(axis=(1, 3))

    first, turned, other = map(seen, ("seed_00003", "seed_00003_paired", "seed_00004"))
    assert np.corrcoef(first.ravel(), turned.ravel())[0, 1] < -0.5
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.3


def test_an_interrupted_simulation_goes_on_to_the_same_bits(finished: Path, tmp_path: Path) -> None:
    configuration = SimulateConfiguration.load(finished / "config.yaml", output=tmp_path / "box")
    one, done = Realisation(3, False), []

    class Interrupted(Exception):
        pass

    def stop(stage: int, total: int) -> None:
        done.append(stage)
        if stage == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(configuration, one, stop)
    folder = tmp_path / "box" / one.name
    assert (folder / STATE).exists() and not (folder / DONE).exists()
    after: list[int] = []
    run(configuration, one, lambda stage, total: after.append(stage))
    assert done == [0, 1, 2, 3] and after == [3, 4, 5]
    for name in ("z1.000", "z0.000"):
        found = load_file(folder / f"{name}.safetensors")
        for key, value in load_file(finished / one.name / f"{name}.safetensors").items():
            np.testing.assert_array_equal(found[key], value)


def test_what_is_finished_is_not_run_again(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "box"
    shutil.copytree(finished, folder)
    for each in folder.glob("seed_*/*.hdf5"):
        each.unlink()
    assert realise((str(folder), 3, True)) == "seed_00003_paired"
    assert not list(folder.glob("seed_*/*.hdf5"))
    configuration = SimulateConfiguration.load(folder / "config.yaml", output=folder)
    assert simulate_box(configuration, progress=False) == 0


def test_a_folder_of_another_file_is_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "box")
    path = written(tmp_path, seed=9)
    configuration = SimulateConfiguration.load(path, output=tmp_path / "box")
    with pytest.raises(ConfigurationError, match="holds the run of another configuration"):
        simulate_box(configuration, progress=False)


def test_more_than_the_memory_is_refused_beforehand(tmp_path: Path) -> None:
    path = written(tmp_path, box={"size": 300.0, "particles": 8192})
    configuration = SimulateConfiguration.load(path, output=tmp_path / "big")
    with pytest.raises(MemoryNeededError, match=r"needs about \d+\.\d+ GiB and .* are free"):
        simulate_box(configuration, progress=False)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("box.particles", 15, "multiple of 2"),
        ("box.size", -1.0, "above 0"),
        ("snapshots", [9.0], "a snapshot at redshift 9 of a simulation from 9"),
        ("snapshots", [], "nothing to look at"),
        ("steps.number", 1, "1 steps to 2 snapshots"),
        ("cosmology", "planck19", "'planck19' is no universe; did you mean planck1"),
        ("cosmology.omega_k", 0.0, "omega_k: is no parameter of the universe; did you mean"),
        ("integrator", "leapfrog", "expected"),
        ("force", {}, "expected one of pm: and p3m:"),
        ("force", {"pm": {}, "p3m": {}}, "expected one of pm: and p3m:"),
        ("initial", {"f_nl": 10.0}, "needs A_s or ln10A_s"),
        ("neutrinos", "grid", "the universe has m_nu = 0"),
    ],
)
def test_what_is_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = written(tmp_path, **changed({key: value}, SMALL))
    with pytest.raises(ConfigurationError, match=words):
        SimulateConfiguration.load(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"integrator": "bullfrog"}, "the growth of bullfrog is the same for all waves"),
        ({"power": {"linear": "eisenstein_hu"}}, "grid needs power: {linear: learned}"),
        ({"initial": {"order": 3}}, "choose 1 or 2 beside neutrinos"),
    ],
)
def test_neutrinos_where_they_cannot_be(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        SimulateConfiguration.load(written(tmp_path, **{**HEAVY, **changes}))


def test_neutrinos_on_the_grid_reach_the_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Particles are baryons and cold dark matter, in the start as in the force."""
    asked: dict[str, Any] = {}

    def note(name: str) -> Any:
        def called(*given: Any, **choices: Any) -> None:
            asked[name] = choices

        return called

    monkeypatch.setattr(simulate_task, "gaussian", note("gaussian"))
    monkeypatch.setattr(simulate_task, "prepare", note("prepare"))
    for neutrinos, species in (("grid", "cb"), ("none", "matter")):
        path = written(tmp_path, **{**HEAVY, "neutrinos": neutrinos})
        simulate_task._prepared(SimulateConfiguration.load(path), Realisation(1, False))
        assert asked["gaussian"]["species"] == species
        assert (asked["prepare"]["neutrinos"] is not None) == (neutrinos == "grid")


def test_a_box_that_the_power_spectrum_does_not_cover(tmp_path: Path) -> None:
    box = {"size": 1.0e6, "particles": 32}
    path = written(tmp_path, box=box, cosmology="planck18", power={"linear": "learned"})
    with pytest.raises(ConfigurationError, match=r"box: .* has wavenumbers from"):
        SimulateConfiguration.load(path)


def test_the_example_is_right() -> None:
    path = Path(__file__).parents[2] / "examples" / "18_simulate.yaml"
    found = SimulateConfiguration.load(path)
    assert (found.mesh.cells, found.cells, found.mesh.box_size) == (128, 256, 256.0)
    assert found.file.force.pm is not None and found.forces == 11


def test_a_dry_run_says_what_it_takes(tmp_path: Path) -> None:
    path = written(tmp_path, output=str(tmp_path / "no"))
    words = ["simulate", str(path), "--dry-run"]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0 and "memory of each" in result.output
    assert not (tmp_path / "no").exists()
