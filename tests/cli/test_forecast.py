"""``volvelle forecast``: from a file to errors, biases, a design and a page; and wrong files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import matplotlib.image
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from volvelle.cli import ConfigurationError
from volvelle.cli.app import app
from volvelle.cli.forecast_configuration import ForecastConfiguration
from volvelle.inference import read_fisher

from .conftest import REMOVE, changed

EXAMPLE = Path(__file__).parents[2] / "examples" / "11_forecast.yaml"
BASE: dict[str, Any] = {
    "output": "out",
    "params": {
        "Omega_cdm": {"fiducial": 0.2644},
        "sigma8": {"fiducial": 0.811, "prior": 0.05},
        "Omega_b": 0.0493,
        "h": 0.6736,
        "n_s": 0.9649,
        "tau_reio": 0.054,
    },
    "samples": {
        "lenses": {
            "kind": "counts",
            "n_z": {"smail": {"z0": 0.25, "beta": 1.0, "z_max": 2.5}},
            "bins": {"edges": [0.1, 0.4, 1.2], "scatter": 0.08},
            "density": 0.1,
            "bias": {"fiducial": [1.4, 1.8]},
        },
    },
    "survey": {"area": 5000, "ell": {"min": 30, "max": 1000, "bands": 5}},
    "power": {"linear": "eisenstein_hu", "nonlinear": "none"},
    "limber": "always",
    "report": {
        "figures_of_merit": [["Omega_cdm", "sigma8"], ["S8"]],
        "derived": {"S8": "sigma8*(Omega_m/0.3)**0.5"},
    },
    "systematic": {
        "expansion": {"params": {"h": 0.68}},
        "collapse": {"power": {"linear": "eisenstein_hu", "nonlinear": "halofit"}},
    },
    "optimise": {
        "maximise": ["Omega_cdm", "sigma8"],
        "area": [500, 20000],
        "depth": {"overhead": 0.3},
        "edges": ["lenses"],
    },
}
SHEAR = {
    "kind": "shear",
    "n_z": {"smail": {"z0": 0.5}},
    "bins": {"number": 2, "scatter": 0.05},
    "density": 5.0,
    "sigma_e": 0.26,
}


def written(folder: Path, changes: Mapping[str, Any]) -> Path:
    """BASE with changes at dotted keys, as a file."""
    file = folder / "survey.yaml"
    file.write_text(yaml.safe_dump(changed(changes, BASE), sort_keys=False))
    return file


def test_a_forecast_and_a_design(tmp_path: Path) -> None:
    """All that a file can ask for, in one run."""
    file = written(tmp_path, {"output": str(tmp_path / "out")})
    done = CliRunner().invoke(app, ["forecast", str(file)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "out"
    content = json.loads((folder / "forecast.json").read_text())
    fisher = read_fisher(folder / "fisher.txt")
    assert fisher.names == ("Omega_cdm", "sigma8", "bias_lenses_1", "bias_lenses_2")
    whole = fisher.with_priors({"sigma8": 0.05})
    entries = content["parameters"]
    errors = [entries[name]["error"] for name in fisher.names]
    np.testing.assert_allclose(errors, whole.marginal_errors, rtol=1e-9)
    merits = [each["value"] for each in content["figures_of_merit"]]
    expected = float(whole.figure_of_merit("Omega_cdm", "sigma8"))
    assert merits[0] == pytest.approx(expected, rel=1e-9)
    # S8 by hand: Omega_m moves with Omega_cdm alone, neutrinos being fixed.
    omega_m = 0.2644 + 0.0493 + 0.06 / 93.14 / 0.6736**2
    slope = [0.811 * 0.5 * (omega_m / 0.3) ** -0.5 / 0.3, (omega_m / 0.3) ** 0.5, 0.0, 0.0]
    spread = np.asarray(slope) @ np.asarray(whole.covariance) @ slope
    assert entries["S8"]["error"] == pytest.approx(np.sqrt(spread), rel=1e-3)
    assert merits[1] == pytest.approx(1.0 / entries["S8"]["error"], rel=1e-9)
    assert entries["S8"]["fiducial"] == pytest.approx(0.811 * (omega_m / 0.3) ** 0.5, rel=1e-4)
    assert list(content["systematics"]) == ["expansion", "collapse"]
    for biases in content["systematics"].values():
        assert set(biases) == set(fisher.names)
        # Counts with linear power know sigma8 times the bias: sigma8 itself is the prior's.
        assert abs(biases["sigma8"]["in_errors"]) < 1e-9
        for name in set(fisher.names) - {"sigma8"}:
            error = biases[name]["bias"] / biases[name]["in_errors"]
            assert error == pytest.approx(entries[name]["error"], rel=1e-9)
    # The best design begins at the file's own survey.
    design = content["optimise"]
    assert design["settled"] and design["gain"] > 1.01
    assert design["steps"][0]["merit"] == pytest.approx(expected, rel=1e-8)
    assert design["start"]["area"] == pytest.approx(5000.0)
    assert design["start"]["lenses"] == pytest.approx([0.1, 0.4, 1.2])
    assert 500.0 < design["best"]["area"] < 20000.0
    for name in ("triangle.png", "design.png"):
        assert matplotlib.image.imread(folder / name).std() > 0.01
    page = (folder / "report.html").read_text()
    assert "bias [σ]: expansion" in page and "The best design" in page and "S8" in page
    for words in ("figure of merit, Omega_cdm, sigma8", "expansion", "FLAGGED", "Area 5000"):
        assert words in done.output
    assert (folder / "config.yaml").read_text() == file.read_text()
    (folder / "report.html").unlink()
    again = CliRunner().invoke(app, ["report", str(folder)])
    assert again.exit_code == 0 and (folder / "report.html").read_text() == page
    (folder / "forecast.json").write_text("{}")
    damaged = CliRunner().invoke(app, ["report", str(folder)])
    assert damaged.exit_code == 2 and "repeat `volvelle forecast`" in damaged.output


def test_a_design_that_has_not_settled(tmp_path: Path) -> None:
    changes = {"output": str(tmp_path / "out"), "optimise.steps": 1, "systematic": {}}
    done = CliRunner().invoke(app, ["forecast", str(written(tmp_path, changes))])
    assert done.exit_code == 1 and "NOT settled" in done.output


def test_the_example_is_checked() -> None:
    done = CliRunner().invoke(app, ["forecast", str(EXAMPLE), "--dry-run"])
    assert done.exit_code == 0, done.output
    for words in ("w0, wa", "bias_lenses_3", "alignments evolve", "nothing is computed"):
        assert words in done.output


def test_redshifts_from_files(tmp_path: Path) -> None:
    """A table with a column per bin, one to be cut, and a SACC file."""
    z = np.linspace(0.0, 2.0, 101)
    one, two = np.exp(-(((z - 0.5) / 0.1) ** 2)), np.exp(-(((z - 0.9) / 0.1) ** 2))
    np.savetxt(tmp_path / "two.txt", np.stack([z, one, two], axis=1))
    np.savetxt(tmp_path / "whole.txt", np.stack([z, one + two], axis=1))
    rows = np.zeros(z.size, dtype=[("z", "<f8"), ("nz", "<f8")])
    rows["z"], rows["nz"] = z, two
    with h5py.File(tmp_path / "sacc.hdf5", "w") as file:
        file["tracer/lens1"] = rows
    no_design = {"optimise": REMOVE}
    plain = no_design | {"samples.lenses.bins": REMOVE}
    table = ForecastConfiguration.load(
        written(
            tmp_path,
            plain
            | {
                "samples.lenses.n_z": {"table": str(tmp_path / "two.txt")},
                "samples.lenses.density": [0.1, 0.2],
            },
        )
    )
    (sample,) = table.survey.samples
    assert [round(float(each.mean), 3) for each in sample.bins] == [0.5, 0.9]
    np.testing.assert_allclose(sample.densities, [0.1, 0.2])
    assert table.edges == {}
    sacc = ForecastConfiguration.load(
        written(
            tmp_path,
            plain
            | {
                "samples.lenses.n_z": {
                    "sacc": {"file": str(tmp_path / "sacc.hdf5"), "tracers": ["lens1"]}
                },
                "samples.lenses.bias": {"fiducial": 1.5},
            },
        )
    )
    assert float(sacc.survey.samples[0].bins[0].mean) == pytest.approx(0.9, abs=1e-3)
    assert sacc.names == ("Omega_cdm", "sigma8", "bias_lenses_1")
    cut = ForecastConfiguration.load(
        written(
            tmp_path,
            {"samples.lenses.n_z": {"table": str(tmp_path / "whole.txt")}, "optimise": REMOVE},
        )
    )
    assert cut.edges["lenses"] == (0.1, 0.4, 1.2)
    assert float(sum(cut.survey.samples[0].densities)) < 0.1  # what lies between the edges


@pytest.mark.real_data
def test_redshifts_of_a_real_survey(tmp_path: Path, real_data: Path) -> None:
    """DES Y1's lenses, as they were published."""
    file = str(real_data / "des-y1-3x2pt" / "sacc_data.hdf5")
    tracers = [f"lens{n}" for n in range(5)]
    changes = {
        "optimise": REMOVE,
        "samples.lenses.bins": REMOVE,
        "samples.lenses.n_z": {"sacc": {"file": file, "tracers": tracers}},
        "samples.lenses.density": [0.0134, 0.0343, 0.0505, 0.0301, 0.0089],
        "samples.lenses.bias": {"fiducial": [1.4, 1.6, 1.6, 1.9, 2.0]},
    }
    found = ForecastConfiguration.load(written(tmp_path, changes))
    means = [float(each.mean) for each in found.survey.samples[0].bins]
    # The bins of arXiv:1708.01530, table 1: 0.15 to 0.3, to 0.45, to 0.6, to 0.75, to 0.9.
    assert all(0.15 * (n + 1) < mean < 0.15 * (n + 2) for n, mean in enumerate(means))
    assert found.names[-5:] == tuple(f"bias_lenses_{n}" for n in range(1, 6))
    with pytest.raises(ConfigurationError, match=r"no tracer 'lens9'; there are lens0, lens1"):
        ForecastConfiguration.load(
            written(
                tmp_path,
                changes | {"samples.lenses.n_z": {"sacc": {"file": file, "tracers": ["lens9"]}}},
            )
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params.sigma_8": 0.8}, "params.sigma_8: is no parameter of the universe; did you mean"),
        ({"params.theta_star_100": 1.04, "params.h": REMOVE}, "only a solver knows h"),
        ({"params.A_s": 2e-9}, "expected exactly one of A_s"),
        ({"params.tau_reio": REMOVE}, "missing tau_reio"),
        ({"params.h": "0.7"}, "params.h: expected a number, which fixes it"),
        ({"params.h": {"value": 0.7}}, "params.h.value: unknown key"),
        ({"params.sigma8.prior": -1.0}, "params.sigma8.prior: expected a number above 0"),
        (
            {"params.Omega_cdm": 0.26, "params.sigma8": 0.8, "samples.lenses.bias": 1.5},
            "nothing varies",
        ),
        ({"samples.lenses.kind": "stars"}, "expected one of counts, shear, got 'stars'"),
        ({"samples.lenses.m": 0.0}, "has m, which means nothing for counts"),
        ({"samples.lenses.bias": REMOVE}, "counts need bias"),
        ({"samples.lenses.bias": {"fiducial": [1.0]}}, "1 numbers for 2 bins"),
        ({"samples.lenses.density": [1.0, -1.0]}, "density"),
        ({"samples.lenses.density": [1.0]}, "expected 2 positive numbers"),
        ({"samples.lenses.bins": REMOVE}, "samples.lenses.bins: missing; add edges"),
        ({"samples.lenses.bins.edges": [0.4, 0.1]}, "edges that increase"),
        ({"samples.lenses.bins.number": 3}, "exactly one of edges and number"),
        ({"samples.lenses.bins.scatter": 0.0}, "scatter: expected a number of at least 0.001"),
        ({"samples.lenses.bins.edges": [5.0, 6.0, 7.0]}, "edges inside of it"),
        ({"samples.lenses.n_z": {}}, "exactly one of smail, table and sacc, got none"),
        ({"samples.lenses.n_z": {"table": "none.txt"}}, "none.txt"),
        ({"samples.bad name": SHEAR}, "a name of letters"),
        ({"samples.sources": SHEAR | {"sigma_e": None}}, "shear need sigma_e"),
        ({"samples.sources": SHEAR | {"eta_IA": 0.0}}, "eta_IA without A_IA"),
        ({"survey.f_sky": 0.5}, "exactly one of f_sky and area"),
        ({"survey.area": 1e6}, "survey.area: expected a number of at most 41253"),
        ({"survey.spectra": ["shear"]}, "no spectra of shear"),
        ({"survey.ell.max": 20}, "expected min below max"),
        ({"survey.ell.bands": 1}, "survey.ell.bands"),
        ({"power.linear": "camb"}, "expected one of learned, extended, eisenstein_hu"),
        ({"report.figures_of_merit": [["w0"]]}, "'w0' is no parameter of this forecast"),
        ({"report.derived": {"S8": "sigma8*Omega_M"}}, "'Omega_M' is no parameter"),
        ({"report.derived": {"sigma8": "h"}}, "choose another name"),
        ({"report.derived": {"x": "sin(h)"}}, "report.derived.x"),
        ({"report.derived": {"x": "y", "y": "x"}}, "go in a circle"),
        ({"report.triangle": ["h", "sigma8"]}, "'h' is no parameter of this forecast"),
        ({"report.triangle": ["sigma8", "sigma8"]}, "triangle: sigma8 is given twice"),
        ({"report.figures_of_merit": [["sigma8"] * 2]}, "merit[0]: sigma8 is given twice"),
        ({"samples.lenses.ell_max": 10}, "survey.ell: no datum is left: the first band is at ell"),
        (
            {"samples.lenses.ell_max": 60, "samples.lenses.dz": {"fiducial": 0.01}},
            "params: 6 parameters vary, with 3 data and 1 priors; fix some",
        ),
        (
            {"samples.lenses.dz": {"fiducial": [0.0, 0.3], "prior": 0.01}},
            "samples.lenses: dz_lenses_2 = 0.3 is beyond 0.1, the largest shift",
        ),
        (
            {"samples.lenses.dz": 0.0, "systematic": {"a": {"params": {"dz_lenses_1": -0.2}}}},
            "systematic.a.params.dz_lenses_1: dz_lenses_1 = -0.2 is beyond 0.1",
        ),
        ({"optimise.maximise": ["sigma8", "sigma8"]}, "optimise.maximise: sigma8 is given twice"),
        ({"systematic": {"a": {"params": {"sigma8": 0.8}}}}, "varies in the fit"),
        ({"systematic": {"a": {"params": {"hh": 0.8}}}}, "'hh' is no parameter"),
        ({"systematic": {"a": {}}}, "changes nothing"),
        ({"optimise.maximise": ["h"]}, "optimise.maximise: 'h'"),
        ({"optimise.edges": ["sources"]}, "optimise.edges: 'sources'"),
        ({"optimise.area": [6000, 20000]}, "5000, lies outside"),
        ({"optimise.area": [1000, 30000]}, "beyond 21667 square degrees"),
        ({"optimise.area": [3.0]}, "optimise.area"),
        ({"optimise": {"maximise": ["sigma8"]}}, "moves nothing"),
    ],
)  # fmt: skip
def test_wrong_files(tmp_path: Path, changes: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as found:
        ForecastConfiguration.load(written(tmp_path, changes))
    message = str(found.value)
    assert words in message and "survey.yaml" in message and "\n" not in message


def test_a_table_has_no_depth(tmp_path: Path) -> None:
    from volvelle.cli.forecast_design import Design

    z = np.linspace(0.0, 2.0, 101)
    np.savetxt(tmp_path / "n.txt", np.stack([z, z**2 * np.exp(-z / 0.2)], axis=1))
    table = {"samples.lenses.n_z": {"table": str(tmp_path / "n.txt")}}
    with pytest.raises(ConfigurationError, match="a table, which has no z0"):
        Design.of(ForecastConfiguration.load(written(tmp_path, table)))
    fixed = written(tmp_path, table | {"optimise.depth.z0_slope": 0.0})
    assert Design.of(ForecastConfiguration.load(fixed)).size == 2


def test_too_few_simulations(tmp_path: Path) -> None:
    changes = {"survey.simulations": 17, "output": str(tmp_path / "out")}
    file = written(tmp_path, changes)
    done = CliRunner().invoke(app, ["forecast", str(file)])
    assert done.exit_code == 2
    words = "17 simulations for 15 data; an estimated covariance takes at least 18"
    assert words in " ".join(done.output.split())
    assert ForecastConfiguration.load(file).simulations == 17
    with pytest.raises(ConfigurationError, match="simulations are of one universe"):
        ForecastConfiguration.load(written(tmp_path, changes | {"survey.covariance": "varying"}))
    varying = written(tmp_path, {"survey.covariance": "varying"})
    assert ForecastConfiguration.load(varying).varying


def test_bins_of_their_own_densities(tmp_path: Path) -> None:
    from volvelle.cli.forecast_design import Design

    file = written(tmp_path, {"samples.lenses.density": [0.05, 0.04]})
    with pytest.raises(ConfigurationError, match="one density of the whole sample"):
        Design.of(ForecastConfiguration.load(file))


def test_a_design_of_the_whole_sky(tmp_path: Path) -> None:
    """Edges alone, at any area."""
    file = written(tmp_path, {"survey.area": REMOVE, "survey.f_sky": 1.0, "optimise.area": REMOVE})
    assert ForecastConfiguration.load(file).area == pytest.approx(41252.96, rel=1e-6)


def test_a_figure_of_merit_of_parameters_that_follow_from_each_other(tmp_path: Path) -> None:
    """Exit status 2, and nothing that is no JSON."""
    changes = {
        "report.figures_of_merit": [["S8", "sigma8", "Omega_cdm"]], "optimise": REMOVE,
        "systematic": {}, "output": str(tmp_path / "out"),
    }  # fmt: skip
    done = CliRunner().invoke(app, ["forecast", str(written(tmp_path, changes))])
    assert done.exit_code == 2
    words = "the figure of merit of S8, sigma8, Omega_cdm has no value: one of them follows from"
    assert words in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


def test_what_the_data_do_not_know(tmp_path: Path) -> None:
    """Exit status 2, with the direction."""
    changes = {
        "params.tau_reio": {"fiducial": 0.054}, "optimise": REMOVE, "systematic": {},
        "output": str(tmp_path / "out"),
    }  # fmt: skip
    done = CliRunner().invoke(app, ["forecast", str(written(tmp_path, changes))])
    assert done.exit_code == 2
    assert "the data say nothing about tau_reio" in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()
