"""A user's own code, named in a configuration as ``package.module:name`` or ``file.py:name``.

Installed packages can give their code a short name, by a Python entry point: see ``load_named``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import PluginError

FILE_MODULE = "volvelle_external_"
"""Begins the names of the modules that are made of files."""


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


def plugin_sha256(python: str) -> dict[str, str]:
    """SHA-256 of the file behind a name that `load_plugin` has loaded, keyed by the name's first
    part; nothing where it is no file."""
    place = python.rpartition(":")[0]
    if place.endswith(".py"):
        path = Path(place).expanduser()
    else:
        found = getattr(sys.modules.get(place), "__file__", None)
        path = Path(found or "")
    return {place: hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else {}


def load_named(setting: str, group: str, name: str, ours: Collection[str]) -> Any | None:
    """What a user's choice of a function stands for: None for one of ``ours``, else the object.

    Args:
        setting: what is chosen, such as ``activation``, for the messages;
        group: of the entry points by which packages add names, such as ``volvelle.activations``;
        name: one of ``ours``, an entry point's name, ``package.module:function`` or
            ``path/file.py:function``.

    Raises PluginError: an unknown name, one that more than one party claims, or code that cannot
    be loaded.
    """
    if ":" in name:
        return load_plugin(name, "function")
    # one package on two paths of the search is found twice
    found = {entry.value: entry for entry in entry_points(group=group, name=name)}
    claims = [_words(entry) for entry in found.values()]
    if name in ours:
        claims = ["Volvelle's own", *claims]
    if len(claims) > 1:
        raise PluginError(
            f"{setting} {name!r} is ambiguous: {' and '.join(claims)} ({group}); have the entry "
            "point renamed, uninstall its package, or name its function as package.module:function"
        )
    if name in ours:
        return None
    if not found:
        others = sorted({entry.name for entry in entry_points(group=group)} - set(ours))
        installed = f", {', '.join(others)} of installed packages" if others else ""
        raise PluginError(
            f"unknown {setting} {name!r}; choose {', '.join(ours)}{installed}, or your own as "
            f"package.module:function, path/file.py:function or an entry point in {group}"
        )
    (entry,) = found.values()
    try:
        return entry.load()
    except Exception as error:  # the package's code, which may do anything when it is imported
        raise PluginError(
            f"{name!r} is {_words(entry)} ({group}), which cannot be loaded: "
            f"{type(error).__name__} ({' '.join(str(error).split())}); mend or reinstall it"
        ) from error


def _words(entry: EntryPoint) -> str:
    package = "an installed package" if entry.dist is None else f"package {entry.dist.name}"
    return f"{entry.value} of {package}"


def _module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place).expanduser().resolve()
        if not path.is_file():
            raise PluginError(f"there is no file {path}")
        # two files of one name in two folders are two modules
        name = f"{FILE_MODULE}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
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
