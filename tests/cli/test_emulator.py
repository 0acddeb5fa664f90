"""``volvelle emulate`` and ``volvelle emulator`` in a toy universe, with every refusal."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import foreign_files
import volvelle
from volvelle.cli import emulate_job, emulator_check, setup
from volvelle.cli.app import app
from volvelle.cli.emulate_configuration import EmulateConfiguration
from volvelle.compute import SerialExecutor
from volvelle.emulator import load_emulator

from . import toy_solver

PROGRAM = Path(__file__).parent / "toy_run.py"
SOURCE = Path(volvelle.__file__).parents[1]
PATIENCE = 240.0  # [s] on a loaded machine
FILE: dict[str, Any] = {
    "output": "box",
    "theory": {"camb": {}},
    "params": {
        "omega_b": 0.0224,
        "omega_cdm": {"prior": {"min": 0.11, "max": 0.13}},
        "ln10A_s": {"prior": {"min": 2.9, "max": 3.2}},
        "theta_star_100": 1.041,
        "n_s": 0.965,
        "tau_reio": 0.054,
    },
    "outputs": ["lensed_tt", "sigma8"],
    "lmax": 60,
    "accuracy": {"spectra": 0.05, "other": 1e-3},
    "points": {"held_out": 20, "certificate": 30},
    "kind": "polynomial",
    "workers": 1,
    "ledger": "ledger.sqlite",
}


@dataclass(frozen=True)
class Toy(toy_solver.ToySolver):
    """With settings as text, as the real ones have them."""

    version: str = "toy"
    settings: str = "{}"

    def identity(self) -> dict[str, str]:
        return {"solver": self.name, "version": self.version, "settings": self.settings}


@contextmanager
def serial(*given: Any) -> Any:
    yield SerialExecutor()


def put_toy(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The toy in the solvers' place, in this process, in a folder of its own."""
    patch.setattr(setup, "get_solver", lambda name, **settings: Toy())
    patch.setattr(emulate_job, "make_executor", serial)
    patch.setattr(emulator_check, "make_executor", serial)
    patch.chdir(folder)
    patch.setenv("VOLVELLE_LEDGER", str(folder / "ledger.sqlite"))
    patch.setenv("COLUMNS", "200")


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_toy(monkeypatch, tmp_path)


