"""A whole run in a toy universe: what it writes, how it goes on, and how it ends when it fails.

Every run is a process of its own, as for a user; the toy solver needs neither data nor compiler.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import volvelle
from volvelle.cli.app import app
from volvelle.report import render_summary

Here = Callable[..., tuple[int, str]]
PROGRAM = Path(__file__).parent / "toy_run.py"
SOURCE = Path(volvelle.__file__).parents[1]
FAILS_ABOVE = 0.130  # of omega_cdm: a corner of the reference box, well outside the posterior
PATIENCE = 240.0  # [s] for one step of a run on a loaded machine
SLOW = 0.3  # [s] per solution where the process is to be killed while solving

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
    "sampler": {"nuts": {"chains": 2, "draws": 300, "warmup": 100}, "r_hat": 1.05, "ess_min": 100},
    "certificate": {"points": 20, "max_points": 40},
    "workers": 1,
    "ledger": "ledger.sqlite",
}
GAUSSIAN = {
    "gaussian": {
        "mean": [0.316, 0.811],
        "covariance": [6.4e-5, 6.4e-5],
        "outputs": ["Omega_m", "sigma8"],
    }
}


def no_data(folder: Path) -> dict[str, str]:
    """The environment of a machine without any data set."""
    return {"VOLVELLE_DATA": str(folder / "no-data"), "VOLVELLE_CACHE": str(folder / "no-cache")}


def start(
    folder: Path, seconds: float, fails_above: float, *words: str, data: bool = False
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        **({} if data else no_data(folder)),
        "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles faster; a toy has little to compute
        "COLUMNS": "200",
    }
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(seconds), str(fails_above), *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def write(folder: Path, **changes: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.yaml").write_text(yaml.safe_dump({**TOY, **changes}, sort_keys=False))


def call(
    folder: Path, *words: str, fails_above: float = FAILS_ABOVE, data: bool = False
) -> tuple[int, str]:
    """Exit status and everything that was printed."""
    process = start(folder, 0.0, fails_above, *(words or ("run", "run.yaml")), data=data)
    printed, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, printed


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Like ``call``, in this process: for what ends before any solution is asked for."""

    def run(folder: Path, *words: str) -> tuple[int, str]:
        monkeypatch.chdir(folder)
        for name, value in no_data(folder).items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(app, list(words), env={"COLUMNS": "200", "NO_COLOR": "1"})
        return result.exit_code, result.output

    return run


def summary_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run" / "summary.json").read_text())


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and the time of its last change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run that was never disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    write(folder)
    status, printed = call(folder)
    assert status == 0, printed
    return folder, printed


def check_keys(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str = "") -> None:
    for key, inner in wanted.items():
        assert key in found, f"summary.json has no {where}{key}"
        if isinstance(inner, dict):
            check_keys(found[key], inner, f"{where}{key}.")
        elif inner is not None:
            assert isinstance(found[key], inner), f"{where}{key} is {found[key]!r}"


def test_the_summary_holds_all_that_is_promised(finished: tuple[Path, str]) -> None:
    summary = summary_of(finished[0])
    for name in ("omega_cdm", "ln10A_s", "A_planck", "H0", "sigma8"):
        statistics = {"mean": float, "std": float, "limits_68": list, "limits_95": list}
        shift = dict.fromkeys(
            ("mean_shift_sigma", "mean_shift_error", "width_ratio", "width_ratio_error"), float
        )
        emulator = {"mean": float, "std": float}
        check_keys(summary["parameters"][name], {**statistics, "emulator": emulator}, name)
        check_keys(summary["certificate"]["parameters"][name], shift, f"certificate {name}")
    check_keys(
        summary,
        {
            "exact_calls": dict.fromkeys(("training", "certificate", "reused", "failed"), int),
            "certificate": {"ess_fraction": float, "log_weight_std": float, "passed": bool},
            "best_fit": {"chi2": {"planck_2018_simulated": float, "planck_2018_low_l": float}},
            "diagnostics": {"r_hat_max": float, "ess_min": float},
            "seconds": dict.fromkeys(("exact solutions", "sampling", "certificate"), float),
            "versions": {"python": str, "jax": str},
            "data": {
                "planck_2018_simulated": {"sha256": None, "simulated": bool},
                "planck_2018_low_l": {"sha256": None, "simulated": bool},
            },
            "seed": int,
        },
    )
    assert summary["status"] == "converged"
    assert summary["seed"] == TOY["seed"]
    for entry in summary["parameters"].values():
        (a, b), (c, d) = entry["limits_95"], entry["limits_68"]
        assert a < c < entry["mean"] < d < b


