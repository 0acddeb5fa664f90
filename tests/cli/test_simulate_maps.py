"""Maps, galaxies and data vectors of ``volvelle simulate``: from a file to a likelihood."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import healpy
import numpy as np
import pytest
import sacc
import yaml
from astropy.table import Table as AstropyTable
from scipy.stats import chi2
from typer.testing import CliRunner

from volvelle.cli import maps_content, maps_task, redshifts, simulate_configuration
from volvelle.cli.app import app
from volvelle.cli.resolution import Resolution
from volvelle.cli.simulate_configuration import SimulateConfiguration
from volvelle.likelihood import get_likelihood
from volvelle.nbody import read_crossings
from volvelle.statistics import shells

SOURCES = {
    "n_z": {"smail": {"alpha": 4, "beta": 4, "z0": 0.09}, "between": [0.04, 0.1]},
    "density": 30.0,
    "sigma_e": 0.25,
}
LENS = {"n_z": {"comoving": 2e-3, "between": [0.03, 0.08]}, "bias": 1.5}
BANDS = [6, 12, 20, 32]
MAPS = {"nside": 16, "shells": 3, "sources": {"shapes": SOURCES}, "bands": BANDS}
CONE = {
    "redshifts": [0.0, 0.1],
    "footprint": {"ra": 45, "dec": 35, "radius": 40},
    "maps": MAPS,
    "galaxies": {"lens": LENS},
    "survey": {"bands": BANDS},
}
FILE = {
    "cosmology": "planck18",
    "box": {"size": 128, "particles": 24, "mesh": 24},
    "steps": {"start": 9, "number": 5},
    "power": {"linear": "eisenstein_hu", "nonlinear": "halofit"},
    "write_snapshots": False,
    "snapshots": [],
    "seed": 3,
    "lightcone": CONE,
}
BIASED = 0.1
"""Of the ratio of spectra on large scales: noise of some 3% on so small a sky, and what is beyond
linear order in a mesh of 5 Mpc/h."""
UNLIKELY = 1e-4
"""Of chi2, either way."""


def write(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "sky.yaml"
    path.write_text(yaml.safe_dump({**FILE, "output": str(folder / "out"), **changes}))
    return path


def cone_with(**changes: object) -> dict:
    """The block, with keys changed; those that are None are left out."""
    return {name: value for name, value in {**CONE, **changes}.items() if value is not None}


def simulate(path: Path, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["simulate", str(path), "--quiet", *more])
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the output, and of one simulation in it."""
    folder = tmp_path_factory.mktemp("sky")
    status, said = simulate(write(folder))
    assert status == 0, said
    return folder / "out"


def test_maps_are_those_of_the_particles_and_others_read_them(finished: Path) -> None:
    one = finished / "seed_00003"
    configuration = SimulateConfiguration.load(finished / "config.yaml", output=finished)
    assert configuration.sky is not None and configuration.sky.maps is not None
    maps, crossed = configuration.sky.maps, read_crossings(one / "lightcone.hdf5")
    expected = shells(
        crossed.positions, maps.edges, 16, 1.0 / configuration.mesh.cell**3, maps.mask
    )
    found = healpy.read_map(one / "shells.fits", field=None)
    assert found.shape == (3, 12 * 16**2)
    for values, contrast in zip(found, expected.contrast, strict=True):
        np.testing.assert_array_equal(values[maps.mask], contrast.astype(np.float32)[maps.mask])
        assert np.all(values[~maps.mask] == healpy.UNSEEN)
    # a pixel of the mask has all its corners in the footprint
    corners = healpy.boundaries(16, np.flatnonzero(maps.mask), step=1)
    assert configuration.lightcone is not None and configuration.lightcone.footprint is not None
    rays = np.moveaxis(corners, 1, 2).reshape(-1, 3)
    assert np.all(configuration.lightcone.footprint.contains(rays))
    kappa = healpy.read_map(one / "convergence_shapes.fits")
    assert 1e-5 < kappa[maps.mask].std() < 1e-2 and abs(kappa[maps.mask].mean()) < 1e-3
    table = AstropyTable.read(one / "galaxies_lens.fits")
    with h5py.File(one / "galaxies_lens.hdf5") as file:
        np.testing.assert_array_equal(table["z_observed"], np.asarray(file["z_observed"]))
    assert table["z_cosmological"].min() >= 0.03 and table["z_cosmological"].max() <= 0.08
    counts = healpy.read_map(one / "counts_lens.fits")
    pixel = healpy.ang2pix(16, table["ra"], table["dec"], lonlat=True)
    assert counts[maps.mask].sum() == np.sum(maps.mask[pixel])


