"""Local cores: worker processes that may die without taking the run along."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any

from .errors import ExecutorError, UnsendableError
from .executor import Outcome, Task, Value, failed
from .worker import READY, inside_worker, serve

POLL_SECONDS = (
    1.0  # a grandchild may hold a dead worker's pipe open, so its death is also looked for
)
FAREWELL_SECONDS = (
    2.0  # an idle worker leaves at once when its pipe closes; after that it is killed
)
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NPROC": "1",  # the size of XLA's own thread pool
    "JAX_PLATFORMS": "cpu",  # a worker must not take the parent's GPU memory
}
XLA_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class _Job:
    index: int
    payload: bytes
    sent: float | None = None  # [s], monotonic clock; None until the worker is up


class _Worker:
    """A child interpreter, the parent's end of its pipe, and the job it has.

    A plain subprocess instead of `multiprocessing.Process`: it has its environment before anything
    is imported, and does not run the parent's `__main__`, which may be a notebook, standard input
    or a script without guard.
    """

    def __init__(self, bound: bool, one_thread: bool) -> None:
        self.connection, theirs = Pipe(duplex=True)
        self.job: _Job | None = None
        self.ready = False
        arguments = (theirs.fileno(), os.getpid(), _main_location(), bound)
        code = f"import sys; sys.path[:] = {sys.path!r}; "
        code += f"from {serve.__module__} import serve; serve(*{arguments!r})"
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                env=_environment() if one_thread else None,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C reaches the parent only, which ends its workers
            )
        except OSError as error:
            self.connection.close()
            raise ExecutorError(
                f"cannot start a worker with {sys.executable!r}: {error}"
            ) from error
        finally:
            theirs.close()

    def send(self) -> None:
        """Send the job to a worker that is up."""
        assert self.job is not None
        self.job.sent = time.monotonic()
        self.connection.send_bytes(self.job.payload)

    def kill(self) -> int:
        """End the process now and return its exit code (negative: the signal)."""
        self.process.kill()
        self.connection.close()
        return self.process.wait()

    def dismiss(self) -> None:
        """Close the pipe of an idle worker, which then leaves by itself."""
        self.connection.close()
        try:
            self.process.wait(FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _environment() -> dict[str, str]:
    flags = os.environ.get("XLA_FLAGS", "")
    return {**os.environ, **ONE_THREAD, "XLA_FLAGS": f"{flags} {XLA_ONE_THREAD}".strip()}


def _main_location() -> tuple[str, str] | None:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return "module", spec.name
    path = getattr(main, "__file__", None)
    return ("path", os.path.abspath(path)) if path and os.path.isfile(path) else None


def _shut_down(workers: list[_Worker], owner: int) -> None:
    if os.getpid() == owner:  # a forked copy of the parent must leave the workers alone
        while workers:
            worker = workers.pop()
            if worker.job is None and worker.ready:
                worker.dismiss()
            else:
                worker.kill()


class ProcessExecutor:
    """Runs tasks on local cores, each in a fresh interpreter that never shares the parent's memory.

    Every worker has one thread and one pipe and gets one task at a time. A worker that dies costs
    its task only: the outcome names the signal, and a fresh worker takes over. Workers stay for the
    next `map` until `close()` (or the end of a `with` block), and die with the parent however it
    dies. `workers` defaults to the cores of this process; `time_limit` [s] ends a task that hangs.
    Raises ExecutorError for impossible settings, inside a worker, or if workers cannot be started.
    """

    thread_stays = False
    """True in a subclass whose every `map` runs in a thread that lives as long as its process."""
    one_thread = True
    """False in a subclass whose tasks may use all cores."""

    def __init__(self, workers: int | None = None, time_limit: float | None = None) -> None:
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            raise ExecutorError(
                f"workers = {workers!r}: give a whole number of at least 1, or None"
            )
        if time_limit is not None and not time_limit > 0:
            raise ExecutorError(
                f"time_limit = {time_limit!r}: give a time in seconds above 0, or None"
            )
        if inside_worker():
            raise ExecutorError(
                "a ProcessExecutor was made inside a worker process: "
                'put what your script does under `if __name__ == "__main__":`'
            )
        if os.name != "posix" or not sys.executable:
            raise ExecutorError(
                "ProcessExecutor needs Linux or macOS and a Python executable: "
                "use SerialExecutor here"
            )
        self._limit = workers or available_cores()
        self._time_limit = self._limit_now = time_limit
        self._workers: list[_Worker] = []
        self._mapping = False
        self._finalizer = weakref.finalize(self, _shut_down, self._workers, os.getpid())

    @property
    def workers(self) -> int:
        """Number of tasks that run at the same time."""
        return self._limit

    @property
    def remote(self) -> bool:
        """False: the cores are this machine's."""
        return False

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers; a later `map` starts new ones."""
        _shut_down(self._workers, os.getpid())

    def map(
        self,
        function: Callable[[Task], Value],
        tasks: Iterable[Task],
        *,
        limited: bool = True,
    ) -> Generator[tuple[int, Outcome[Value]], None, None]:
        """Yield (index, outcome) as tasks finish; closing the iterator ends the tasks in flight."""
        if self._mapping:
            raise ExecutorError("this executor is busy with another map: finish or close that one")
        try:
            function_bytes = pickle.dumps(function)
        except Exception as error:  # pickling runs the function's own code
            raise UnsendableError(
                f"{function!r} cannot be sent to a worker ({type(error).__name__}: {error}): "
                "use a function at the top of a module"
            ) from error
        self._mapping = True
        self._limit_now = self._time_limit if limited else None
        try:
            yield from self._run(function_bytes, enumerate(tasks))
        finally:
            for worker in [worker for worker in self._workers if worker.job is not None]:
                self._workers.remove(worker)
                worker.kill()
            self._mapping = False

    def _run(
        self, function: bytes, tasks: Iterator[tuple[int, Any]]
    ) -> Generator[tuple[int, Outcome[Any]], None, None]:
        exhausted = False
        while True:
            while not exhausted and self._has_room():
                following = next(tasks, None)
                if following is None:
                    exhausted = True
                    break
                index, task = following
                try:
                    payload = pickle.dumps((function, pickle.dumps(task)))
                except Exception as error:  # pickling runs the task's own code
                    yield index, failed(error)
                    continue
                self._assign(_Job(index, payload))
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            heard = wait([worker.connection for worker in busy], self._patience(busy))
            for worker in busy:
                finished = self._attend(worker, worker.connection in heard)
                if finished is not None:
                    yield finished

    def _has_room(self) -> bool:
        idle = any(worker.job is None for worker in self._workers)
        return idle or len(self._workers) < self._limit

    def _assign(self, job: _Job) -> None:
        for worker in [worker for worker in self._workers if worker.job is None]:
            try:
                worker.job = job
                worker.send()
                return
            except OSError:  # it died while idle, which is no task's fault
                self._workers.remove(worker)
                worker.kill()
        # PR_SET_PDEATHSIG means the death of the starting thread: asked for if that one stays.
        main = threading.current_thread() is threading.main_thread()
        worker = _Worker(main or self.thread_stays, self.one_thread)
        worker.job = replace(job, sent=None)
        self._workers.append(worker)

    def _patience(self, busy: list[_Worker]) -> float:
        if self._limit_now is None:
            return POLL_SECONDS
        sent = [worker.job.sent for worker in busy if worker.job and worker.job.sent is not None]
        first = min(sent, default=time.monotonic())
        return min(POLL_SECONDS, max(0.0, first + self._limit_now - time.monotonic()))

    def _attend(self, worker: _Worker, heard: bool) -> tuple[int, Outcome[Any]] | None:
        """Take the answer of a worker, find it dead, or find it late."""
        job = worker.job
        assert job is not None
        elapsed = 0.0 if job.sent is None else time.monotonic() - job.sent
        # A result may still lie in the pipe of a worker that is already dead: read first.
        if heard or worker.connection.poll():
            try:
                reply = worker.connection.recv_bytes()
                if worker.ready:
                    worker.job = None
                    return job.index, _unpack(reply, elapsed)
                worker.ready = reply == READY
                worker.send()
                return None
            except (EOFError, OSError):
                return self._bury(worker, job, elapsed)
        if worker.process.poll() is not None:
            return self._bury(worker, job, elapsed)
        if self._limit_now is not None and elapsed > self._limit_now:
            self._workers.remove(worker)
            worker.kill()
            error = f"TimeoutError: the task ran past its limit of {self._limit_now:g} s"
            return job.index, Outcome(error=error, timed_out=True, seconds=elapsed)
        return None

    def _bury(self, worker: _Worker, job: _Job, elapsed: float) -> tuple[int, Outcome[Any]]:
        self._workers.remove(worker)
        worker.connection.close()
        try:
            code = worker.process.wait(FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            code = worker.kill()
        if not worker.ready:
            raise ExecutorError(
                f"a worker process ended before its first task ({_ending(code)[0]}): "
                f"see its words on standard error, or try `{sys.executable} -c 'import volvelle'`"
            )
        words, name = _ending(code)
        return job.index, Outcome(error=f"WorkerDied: {words}", signal=name, seconds=elapsed)


def _ending(code: int) -> tuple[str, str | None]:
    if code >= 0:
        return f"the worker process left with exit code {code}", None
    try:
        name = signal.Signals(-code).name
    except ValueError:  # real-time signals have numbers only
        name = f"signal {-code}"
    return f"the worker process was killed by {name}", name


def _unpack(reply: bytes, elapsed: float) -> Outcome[Any]:
    try:
        return pickle.loads(reply)
    except Exception as error:  # unpickling runs the value's own code, which may raise anything
        return failed(error, elapsed)