def test_every_call_to_the_solver_is_counted(finished: tuple[Path, str]) -> None:
    calls = summary_of(finished[0])["exact_calls"]
    with closing(sqlite3.connect(finished[0] / "ledger.sqlite")) as ledger:
        (stored,) = ledger.execute("SELECT COUNT(*) FROM solutions").fetchone()
        (failed,) = ledger.execute(
            "SELECT COUNT(*) FROM solutions WHERE failure IS NOT NULL"
        ).fetchone()
    simulation = 1  # the fiducial model of the simulated data
    assert calls["training"] + calls["certificate"] + simulation == stored
    assert calls["simulation"] == simulation
    assert calls["failed"] == failed > 0
    assert calls["reused"] == 0


def test_simulated_data_are_announced_everywhere(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert printed.count("SIMULATED DATA") >= 2  # before and after
    looks = re.findall(
        r"after (\d+) draws per chain: worst R-hat [\d.]+, smallest ESS \d+", printed
    )
    assert looks and looks[-1] == "300", "convergence is said while the chains run"
    assert summary_of(folder)["simulated"] is True
    assert "SIMULATED" in (folder / "run" / "report.html").read_text()


def test_the_chains_are_read_by_getdist_and_arviz(finished: tuple[Path, str]) -> None:
    import arviz
    from getdist import loadMCSamples

    summary = summary_of(finished[0])
    chains = finished[0] / "run" / "chains"
    for root, statistics in (("emulator", "emulator"), ("reweighted", None)):
        samples = loadMCSamples(str(chains / root), settings={"ignore_rows": 0})
        for name, entry in summary["parameters"].items():
            entry = entry[statistics] if statistics else entry
            assert samples.mean(name) == pytest.approx(entry["mean"], abs=0.05 * entry["std"])
            assert samples.std(name) == pytest.approx(entry["std"], rel=0.05)
    data = arviz.from_netcdf(str(chains / "chains.nc"))
    assert dict(data.posterior.sizes) == {"chain": 2, "draw": 300}
    mean = float(data.posterior["omega_cdm"].mean())
    assert mean == pytest.approx(summary["parameters"]["omega_cdm"]["emulator"]["mean"], rel=1e-6)
    r_hat = max(float(value) for value in arviz.rhat(data).data_vars.values())
    assert r_hat < 1.05


def test_the_posterior_holds_the_truth(finished: tuple[Path, str]) -> None:
    """The data were simulated at omega_cdm = 0.12 and ln10A_s = 3.044, with noise."""
    parameters = summary_of(finished[0])["parameters"]
    for name, truth in (("omega_cdm", 0.12), ("ln10A_s", 3.044)):
        entry = parameters[name]
        assert abs(entry["mean"] - truth) < 4.0 * entry["std"], name


def test_report_and_emulator_are_there(finished: tuple[Path, str]) -> None:
    from volvelle.emulator import load_emulator

    run = finished[0] / "run"
    report = (run / "report.html").read_text()
    assert report.count("data:image/") >= 4
    assert "<script src" not in report and 'href="http' not in report.split("<body")[0]
    emulator, record = load_emulator(run / "emulator")
    assert emulator.parameters == ("omega_cdm", "ln10A_s")
    assert record["certificate"]["passed"] is True
    assert (run / "config.yaml").read_text() == (finished[0] / "run.yaml").read_text()
    history = json.loads((run / "history.json").read_text())
    assert history[-1]["exact_calls_total"] == summary_of(finished[0])["exact_calls"]["training"]


def test_a_finished_run_is_not_computed_again(finished: tuple[Path, str], here: Here) -> None:
    folder, _ = finished
    before = contents(folder)
    status, printed = here(folder, "run", "run.yaml")
    assert status == 0, printed
    assert "nothing is computed again" in printed
    assert contents(folder) == before


def test_another_configuration_in_the_same_folder_is_refused(
    finished: tuple[Path, str], here: Here
) -> None:
    folder, _ = finished
    changed = {**TOY, "seed": 4}
    (folder / "other.yaml").write_text(yaml.safe_dump(changed))
    before = contents(folder / "run")
    status, printed = here(folder, "run", "other.yaml")
    assert status == 2
    assert "holds the run of another configuration" in printed
    assert contents(folder / "run") == before


def test_a_dry_run_says_what_it_would_cost(tmp_path: Path, here: Here) -> None:
    write(tmp_path)
    status, printed = here(tmp_path, "run", "run.yaml", "--dry-run")
    assert status == 0, printed
    rows = [line for line in printed.splitlines() if "exact calls" in line]
    assert [int(line.split()[-2]) for line in rows] == [10 + 3 * 8, 21]
    assert "SIMULATED" in printed
    for words in ("minutes", "memory GiB", "seconds per call"):
        assert words in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.yaml"]


def until_line(process: subprocess.Popen[str], words: str) -> None:
    """Wait until the run prints a line with these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"the run ended before it said {words!r}")


def until_solved(ledger: Path, count: int) -> None:
    """Wait until the ledger holds so many solutions."""
    deadline = time.monotonic() + PATIENCE
    while solved(ledger) < count:
        assert time.monotonic() < deadline, "no solution arrived in the ledger"
        time.sleep(0.05)


def solved(ledger: Path) -> int:
    with closing(sqlite3.connect(ledger)) as connection:
        return connection.execute("SELECT COUNT(*) FROM solutions").fetchone()[0]


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_killed_at_every_stage_it_ends_in_the_same_summary(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    """SIGKILL while solving, fitting, sampling and certifying, each time the command is repeated.

    The undisturbed run had another ledger and folder, so this is also: same seed, same result.
    """
    write(tmp_path)
    ledger = tmp_path / "ledger.sqlite"
    stages: list[tuple[str, Callable[[], None]]] = [
        ("iteration 0", lambda: until_solved(ledger, 5)),
        ("fitting the emulator", lambda: time.sleep(0.2)),
        ("sampling:", lambda: time.sleep(0.5)),
        ("certificate:", lambda: until_solved(ledger, before + 4)),
    ]
    for words, wait in stages:
        process = start(tmp_path, SLOW, FAILS_ABOVE, "run", "run.yaml")
        until_line(process, words)
        before = solved(ledger)
        wait()
        assert process.poll() is None, f"the run ended before it was killed at {words}"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        assert not (tmp_path / "run" / "summary.json").exists()
    status, printed = call(tmp_path)
    assert status == 0, printed
    undisturbed, resumed = summary_of(finished[0]), summary_of(tmp_path)
    for summary in (undisturbed, resumed):
        del summary["seconds"]
    for key, value in undisturbed.items():
        assert same(resumed[key], value), f"{key}: {resumed[key]} instead of {value}"
    assert resumed.keys() == undisturbed.keys()
    for name in ("emulator.1.txt", "reweighted.2.txt"):
        one, other = (f / "run" / "chains" / name for f in (finished[0], tmp_path))
        assert one.read_text() == other.read_text()


def test_warm_start_and_a_sampler_that_has_not_converged(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    """Other data, the points of an earlier run: nothing is solved for training. Chains that are too
    short say so, in red."""
    earlier, _ = finished
    write(
        tmp_path,
        likelihood=GAUSSIAN,
        emulator={"kind": "polynomial", "warm_start": [str(earlier / "run")]},
        ledger=str(earlier / "ledger.sqlite"),
        sampler={"nuts": {"chains": 2, "draws": 100, "warmup": 20}, "r_hat": 1.0001},
    )
    status, printed = call(tmp_path)
    summary = summary_of(tmp_path)
    assert summary["exact_calls"]["training"] == 0, printed
    assert summary["exact_calls"]["reused"] >= 10
    assert summary["certificate"]["passed"] is True
    assert status == 1
    assert summary["status"] == "not converged"
    assert summary["diagnostics"]["converged"] is False
    assert "NOT CONVERGED" in printed
    screen = io.StringIO()
    Console(file=screen, force_terminal=True, width=200).print(render_summary(summary))
    assert "\x1b[1;31mNOT CONVERGED" in screen.getvalue()
    report = (tmp_path / "run" / "report.html").read_text().lower()
    assert "not converged" in report
    assert call(tmp_path)[0] == 1  # and it stays so when the command is repeated


def test_chains_whose_trajectories_diverge_have_not_converged(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    """R-hat is blind to what no chain has entered; trajectories that broke off are not."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "run" / "sampling" / "chains_0.safetensors"
    tensors = load_file(path)
    before = summary_of(tmp_path)["diagnostics"]
    assert before["converged"] is True
    tensors["counts"][1] = 7
    save_file(tensors, path)
    (tmp_path / "run" / "summary.json").unlink()
    status, _ = call(tmp_path)
    summary = summary_of(tmp_path)
    assert summary["diagnostics"]["r_hat_max"] == before["r_hat_max"]
    assert summary["diagnostics"]["divergent_share"] == pytest.approx(7 / 600)
    assert (status, summary["status"]) == (1, "not converged")
    assert "higher target_accept" in (tmp_path / "run" / "report.html").read_text()


def test_defined_parameters_are_reported_and_certified(tmp_path: Path) -> None:
    """omega_cdm by an expression and A_s by its logarithm: the posterior is that of the data."""
    params = {name: value for name, value in TOY["params"].items() if name != "ln10A_s"}
    params |= {
        "omega_m": {"prior": {"min": 0.1, "max": 0.3}, "ref": {"loc": 0.143, "scale": 0.012}},
        "omega_cdm": "omega_m - omega_b",
        "A_s": {
            "prior": {"min": 1e-9, "max": 5e-9},
            "scale": "log",
            "ref": {"loc": 2.1e-9, "scale": 0.04},
        },
    }
    write(tmp_path, params=params, likelihood=GAUSSIAN)
    status, printed = call(tmp_path, fails_above=1.0)
    summary = summary_of(tmp_path)
    assert status == 0, printed
    parameters = summary["parameters"]
    kinds = {"omega_m": "sampled", "log10_A_s": "sampled", "omega_cdm": "derived", "A_s": "derived"}
    assert {name: parameters[name]["kind"] for name in kinds} == kinds
    assert set(kinds) <= set(summary["certificate"]["parameters"])
    for statistics in ("mean", "std"):
        shift = 0.0224 if statistics == "mean" else 0.0
        own, total = (parameters[name][statistics] for name in ("omega_cdm", "omega_m"))
        assert own == pytest.approx(total - shift, abs=1e-9)
    scale = parameters["log10_A_s"]["mean"]
    assert parameters["A_s"]["mean"] == pytest.approx(10**scale, rel=0.01)
    means = (parameters[name]["mean"] for name in ("Omega_m", "sigma8"))
    assert list(means) == pytest.approx(GAUSSIAN["gaussian"]["mean"], rel=0.01)
    from getdist import loadMCSamples

    samples = loadMCSamples(str(tmp_path / "run" / "chains" / "emulator"))
    assert samples.mean("A_s") == pytest.approx(parameters["A_s"]["emulator"]["mean"], rel=0.01)


def test_a_certificate_that_fails_says_so(tmp_path: Path) -> None:
    write(
        tmp_path,
        likelihood=GAUSSIAN,
        emulator={"kind": "polynomial", "initial": 5, "max_training": 5, "accuracy": 0.002},
    )
    status, printed = call(tmp_path, fails_above=1.0)
    summary = summary_of(tmp_path)
    assert status == 1, printed
    assert summary["status"] == "certificate failed"
    assert summary["certificate"]["passed"] is False
    assert summary["exact_calls"]["training"] == 5
    assert summary["diagnostics"]["training_met_its_target"] is False
    assert "THE CERTIFICATE FAILED" in printed
    assert "THE CERTIFICATE FAILED" in (tmp_path / "run" / "report.html").read_text()


def test_a_solver_that_fails_too_often_stops_the_run(tmp_path: Path) -> None:
    write(tmp_path, likelihood=GAUSSIAN)
    status, printed = call(tmp_path, fails_above=0.125)
    assert status == 2
    assert "exact solutions failed, more than 20%" in printed
    assert "commonest message is: toy: recombination did not happen" in printed
    assert not (tmp_path / "run" / "summary.json").exists()
    failures = solved(tmp_path / "ledger.sqlite")
    assert call(tmp_path, fails_above=0.125)[0] == 2  # and is not tried blindly again
    assert solved(tmp_path / "ledger.sqlite") == failures


def test_the_python_call_gives_the_status(
    finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished[0])
    for name, value in no_data(finished[0]).items():
        monkeypatch.setenv(name, value)
    assert volvelle.run("run.yaml", progress=False) == 0


@pytest.mark.real_data
def test_real_data_leave_their_hash(tmp_path: Path) -> None:
    """A universe of toys, but DESI's own distances, which leave the amplitude to its prior: its
    flat posterior takes more draws than the others."""
    write(
        tmp_path,
        likelihood=["desi_dr2_bao"],
        simulate_if_missing=False,
        sampler={"nuts": {"chains": 2, "draws": 1000, "warmup": 300}, "r_hat": 1.05},
    )
    status, printed = call(tmp_path, fails_above=1.0, data=True)
    assert status == 0, printed
    summary = summary_of(tmp_path)
    assert summary["simulated"] is False
    assert "SIMULATED" not in printed
    data = summary["data"]["desi_dr2_bao"]
    assert len(data["sha256"]) == 64
    assert all(len(sha256) == 64 for sha256 in data["files"].values())
    shown = json.loads((tmp_path / "run" / "distances.json").read_text())["desi_dr2_bao"]
    assert len(shown["z"]) == len(shown["data"]) == len(shown["model"]) == 13