def test_the_report_holds_them_beside_the_theory(finished: Path) -> None:
    content = json.loads((finished / "simulate.json").read_text())["sky"]
    lens = content["galaxies"]["lens"]
    assert lens["number"] == pytest.approx(lens["expected"], rel=0.2)
    assert lens["achieved"] == pytest.approx(1.5, rel=BIASED)
    assert set(content["spectra"]) == {"shell 1", "shell 2", "convergence shapes", "galaxies lens"}
    for spectrum in content["spectra"].values():
        ratio = np.array(spectrum["values"]) / np.array(spectrum["theory"])
        assert np.all((ratio > 0.0) & (ratio < 3.0)), spectrum["title"]
    page = (finished / "report.html").read_text()
    for words in ("C_l of", "Galaxies lens:", "has chi2 =", "Angular spectra"):
        assert words in page
    assert (finished / "sky.png").is_file() and (finished / "sky_spectra.png").is_file()


def test_the_likelihood_reads_the_data_vector(finished: Path) -> None:
    """The circle: from a file through a simulation to a likelihood, at the truth."""
    file = finished / "seed_00003" / "mock.sacc.fits"
    likelihood = get_likelihood(
        "two_point", file=str(file), linear="eisenstein_hu", nonlinear="halofit"
    )
    values = dict.fromkeys(likelihood.nuisance, 0.0) | {"bias_lens": 1.5}
    universe = SimulateConfiguration.load(finished / "config.yaml").cosmology
    residual = likelihood.whitened_residual({"cosmology": universe}, values)
    found, number = float(np.sum(np.asarray(residual) ** 2)), len(residual)
    assert number == 9
    assert UNLIKELY < chi2.sf(found, number) < 1.0 - UNLIKELY
    content = json.loads((finished / "simulate.json").read_text())["sky"]["mock"]
    assert content["chi2"] == pytest.approx(found, rel=1e-9) and content["numbers"] == number


def test_maps_are_made_once_and_anew_where_their_block_changes(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = finished / "seed_00003"
    before = {path.name: path.read_bytes() for path in one.glob("*.fits")}
    configuration = SimulateConfiguration.load(finished / "config.yaml", output=finished)
    with monkeypatch.context() as patch:
        patch.setattr(maps_task, "crossing_pieces", None)  # not to be called
        maps_task.map_sky(configuration, configuration.realisations[0])
    (one / "maps.json").unlink()  # as where the process was killed
    maps_task.map_sky(configuration, configuration.realisations[0])
    for name, content in before.items():
        if name != "mock.sacc.fits":  # SACC writes the time
            assert (one / name).read_bytes() == content
    again = sacc.Sacc.load_fits(str(one / "mock.sacc.fits"))
    assert len(again.mean) == 9
    # other maps of the same lightcone: nothing is simulated again
    stamp = (one / "lightcone.hdf5").stat().st_mtime_ns
    path = write(tmp_path, lightcone=cone_with(survey=None, galaxies=None))
    changed = SimulateConfiguration.load(path, output=finished)
    assert changed.hash == configuration.hash and changed.sky is not None
    assert changed.sky.hash != configuration.sky.hash  # type: ignore[union-attr]
    assert maps_task.maps_made(changed, changed.realisations[0]) is None
    assert maps_task.map_sky(changed, changed.realisations[0])["galaxies"] == {}
    assert {path.name for path in one.glob("*.fits")} == {"shells.fits", "convergence_shapes.fits"}
    assert (one / "lightcone.hdf5").stat().st_mtime_ns == stamp


def test_an_ensemble_has_a_mean_and_a_scatter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps_content, "band_theory", lambda *given: np.ones((1, len(BANDS) - 1)))
    cone = {**cone_with(survey=None, maps={"nside": 16, "bands": BANDS}), "redshifts": [0.0, 0.08]}
    many = {"realisations": 2, "compute": {"in_process": {}}}
    status, said = simulate(write(tmp_path, lightcone=cone, **many))
    assert status == 0, said
    content = json.loads((tmp_path / "out/simulate.json").read_text())
    each = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*/maps.json")]
    assert len(each) == 2
    values = np.array([made["spectra"]["convergence far"]["values"] for made in each])
    found = content["sky"]["spectra"]["convergence far"]
    np.testing.assert_allclose(found["values"], values.mean(axis=0))
    np.testing.assert_allclose(found["scatter"], values.std(axis=0, ddof=1))
    numbers = [made["galaxies"]["lens"]["number"] for made in each]
    assert len(set(numbers)) > 1
    assert content["sky"]["galaxies"]["lens"]["number"] == np.mean(numbers)
    assert all("maps" in one["seconds"] for one in content["realisations"].values())


