"""The compute block: where it leads, what a dry run shows, and a whole run on a Dask cluster."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import load_file
from typer.testing import CliRunner

from volvelle.cli import Configuration
from volvelle.cli.app import app
from volvelle.cli.compute_block import ComputeBlock, Local
from volvelle.cli.computing import expected_workers, job_script, make_executor, slurm_jobs
from volvelle.compute import (
    DaskExecutor,
    ExecutorError,
    ProcessExecutor,
    SerialExecutor,
    SlurmJobs,
    available_cores,
)

from .test_pipeline import FAILS_ABOVE, GAUSSIAN, PATIENCE, PROGRAM, SOURCE, TOY

HERE = Path(__file__).parent
SLURM: dict[str, Any] = {
    "cores": 16,
    "memory": "32 GB",
    "walltime": "02:00:00",
    "jobs": 4,
    "queue": "short",
    "account": "cosmo",
    "job_script_prologue": ["module load gcc"],
    "job_directives": ["--qos=debug"],
    "log_directory": "runs/slurm",
}


def loaded(write, compute: dict[str, Any]) -> ComputeBlock:
    return Configuration.load(write({"compute": compute})).compute


def test_nothing_given_is_all_cores(write) -> None:
    block = Configuration.load(write({})).compute
    assert block == ComputeBlock(local=Local())
    with make_executor(block, print) as executor:
        assert isinstance(executor, ProcessExecutor) and executor.workers == available_cores()


def test_in_process(write) -> None:
    block = loaded(write, {"in_process": None})
    with make_executor(block, print) as executor:
        assert isinstance(executor, SerialExecutor)
    assert (block.name, expected_workers(block), job_script(block)) == ("in_process", 1, None)


def test_local_cores_with_a_time_limit(write) -> None:
    block = loaded(write, {"local": {"workers": 3, "time_limit": 0.5}})
    with make_executor(block, print) as executor:
        assert isinstance(executor, ProcessExecutor) and executor.workers == 3
        ((_, outcome),) = executor.map(_sleep, [20.0])
    assert outcome.timed_out and expected_workers(block) == 3


def _sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


def test_every_key_of_dask_reaches_the_executor(write, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def made(self: DaskExecutor, address: str, **settings: Any) -> None:
        given.update(settings, address=address)

    monkeypatch.setattr(DaskExecutor, "__init__", made)
    monkeypatch.setattr(DaskExecutor, "close", lambda self: None)
    files = {"ca": "a.pem", "cert": "b.pem", "key": "c.pem"}
    keys = {"address": "tls://host:1", "time_limit": 60, "retries": 5, "reconnect": 7, "tls": files}
    block = loaded(write, {"dask": keys})
    with make_executor(block, print):
        pass
    assert given.pop("say") is print and given.pop("tls").cert == Path("b.pem")
    expected = {"address": "tls://host:1", "time_limit": 60.0, "retries": 5}
    assert given == {**expected, "reconnect": 7.0, "waiting": 7.0}
    assert expected_workers(block) is None


def test_every_key_of_slurm_reaches_the_jobs(write) -> None:
    more = {"interface": "lo", "host": "login1", "local_directory": "/scratch", "python": "/py"}
    block = loaded(write, {"slurm": {**SLURM, **more}})
    assert block.slurm is not None
    assert slurm_jobs(block.slurm) == SlurmJobs(
        16, "32 GB", "02:00:00", 4, "short", "cosmo", ("module load gcc",), ("--qos=debug",),
        "lo", "login1", Path("runs/slurm"), "/scratch", "/py",
    )  # fmt: skip
    assert expected_workers(block) == 64


def test_the_place_does_not_change_what_is_computed(write) -> None:
    hashes = {
        Configuration.load(write(changes)).hash
        for changes in (
            {},
            {"compute": {"in_process": {}}},
            {"compute": {"dask": {"address": "tcp://host:8786"}}},
            {"workers": 2},
        )
    }
    assert len(hashes) == 1


def test_a_dry_run_shows_the_job_script(write, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch here
    path = write({"compute": {"slurm": SLURM}})
    result = CliRunner().invoke(
        app, ["run", str(path), "--dry-run"], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )
    assert result.exit_code == 0, result.output
    script = Configuration.load(path).compute
    assert (job_script(script) or "nothing").strip() in result.output
    for line in (
        "#SBATCH -p short",
        "#SBATCH -A cosmo",
        "#SBATCH --cpus-per-task=16",
        "#SBATCH -t 02:00:00",
        "#SBATCH --output=runs/slurm/volvelle-%j.out",
        "#SBATCH --qos=debug",
        "module load gcc",
    ):
        assert f"\n{line}\n" in result.output
    assert "64" in result.output and sorted(tmp_path.iterdir()) == [path]


def test_a_dry_run_does_not_ask_the_scheduler(write) -> None:
    path = write({"compute": {"dask": {"address": "tcp://127.0.0.1:9"}}})
    result = CliRunner().invoke(
        app, ["run", str(path), "--dry-run"], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )
    assert result.exit_code == 0 and "as the scheduler has" in result.output


def test_without_the_package_a_cluster_is_refused(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    block = loaded(write, {"dask": {"address": "tcp://127.0.0.1:9"}})
    with (
        pytest.raises(ExecutorError, match=r"pip install 'volvelle\[cluster\]'"),
        make_executor(block, print),
    ):
        pass


def solutions(path: Path) -> set[tuple[Any, ...]]:
    """What a ledger holds, without times and names of runs."""
    with closing(sqlite3.connect(path)) as book:
        return set(book.execute("SELECT model, request, arrays, failure FROM solutions"))


def run(folder: Path, compute: dict[str, Any]) -> str:
    """A whole run in the toy universe; everything that it printed."""
    toy = {name: value for name, value in TOY.items() if name != "workers"}
    folder.mkdir()
    content = {**toy, "likelihood": GAUSSIAN, "compute": compute}
    (folder / "run.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "0.0", str(FAILS_ABOVE), "run", "run.yaml"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_run_on_a_dask_cluster_is_the_local_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.path.insert(0, str(HERE.parent))  # pytest's importlib mode leaves it out
    from dask_cluster import dask_cluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiles faster, in both
    with dask_cluster(tmp_path, HERE, workers=1) as cluster:
        printed = run(tmp_path / "dask", {"dask": {"address": cluster.address}})
    run(tmp_path / "local", {"local": {"workers": 1}})
    assert printed.count(f"Dask scheduler {cluster.address}: dashboard http://") == 1
    assert "sampling on this machine" not in printed
    books = [solutions(tmp_path / place / "ledger.sqlite") for place in ("dask", "local")]
    assert books[0] == books[1] and len(books[0]) > 20
    kept = [sorted((tmp_path / place / "run/sampling").iterdir()) for place in ("dask", "local")]
    assert [path.name for path in kept[0]] == [path.name for path in kept[1]]
    for one, other in zip(*kept, strict=True):
        ours, theirs = load_file(one), load_file(other)
        assert all((ours[name] == theirs[name]).all() for name in theirs)
