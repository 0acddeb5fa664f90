"""Blinded parameters: hidden in everything that is written, the truth after ``unblind``."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from volvelle.cli import Configuration, ConfigurationError
from volvelle.cli.app import app
from volvelle.cli.blinding import blinded_run
from volvelle.cli.errors import BlindingError
from volvelle.cli.parameters import SampledParameter
from volvelle.cli.setup import FIDUCIAL as SIMULATED
from volvelle.cosmology import ExpressionError, hidden, parse
from volvelle.report import read_chain

from .conftest import Write
from .test_pipeline import TOY, summary_of, write
from .test_pipeline import call as call_toy

BLIND = {"key": "blue moon", "shifts": {"omega_cdm": 0.02, "ln10A_s": 0.3}}
FIDUCIAL = {name: SIMULATED[name] for name in BLIND["shifts"]}
call = partial(call_toy, fails_above=math.inf)
SPECTRA = {"lensed_tt", "lensed_te", "lensed_ee", "phiphi"}


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("blind")
    write(folder, blind=BLIND)
    status, printed = call(folder)
    assert status == 0, printed
    return folder, printed


def shifts_of(path: Path) -> dict[str, float]:
    """By the configuration's own priors, which move along."""
    sampled = {p.name: p for p in Configuration.load(path, files=False).sampled}
    return {
        name: sampled[f"{name}_blind"].prior["min"] - TOY["params"][name]["prior"]["min"]
        for name in BLIND["shifts"]
    }


