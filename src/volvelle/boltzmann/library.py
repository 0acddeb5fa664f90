"""Finding and identifying the compiled libraries behind the solvers."""

import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import SolverNotInstalledError

_CHUNK = 1 << 20


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, remembered while size and modification time stay."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


_SEARCH = (".", "python", "build/lib*", "python/build/lib*")
# where `pip install`, `make` and `setup.py build` of CLASS leave the extension


def _candidates(folder: Path) -> list[Path]:
    """Folders below ``folder`` from which ``classy`` may be imported, the likeliest first."""
    found: list[Path] = []
    for pattern in _SEARCH:
        for place in [folder] if pattern == "." else sorted(folder.glob(pattern)):
            compiled = [*place.glob("classy*.so"), *place.glob("classy/_classy*.so")]
            if compiled:
                found.append(place)
    if folder.name == "classy" and list(folder.glob("_classy*.so")):
        found.append(folder.parent)
    return found


_LOADED: dict[Path, ModuleType] = {}


def load_classy(path: str | None) -> ModuleType:
    """Import ``classy``, the installed one or a build below ``path``.

    A module that only stands in for CLASS (it says STANDS_IN) is passed over. A build under
    ``path`` is loaded beside the installed one, never instead of it, and only once per process.
    Raises SolverNotInstalledError when there is none.
    """
    if path is None:
        try:
            module = importlib.import_module("classy")
        except ImportError as error:
            raise SolverNotInstalledError(
                f"CLASS cannot be imported ({error}); install it with "
                "`pip install 'volvelle[class]'` (needs a C compiler), or use solver camb"
            ) from error
        return _behind(module) if getattr(module, "STANDS_IN", False) else module
    folder = Path(path).expanduser().resolve()
    places = _candidates(folder)
    if not places:
        raise SolverNotInstalledError(
            f"no compiled classy below {folder}; build it there (`make` or `pip install .`) or "
            "give the folder that holds it"
        )
    if places[0] not in _LOADED:
        _LOADED[places[0]] = _import_from(places[0])
    return _LOADED[places[0]]


def _behind(stand_in: ModuleType) -> ModuleType:
    """The CLASS that a module in its place (that of the plug-in for MontePython) hides."""
    hidden = Path(str(stand_in.__file__)).resolve()
    for entry in sys.path:
        found = importlib.machinery.PathFinder.find_spec("classy", [entry or "."])
        if found is None or found.origin is None or Path(found.origin).resolve() == hidden:
            continue
        origin = Path(found.origin)
        return load_classy(str(origin.parent.parent if origin.suffix == ".py" else origin.parent))
    raise SolverNotInstalledError(
        f"the only classy is the stand-in {hidden}; install CLASS with `pip install "
        "'volvelle[class]'` (needs a C compiler)"
    )


def _import_from(place: Path) -> ModuleType:
    """Import ``classy`` from a folder without touching the one already imported."""

    def own(name: str) -> bool:
        return name == "classy" or name.startswith("classy.")

    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if own(name)}
    sys.path.insert(0, str(place))
    try:
        importlib.invalidate_caches()
        return importlib.import_module("classy")
    except ImportError as error:
        raise SolverNotInstalledError(
            f"classy in {place} cannot be imported: {error}; rebuild it for this Python"
        ) from error
    finally:
        sys.path.remove(str(place))
        for name in [name for name in sys.modules if own(name)]:
            del sys.modules[name]
        sys.modules.update(kept)


def new_class(module: ModuleType) -> Any:
    """A ``Class`` of this very module.

    CLASS looks for its data files in the package called ``classy``, which may be another one.
    """
    other = sys.modules.get("classy")
    sys.modules["classy"] = module
    try:
        return module.Class()
    finally:
        if other is None:
            del sys.modules["classy"]
        else:
            sys.modules["classy"] = other


def extension_of(module: ModuleType) -> Path:
    """The compiled file behind a module or package."""
    origin = Path(str(module.__file__))
    if origin.suffix == ".so":
        return origin
    compiled = sorted(origin.parent.glob("*.so"))
    if not compiled:
        raise SolverNotInstalledError(f"no compiled extension beside {origin}; reinstall it")
    return compiled[0]
