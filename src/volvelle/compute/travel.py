"""Pickles for other machines, where neither this program's script nor a user's file is loaded."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from types import FunctionType
from typing import Any

from .errors import PluginError, UnfitWorkerError, UnsendableError
from .plugin import FILE_MODULE, load_plugin


def dumps(thing: Any) -> bytes:
    """Bytes from which `loads` makes `thing` in another process or on another machine.

    Modules are imported there. What a script or a notebook defines travels with the bytes; what
    stands in a file that was named as ``path/file.py:name`` is loaded from that file, which must
    be there and the same. Raises UnsendableError for what cannot travel.
    """
    import cloudpickle  # here, because only clusters need it; it comes with distributed

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            module = getattr(obj, "__module__", None) or ""
            if isinstance(obj, type | FunctionType) and module.startswith(FILE_MODULE):
                return _from_file, _whereabouts(obj)
            return super().reducer_override(obj)

    stream = io.BytesIO()
    try:
        Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
    except Exception as error:  # pickling runs the thing's own code, which may raise anything
        raise UnsendableError(
            "what the task is made of cannot be sent to another machine "
            f"({type(error).__name__}: {' '.join(str(error).split())}): build it of module-level "
            "functions and classes, numbers and arrays"
        ) from error
    return stream.getvalue()


def loads(data: bytes) -> Any:
    """What `dumps` packed, made again where the task runs.

    Raises UnfitWorkerError if a module, a name in it, or a user's file is missing or different.
    """
    try:
        return pickle.loads(data)
    except (ImportError, AttributeError, PluginError) as error:
        raise UnfitWorkerError(
            f"{error}: what the task is made of cannot be had there; install it, give it the same "
            "file, or set PYTHONPATH for the workers"
        ) from error


def _whereabouts(thing: type | FunctionType) -> tuple[str, str, str]:
    path = str(sys.modules[thing.__module__].__file__)
    return path, thing.__qualname__, _sha256(path)


def _from_file(path: str, name: str, sha256: str) -> Any:
    """What a user's file defines; refuses a file that is not the one that was sent."""
    found = load_plugin(f"{path}:{name}", "name")
    if _sha256(path) != sha256:
        raise PluginError(f"{path} differs between two machines; give both the same file")
    return found


def _sha256(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()