def with_maps(**changes: object) -> dict:
    return cone_with(maps={**MAPS, **changes}, survey=None, galaxies=None)


@pytest.mark.parametrize(
    ("cone", "words"),
    [
        (with_maps(nside=100), "maps.nside: 100 is no power of 2; take 64 or 128"),
        (with_maps(nside=512), "particles to a pixel, all shells together"),
        (with_maps(shells=[0, 900]), "maps.shells: from 0 to 900 Mpc/h of a lightcone from 0 to"),
        (with_maps(shells=[200, 100]), "maps.shells: expected numbers that ascend"),
        (
            with_maps(bands=[6, 20, 60]),
            "multipoles to 59 of maps of nside 16, which have them to 47",
        ),
        (with_maps(bands=[6, 7, 20]), "a band of 1 multipoles, and the footprint mixes"),
        (
            with_maps(sources={"far": {"redshift": 0.3}}),
            "sources.far: 100% of the sources are beyond redshift 0.1, where the lightcone ends: "
            "74% of the lensing kernel would be missing",
        ),
        (with_maps(sources={"far": {}}), "expected exactly one of redshift and n_z"),
        (with_maps(sources={"a/b": {"redshift": 0.1}}), "maps.sources"),
        (
            cone_with(
                redshifts=[0.05, 0.1],
                maps={"sources": {"near": {"redshift": 0.04}}},
                galaxies=None,
                survey=None,
            ),
            "the farthest is at redshift 0.04, and the lightcone begins at 0.05",
        ),
        (
            cone_with(footprint={"ra": 0, "dec": 0, "radius": 2}, maps={"nside": 8}),
            "no pixel of nside 8 lies in the footprint as a whole",
        ),
        (
            cone_with(galaxies={"lens": {"n_z": {"smail": {"z0": 0.3}}, "density": 0.1}}),
            "of n(z) lies outside of the lightcone, redshift 0 to 0.1; cut it (between: [0, 0.1])",
        ),
        (cone_with(galaxies={"lens": {"n_z": {"smail": {"z0": 0.3}}}}), "expected a density"),
        (
            cone_with(galaxies={"lens": {"n_z": {}, "density": 1.0}}),
            "expected exactly one of smail",
        ),
        (
            cone_with(galaxies={"lens": {"n_z": {"table": "no.txt"}, "density": 1.0}}),
            "n_z.table: no.txt cannot be read",
        ),
        (
            cone_with(galaxies={"lens": {"n_z": {"comoving": 1.0}}}),
            "galaxies per (Mpc/h)^3 at redshift",
        ),
        ({"redshifts": [0.0, 0.1], "survey": {}}, "spectra are those of maps; add lightcone.maps"),
        (cone_with(survey={"samples": ["lense"]}), "'lense' is no sample"),
        (cone_with(survey={}), "no band of the maps lies where the simulation resolves all"),
        (
            cone_with(survey={"statistics": ["counts_shear"], "samples": ["lens"], "bands": BANDS}),
            "counts_shear of lens: there are none",
        ),
        (
            cone_with(
                maps={"sources": {"s": {"redshift": 0.1}}},
                survey={"samples": ["s"], "bands": BANDS},
            ),
            "a data vector needs n(z), which one redshift has not",
        ),
        (
            cone_with(maps={"sources": {"s": {"n_z": SOURCES["n_z"]}}}, survey={"bands": BANDS}),
            "a data vector needs density and sigma_e",
        ),
        (
            cone_with(redshifts=[0.03, 0.1], maps={"sources": {"s": SOURCES}}, survey={}),
            "of its lensing kernel lies outside of the shells",
        ),
    ],
)
def test_blocks_that_are_refused(tmp_path: Path, cone: dict, words: str) -> None:
    status, said = simulate(write(tmp_path, lightcone=cone), "--dry-run")
    assert status == 2, said
    assert words in said


