"""The contract with SLURM: the job script as text, and a queue in miniature in SLURM's place.

SLURM itself is not tested: `sbatch` and `scancel` below start and end the job's script here.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dask_cluster import SOURCE, wait_until
from volvelle.compute import ExecutorError, SlurmJobs, slurm_executor

HERE = Path(__file__).parent
SBATCH = """#!/bin/sh
cat "$1" > {folder}/script-$$
setsid sh {folder}/script-$$ > {folder}/log-$$ 2>&1 &
echo $! >> {folder}/submitted
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo $1 >> {folder}/cancelled
kill -TERM -- -$1
"""
REFUSING = """#!/bin/sh
echo "sbatch: error: invalid partition specified: nowhere" >&2
exit 1
"""
JOBS = SlurmJobs(cores=1, memory="1 GB", walltime="00:10:00", host="127.0.0.1")


@pytest.fixture(autouse=True)
def nobodys_settings(tmp_path):
    """Without the developer's own jobqueue.yaml."""
    import dask

    dask.config.refresh(paths=[str(tmp_path / "empty")])
    yield
    dask.config.refresh()


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder with `sbatch` and `scancel` that come first on the path; keeps what they did."""

    def install(sbatch: str) -> Path:
        for name, text in {"sbatch": sbatch, "scancel": SCANCEL}.items():
            path = tmp_path / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text.replace("{folder}", str(tmp_path)))
            path.chmod(0o755)
        return tmp_path

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{SOURCE}{os.pathsep}{HERE}")
    monkeypatch.setenv("DASK_TEMPORARY_DIRECTORY", str(tmp_path))
    return install


def job_ids(folder: Path, name: str = "submitted") -> list[int]:
    path = folder / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_job_script():
    jobs = SlurmJobs(
        cores=16,
        memory="32 GB",
        walltime="02:00:00",
        jobs=4,
        queue="short",
        account="cosmo",
        prologue=("module load gcc", "export CLASS=/opt/class"),
        directives=("--qos=debug",),
        interface="lo",
        logs=Path("runs/x/slurm"),
        local_directory="/scratch",
        python="/opt/python",
    )
    assert jobs.script().splitlines() == [
        "#!/usr/bin/env bash",
        "",
        "#SBATCH -J volvelle",
        "#SBATCH -p short",
        "#SBATCH -A cosmo",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=16",
        "#SBATCH --mem=30G",
        "#SBATCH -t 02:00:00",
        "#SBATCH --output=runs/x/slurm/volvelle-%j.out",
        "#SBATCH --qos=debug",
        "module load gcc",
        "export CLASS=/opt/class",
        "/opt/python -m distributed.cli.dask_worker tcp://SCHEDULER:PORT --name volvelle "
        "--nthreads 16 --memory-limit 29.80GiB --nanny --death-timeout 60 "
        "--local-directory /scratch --interface lo",
    ]


def test_the_shortest_job_script_has_no_line_of_what_is_not_given():
    script = SlurmJobs(cores=2, memory="4 GB", walltime="1:00:00").script()
    assert f"{sys.executable} -m distributed.cli.dask_worker" in script
    assert not any(f"#SBATCH {option}" in script for option in ("-p", "-A", "--output"))


def test_settings_that_no_job_can_have(queue):
    jobs, words = replace(JOBS, memory="lots"), r"no SLURM jobs .*'lots'.*correct compute: slurm"
    with pytest.raises(ExecutorError, match=words):
        jobs.script()
    with pytest.raises(ExecutorError, match=words), slurm_executor(jobs, say=lambda _: None):
        pass


def test_a_network_that_is_not_there(queue):
    jobs, words = replace(JOBS, host=None, interface="ib9"), r"no SLURM jobs .*'ib9'.*correct comp"
    with pytest.raises(ExecutorError, match=words), slurm_executor(jobs, say=lambda _: None):
        pass


def test_dask_jobqueue_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    monkeypatch.setitem(sys.modules, "dask_jobqueue.slurm", None)
    with pytest.raises(ExecutorError, match=r"pip install 'volvelle\[cluster\]'"):
        JOBS.script()


def test_jobs_are_submitted_do_the_work_and_are_cancelled(queue, tasks):
    folder, said = queue(SBATCH), []
    with slurm_executor(JOBS, say=said.append) as executor:
        outcomes = dict(executor.map(tasks.square, [1.0, 2.0, 3.0]))
        (job,) = job_ids(folder)
    assert {n: outcome.value for n, outcome in outcomes.items()} == {0: 1.0, 1: 4.0, 2: 9.0}
    assert job_ids(folder, "cancelled") == [job]
    wait_until(lambda: gone(job))
    (script,) = folder.glob("script-*")
    address = executor.address
    expected = JOBS.script().replace("tcp://SCHEDULER:PORT", address)
    written = script.read_text().replace("SLURMCluster-0", "volvelle")
    assert written == expected
    assert said[0].startswith(f"Dask scheduler {address}: dashboard http://")
    assert said[1].endswith("waiting for workers") and said[2].endswith("1 worker there, going on")


def test_a_job_that_ends_early_is_submitted_again(queue, tasks, monkeypatch):
    import dask

    folder = queue(SBATCH)
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "0.5s"}),
        slurm_executor(JOBS, say=lambda _: None) as executor,
    ):
        outcomes = {}
        for index, outcome in executor.map(tasks.sleep, [0.2] * 6):
            outcomes[index] = outcome
            if len(outcomes) == 2:
                os.killpg(job_ids(folder)[0], signal.SIGKILL)
        assert len(job_ids(folder)) == 2
    assert [outcomes[n].value for n in range(6)] == [0.2] * 6
    wait_until(lambda: all(gone(job) for job in job_ids(folder)))


def test_a_job_that_slurm_refuses(queue, tasks):
    queue(REFUSING)
    with (
        pytest.raises(ExecutorError, match=r"SLURM did not take a job: .*invalid partition"),
        slurm_executor(JOBS, say=lambda _: None) as executor,
    ):
        list(executor.map(tasks.square, [1.0]))


def test_a_machine_without_slurm(tasks, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ExecutorError, match=r"SLURM did not take a job: .*sbatch"),
        slurm_executor(JOBS, say=lambda _: None) as executor,
    ):
        list(executor.map(tasks.square, [1.0]))
