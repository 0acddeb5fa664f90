"""``volvelle profile`` on a finished run of a toy universe, and on what is none."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import volvelle
from volvelle.cli import Configuration
from volvelle.cli.app import app
from volvelle.cli.profile_names import advice

ROOT = Path(__file__).parents[2]
NEUTRINO_MASS = 1e-5  # m_nu / 93.14 eV is their density to 0.3%, which is 0.5% of matter
PROGRAM = Path(__file__).parent / "toy_run.py"
SOURCE = Path(volvelle.__file__).parents[1]
PATIENCE = 240.0  # [s]
TOY: dict[str, Any] = {
    "output": "run",
    "seed": 3,
    "theory": {"camb": {}},
    "params": {
        "omega_b": 0.0224,
        "omega_cdm": {"prior": {"min": 0.05, "max": 0.3}, "ref": {"loc": 0.121, "scale": 0.012}},
        "ln10A_s": {"prior": {"min": 2.0, "max": 4.0}, "ref": {"loc": 3.03, "scale": 0.1}},
        "theta_star_100": 1.041,
        "n_s": 0.965,
        "tau_reio": 0.054,
    },
    "likelihood": ["planck_2018_plik_lite", "planck_2018_low_l"],
    "simulate_if_missing": True,
    "emulator": {"kind": "polynomial"},
    "sampler": {"nuts": {"chains": 2, "draws": 500, "warmup": 100}, "r_hat": 1.1, "ess_min": 100},
    "certificate": {"points": 20, "max_points": 40},
    "workers": 1,
    "ledger": "ledger.sqlite",
}


def call(folder: Path, *words: str) -> tuple[int, str]:
    """Exit status and all that is printed by a process with the toy solver in CAMB's place."""
    environment = {
        **os.environ,
        "VOLVELLE_DATA": str(folder / "no-data"),
        "VOLVELLE_CACHE": str(folder / "no-cache"),
        "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles faster; a toy has little to compute
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "0", "inf", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run in ``run``."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "run.yaml").write_text(yaml.safe_dump(TOY, sort_keys=False))
    status, printed = call(folder, "run", "run.yaml")
    assert status == 0, printed
    return folder


@pytest.fixture(scope="module")
def profiled(finished: Path) -> tuple[dict[str, Any], str]:
    """The profile of omega_cdm and what was printed."""
    status, printed = call(finished, "profile", "run", "omega_cdm", "--points", "9")
    assert status == 0, printed
    return json.loads((finished / "run" / "profile_omega_cdm.json").read_text()), printed


def test_the_file_holds_the_profile(profiled, finished: Path) -> None:
    content, printed = profiled
    summary = json.loads((finished / "run" / "summary.json").read_text())
    assert content["parameters"] == ["omega_cdm"] and content["met"] is True
    assert len(content["points"]) == 9 and content["simulated"] is True
    values = np.array([point["delta_chi2"] for point in content["points"]])
    assert values.min() >= 0.0 and values[0] > 4.0 < values[-1]
    for at, point in zip(content["axes"][0], content["points"], strict=True):
        assert point["at"] == [at] == [point["parameters"]["omega_cdm"]]
        assert set(point["parameters"]) == {"omega_cdm", "ln10A_s", "A_planck"}
        assert abs(point["difference"]) <= content["accuracy"] and point["flags"] == []
    assert content["exact_solutions"]["asked"] == 10
    assert content["priors"] == "nuisance" and content["priors_left_out"] == []
    # the toy's posterior is nearly Gaussian: the interval is the marginal one
    ((interval,), _) = (level["intervals"] for level in content["levels"])
    low, high = summary["parameters"]["omega_cdm"]["limits_68"]
    width = high - low
    assert interval["low"] == pytest.approx(low, abs=0.1 * width)
    assert interval["high"] == pytest.approx(high, abs=0.1 * width)
    assert "Delta chi2 <= 1" in printed and "SIMULATED DATA" in printed


def test_the_map_is_the_maximum_that_the_run_reports(profiled, finished: Path) -> None:
    summary = json.loads((finished / "run" / "summary.json").read_text())
    for name, value in summary["best_fit"]["parameters"].items():
        width = summary["parameters"][name]["std"]
        assert profiled[0]["map"]["parameters"][name] == pytest.approx(value, abs=0.05 * width)


def test_picture_and_report_are_there(profiled, finished: Path) -> None:
    assert (finished / "run" / "profile_omega_cdm.png").read_bytes()[:4] == b"\x89PNG"
    page = (finished / "run" / "report.html").read_text()
    assert "Profile likelihoods" in page and "profile_omega_cdm.json" in page


def test_a_repeated_call_solves_nothing(profiled, finished: Path) -> None:
    status, printed = call(finished, "profile", "run", "omega_cdm", "--points", "9", "--quiet")
    assert (status, printed) == (0, "")
    again = json.loads((finished / "run" / "profile_omega_cdm.json").read_text())
    assert again["exact_solutions"] == {"asked": 10, "reused": 10, "failed": 0}
    assert again["points"] == profiled[0]["points"]


def test_two_parameters(finished: Path) -> None:
    words = ("profile", "run", "omega_cdm", "ln10A_s", "--points", "5")
    status, printed = call(finished, *words)
    assert status == 0, printed
    content = json.loads((finished / "run" / "profile_omega_cdm_ln10A_s.json").read_text())
    assert len(content["points"]) == 25
    assert [level["delta_chi2"] for level in content["levels"]] == [2.30, 6.18]
    assert (finished / "run" / "profile_omega_cdm_ln10A_s.png").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["omega_cmd"], "unknown parameter 'omega_cmd'; did you mean omega_cdm"),
        (["n_s"], "unknown parameter 'n_s'"),
        (["r_drag"], "r_drag is a derived parameter of this run"),
        (["omega_cdm", "omega_cdm"], "omega_cdm is given twice"),
        (["omega_cdm", "--range", "0.13", "0.11"], "give the lower end first"),
        (["omega_cdm", "--range", "0.01", "0.11"], "keep the range inside the prior"),
        (["omega_cdm", "--range2", "0.11", "0.13"], "name another one after it, or give --range"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(words, told, finished: Path, no_data) -> None:
    result = CliRunner().invoke(
        app, ["profile", str(finished / "run"), *words], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1 and told in result.stderr


SAMPLED = ("omega_b", "omega_cdm", "theta_star_100", "ln10A_s", "log10_Gamma_dcdm")
DEFINITIONS = (("Gamma_dcdm", "10**log10_Gamma_dcdm"), ("omega_m", "omega_b + omega_cdm"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("H0", "sample H0 in place of theta_star_100"),
        ("sigma8", "sample sigma8 in place of ln10A_s"),
        ("S8", "write omega_cdm and sigma8 as an expression of it; docs/method.md"),
        ("Gamma_dcdm", "profile log10_Gamma_dcdm"),
        ("omega_m", "it follows from omega_b, omega_cdm: in a run of its own give omega_m a prior"),
        ("age", "nothing that can be sampled stands for age"),
    ],
)
def test_what_to_do_about_a_derived_parameter(name: str, told: str) -> None:
    assert told in advice(name, SAMPLED, DEFINITIONS)


def test_the_documented_lines_sample_what_they_say(tmp_path: Path) -> None:
    """Omega_m and S8 of the universe are the sampled numbers."""
    text = (ROOT / "docs" / "method.md").read_text().split("## Profile likelihoods")[1]
    lines = yaml.safe_load(text.split("```yaml")[1].split("```")[0])["params"]
    others = {"omega_b": 0.0224, "n_s": 0.965, "tau_reio": 0.054, "m_nu": 0.06}
    content = {**TOY, "params": {**lines, **others}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    jax.config.update("jax_enable_x64", True)
    found = Configuration.load(tmp_path / "run.yaml")
    values = {"H0": 68.0, "Om": 0.31, "S_8": 0.82}
    assert {p.name for p in found.sampled if p.kind == "cosmology"} == set(values)
    universe = found.parametrisation.cosmology({**found.fixed, **values})
    assert float(universe.Omega_m) == pytest.approx(0.31, rel=NEUTRINO_MASS)
    assert universe.sigma8 == pytest.approx(0.82 * math.sqrt(0.3 / 0.31), rel=1e-12)


@pytest.mark.real_data
def test_a_simulated_run_is_not_profiled_with_real_data(finished: Path, real_data: Path) -> None:
    result = CliRunner().invoke(app, ["profile", str(finished / "run"), "omega_cdm"])
    assert result.exit_code == 2
    assert "holds the run of other data: planck-2018-low-l/" in " ".join(result.stderr.split())


@pytest.mark.parametrize("missing", ["summary.json", "run.json", "chains", "emulator", "training"])
def test_a_folder_without_a_finished_run(
    missing: str, finished: Path, tmp_path: Path, no_data
) -> None:
    shutil.copytree(finished / "run", tmp_path / "run")
    path = tmp_path / "run" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = CliRunner().invoke(app, ["profile", str(tmp_path / "run"), "omega_cdm"])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) >= 1 and missing in result.stderr.replace("\n", "")
    empty = CliRunner().invoke(app, ["profile", str(tmp_path), "omega_cdm"])
    assert empty.exit_code == 2 and "summary.json" in empty.stderr.replace("\n", "")


def test_help_teaches() -> None:
    result = CliRunner().invoke(app, ["profile", "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    for words in ("volvelle profile runs/planck-lcdm n_s", "--range", "--accuracy", "--priors"):
        assert words in result.output