def solutions(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        return ledger.execute("SELECT COUNT(*) FROM solutions").fetchone()[0]


def test_nothing_that_is_written_tells_the_truth(blind: tuple[Path, str]) -> None:
    folder, printed = blind
    summary = summary_of(folder)
    names = {"omega_cdm_blind", "ln10A_s_blind", "A_planck"}
    assert {*summary["parameters"]} == names == {*summary["certificate"]["parameters"]}
    assert summary["blinded"] == ["ln10A_s_blind", "omega_cdm_blind"]
    assert {*summary["best_fit"]["parameters"]} == names
    assert {*load_file(folder / "run" / "best_fit.safetensors")} <= SPECTRA
    for root in ("emulator", "reweighted"):
        chain = read_chain(folder / "run", root)
        assert {*chain.names} == names
        assert chain.ranges["omega_cdm_blind"] == (None, None) == chain.ranges["ln10A_s_blind"]
    report = (folder / "run" / "report.html").read_text()
    assert "Blinded: ln10A_s_blind, omega_cdm_blind are shifted" in report
    assert "Blinded:" in " ".join(printed.split())
    moved = Configuration.load(folder / "run.yaml", files=False).sampled
    hidden_numbers = [*shifts_of(folder / "run.yaml").values()]
    for parameter in moved:
        if parameter.name.endswith("_blind"):
            hidden_numbers += [*parameter.prior.values(), parameter.ref_loc]
    numbers = [f"{abs(number):.6g}" for number in hidden_numbers]
    assert len(numbers) == 2 + 2 * 3
    _profile_and_show_tell_nothing(folder, moved)
    texts = [p for p in (folder / "run").rglob("*") if p.suffix in (".json", ".yaml", ".ranges")]
    assert len(texts) > 5
    for path in texts:
        assert not any(number in path.read_text() for number in numbers), path


def _profile_and_show_tell_nothing(folder: Path, moved: tuple[SampledParameter, ...]) -> None:
    words = ("profile", "run", "omega_cdm_blind", "--points", "5", "--accuracy", "1")
    status, printed = call(folder, *words, "--range", "-1", "0.2")
    (prior,) = (p.prior for p in moved if p.name == "omega_cdm_blind")
    assert status == 2 and "beyond its prior, which is blinded; keep" in " ".join(printed.split())
    assert not any(f"{end:g}" in printed for end in prior.values())
    status, printed = call(folder, *words)
    assert status == 0, printed
    assert "bounds" not in json.loads((folder / "run" / "profile_omega_cdm_blind.json").read_text())
    found = CliRunner().invoke(app, ["emulator", "show", str(folder / "run"), "--json"])
    about = json.loads(found.output)
    ends = {"unit": "", "min": None, "max": None}
    assert about["parameters"] == {"omega_cdm_blind": ends, "ln10A_s_blind": ends}
    found = CliRunner().invoke(app, ["emulator", "show", str(folder / "run")])
    assert "without their ends: ln10A_s_blind, omega_cdm_blind" in found.output


def test_the_first_solutions_are_not_around_the_shifted_reference(blind: tuple[Path, str]) -> None:
    """Their box holds that of the reference all the same."""
    folder, _ = blind
    content = json.loads((folder / "run" / "training" / "iteration_000.json").read_text())
    assert content["reason"] == "initial design"
    sampled = {p.name: p for p in Configuration.load(folder / "run.yaml", files=False).sampled}
    for name, shift in shifts_of(folder / "run.yaml").items():
        ref = TOY["params"][name]["ref"]
        found, true = sampled[f"{name}_blind"], ref["loc"] + shift
        assert abs(found.ref_loc - true) > 0.02 * ref["scale"]
        assert found.ref_loc - found.ref_scale <= true - ref["scale"]
        assert found.ref_loc + found.ref_scale >= true + ref["scale"]
    column = np.array(content["points"])[:, 0]  # of omega_cdm
    found = sampled["omega_cdm_blind"]
    assert np.all(np.abs(column - found.ref_loc) <= found.ref_scale)


def test_references_stay_inside_their_priors(write: Write) -> None:
    """Half the way to the end at most; of many keys."""
    low, ref = 0.05, {"loc": 0.053, "scale": 0.012}
    parameter = {"prior": {"min": low, "max": 0.3}, "ref": ref}
    aside = []
    for key in map("key {}".format, range(40)):
        blind = {"key": key, "shifts": {"omega_cdm": 0.02}}
        path = write({**TOY, "params": {**TOY["params"], "omega_cdm": parameter}, "blind": blind})
        (found,) = (
            p for p in Configuration.load(path, files=False).sampled if p.name == "omega_cdm_blind"
        )
        aside.append(found.ref_loc - found.prior["min"] + low - ref["loc"])
    assert -0.0015 <= min(aside) < -0.001 and 0.004 < max(aside) <= 0.006


def test_the_truth_is_the_shown_less_the_shift(blind: tuple[Path, str], tmp_path: Path) -> None:
    """The same posterior as without, and nothing is sampled or solved to see it."""
    folder, _ = blind
    shown = {n: entry["mean"] for n, entry in summary_of(folder)["parameters"].items()}
    solved = solutions(folder)
    status, printed = call(folder, "unblind", "run", "--yes")
    assert status == 0, printed
    record = json.loads((folder / "run" / "unblinded.json").read_text())
    found = summary_of(folder)["parameters"]
    assert {"omega_cdm", "ln10A_s", "H0", "sigma8"} <= {*found}
    for name, shift in shifts_of(folder / "run.yaml").items():
        assert record["shifts"][name] == pytest.approx(shift, rel=1e-12)
        assert 0.0 < abs(shift) < BLIND["shifts"][name]
        assert found[name]["mean"] == pytest.approx(shown[f"{name}_blind"] - shift, abs=1e-9)
        assert f"{name} was shown {shift:+.6g} too high" in printed
    assert solutions(folder) == solved
    assert (folder / "run" / "summary_blind.json").exists()
    assert "omega_cdm_blind are shifted" in (folder / "run" / "report_blind.html").read_text()
    for name, simulated in FIDUCIAL.items():
        assert abs(found[name]["mean"] - simulated) < 3.0 * found[name]["std"]
        assert abs(shown[f"{name}_blind"] - simulated) > 3.5 * found[name]["std"]
    status, printed = call(folder, "unblind", "run", "--yes")
    assert status == 2 and "is unblinded already" in printed
    with pytest.raises(BlindingError, match="holds no run"):
        blinded_run(tmp_path)
    write(tmp_path)
    (tmp_path / "config.yaml").write_text((tmp_path / "run.yaml").read_text())
    with pytest.raises(BlindingError, match="not blinded: its file has no blind block"):
        blinded_run(tmp_path)
    write(tmp_path, blind=BLIND)
    (tmp_path / "config.yaml").write_text((tmp_path / "run.yaml").read_text())
    with pytest.raises(BlindingError, match="is not finished; finish it blinded first"):
        blinded_run(tmp_path)


@pytest.mark.parametrize(
    ("shifts", "words"),
    [
        ({"omega_cdn": 0.02}, "omega_cdn is not sampled; did you mean omega_cdm?"),
        ({"n_s": 0.02}, "n_s is not sampled"),
        ({"A_planck": 0.01}, "A_planck is a likelihood's own parameter"),
        ({"omega_cdm": 0.0}, "expected a number above 0"),
        ({}, "at least 1"),
    ],
)
def test_what_cannot_be_blinded(write: Write, shifts: dict[str, Any], words: str) -> None:
    path = write({**TOY, "blind": {"key": "blue moon", "shifts": shifts}})
    with pytest.raises(ConfigurationError, match=words):
        Configuration.load(path, files=False)


def test_a_prior_that_a_shift_would_bend_is_refused(write: Write) -> None:
    bent = {"prior": {"dist": "loguniform", "min": 0.05, "max": 0.3}}
    parameter = {**bent, "ref": {"loc": 0.121, "scale": 0.012}}
    blind = {"key": "blue moon", "shifts": {"omega_cdm": 0.02}}
    path = write({**TOY, "params": {**TOY["params"], "omega_cdm": parameter}, "blind": blind})
    with pytest.raises(ConfigurationError, match="loguniform, which a shift bends; write scale"):
        Configuration.load(path, files=False)


def test_the_same_key_shifts_alike_and_another_does_not(write: Write) -> None:
    def shifted(key: str, width: float) -> float:
        blind = {"key": key, "shifts": {"omega_cdm": width}}
        return shifted_by(write({**TOY, "blind": blind}))

    def shifted_by(path: Path) -> float:
        sampled = {p.name: p for p in Configuration.load(path, files=False).sampled}
        return sampled["omega_cdm_blind"].prior["min"] - TOY["params"]["omega_cdm"]["prior"]["min"]

    assert shifted("blue moon", 0.02) == pytest.approx(2.0 * shifted("blue moon", 0.01))
    assert abs(shifted("blue moon", 0.02) - shifted("red moon", 0.02)) > 1e-4


def test_hidden_numbers_are_spread_evenly() -> None:
    numbers = sorted(hidden(key) for key in range(2000))
    off = max(abs(x - (2 * (i + 0.5) / 2000 - 1)) for i, x in enumerate(numbers))
    assert off < 2 * 1.63 / 2000**0.5  # Kolmogorov and Smirnov, 99%
    assert parse("x - 0.5 * hidden(7)")({"x": 1.0}) == 1.0 - 0.5 * hidden(7)
    for text in ("hidden(x)", "hidden()", "hidden(1, 2)", "exp(1)", "hidden(1.0)", "x.hidden(1)"):
        with pytest.raises(ExpressionError, match="holds a function call"):
            parse(text)