def call(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def write(path: Path, changes: dict[str, Any] | None = None) -> str:
    content = copy.deepcopy(FILE)
    for dotted, value in (changes or {}).items():
        *above, last = dotted.split(".")
        block = content
        for key in above:
            block = block[key]
        block[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        put_toy(patch, folder)
        status, words = call("emulate", write(folder / "box.yaml"), "--quiet")
    assert status == 0, words
    return folder / "box"


@pytest.fixture
def box(trained: Path, tmp_path: Path) -> Path:
    """A trained box of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "box"))


def record_of(folder: Path) -> dict[str, Any]:
    return load_emulator(folder)[1]


def test_emulate_reaches_the_accuracy_and_says_so(tmp_path: Path):
    status, words = call("emulate", write(tmp_path / "box.yaml"))
    assert status == 0
    assert "reaches the accuracy asked for" in words and "start: 10 exact solutions" in words
    record = record_of(tmp_path / "box" / "emulator")
    assert record["certificate"]["passed"] and record["certificate"]["n"] == 30
    assert record["box"] == {"omega_cdm": [0.11, 0.13], "ln10A_s": [2.9, 3.2]}
    status, words = call("emulate", str(tmp_path / "box.yaml"))
    assert status == 0 and "this training is finished" in words
    write(tmp_path / "box.yaml", {"seed": 2})
    status, words = call("emulate", str(tmp_path / "box.yaml"))
    assert status == 2 and "holds the run of another configuration" in words


def test_emulate_that_does_not_reach_it_writes_the_emulator_and_fails(tmp_path: Path):
    changes = {"accuracy.spectra": 1e-9, "points.max_training": 50}
    status, words = call("emulate", write(tmp_path / "box.yaml", changes))
    assert status == 1
    assert "does NOT reach the accuracy" in words and "max_training is 50" in words
    record = record_of(tmp_path / "box" / "emulator")
    assert record["certificate"]["passed"] is False
    assert call("emulate", str(tmp_path / "box.yaml"), "--quiet")[0] == 1
    status, words = call("emulator", "show", "box")
    assert status == 0 and "does NOT reach the accuracy" in words


def test_dry_run_computes_nothing(tmp_path: Path):
    status, words = call("emulate", write(tmp_path / "box.yaml"), "--dry-run")
    assert status == 0 and "nothing is computed" in words and "omega_cdm 0.11 to 0.13" in words
    assert not (tmp_path / "box").exists() and not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": []}, "outputs: expected a list of different names"),
        ({"outputs": ["sigma8", "sigma8"]}, "outputs: expected a list of different names"),
        ({"outputs": ["lensed_te"]}, "takes lensed_tt and lensed_ee too; add them"),
        ({"outputs": ["lensed_xx"]}, "outputs[0]"),
        ({"outputs": ["sigma8"]}, "lmax: lmax is 60, but outputs lists no spectrum"),
        ({"params.nrunn": 0.1}, "params.nrunn: CAMB has no parameter 'nrunn'"),
        ({"accuracy.spectra": 0.0}, "accuracy.spectra: expected a number above 0"),
        ({"accuracy.percentile": 101.0}, "accuracy.percentile: expected a number of at most 100"),
        (
            {"accuracy.percentile": 97.0},
            "accuracy.percentile: the 97th percentile of 30 solutions is their largest error; "
            "certify with at least 34",
        ),
        ({"accuracy.sigma": 1.0}, "accuracy.sigma: unknown key"),
        ({"points.held_out": 5}, "points.held_out: expected a number of at least 20"),
        ({"points.initial": 2}, "points.initial: initial is 2 points for 2 sampled parameters"),
        ({"points.max_training": 20}, "deciding takes 20 more; raise it"),
        ({"kind": "network"}, "kind: expected one of auto"),
        ({"likelihood": ["planck_2018_low_l"]}, "likelihood: unknown key"),
        ({"sampler": {}}, "sampler: unknown key"),
        (
            {"params.omega_cdm": {"prior": {"dist": "norm", "loc": 0.12, "scale": 0.01}}},
            "params.omega_cdm: has a prior without ends",
        ),
        (
            {"params.ln10A_s": {"prior": {"dist": "loguniform", "min": 2.9, "max": 3.2}}},
            "params.ln10A_s.prior: dist loguniform has no meaning in a box",
        ),
        (
            {"params.ln10A_s.ref": {"loc": 3.0, "scale": 0.1}},
            "params.ln10A_s.ref: the box is that of the prior; remove ref",
        ),
        (
            {"params.omega_cdm": 0.12, "params.ln10A_s": 3.0},
            "no cosmological parameter has a prior",
        ),
    ],
)
def test_wrong_files(changes: dict[str, Any], message: str, tmp_path: Path):
    status, words = call("emulate", write(tmp_path / "box.yaml", changes))
    assert status == 2 and message in words, words
    assert not (tmp_path / "box").exists()


TENSORS = {"theory": {"class": {"extra_args": {"modes": "s,t"}}}}
BOX_OF_R = {"prior": {"min": 0.0, "max": 0.1}}


@pytest.mark.parametrize("outputs", [["lensed_tt"], ["lensed_bb"], ["lensed_bb", "rs_rec"]])
def test_inputs_that_are_read_beside_spectra_only(outputs: list[str], tmp_path: Path):
    changes = {**TENSORS, "params.r": BOX_OF_R, "outputs": outputs}
    found = EmulateConfiguration.load(write(tmp_path / "box.yaml", changes))
    assert [p.name for p in found.sampled] == ["omega_cdm", "ln10A_s", "r"]


def test_precision_that_follows_from_the_outputs_is_refused_where_it_stands(tmp_path: Path):
    changes = {"theory": {"class": {"precision": {"l_max_scalars": 500}}}}
    status, words = call("emulate", write(tmp_path / "box.yaml", changes), "--dry-run")
    assert status == 2
    assert "theory.class.precision.l_max_scalars: l_max_scalars of CLASS follows from" in words


def test_killed_and_repeated(tmp_path: Path):
    """SIGKILL while it solves: the repeated command solves only what is missing."""
    write(tmp_path / "box.yaml")
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

    def start(seconds: float) -> subprocess.Popen[str]:
        words = [sys.executable, str(PROGRAM), str(seconds), "inf", "emulate", "box.yaml"]
        return subprocess.Popen(
            words, cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def solved() -> int:
        path = tmp_path / "ledger.sqlite"
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path, timeout=30)) as ledger:
            try:
                return ledger.execute("select count(*) from solutions").fetchone()[0]
            except sqlite3.OperationalError:
                return 0

    process = start(0.3)
    until = time.monotonic() + PATIENCE
    while solved() < 4 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = solved()
    assert 4 <= before < 10
    process = start(0.0)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    record = record_of(tmp_path / "box" / "emulator")
    asked = len(record["points"]) + 20 + 30
    assert solved() == asked


def test_show(box: Path):
    status, words = call("emulator", "show", str(box))
    assert status == 0
    for text in ("omega_cdm", "0.11", "0.13", "domain: box", "lensed_tt", "61", "muK^2", "camb toy",
                 "polynomial", "reaches the accuracy", "size:"):  # fmt: skip
        assert text in words
    status, words = call("emulator", "show", str(box / "emulator"), "--json")
    found = json.loads(words)
    assert status == 0 and found["parameters"]["omega_cdm"]["min"] == pytest.approx(0.11)
    assert found["outputs"]["lensed_tt"] == {"unit": "muK^2", "shape": [61], "learned_as": "cmb"}
    assert found["training_points"] >= 10 and found["checks"] == []
    status, words = call("emulator", "show", str(box / "training"))
    assert status == 2 and "holds no stored model" in words


def test_check_adds_what_fresh_solutions_say(box: Path):
    before = record_of(box / "emulator")
    status, words = call("emulator", "check", str(box), "--points", "12")
    assert status == 0 and "12 fresh exact solutions of camb toy, 0 failed" in words
    assert call("emulator", "check", str(box / "emulator"), "--points", "8", "--quiet")[0] == 0
    after = record_of(box / "emulator")
    first, second = after.pop("checks")
    assert after == before
    assert (first["n"], second["n"]) == (12, 8) and first["other_solver"] == []
    points = [tuple(p) for p in (*before["points"], *first["points"], *second["points"])]
    assert len(set(points)) == len(points), "a point stands there twice"
    ends = np.array([before["box"][name] for name in before["parameters"]])
    for point in (*first["points"], *second["points"]):
        assert np.all(np.array(point) >= ends[:, 0]) and np.all(np.array(point) <= ends[:, 1])
    for name, error in first["errors"].items():
        # of the same distribution as the certificate's
        assert error["percentiles"]["95"] <= 2.0 * before["certificate"]["limits"][name]
    assert first["delta_chi2"]["found"] >= 0.0
    status, words = call("emulator", "show", str(box))
    assert status == 0 and "12 fresh" in words and "8 fresh" in words


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (Toy(version="toy 2"), "version was toy, is toy 2"),
        (Toy(settings='{"precision": {"l": 2}}'), "setting precision was None, is {'l': 2}"),
        (Toy(name="class"), "solver was camb, is class"),
    ],
)
def test_another_solver_is_refused_or_flagged(
    solver: Toy, message: str, box: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(setup, "get_solver", lambda name, **settings: solver)
    content = (box / "emulator" / "model.json").read_bytes()
    status, words = call("emulator", "check", str(box), "--points", "6")
    assert status == 2 and message in words and "--other-solver same" in words
    assert (box / "emulator" / "model.json").read_bytes() == content
    status, words = call("emulator", "check", str(box), "--points", "6", "--other-solver", "same")
    assert status == 0 and "NOT the training's solver" in words
    (check,) = record_of(box / "emulator")["checks"]
    assert any(message in difference for difference in check["other_solver"])
    status, words = call("emulator", "check", str(box), "--other-solver", "cmbfast")
    assert status == 2 and "choose class, camb, or same" in words


def test_where_a_check_solves(box: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []

    def made(block: Any, say: Any) -> Any:
        asked.append(block.chosen)
        return serial()

    monkeypatch.setattr(emulator_check, "make_executor", made)
    command = ("emulator", "check", str(box), "--points", "6", "--quiet")
    for place in ((), ("--workers", "3"), ("--dask", "tcp://host:8786")):
        assert call(*command, *place)[0] == 0
    assert (asked[0].workers, asked[1].workers, asked[2].address) == (None, 3, "tcp://host:8786")
    status, words = call(*command, "--workers", "3", "--dask", "tcp://host:8786")
    assert status == 2 and "give one of them" in words


def test_a_certificate_that_a_check_contradicts(box: Path, monkeypatch: pytest.MonkeyPatch):
    """The toy behaves otherwise than at the training, under the same name and version."""

    @dataclass(frozen=True)
    class Changed(Toy):
        def solve(self, cosmology: Any, request: Any) -> dict[str, Any]:
            solved = super().solve(cosmology, request)
            return {**solved, "sigma8": 1.1 * solved["sigma8"]}

    monkeypatch.setattr(setup, "get_solver", lambda name, **settings: Changed())
    status, words = call("emulator", "check", str(box), "--points", "6")
    assert status == 1 and "sigma8: its certificate promises 0.001" in words
    assert "at the 95th percentile; do not trust it" in words


@pytest.mark.parametrize(("percentile", "contradicted"), [(50, False), (68.0, False), (90, True)])
def test_a_check_is_judged_at_the_percentile_of_the_certificate(
    percentile: float, contradicted: bool, box: Path, monkeypatch: pytest.MonkeyPatch
):
    """A quarter of the box is off: half of it is as good as promised, not nine tenths."""

    @dataclass(frozen=True)
    class Changed(Toy):
        def solve(self, cosmology: Any, request: Any) -> dict[str, Any]:
            solved = super().solve(cosmology, request)
            off = float(cosmology.omega_cdm) > 0.125
            return {**solved, "sigma8": (1.1 if off else 1.0) * solved["sigma8"]}

    monkeypatch.setattr(setup, "get_solver", lambda name, **settings: Changed())
    certificate = record_of(box / "emulator")["certificate"]
    forged(box / "emulator", certificate={**certificate, "percentile": percentile})
    status, words = call("emulator", "check", str(box), "--points", "40")
    assert status == int(contradicted), words
    assert (f"at the {percentile:g}th percentile" in words) == contradicted


def test_limits_may_be_whole_numbers(box: Path):
    certificate = record_of(box / "emulator")["certificate"]
    forged(box / "emulator", certificate={**certificate, "limits": {"lensed_tt": 1, "sigma8": 1}})
    assert call("emulator", "check", str(box), "--points", "6", "--quiet")[0] == 0


def no_number(name: str) -> dict[str, Any]:
    return {"kind": "box", "limits": {"lensed_tt": 0.1, "sigma8": 0.1}, "percentile": name}


def solves_nothing(name: str, **settings: Any) -> Any:
    raise AssertionError("a solver is made before all is known to be right")


def test_a_folder_that_cannot_be_written_is_found_out_before_solving(
    box: Path, monkeypatch: pytest.MonkeyPatch
):
    def refused(**given: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(emulator_check.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(setup, "get_solver", solves_nothing)
    status, words = call("emulator", "check", str(box), "--points", "6")
    assert status == 2 and "cannot be written" in words and "copy the folder" in words


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Let something happen to the folder while a check solves."""
    compare = emulator_check.compare

    def slow(*given: Any, **named: Any) -> Any:
        change()
        return compare(*given, **named)

    monkeypatch.setattr(emulator_check, "compare", slow)


def test_a_check_of_somebody_else_in_the_meantime_is_kept(
    box: Path, monkeypatch: pytest.MonkeyPatch
):
    theirs = {"n": 0, "points": []}
    meanwhile(monkeypatch, lambda: forged(box / "emulator", checks=[theirs]))
    assert call("emulator", "check", str(box), "--points", "6", "--quiet")[0] == 0
    first, second = record_of(box / "emulator")["checks"]
    assert first == theirs and second["n"] == 6


@pytest.mark.parametrize("what", ["weights", "structure"])
def test_another_emulator_in_the_meantime_is_left_alone(
    what: str, box: Path, monkeypatch: pytest.MonkeyPatch
):
    emulator, record = load_emulator(box / "emulator")
    block = emulator.blocks[0]
    other = replace(emulator, fixed=(*emulator.fixed, ("w0", -1.0)))
    if what == "weights":
        other = replace(
            emulator, blocks=(replace(block, weight=2.0 * block.weight), *emulator.blocks[1:])
        )
    meanwhile(monkeypatch, lambda: other.save(box / "emulator", record))
    status, words = call("emulator", "check", str(box), "--points", "6")
    assert status == 2 and "holds another emulator than when the check began" in words
    assert "checks" not in record_of(box / "emulator")


def forged(folder: Path, **entries: Any) -> None:
    emulator, record = load_emulator(folder)
    emulator.save(folder, {**record, **entries})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"solver": "camb"}, "record cannot be understood"),
        ({"solver": {"solver": "camb"}}, "no name, version or settings"),
        ({"request": "{"}, "record cannot be understood"),
        ({"request": 3}, "record cannot be understood"),
        ({"points": [[1.0, 2.0, 3.0]]}, "record cannot be understood"),
        ({"points": "none"}, "record cannot be understood"),
        ({"checks": {}}, "the checks are no list"),
        ({"definitions": {"a": "b()"}}, "record cannot be understood"),
        ({"parametrisation": {"unset": [1]}}, "record cannot be understood"),
        ({"neutrino_hierarchy": "odd"}, "odd"),
        ({"certificate": {"kind": "box", "limits": {"sigma8": -1}}}, "certificate has no limits"),
        ({"certificate": {"kind": "box", "limits": {"sigma8": True}}}, "certificate has no limits"),
        ({"certificate": no_number("95")}, "certificate is of percentile '95', expected a number"),
        ({"certificate": no_number(None)}, "certificate is of percentile None"),
        ({"certificate": no_number(101)}, "certificate is of percentile 101"),
        ({"points": [[10**400, 3.0]]}, "record cannot be understood (OverflowError"),
        ({"points": [[None, 3.0]]}, "record cannot be understood"),
        ({"checks": [{"points": [[0.12, 3.0], [0.12]]}]}, "record cannot be understood"),
        ({"checks": [{"points": [[0.12, 3.0, 1.0]]}]}, "record cannot be understood"),
        ({"parametrisation": {"unset": [["h", 10**400]]}}, "record cannot be understood"),
        ({"request": "[" * 100_000}, "record cannot be understood (RecursionError"),
        (
            {"solver": {"solver": "camb", "version": "1", "settings": "[" * 100_000}},
            "the settings of the emulator's solver cannot be read",
        ),
    ],
)
def test_records_that_make_no_sense(entries: dict[str, Any], message: str, box: Path):
    forged(box / "emulator", **entries)
    status, words = call("emulator", "check", str(box), "--points", "6")
    assert status == 2 and message in words, words
    assert call("emulator", "show", str(box))[0] == 0
    assert call("emulator", "show", str(box), "--json")[0] == 0


