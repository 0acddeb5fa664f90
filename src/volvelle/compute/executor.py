"""Executors: one verb, `map`, and the place where the work runs."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from .errors import ExecutorError, UnfitWorkerError

Task = TypeVar("Task")
Value = TypeVar("Value")

CRASHES = frozenset({"SIGSEGV", "SIGABRT", "SIGFPE", "SIGBUS", "SIGILL"})
"""Signals that a task brings on itself; others (SIGKILL, SIGTERM) come from outside and say
nothing about the task."""

DIED = (
    "; give the cluster's jobs more memory or a longer walltime, or take compute: local for this "
    "run: what is finished is kept"
)


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of one task: a value, or the words of what went wrong.

    `error` is "Class: message" and `traceback` its full text; `signal` names the signal that
    killed the worker (`SIGSEGV`), `timed_out` says that the time limit did, `unfit` that the place
    was wrong for the task; `seconds` [s] is the task's own wall-clock time.
    """

    value: Value | None = None
    error: str | None = None
    traceback: str | None = None
    signal: str | None = None
    timed_out: bool = False
    unfit: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True if the task returned."""
        return self.error is None


class Executor(Protocol):
    """Maps a function over independent tasks; tasks are pure, retriable and idempotent."""

    @property
    def workers(self) -> int:
        """Number of tasks that run at the same time."""
        ...

    @property
    def remote(self) -> bool:
        """True if tasks run on other machines: long calculations are sent there as well."""
        ...

    def map(
        self,
        function: Callable[[Task], Value],
        tasks: Iterable[Task],
        *,
        limited: bool = True,
    ) -> Generator[tuple[int, Outcome[Value]], None, None]:
        """Yield (index of the task, outcome) as they finish; closing ends what is in flight.

        `limited`: False for a long calculation that is no exact solution: the executor's time
        limit, if it has one, does not hold, and on another machine the task has all cores.
        """
        ...


def attempt(function: Callable[[Task], Value], task: Task) -> Outcome[Value]:
    """Call `function(task)` and return its outcome; only an interrupt passes through."""
    start = time.perf_counter()
    try:
        value = function(task)
    except (Exception, SystemExit) as exception:
        return failed(exception, time.perf_counter() - start)
    return Outcome(value=value, seconds=time.perf_counter() - start)


def failed(exception: BaseException, seconds: float = 0.0) -> Outcome:
    """Outcome of a task that raised `exception` after `seconds` [s]."""
    message = str(exception)
    name = type(exception).__name__
    return Outcome(
        error=f"{name}: {message}" if message else name,
        traceback="".join(traceback.format_exception(exception)),
        unfit=isinstance(exception, UnfitWorkerError),
        seconds=seconds,
    )


def call(executor: Executor, function: Callable[[Task], Value], task: Task) -> Value:
    """`function(task)`, run by an executor without its limits.

    Raises ExecutorError, with the words of what went wrong, if the task did not return.
    """
    ((_, outcome),) = executor.map(function, [task], limited=False)
    if outcome.error is not None:
        where = outcome.traceback or ""  # without one, it was not the function that raised
        if outcome.error in where:  # as its last words
            where = where[: where.rindex(outcome.error)].rpartition("\n")[0]
        advice = DIED if executor.remote and outcome.traceback is None else ""
        raise ExecutorError(f"{outcome.error}{advice}\n{where}".strip())
    return outcome.value  # type: ignore[return-value]


@dataclass(frozen=True)
class SerialExecutor:
    """Runs the tasks one after the other in this process, which a crash of a task takes along."""

    @property
    def workers(self) -> int:
        """Always one."""
        return 1

    @property
    def remote(self) -> bool:
        """False."""
        return False

    def map(
        self,
        function: Callable[[Task], Value],
        tasks: Iterable[Task],
        *,
        limited: bool = True,
    ) -> Generator[tuple[int, Outcome[Value]], None, None]:
        """Yield (index, outcome) in the order of the tasks; there is no time limit."""
        for index, task in enumerate(tasks):
            yield index, attempt(function, task)
