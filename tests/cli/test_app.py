"""The command line: what it prints and the status it leaves with."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest
import yaml
from typer.testing import CliRunner

from volvelle import __version__
from volvelle.cli import Configuration, data_app, verbs
from volvelle.cli.app import app
from volvelle.compute import available_cores
from volvelle.errors import VolvelleError

WIDE = {"COLUMNS": "200", "NO_COLOR": "1"}


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env=WIDE)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Configuration]:
    """Configurations that would have been run; the run reports that it has not converged."""
    seen: list[Configuration] = []

    def run(configuration: Configuration, *, progress: bool) -> int:
        seen.append(configuration)
        return 1

    monkeypatch.setattr(verbs, "run", run)
    return seen


def test_as_a_module() -> None:
    """For whom the script is not on the path."""
    printed = subprocess.run(
        [sys.executable, "-m", "volvelle", "--version"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == f"volvelle {__version__}"


def test_version_and_help() -> None:
    assert call("--version").output.strip() == f"volvelle {__version__}"
    for words in (["--help"], ["run", "--help"], ["data", "--help"], ["data", "ledger", "--help"]):
        result = call(*words)
        assert result.exit_code == 0
        assert "volvelle" in result.output
    assert "volvelle run examples/01_planck_lcdm.yaml" in call("--help").output


def test_run_passes_the_status_on(write, ran) -> None:
    result = call("run", str(write({})), "--output", "elsewhere")
    assert result.exit_code == 1, result.output
    assert ran[0].output == Path("elsewhere")


def test_dry_run_computes_nothing(write, ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "estimate", lambda configuration: {"exact_calls": 123})
    result = call("run", str(write({})), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "exact calls" in result.output
    assert "123" in result.output
    assert "omega_b, omega_cdm" in result.output
    assert not ran


def test_wrong_input_is_one_line_and_status_2(write) -> None:
    path = write({"params.omega_bb": 0.1})
    result = call("run", str(path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path}:")
    assert "params.omega_bb: CAMB has no parameter 'omega_bb'" in result.stderr
    assert "did you mean omega_b" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_debug_shows_the_traceback(write) -> None:
    result = call("--debug", "run", str(write({"params.omega_bb": 0.1})))
    assert isinstance(result.exception, VolvelleError)


def test_an_interrupted_run_leaves_with_130(write, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(configuration: Configuration, *, progress: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "run", interrupted)
    assert call("run", str(write({}))).exit_code == 130


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOSPC, "make room there, then repeat the command, and it goes on"),
        (
            errno.EFBIG,
            "allow larger files there (ulimit -f), then repeat the command, and it goes on",
        ),
        (errno.EACCES, "change its permissions, or give another path"),
    ],
)
def test_what_the_system_refuses_is_one_line_and_status_2(
    write, monkeypatch: pytest.MonkeyPatch, code: int, told: str
) -> None:
    def refused(configuration: Configuration, *, progress: bool) -> int:
        raise OSError(code, os.strerror(code), "runs/x/chains.txt")

    monkeypatch.setattr(verbs, "run", refused)
    result = call("run", str(write({})))
    assert result.exit_code == 2
    assert result.stderr == f"error: runs/x/chains.txt: {os.strerror(code)}; {told}\n"
    assert isinstance(call("--debug", "run", str(write({}))).exception, OSError)


def test_other_errors_of_the_system_are_not_smoothed_over(
    write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(configuration: Configuration, *, progress: bool) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(verbs, "run", refused)
    assert isinstance(call("run", str(write({}))).exception, OSError)


def test_a_wrong_command_is_status_2() -> None:
    assert call("rum").exit_code == 2


def test_report_and_cite_need_a_run(tmp_path: Path) -> None:
    for verb in ("report", "cite"):
        result = call(verb, str(tmp_path))
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
        assert "summary.json" in result.stderr


def test_a_file_in_the_place_of_a_folder(write) -> None:
    path = str(write({}))
    for words in (["report", path], ["cite", path], ["profile", path, "n_s"]):
        result = call(*words)
        assert result.exit_code == 2, words
        assert "expected the output folder of a run" in result.stderr


def test_data_list_and_check_without_data(no_data) -> None:
    listed = call("data", "list")
    assert listed.exit_code == 0
    assert "planck-2018-plik-lite" in listed.output
    assert "missing" in listed.output
    assert "no data set is on this machine" in call("data", "check").output
    missing = call("data", "check", "union3")
    assert missing.exit_code == 1
    assert "volvelle data get union3" in missing.output
    unknown = call("data", "get", "union33")
    assert unknown.exit_code == 2
    assert "union3" in unknown.stderr


@pytest.mark.real_data
def test_data_check_verifies() -> None:
    result = call("data", "check", "desi-dr2-bao")
    assert (result.exit_code, result.output.strip()) == (0, "desi-dr2-bao: ok")


def test_ledger_verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from volvelle import Cosmology, Ledger, Request, planck18

    path = tmp_path / "ledger.sqlite"
    monkeypatch.setenv("VOLVELLE_LEDGER", str(path))
    assert "no exact solution is stored yet" in call("data", "ledger").output
    assert call("data", "ledger", "check").exit_code == 2
    cosmology: Cosmology = planck18()
    identity = {"solver": "class", "version": "1", "extension_sha256": "0", "settings": "{}"}
    other = Ledger(tmp_path / "other.sqlite")
    other.store_failure(identity, cosmology.canonical(), Request(), "it failed", 2.0, "test")
    merged = call("data", "ledger", "merge", str(other.path))
    assert merged.exit_code == 0, merged.output
    assert merged.output.startswith("1 solutions taken over")
    status = call("data", "ledger")
    assert "0 solutions, 1 failures" in status.output
    assert call("data", "ledger", "status").output == status.output
    assert "1 solutions verified" in call("data", "ledger", "check").output
    assert call("data", "ledger", "prune").exit_code == 2
    assert "1 rows removed" in call("data", "ledger", "prune", "--failures").output


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3.2e9, "3.2 GB")]
)
def test_sizes_are_for_people(count: float, words: str) -> None:
    assert data_app.size(int(count)) == words


def python(code: str) -> str:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_ENABLE_X64", None)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_is_cheap_and_changes_nothing() -> None:
    assert python("import sys, volvelle; print('jax' in sys.modules)") == "False"
    assert python("import sys, volvelle.cli.app; print('jax' in sys.modules)") == "False"
    code = "import jax, volvelle, volvelle.likelihood; print(jax.config.jax_enable_x64)"
    assert python(code) == "False"


def test_the_verbs_compute_in_float64(write) -> None:
    path = write({})
    code = f"from volvelle.cli import verbs; verbs.load({str(path)!r}); import jax; " + (
        "print(jax.config.jax_enable_x64)"
    )
    assert python(code) == "True"


OWN = {"external": {"python": "some.module:Likelihood"}}


@pytest.mark.parametrize(
    ("given", "all_cores"),
    [
        ({"theory": {"class": {}}, "likelihood": ["desi_dr2_bao"]}, True),
        ({"theory": {"class": {}}, "likelihood": {"desi_dr2_bao": {}}}, True),
        ({"theory": {"class": {}}, "likelihood": OWN}, False),
        ({"theory": {"volvelle": {}}, "likelihood": OWN}, True),
        ({"theory": 5, "likelihood": 7}, True),
    ],
)
def test_chains_run_on_every_core_but_where_they_call_what_may_not_bear_it(
    given: dict[str, Any], all_cores: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said = tmp_path / "run.yaml", []
    path.write_text(yaml.safe_dump(given), encoding="utf-8")
    monkeypatch.setattr(jax.config, "update", lambda *option: said.append(option))
    verbs.use_cores(path)
    assert said == ([("jax_num_cpu_devices", available_cores())] if all_cores else [])


def test_every_public_name_is_there() -> None:
    import volvelle

    for name in volvelle.__all__:
        assert getattr(volvelle, name) is not None
        assert name in dir(volvelle)
    with pytest.raises(AttributeError, match="has no attribute 'Cosmolgy'"):
        _ = volvelle.Cosmolgy