def test_settings_without_end_are_shown_as_they_are(box: Path):
    """With another solver nothing of the record's settings is used, only compared."""
    settings = {"solver": "camb", "version": "toy", "settings": "[" * 100_000}
    forged(box / "emulator", solver=settings)
    words = ["emulator", "check", str(box), "--points", "6", "--other-solver", "camb"]
    assert call(*words, "--quiet")[0] == 0
    (check,) = record_of(box / "emulator")["checks"]
    assert check["other_solver"][0].startswith("settings were '[[[")


def test_checks_that_make_no_sense_are_shown_as_such(box: Path):
    assert call("emulator", "check", str(box), "--points", "6", "--quiet")[0] == 0
    (check,) = record_of(box / "emulator")["checks"]
    for key, value in (("delta_chi2", {"expected": 10**400, "found": 1.0}), ("n", 10**400)):
        forged(box / "emulator", checks=[{**check, key: value}])
        assert call("emulator", "show", str(box))[0] == 0


def test_the_name_of_a_folder_is_shown_as_it_is(box: Path, tmp_path: Path):
    other = tmp_path / "a [red]folder[/red] [/nothing]"
    shutil.move(box / "emulator", other)
    status, words = call("emulator", "show", str(other))
    assert status == 0 and "a [red]folder[/red] [/nothing]" in words


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"path": "/tmp/evil"}, "path"),
        ({"extra": {"P_k_ini type": "external_Pk", "command": "touch evil"}}, "command"),
        ({"precision": {"sBBN file": "/etc/passwd"}}, "sBBN file"),
    ],
)
def test_a_record_cannot_have_code_run(
    settings: dict[str, Any], name: str, box: Path, monkeypatch: pytest.MonkeyPatch
):
    """CLASS runs what `command` says, and loads whatever library lies in its folder."""
    given: list[dict[str, Any]] = []

    def made(solver: str, **settings: Any) -> Toy:
        given.append(settings)
        return Toy()

    monkeypatch.setattr(setup, "get_solver", made)
    identity = {"solver": "class", "version": "toy", "settings": json.dumps(settings)}
    forged(box / "emulator", solver=identity)
    status, words = call("emulator", "check", str(box), "--points", "6")
    assert status == 2 and name in words and "may name files and commands" in words
    assert given == []
    status, words = call("emulator", "check", str(box), "--points", "6", "--trust-settings")
    assert status == 2
    if name == "path":
        assert given == [], "which library is loaded no record decides"
    else:
        assert given == [settings] and "is not the one of the training" in words


