"""A user's own code, named in a configuration as ``package.module:name`` or ``file.py:name``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import PluginError


def load_plugin(python: Any, what: str) -> Any:
    """The object that a user named.

    Args:
        python: ``package.module:name`` as Python would import it, or ``path/file.py:name``.
        what: kind of the object in the messages, such as ``Class`` or ``function``.

    Raises PluginError that says what is wrong with the name, the module or the file.
    """
    place, _, name = python.rpartition(":") if isinstance(python, str) else ("", "", "")
    if not place or not name.isidentifier():
        raise PluginError(f"got {python!r}; write package.module:{what} or path/file.py:{what}")
    found = getattr(_module(place), name, None)
    if found is None:
        raise PluginError(f"{place} has no {name!r}")
    return found


def is_plugin(python: str) -> bool:
    """Whether a name speaks of a user's code: it holds a colon, which no name of ours does."""
    return ":" in python


def _module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place).expanduser().resolve()
        if not path.is_file():
            raise PluginError(f"there is no file {path}")
        # two files of one name in two folders are two modules
        name = f"volvelle_external_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up there
        spec.loader.exec_module(module)
        return module
    except (ImportError, SyntaxError) as error:
        raise PluginError(
            f"{place} cannot be imported ({error}); is it installed or its folder on PYTHONPATH?"
        ) from error
    except PluginError:
        raise
    except Exception as error:  # the user's own code, which may do anything when it is imported
        words = " ".join(str(error).split())
        raise PluginError(
            f"{place} cannot be imported: it raises {type(error).__name__} ({words}); mend it"
        ) from error
