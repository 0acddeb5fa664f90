"""The child's side of `ProcessExecutor`: one interpreter, one pipe, one task at a time."""

from __future__ import annotations

import ctypes
import io
import os
import pickle
import queue
import runpy
import signal
import sys
import threading
import types
from multiprocessing.connection import Connection
from typing import Any

from .executor import Outcome, attempt, failed

READY = b"ready"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
MAIN_ALIAS = "__mp_main__"  # multiprocessing gives the parent's __main__ this second name

_serving = threading.Event()


class _MainUnpickler(pickle.Unpickler):
    """Finds what the user's own script defines, and runs that script only if something needs it."""

    def __init__(self, data: bytes, main: tuple[str, str] | None) -> None:
        super().__init__(io.BytesIO(data))
        self._main = main

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name == "__main__" and sys.modules["__main__"].__name__ != MAIN_ALIAS:
            _import_main(self._main, global_name)
        return super().find_class(module_name, global_name)


def _import_main(main: tuple[str, str] | None, wanted: str) -> None:
    if main is None:
        raise pickle.UnpicklingError(
            f"{wanted!r} is defined in a notebook or on standard input, where a worker process "
            "cannot find it: move it into a module (a .py file) and import it"
        )
    kind, where = main
    module = types.ModuleType(MAIN_ALIAS)
    if kind == "module":
        module.__dict__.update(runpy.run_module(where, run_name=MAIN_ALIAS, alter_sys=True))
    else:
        module.__dict__.update(runpy.run_path(where, run_name=MAIN_ALIAS))
    sys.modules["__main__"] = sys.modules[MAIN_ALIAS] = module


def inside_worker() -> bool:
    """True in a process that a `ProcessExecutor` started."""
    return _serving.is_set()


def _die_with(parent: int) -> None:
    """Ask Linux for SIGKILL at the parent's death, which ends even a call into C at once."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _receive(connection: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Hand on what the parent sends; its end of the pipe closes when it dies, however it dies."""
    while True:
        try:
            inbox.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)


def serve(descriptor: int, parent: int, main: tuple[str, str] | None, bound: bool) -> None:
    """Answer tasks until the parent closes the pipe.

    `descriptor` is this end of the pipe, `parent` the parent's process id, `main` where its
    script lies, `bound` whether the kernel may be asked to kill this process with the thread
    that started it.
    """
    if bound and sys.platform == "linux":
        _die_with(parent)
    os.set_inheritable(descriptor, False)
    os.dup2(2, 1)  # what a C library prints must not land in the program's own output
    _serving.set()
    connection = Connection(descriptor)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # The reader is the thread, the work stays in the main thread, which has the large C stack.
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    connection.send_bytes(READY)
    known = b""
    function: Any = None
    while True:
        function_bytes, task_bytes = pickle.loads(inbox.get())
        try:
            if function_bytes != known:
                function = _MainUnpickler(function_bytes, main).load()
                known = function_bytes
            task = _MainUnpickler(task_bytes, main).load()
        except (Exception, SystemExit) as exception:
            outcome = failed(exception)
        else:
            outcome = attempt(function, task)
        reply = _pack(outcome)
        sys.stdout.flush()
        connection.send_bytes(reply)


def _pack(outcome: Outcome[Any]) -> bytes:
    try:
        return pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as exception:  # pickling runs the value's own code, which may raise anything
        return pickle.dumps(failed(exception, outcome.seconds))
