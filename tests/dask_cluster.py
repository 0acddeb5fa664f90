"""A Dask scheduler and workers as programs of their own, which a test can kill and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import volvelle

SOURCE = Path(volvelle.__file__).parents[1]
PATIENCE = 60.0  # [s] how long a loaded machine may take to start an interpreter with Dask


class DaskCluster:
    """Scheduler at a fixed port; workers with one thread each, without a nanny."""

    def __init__(self, folder: Path, *paths: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.folder, self.paths = folder, (SOURCE, *paths)
        self.running: list[subprocess.Popen] = []

    def start(self, module: str, *arguments: str, shim: Path | None = None) -> subprocess.Popen:
        """Start a program of Dask; `shim`: a folder that comes first on its path."""
        places = [*([shim] if shim else []), *self.paths]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
        log = (self.folder / f"{module}-{len(self.running)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.running.append(process)
        return process

    def scheduler(self, *options: str) -> subprocess.Popen:
        """Start the scheduler and return when it listens."""
        place = ("--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", ":0")
        process = self.start("dask_scheduler", *place, *options)
        wait_until(self._listens)
        return process

    def worker(self, *options: str, shim: Path | None = None) -> subprocess.Popen:
        """Start a worker; it joins when it is up."""
        given = ("--nthreads", "1", "--no-nanny", "--no-dashboard", *options)
        return self.start(
            "dask_worker", self.address, *given, "--local-directory", str(self.folder), shim=shim
        )

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Kill what is left."""
        for process in self.running:
            process.kill()
            process.wait()


@contextmanager
def dask_cluster(folder: Path, *paths: Path, workers: int = 0) -> Iterator[DaskCluster]:
    """A scheduler with workers that find modules at `paths`; all killed at the end."""
    cluster = DaskCluster(folder, *paths)
    try:
        cluster.scheduler()
        for _ in range(workers):
            cluster.worker()
        yield cluster
    finally:
        cluster.close()


def wait_until(condition: Callable[[], object]) -> None:
    """Return when the condition holds; an AssertionError if it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL, and wait for the end."""
    process.send_signal(signal.SIGKILL)
    process.wait()