def test_shear_is_refused_beside_neutrinos_that_particles_are_not(tmp_path: Path) -> None:
    changes = {
        "cosmology": {"omega_b": 0.0224, "omega_cdm": 0.12, "h": 0.67, "n_s": 0.96, "m_nu": 0.1,
                      "A_s": 2.1e-9},
        "neutrinos": "grid", "integrator": "cola", "power": {"nonlinear": "halofit"},
    }  # fmt: skip
    status, said = simulate(write(tmp_path, **changes), "--dry-run")
    assert status == 2
    assert "shear beside neutrinos: grid, whose particles are baryons and cold dark" in said


def test_maps_that_do_not_fit_are_refused_before_tiles_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate_configuration, "maps_memory", lambda *_: 2**60)
    status, said = simulate(write(tmp_path, tiles={"per_side": 2}, integrator="cola"))
    assert status == 2 and "GiB" in said
    assert not (tmp_path / "out" / "seed_00003").exists()


def test_a_dry_run_says_what_will_be_made(tmp_path: Path) -> None:
    status, said = simulate(write(tmp_path), "--dry-run")
    assert status == 0
    for words in ("nside 16, 3 shells", "convergence shapes", "galaxies lens", "9 numbers"):
        assert words in said


def test_resolved_multipoles_are_those_of_resolved_waves() -> None:
    """A thin shell at a distance: l = k chi, by Limber's approximation."""
    k = np.linspace(np.log(1e-4), np.log(30.0), 50)
    power = np.zeros((2, 50))
    resolution = Resolution((0.05, 0.5), k, np.array([0.0, 2000.0]), power)
    chi = np.linspace(999.0, 1001.0, 9)
    low, high = resolution.multipoles(chi, np.ones(9))
    assert low == pytest.approx(50.0, rel=0.06) and high == pytest.approx(500.0, rel=0.06)
    none = resolution.multipoles(np.linspace(1.0, 2000.0, 99), np.linspace(2000.0, 1.0, 99))
    assert none[0] > none[1]


def test_tables_of_redshifts(tmp_path: Path) -> None:
    """From a text file, cut, with the share that is left in the number."""
    np.savetxt(tmp_path / "n.txt", np.stack([[0.0, 0.05, 0.1], [1.0, 1.0, 1.0]], axis=1))
    n_z = {"table": str(tmp_path / "n.txt"), "between": [0.05, 0.1]}
    cone = cone_with(galaxies={"lens": {"n_z": n_z, "density": 0.001}}, survey=None)
    found = SimulateConfiguration.load(write(tmp_path, lightcone=cone))
    assert found.sky is not None
    (sample,) = found.sky.galaxies
    assert sample.distribution.z_min == 0.05 and sample.distribution.z_max == 0.1
    assert sample.per_steradian == pytest.approx(0.001 * redshifts.ARCMINUTES, rel=1e-9)
