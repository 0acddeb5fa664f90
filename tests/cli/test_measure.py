"""``volvelle measure``: snapshots in, statistics with their scatter out; what it refuses."""

import json
from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest
import sacc
from typer.testing import CliRunner

from volvelle.cli.app import app
from volvelle.nbody import Snapshot, write_snapshot
from volvelle.statistics import Density, linear_edges, power_spectrum

BOX, CELLS, FILES = 100.0, 16, 4


def snapshot(seed: int, **changes: float) -> Snapshot:
    rng = np.random.default_rng(seed)
    numbers = {"a": 0.5, "box_size": BOX, "Omega_m": 0.3, "Omega_de": 0.7, "h": 0.7, **changes}
    where = rng.uniform(0.0, numbers["box_size"], (2000, 3))
    return Snapshot(where, rng.normal(0.0, 300.0, where.shape), **numbers)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("snapshots")
    return [write_snapshot(folder / f"snap_{i}.hdf5", snapshot(i)) for i in range(FILES)]


def measure(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["measure", *(str(word) for word in words)])
    return done.exit_code, " ".join(done.output.split())


def common(output: Path) -> list[object]:
    return ["--cells", CELLS, "--output", output]


def test_mean_and_covariance_of_files(files: list[Path], tmp_path: Path) -> None:
    status, said = measure(*files, *common(tmp_path), "-s", "power,pdf", "--radius", 20)
    assert status == 0, said
    content = json.loads((tmp_path / "measurements.json").read_text())
    truth = []
    for seed in range(FILES):
        density = Density.of_catalogue(snapshot(seed).positions, BOX, cells=CELLS)
        edges = linear_edges(density.mesh)
        truth.append(power_spectrum(density, edges=edges).subtracted)
    power = content["blocks"][0]
    # written in float64, in kpc/h
    np.testing.assert_allclose(power["mean"], np.mean(truth, axis=0), rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(power["scatter"], np.std(truth, axis=0, ddof=1), rtol=1e-6)
    assert [block["name"] for block in content["blocks"]] == ["power", "pdf"]
    assert content["realisations"] == FILES
    with h5py.File(tmp_path / "measurements.h5") as file:
        np.testing.assert_allclose(file["power/values"][:], truth, rtol=1e-6, atol=1e-3)
        covariance = file["covariance"][:]
        start, stop = file["power"].attrs["slice"]
        np.testing.assert_allclose(covariance[start:stop, start:stop], np.cov(np.transpose(truth)))
    data = sacc.Sacc.load_fits(str(tmp_path / "measurements.sacc.fits"))
    np.testing.assert_allclose(data.covariance.dense, covariance)
    chosen = data.indices("matter_density_power")
    np.testing.assert_allclose(data.mean[chosen], power["mean"])
    np.testing.assert_allclose([data.data[i]["k"] for i in chosen], power["at"])
    assert len(data.indices("matter_density_pdf")) == 80
    assert matplotlib.image.imread(tmp_path / "measurements.png").std() > 0.0
    page = (tmp_path / "report.html").read_text()
    assert "4 realisations at z = 1.000 in a box of 100 Mpc/h with 2000 particles" in page
    assert "FLAGGED: the covariance of 87 numbers from 4 realisations has no inverse" in said


def test_every_statistic_at_once(files: list[Path], tmp_path: Path) -> None:
    names = "multipoles,bispectrum,pdf,voids,xi,power"
    status, said = measure(
        files[0], *common(tmp_path), "-s", names, "--radius", 20, "--k1", 0.15, "--k2", 0.15,
        "--angles", 3, "--radii", "24.9,22,20", "--cells", 32, "--redshift-space", "--axis", 1,
        "--threshold", -0.2,
    )  # fmt: skip
    assert status == 0, said
    content = json.loads((tmp_path / "measurements.json").read_text())
    assert [block["name"] for block in content["blocks"]] == [
        "multipole_0", "multipole_2", "multipole_4", "bispectrum", "reduced_bispectrum", "pdf",
        "voids", "xi", "power",
    ]  # fmt: skip
    assert "in redshift space along axis 1" in said
    assert "FLAGGED: one realisation has no scatter and no covariance" in said
    assert sacc.Sacc.load_fits(str(tmp_path / "measurements.sacc.fits")).covariance is None
    mono, power = content["blocks"][0], content["blocks"][-1]
    np.testing.assert_allclose(mono["mean"], power["mean"])
    other = Density.of_catalogue(snapshot(0).redshift_space(1), BOX, cells=32)
    truth = power_spectrum(other, edges=linear_edges(other.mesh)).subtracted
    np.testing.assert_allclose(power["mean"], truth, rtol=1e-6, atol=1e-3)


def test_shot_noise_is_taken_off_or_kept(files: list[Path], tmp_path: Path) -> None:
    found = []
    for keep in ([], ["--keep-noise"]):
        names = ["-s", "power,multipoles,bispectrum", "--k1", 0.15, "--k2", 0.15, "--angles", 2]
        status, said = measure(files[0], *common(tmp_path), *names, *keep)
        assert status == 0, said
        assert ("is not taken off" in said) == bool(keep)
        found.append(json.loads((tmp_path / "measurements.json").read_text())["blocks"])
    for less, more in zip(*found, strict=True):
        noise = np.array(less["shot_noise"])
        if less["name"] == "reduced_bispectrum":
            assert less["mean"] == more["mean"]
            continue
        assert np.abs(noise).max() > 0.0
        assert not np.any(more["shot_noise"])
        np.testing.assert_allclose(np.array(more["mean"]), np.array(less["mean"]) + noise)


def test_files_that_are_done_are_not_measured_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three files, one of which cannot be read; then all four; then other settings."""
    read: list[str] = []
    from volvelle.cli import measure_job

    original = measure_job.read_snapshot

    def counted(path: Path, **options: object) -> Snapshot:
        read.append(Path(path).name)
        return original(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(measure_job, "read_snapshot", counted)
    bad = tmp_path / "bad.hdf5"
    bad.write_bytes(files[2].read_bytes())
    with h5py.File(bad, "a") as file:
        del file["PartType1/Velocities"]
    out = common(tmp_path / "out")
    status, said = measure(*files[:2], bad, *out)
    assert (status, read) == (2, ["snap_0.hdf5", "snap_1.hdf5", "bad.hdf5"])
    assert "no block PartType1/Velocities" in said
    read.clear()
    assert measure(*files, *out)[0] == 0
    assert read == ["snap_2.hdf5", "snap_3.hdf5"]
    once = json.loads((tmp_path / "out" / "measurements.json").read_text())["blocks"]
    read.clear()
    assert measure(*files, *out)[0] == 0
    assert not read
    damaged = sorted((tmp_path / "out" / "files").iterdir())[0]
    damaged.write_text("{")
    assert measure(*files, *out)[0] == 0
    assert read == ["snap_0.hdf5"]
    read.clear()
    assert json.loads((tmp_path / "out" / "measurements.json").read_text())["blocks"] == once
    assert measure(files[0], *out, "--width", 2)[0] == 0
    assert read == ["snap_0.hdf5"]
    files[3].touch()
    read.clear()
    assert measure(*files, *out)[0] == 0
    assert read == ["snap_3.hdf5"]


def test_files_are_measured_by_processes(files: list[Path], tmp_path: Path) -> None:
    """To the same numbers; one that cannot be read is named, and the other is kept."""
    bad = tmp_path / "bad.hdf5"
    bad.write_bytes(files[1].read_bytes())
    with h5py.File(bad, "a") as file:
        del file["PartType1/Velocities"]
    status, said = measure(files[0], bad, *common(tmp_path / "by"), "--workers", 2)
    assert status == 2
    assert "1 of 2 snapshots could not be measured" in said
    assert "bad.hdf5: SnapshotError" in said
    kept = list((tmp_path / "by" / "files").iterdir())
    assert [path.name.startswith("snap_0.hdf5") for path in kept] == [True]
    assert measure(files[0], *common(tmp_path / "here"))[0] == 0
    (here,) = (tmp_path / "here" / "files").iterdir()
    assert here.read_text() == kept[0].read_text()


def test_the_report_can_be_made_again(files: list[Path], tmp_path: Path) -> None:
    assert measure(files[0], *common(tmp_path), "--quiet") == (0, "")
    page = (tmp_path / "report.html").read_text()
    (tmp_path / "report.html").unlink()
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 0
    assert (tmp_path / "report.html").read_text() == page
    (tmp_path / "measurements.json").write_text("{}")
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2
    assert "has no files" in done.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-s", "trispectrum"], "unknown statistic trispectrum; choose from power"),
        (["-s", ""], "unknown statistic (none)"),
        (["--axis", 3], "axis 3 is none of a box"),
        (["-s", "voids"], "voids need --radii"),
        (["-s", "voids", "--radii", "1,x"], "expected numbers separated by commas"),
        (["-s", "voids", "--radii", "7,8"], "expected 4 cells"),
        (["-s", "pdf", "--delta", 1, 0, 5], "expected ascending ends"),
        (["-s", "bispectrum", "--angles", 0], "--angles 0"),
        (["-s", "bispectrum", "--k1", 3], "close by its periodicity"),
        (["--cells", 8192], "takes about 1.43e+04 GiB to measure and"),
        (["--cells", 15], "15 cells per side"),
        (["--assignment", "cloud"], "assignment is 'cloud'"),
        (["--kind", 2], "no particles of type 2"),
        (["--length", "pc"], "length 'pc' is not known"),
        (["--width", 0.1], "expected at least 1"),
    ],
)
def test_options_that_are_refused(
    files: list[Path], tmp_path: Path, options: list, words: str
) -> None:
    status, said = measure(files[0], *common(tmp_path), *options)
    assert status == 2
    assert words in said


def test_files_that_are_refused(files: list[Path], tmp_path: Path) -> None:
    for name, changes in {"later": {"a": 0.6}, "larger": {"box_size": 110.0}}.items():
        other = write_snapshot(tmp_path / f"{name}.hdf5", snapshot(9, **changes))
        status, said = measure(files[0], other, *common(tmp_path / name))
        assert status == 2
        assert f"{next(iter(changes))} = " in said
        assert "other times or universes" in said
    status, said = measure(tmp_path / "none", *common(tmp_path))
    assert (status, "is no file" in said) == (2, True)
    (tmp_path / "file").write_text("")
    status, said = measure(files[0], "--output", tmp_path / "file")
    assert (status, "is a file; name a folder" in said) == (2, True)