def test_a_record_cannot_steer_the_terminal(box: Path):
    words = "fine\x1b]0;owned\x07 \x1b[2Jgood [bold]"
    record = record_of(box / "emulator")
    certificate = {**record["certificate"], "words": words}
    solver = {"solver": "camb", "version": "\x1b[31m1", "settings": "{}"}
    forged(box / "emulator", certificate=certificate, design=words, solver=solver)
    for command in (["show", str(box)], ["show", str(box), "--json"], ["check", str(box)]):
        said = CliRunner().invoke(app, ["emulator", *command]).output
        assert "\x1b]" not in said and "\x1b[2J" not in said and "\x07" not in said
    assert "good [bold]" in call("emulator", "show", str(box))[1]


def test_outputs_that_no_solver_has_cannot_be_checked(box: Path):
    emulator, record = load_emulator(box / "emulator")
    block = emulator.blocks[0]
    outputs = tuple(replace(o, name="my_" + o.name) for o in block.outputs)
    other = replace(emulator, blocks=(replace(block, outputs=outputs), *emulator.blocks[1:]))
    other.save(box / "emulator", record)
    status, words = call("emulator", "check", str(box), "--points", "6")
    assert status == 2 and "gives my_lensed_tt, which is no output of its solver's" in words


def test_export(box: Path, tmp_path: Path):
    status, words = call("emulator", "export", str(box), "box.npz")
    assert status == 0 and words == "box.npz: lensed_tt, sigma8"
    status, words = call("emulator", "export", str(box), "tt.npz", "--output", "lensed_tt")
    assert status == 0 and words == "tt.npz: lensed_tt"
    status, words = call("emulator", "export", str(box), "box.h5")
    assert status == 2 and "give it that ending" in words
    status, words = call("emulator", "export", str(box), "x.npz", "--output", "phiphi")
    assert status == 2 and "'phiphi' was not learned" in words
    from ..emulator.test_export import script

    space: dict[str, Any] = {}
    exec(script(), space)
    emulator, _ = load_emulator(box / "emulator")
    for point in ({"omega_cdm": 0.121, "ln10A_s": 3.0}, {"omega_cdm": 0.14, "ln10A_s": 3.0}):
        found, distance = space["evaluate"]("box.npz", point)
        wanted = emulator.predict(point, outside="flag")
        np.testing.assert_allclose(found["lensed_tt"], wanted.theory["lensed_tt"], rtol=1e-10)
        assert distance == pytest.approx(float(wanted.distance))


