"""The worker's side of `DaskExecutor`: tasks run in a child process of the Dask worker.

The Dask worker itself never runs a solver: each of its threads has a child interpreter, as
`ProcessExecutor` makes them. A crash costs a task, a task that hangs can be ended, solvers need not
be safe for threads, and children die with their Dask worker.
"""

from __future__ import annotations

import pickle
import platform
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .. import __version__
from .executor import Outcome
from .processes import ProcessExecutor
from .travel import loads

_own = threading.local()
_lock = threading.Lock()
_busy: dict[str, _Child] = {}
"""Children by the names of the tasks that they run."""
_stopped: set[str] = set()
"""Names of tasks that are not to begin; those that never come, some bytes each, stay in it."""


class _Child(ProcessExecutor):
    """One child interpreter of one thread of a Dask worker."""

    thread_stays = True
    aborted = False

    def abort(self) -> None:
        """Kill what runs or is about to; its outcome says so to the thread that waits for it."""
        self.aborted = True
        for worker in list(self._workers):
            worker.process.kill()

    def _assign(self, job: Any) -> None:
        super()._assign(job)
        if self.aborted:  # before there was a process to kill
            self.abort()


class _FreeChild(_Child):
    """A child that has all cores, as the client's own process has: XLA then rounds alike."""

    one_thread = False


def surroundings() -> dict[str, str]:
    """What must be alike here and there for a task to be understood."""
    return {
        "volvelle": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """Where two descriptions differ, in words: ``version 3.2.0 there, 3.3.0 here``."""
    names = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    pairs = ((name, theirs.get(name, "nothing"), ours.get(name, "nothing")) for name in names)
    return "; ".join(f"{name} {there} there, {here} here" for name, there, here in pairs)


def run_task(
    name: str,
    wanted: Mapping[str, str],
    function: bytes,
    task: bytes,
    limit: float | None,
    limited: bool,
) -> Outcome[bytes]:
    """Outcome of a pickled function of a pickled task, its value pickled.

    `name` is the task's own, for `stop`; `wanted` the client's `surroundings`; `limit` [s] and
    `limited` as in `Executor.map`.
    """
    here = surroundings()
    if here != dict(wanted):
        return Outcome(error=f"UnfitWorkerError: {differences(here, wanted)}", unfit=True)
    child = _child(_Child if limited else _FreeChild, limit if limited else None)
    with _lock:
        if name in _stopped:
            _stopped.remove(name)
            return Outcome(error="Stopped: nobody waits for this task any more")
        child.aborted = False
        _busy[name] = child
    try:
        ((_, outcome),) = child.map(unpack_and_call, [(function, task)])
        return outcome
    finally:
        with _lock:
            del _busy[name]


def _child(kind: type[_Child], limit: float | None) -> _Child:
    """This thread's child; another kind or limit takes another one."""
    wanted, known = (kind, limit), getattr(_own, "known", None)
    if known is None or known[:2] != wanted:
        if known is not None:
            known[2].close()
        known = _own.known = (*wanted, kind(1, limit))
    return known[2]


def stop(names: list[str]) -> None:
    """Kill the children that run tasks of these names; those not begun return at once."""
    with _lock:
        for name in names:
            if name in _busy:
                _busy[name].abort()
            else:
                _stopped.add(name)


_functions: dict[bytes, Any] = {}


def unpack_and_call(packed: tuple[bytes, bytes]) -> bytes:
    """In the child: call the function with the task and pickle what it returns."""
    function, task = packed
    if function not in _functions:
        _functions.clear()
        _functions[function] = loads(function)
    return pickle.dumps(_functions[function](loads(task)), protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(outcome: Outcome[bytes]) -> Outcome[Any]:
    """At the client: the outcome with its value itself."""
    if outcome.value is None:
        return outcome
    return replace(outcome, value=pickle.loads(outcome.value))
