"""One `map` on a cluster: a rolling window of tasks that survives workers and the scheduler."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from .cluster_worker import stop, surroundings, unpacked
from .connection import ANSWER_SECONDS, Connection, LostError, Say
from .errors import UnsendableError
from .executor import CRASHES, Outcome, failed
from .travel import dumps

LOOK_SECONDS = 1.0  # between two looks at who is there
SHORT_SECONDS, MIDDLING_SECONDS = 0.5, 5.0
# Of a task: shorter ones are sent ahead, two per thread or one, so that the way costs no time;
# longer ones, and the first, are not, so that none waits behind another while a worker is idle.
LARGE = 1 << 20
# [bytes] A larger task is handed to its worker first, and what is submitted only names it: Dask
# keeps what is submitted in the scheduler and warns of large ones. It goes through the scheduler,
# because workers need not be reachable from here.


@dataclass
class _Job:
    """One task, and where it is."""

    index: int
    task: bytes
    deaths: int = 0
    name: str = ""
    worker: str = ""
    threads: int = 1
    future: Any = None


class Rolling:
    """Tasks of one `map`.

    function: pickled; limit: of one task [s]; limited: as in `Executor.map`; retries: how often a
    task is run again whose worker died.
    """

    def __init__(
        self,
        connection: Connection,
        function: bytes,
        limit: float | None,
        limited: bool,
        retries: int,
        say: Say,
    ) -> None:
        self._connection, self._function = connection, function
        self._limits = (limit, limited)
        self._retries, self._say = retries, say
        self._wake = threading.Event()
        self._flying: dict[str, _Job] = {}  # in the order in which they were sent
        self._waiting: deque[_Job] = deque()
        self._abandoned: list[str] = []  # names of tasks that may still run for nobody
        self._looked = -float("inf")
        self._finished, self._seconds = 0, 0.0

    def run(
        self, tasks: Iterator[tuple[int, Any]]
    ) -> Generator[tuple[int, Outcome[Any]], None, None]:
        """Yield (index, outcome) as they come; closing ends what is in flight."""
        exhausted = False
        try:
            while True:
                try:
                    yield from self._look()
                    while not exhausted and not self._waiting and self._room() is not None:
                        following = next(tasks, None)
                        if following is None:
                            exhausted = True
                            break
                        try:
                            self._waiting.append(_Job(following[0], dumps(following[1])))
                        except UnsendableError as error:
                            yield following[0], failed(error)
                            continue
                        self._send()
                    self._send()
                    if not self._flying and not self._waiting and exhausted:
                        return
                    self._wake.wait(LOOK_SECONDS)
                    self._wake.clear()
                    yield from self._collect()
                except LostError:
                    self._abandoned += self._flying
                    self._looked = -float("inf")
                    for job in list(self._flying.values())[::-1]:
                        self._requeue(job)
                    self._connection.restore()
        finally:
            self._end()

    def _room(self) -> str | None:
        """The worker with most room, if any has."""
        if not self._connection.fit:
            self._connection.wait_for_workers()
        load = Counter(job.worker for job in self._flying.values())
        mean = self._seconds / self._finished if self._finished else MIDDLING_SECONDS
        ahead = 2 if mean < SHORT_SECONDS else 1 if mean < MIDDLING_SECONDS else 0
        shares = {at: load[at] / n for at, n in self._connection.fit.items()}
        at = min(shares, key=lambda at: shares[at])
        return at if shares[at] < 1 + ahead else None

    def _send(self) -> None:
        """Give what waits to workers that have room."""
        while self._waiting and (worker := self._room()) is not None:
            job = self._waiting[0]
            job.name = f"volvelle-{uuid.uuid4().hex}"
            job.worker, job.threads = worker, self._connection.fit[worker]
            task: Any = job.task
            if len(job.task) > LARGE:
                try:
                    task = self._connection.client.scatter(
                        job.task, workers=[worker], hash=False, timeout=ANSWER_SECONDS
                    )
                except OSError:  # the worker may be gone, or the scheduler: look again
                    self._connection.look()
                    return
            job.future = self._connection.submit(
                worker, job.name, job.name, surroundings(), self._function, task, *self._limits
            )
            job.future.add_done_callback(lambda _: self._wake.set())
            self._flying[job.name] = job
            self._waiting.popleft()

    def _collect(self) -> Generator[tuple[int, Outcome[Any]], None, None]:
        """Take what is finished."""
        for job in [job for job in self._flying.values() if job.future.done()]:
            status = job.future.status
            if status == "finished":
                outcome = self._outcome(job)
                if outcome is not None:
                    yield from self._settle(job, outcome)
            elif status == "error":
                yield from self._broken(job)
            else:  # cancelled or lost with the connection, which is not the task's fault
                if self._connection.client.status != "running":
                    raise LostError
                self._abandoned.append(job.name)
                self._requeue(job)

    def _outcome(self, job: _Job) -> Outcome[Any] | None:
        """What a finished task brought; None if its worker took that along."""
        try:
            packed = job.future.result(timeout=ANSWER_SECONDS)
        except (OSError, CancelledError):
            self._connection.look()
            return None
        try:
            return unpacked(packed)
        except Exception as error:  # unpickling runs the value's own code, which may raise anything
            return failed(error, packed.seconds)

    def _settle(
        self, job: _Job, outcome: Outcome[Any]
    ) -> Generator[tuple[int, Outcome[Any]], None, None]:
        """Yield an outcome, unless the task is to be done again elsewhere."""
        killed = outcome.signal is not None and outcome.signal not in CRASHES
        if outcome.unfit:
            self._connection.refuse(job.worker, outcome.error or "")
            self._requeue(job)
        elif killed and job.deaths < self._retries:
            job.deaths += 1
            self._say(f"a task was killed by {outcome.signal} at {job.worker}; it is done again")
            self._requeue(job)
        else:
            del self._flying[job.name]
            self._finished += 1
            self._seconds += outcome.seconds
            yield job.index, outcome

    def _broken(self, job: _Job) -> Generator[tuple[int, Outcome[Any]], None, None]:
        """A task that did not even begin: Dask gave it up, or its worker cannot run any."""
        from distributed import KilledWorker

        try:
            error = job.future.exception(timeout=ANSWER_SECONDS)
        except (OSError, CancelledError):
            self._connection.look()
            return
        if isinstance(error, KilledWorker):
            yield from self._died(job)
        else:
            words = " ".join(str(error).split())
            self._connection.refuse(job.worker, f"{type(error).__name__}: {words}")
            self._requeue(job)

    def _look(self) -> Generator[tuple[int, Outcome[Any]], None, None]:
        """See who is there, and take back what the others had."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._connection.look()
        self._looked = time.monotonic()
        if self._abandoned and self._connection.fit:
            self._stop(self._abandoned, list(self._connection.fit))
            self._abandoned = []
        begun: Counter[str] = Counter()
        for job in list(self._flying.values()):
            if self._connection.has(job.worker):
                continue
            if not begun[job.worker]:
                self._say(f"worker {job.worker} is gone; its tasks are done elsewhere")
            begun[job.worker] += 1
            if begun[job.worker] <= job.threads:
                yield from self._died(job)
            else:  # sent ahead and not begun
                self._requeue(job)

    def _died(self, job: _Job) -> Generator[tuple[int, Outcome[Any]], None, None]:
        job.deaths += 1
        self._requeue(job)
        if job.deaths > self._retries:
            self._waiting.remove(job)
            error = f"WorkerDied: {job.deaths} Dask workers died while they ran this task"
            yield job.index, Outcome(error=error)

    def _requeue(self, job: _Job) -> None:
        del self._flying[job.name]
        job.future = None  # the scheduler forgets what nobody wants
        self._waiting.appendleft(job)

    def _end(self) -> None:
        """Stop what still runs, the task itself included."""
        names = [*self._abandoned, *self._flying]
        if not names or self._connection.client.status != "running":
            return
        futures = [job.future for job in self._flying.values()]
        with contextlib.suppress(OSError):  # the cluster is gone, and the tasks with it
            self._connection.client.cancel(futures, force=True)
        self._stop(names, list(self._connection.fit))
        self._flying.clear()

    def _stop(self, names: list[str], workers: list[str]) -> None:
        """Tell workers to end tasks, or not to begin them."""
        with contextlib.suppress(OSError):  # the cluster is gone, and the tasks with it
            self._connection.client.run(
                stop,
                names,
                workers=workers,
                on_error="ignore",
                callback_timeout=ANSWER_SECONDS,
            )