IMPORT = [
    "--output", "lensed_tt", "--unit", "T_CMB^2", "--values", "log10", "--fixed", "m_nu=0.06",
    "--rename", "ln10^{10}A_s=ln10A_s",
    *(word for name, (low, high) in foreign_files.RANGES.items()
      for word in ("--range", f"{name}={float(low)!r}:{float(high)!r}")),
]  # fmt: skip


def test_import_then_check(tmp_path: Path):
    (tmp_path / "cp.pkl").write_bytes(pickle.dumps(foreign_files.Net(10).plain()))
    status, words = call("emulator", "import", "cp.pkl", "tt", *IMPORT)
    assert status == 0 and "NOT certified" in words
    status, words = call("emulator", "show", "tt")
    assert status == 0 and "certificate: none: nothing is known of its errors" in words
    assert "imported from a file of CosmoPower" in words and "0.06" in words
    status, words = call("emulator", "check", "tt", "--points", "6")
    assert status == 2 and "not trained by a solver that Volvelle knows of" in words
    status, words = call("emulator", "import", "cp.pkl", "tt", *IMPORT)
    assert status == 2 and "holds an emulator already" in words


def test_check_of_an_imported_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In parameters that the toy knows, against a solver that is named."""
    net = foreign_files.Net(10).plain()
    net[9] = ["omega_b", "omega_cdm", "theta_star_100", "tau_reio", "n_s", "ln10A_s"]
    net[4][2] = 1.041
    (tmp_path / "cp.pkl").write_bytes(pickle.dumps(net))
    words = [w.replace("h=0.57", "theta_star_100=1.03").replace(":0.77", ":1.05") for w in IMPORT]
    at = words.index("--rename")
    del words[at : at + 2]
    status, said = call("emulator", "import", "cp.pkl", "tt", *words)
    assert status == 0, said
    status, said = call("emulator", "check", "tt", "--points", "6", "--other-solver", "camb")
    assert status == 0 and "NOT the training's solver: solver was none, is camb" in said
    (check,) = record_of(tmp_path / "tt")["checks"]
    assert check["n"] == 6 and check["delta_chi2"] is None
    assert check["errors"]["lensed_tt"]["percentiles"]["50"] > 1.0, "a network of random numbers"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fixed", "m_nu"], "--fixed m_nu: expected NAME=VALUE"),
        (["--fixed", "N_eff=heavy"], "--fixed: 'heavy' is no number"),
        (["--range", "q=1"], "--range q=1: expected NAME=LOW:HIGH"),
        (["--range", "q=a:b"], "--range: 'a' is no number"),
        (["--rename", "a=b", "--rename", "a=c"], "each name once"),
        (["--unit", "K"], "unit is 'K'"),
        (["--last-bias", "single"], "last-bias is for cosmopower_jax's own layout"),
        (["--parameters", "a,b"], "6 scales for the parameters a, b"),
    ],
)
def test_wrong_imports(words: list[str], message: str, tmp_path: Path):
    (tmp_path / "cp.pkl").write_bytes(pickle.dumps(foreign_files.Net(10).plain()))
    status, said = call("emulator", "import", "cp.pkl", "tt", *IMPORT, *words)
    assert status == 2 and message in said, said
    assert not (tmp_path / "tt").exists()


def test_damaged_emulators_are_refused(box: Path):
    """A truncated weights file, one altered byte."""
    (weights,) = (box / "emulator").glob("weights-*")
    content = weights.read_bytes()
    for damaged in (content[:-10], content[:50] + bytes([content[50] ^ 1]) + content[51:]):
        weights.write_bytes(damaged)
        for words in (["show", str(box)], ["check", str(box)], ["export", str(box), "x.npz"]):
            status, said = call("emulator", *words)
            assert status == 2 and "is damaged" in said


def test_help_teaches():
    for words in (
        ["emulate"],
        ["emulator"],
        *(["emulator", v] for v in ("show", "check", "export", "import")),
    ):
        status, said = call(*words, "--help")
        assert status == 0 and "volvelle emul" in said


def test_the_file_of_the_page(tmp_path: Path):
    page = (Path(__file__).parents[2] / "docs" / "emulate.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "box.yaml").write_text(text)
    status, words = call("emulate", "box.yaml", "--dry-run")
    words = " ".join(words.replace("│", " ").split())  # a narrow table breaks its lines
    assert status == 0 and "H0 64 to 71" in words, words
