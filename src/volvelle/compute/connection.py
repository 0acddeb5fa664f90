"""The way to a Dask scheduler: found again when it is lost, with a roster of its workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import ExecutorError

if TYPE_CHECKING:
    from distributed import Client, Future

Say = Callable[[str], object]
"""Takes one line for the user."""

ANSWER_SECONDS = 20.0  # for what takes a scheduler milliseconds, unless it is busy
PAUSE_SECONDS = 0.2  # between two looks for a scheduler or for workers
RUN_TASK = "__import__('volvelle.compute.cluster_worker', fromlist=['run_task']).run_task(*given)"
"""Text, because a Dask worker that cannot unpickle a function ends; it can raise ImportError."""
INSTALL = (
    "Dask is missing ({error}); install it with `pip install 'volvelle[cluster]'`, here and for "
    "the workers"
)


class LostError(Exception):
    """The scheduler does not answer any more."""


class Connection:
    """One scheduler and its workers.

    connect: makes a client, or raises OSError, within a time [s]; where: the scheduler in words;
    patience: how long to look for a scheduler that was lost [s]; waiting: how long to wait for a
    worker while there is none [s], None for ever; say: told what happens; upkeep: called at every
    look, to keep workers coming. A scheduler that does not answer may be busy: it is lost after
    `patience` without an answer, or when the connection breaks.

    Raises ExecutorError if the scheduler cannot be reached in the first place.
    """

    def __init__(
        self,
        connect: Callable[[float], Client],
        where: str,
        patience: float,
        waiting: float | None,
        say: Say,
        upkeep: Callable[[], None] = lambda: None,
    ) -> None:
        self._connect, self._where = connect, where
        self._patience, self._waiting, self._say = patience, waiting, say
        self._upkeep = upkeep
        self._threads: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._silent: float | None = None  # [s] since when answers are too slow
        try:
            self.client = connect(ANSWER_SECONDS)
        except (OSError, ValueError) as error:  # ValueError: no such protocol
            raise ExecutorError(
                f"no Dask scheduler answers at {where} ({error or type(error).__name__}); start it "
                "with `dask scheduler`, or correct the address"
            ) from error
        say(f"{where}: dashboard {self.dashboard or 'not served by this scheduler'}")

    @property
    def dashboard(self) -> str | None:
        """Address of the page that shows what the cluster does."""
        try:
            return self.client.dashboard_link
        except KeyError:  # a scheduler that was started without
            return None

    @property
    def fit(self) -> dict[str, int]:
        """Workers that may be given tasks, with the number of tasks that each runs at a time."""
        return {at: n for at, n in self._threads.items() if at not in self._refused}

    def has(self, worker: str) -> bool:
        """Whether a worker was there at the last look."""
        return worker in self._threads

    def refuse(self, worker: str, words: str) -> None:
        """Give a worker no more tasks."""
        if worker not in self._refused:
            self._refused[worker] = words
            self._say(f"worker {worker} is refused, its results are not used: {words}")

    def look(self) -> None:
        """Bring the roster up to date, if the scheduler answers; raises LostError."""
        self._upkeep()
        if self.client.status != "running":
            raise LostError
        try:
            threads: Any = self.client.nthreads(callback_timeout=ANSWER_SECONDS)
        except TimeoutError as error:
            now = time.monotonic()
            if self._silent is None:
                self._silent = now
                self._say(f"{self._where}: slow to answer, perhaps busy; waiting for it")
            if now - self._silent > self._patience:
                raise LostError from error
            return
        except OSError as error:
            raise LostError from error
        self._silent = None
        self._threads = dict(threads)
        self._refused = {at: why for at, why in self._refused.items() if at in self._threads}

    def wait_for_workers(self) -> None:
        """Return when there is a worker that may be given tasks.

        Raises ExecutorError if all that are there were refused, or none comes in time; LostError.
        """
        started, said = time.monotonic(), False
        while True:
            self.look()
            if self.fit:
                if said:
                    count = len(self.fit)
                    self._say(f"{self._where}: {count} worker{'s' * (count > 1)} there, going on")
                return
            if self._threads:
                reasons = "; ".join(f"{at}: {why}" for at, why in self._refused.items())
                raise ExecutorError(
                    f"no worker of {self._where} is fit for these tasks ({reasons}); give the "
                    "workers the same packages as this program and repeat the command"
                )
            if not said:
                self._say(f"{self._where}: waiting for workers")
                said = True
            if self._waiting is not None and time.monotonic() - started > self._waiting:
                raise ExecutorError(
                    f"{self._where} had no worker for {self._waiting:g} s; start some with `dask "
                    "worker` and repeat the command: what is finished is kept"
                )
            time.sleep(PAUSE_SECONDS)

    def restore(self) -> None:
        """Find the scheduler again; raises ExecutorError if it stays away."""
        self._say(f"{self._where}: lost, trying to find it again for {self._patience:g} s")
        self.close()
        self._threads, self._refused, self._silent = {}, {}, None
        deadline = time.monotonic() + self._patience
        while True:
            left = deadline - time.monotonic()
            try:
                self.client = self._connect(min(max(left, 0.1), ANSWER_SECONDS))
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ExecutorError(
                        f"{self._where} has been away for {self._patience:g} s; start it again and "
                        "repeat the command: what is finished is kept, the rest goes on"
                    ) from error
                time.sleep(PAUSE_SECONDS)
        self._say(f"{self._where}: found again")

    def submit(self, worker: str, name: str, *given: Any) -> Future:
        """Let one worker, and no other, call ``run_task``; raises LostError."""
        if self.client.status != "running":
            raise LostError
        return self.client.submit(
            eval,
            RUN_TASK,
            {"given": given},
            key=name,
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )

    def close(self) -> None:
        """Leave the scheduler, which goes on without us."""
        try:
            self.client.close(timeout=1)
        except RuntimeError as error:  # it was about to connect again by itself
            self._say(f"{self._where}: left while connecting again ({error})")
