"""Jobs of a SLURM queue as workers, through dask-jobqueue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cluster import DaskExecutor
from .connection import INSTALL
from .errors import ExecutorError

SCHEDULER = "tcp://SCHEDULER:PORT"
"""Stands in a job script that is only shown: the scheduler has its address when it runs."""
NAME = "volvelle"


@dataclass(frozen=True)
class SlurmJobs:
    """Jobs that are asked of SLURM, all alike.

    jobs: how many; cores: of one job, each of which solves one model at a time; memory: of one job,
    ``8 GB``; walltime: of one job, ``02:00:00``; queue, account: partition and account, SLURM's own
    defaults if None; prologue: lines of shell before the worker starts; directives: further
    options of sbatch, ``--qos=debug``; interface: network of the scheduler and the workers,
    ``ib0``; host: this machine's name as the nodes know it; logs: folder of the jobs' output,
    SLURM's default if None; local_directory: scratch space of the workers; python: interpreter of
    the workers, this one if None.

    What stands in the user's own ``jobqueue.yaml`` of Dask fills in what is None here.
    """

    cores: int
    memory: str
    walltime: str
    jobs: int = 1
    queue: str | None = None
    account: str | None = None
    prologue: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    interface: str | None = None
    host: str | None = None
    logs: Path | None = None
    local_directory: str | None = None
    python: str | None = None

    def script(self) -> str:
        """The script that `sbatch` gets for each job, without talking to SLURM.

        Raises ExecutorError for settings that no job can have.
        """
        job = _job_class()
        with _corrections():
            return job(scheduler=SCHEDULER, name=NAME, **self._options()).job_script()

    def _options(self) -> dict[str, Any]:
        written = () if self.logs is None else (f"--output={self.logs}/{NAME}-%j.out",)
        options: dict[str, Any] = {
            "cores": self.cores,
            "processes": 1,  # one Dask worker; its threads each have a process of their own
            "memory": self.memory,
            "walltime": self.walltime,
            "queue": self.queue,
            "account": self.account,
            "job_script_prologue": list(self.prologue) or None,
            "job_extra_directives": [*written, *self.directives] or None,
            "interface": self.interface,
            "local_directory": self.local_directory,
            "python": self.python,
            "job_name": NAME,
        }
        return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _corrections() -> Iterator[None]:
    """Dask's complaints about settings, as ours."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise ExecutorError(
            f"no SLURM jobs can be had with these settings ({type(error).__name__}: "
            f"{' '.join(str(error).split())}); correct compute: slurm"
        ) from error


def _job_class() -> Any:
    try:
        from dask_jobqueue.slurm import SLURMJob
    except ImportError as error:
        raise ExecutorError(INSTALL.format(error=error)) from error
    return SLURMJob


@contextmanager
def slurm_executor(jobs: SlurmJobs, **settings: Any) -> Iterator[DaskExecutor]:
    """An executor whose workers are SLURM's jobs, submitted now and cancelled at the end.

    The scheduler runs in this program. Work begins with the first job that starts; a job that ends
    early, at its walltime say, is submitted again.

    Args:
        settings: of `DaskExecutor`; `waiting` None, the default here, waits for SLURM for ever.

    Raises ExecutorError for settings that no job can have, and with sbatch's own words when it
    refuses a job.
    """
    plain = _job_class()
    from dask_jobqueue.slurm import SLURMCluster
    from distributed.deploy.spec import ProcessInterface

    refusals: list[str] = []

    class Job(plain):
        """A job whose refusal is kept, and not lost in a log of Dask's."""

        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, OSError, ValueError) as error:
                refusals.append(" ".join(str(error).split()))
                await ProcessInterface.start(self)

    jobs.script()  # refuses what no job can have, before Dask has a cluster half made
    if jobs.logs is not None:
        os.makedirs(jobs.logs, exist_ok=True)
    where: dict[str, Any] = {"dashboard_address": ":0"}
    if jobs.host is not None:
        where["host"] = jobs.host
    own: dict[str, Any] = {"job_cls": Job, "scheduler_options": where}
    with _corrections():
        cluster = SLURMCluster(**own, **jobs._options())

    def upkeep() -> None:
        if refusals:
            raise ExecutorError(
                f"SLURM did not take a job: {refusals[0]}; correct compute: slurm (`--dry-run` "
                "shows the script)"
            )
        if len(cluster.workers) < jobs.jobs:
            cluster.scale(jobs=jobs.jobs)

    settings = {"waiting": None, **settings}
    try:
        with DaskExecutor(cluster=cluster, upkeep=upkeep, **settings) as executor:
            upkeep()
            yield executor
    finally:
        cluster.close()
