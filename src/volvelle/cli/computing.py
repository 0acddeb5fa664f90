"""From the compute block to the executor that every verb uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from ..compute import (
    DaskExecutor,
    Executor,
    ExecutorError,
    ProcessExecutor,
    SerialExecutor,
    SlurmJobs,
    Tls,
    available_cores,
    slurm_executor,
)
from .compute_block import ComputeBlock, Dask, InProcess, Local, Slurm


@contextmanager
def make_executor(block: ComputeBlock, say: Callable[[str], object]) -> Iterator[Executor]:
    """Where exact solutions and chains are computed; its workers leave at the end of the block.

    Args:
        say: told what happens on a cluster: dashboard, waiting, workers that are refused or lost.

    Raises ExecutorError for a cluster that cannot be had.
    """
    chosen = block.chosen
    if isinstance(chosen, InProcess):
        yield SerialExecutor()
    elif isinstance(chosen, Local):
        with ProcessExecutor(chosen.workers, chosen.time_limit) as processes:
            yield processes
    elif isinstance(chosen, Dask):
        tls = None if chosen.tls is None else Tls(**dict(chosen.tls))
        with DaskExecutor(
            chosen.address,
            time_limit=chosen.time_limit,
            retries=chosen.retries,
            reconnect=chosen.reconnect,
            waiting=chosen.reconnect,
            tls=tls,
            say=say,
        ) as cluster:
            yield cluster
    else:
        with slurm_executor(
            slurm_jobs(chosen),
            time_limit=chosen.time_limit,
            retries=chosen.retries,
            waiting=chosen.wait,
            say=say,
        ) as cluster:
            yield cluster


def compute_from(workers: int | None, dask: str | None) -> ComputeBlock:
    """The block that the options ``--workers`` and ``--dask`` stand for; all cores without either.

    Raises ExecutorError for both together, or for an address that is none.
    """
    if dask is None:
        return ComputeBlock(local=Local(workers=workers))
    if workers is not None:
        raise ExecutorError(
            "--workers is a number of this machine's cores, --dask the address of a cluster; give "
            "one of them"
        )
    if not dask.startswith("tcp://"):
        raise ExecutorError(
            f"--dask {dask}: expected tcp://host:port; certificates for tls:// can be given in a "
            "configuration file alone"
        )
    try:
        return ComputeBlock(dask=Dask(address=dask))
    except ValidationError as error:
        raise ExecutorError(f"--dask {dask}: {error.errors()[0]['msg']}") from error


def within_memory(block: ComputeBlock, tasks: int, needed: int) -> ComputeBlock:
    """The block, with no more processes on this machine than its memory has room for.

    Args:
        tasks: how many there are.
        needed: bytes of each.

    Raises MemoryNeededError where there is no room for one.
    """
    from ..nbody import check_memory, memory_free  # which solvers and chains have no need of

    chosen = block.chosen
    if not isinstance(chosen, Local):
        return block
    check_memory(needed)
    free = memory_free()
    room = tasks if free is None else min(tasks, free // needed)
    workers = min(chosen.workers or available_cores(), max(int(room), 1))
    return ComputeBlock(local=Local(workers=workers, time_limit=chosen.time_limit))


def slurm_jobs(block: Slurm) -> SlurmJobs:
    """The jobs that a block asks of SLURM."""
    return SlurmJobs(
        cores=block.cores,
        memory=block.memory,
        walltime=block.walltime,
        jobs=block.jobs,
        queue=block.queue,
        account=block.account,
        prologue=tuple(block.job_script_prologue),
        directives=tuple(block.job_directives),
        interface=block.interface,
        host=block.host,
        logs=block.log_directory,
        local_directory=block.local_directory,
        python=block.python,
    )


def expected_workers(block: ComputeBlock) -> int | None:
    """Models that will be solved at a time; None where only a scheduler that runs knows."""
    chosen = block.chosen
    if isinstance(chosen, InProcess):
        return 1
    if isinstance(chosen, Local):
        return chosen.workers or available_cores()
    return chosen.jobs * chosen.cores if isinstance(chosen, Slurm) else None


def job_script(block: ComputeBlock) -> str | None:
    """The script of the SLURM jobs that a run would submit; None for the other places."""
    chosen = block.chosen
    return slurm_jobs(chosen).script() if isinstance(chosen, Slurm) else None
