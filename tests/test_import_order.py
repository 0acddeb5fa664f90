"""A folder of the package imports only from folders before it in ORDER, at any depth."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ORDER = (
    "compute",
    "data",
    "cosmology",
    "boltzmann",
    "learning",
    "emulator",
    "power",
    "probes",
    "nbody",
    "statistics",
    "fields",
    "halos",
    "galaxies",
    "likelihood",
    "inference",
    "training",
    "plugins",
    "report",
    "cli",
)
OUTSIDE = ("errors", "__init__")  # stand above the order: everybody may import them
PACKAGE = Path(__file__).parents[1] / "src" / "volvelle"


def modules_imported(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import, lazy and TYPE_CHECKING ones included.

    ``package`` is the dotted path of the package that holds the module, for relative imports.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield node.lineno, ".".join((*base, alias.name))
        elif isinstance(node, ast.Call) and _calls_import_module(node):
            yield node.lineno, node.args[0].value  # type: ignore[attr-defined]


def _calls_import_module(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return (
        name in ("import_module", "__import__")
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    )


def violations(source: str, package: tuple[str, ...]) -> list[str]:
    """What breaks the order in one module of ``package`` (``("volvelle", folder, ...)``)."""
    folder = package[1]
    found = []
    for line, name in modules_imported(source, package):
        parts = name.split(".")
        if parts[0] != "volvelle" or len(parts) < 2 or parts[1] in OUTSIDE:
            continue
        if parts[1] not in ORDER:
            if parts[1].islower() and (PACKAGE / parts[1]).exists():
                found.append(f"line {line}: {name}: the folder has no place in ORDER")
            elif parts[1] != "__version__":
                found.append(f"line {line}: {name}: import it from its folder, not from the top")
        elif ORDER.index(parts[1]) > ORDER.index(folder):
            found.append(f"line {line}: {folder} imports {name}, which stands after it")
    return found


def test_every_folder_has_its_place() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders, f"no folders in {PACKAGE}"
    assert folders <= set(ORDER), f"not in ORDER: {sorted(folders - set(ORDER))}"
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    others = loose - {*OUTSIDE, "__main__"}
    assert loose >= set(OUTSIDE) and not others, f"modules outside folders: {sorted(others)}"


@pytest.mark.parametrize("folder", [name for name in ORDER if (PACKAGE / name).is_dir()])
def test_imports_point_backwards(folder: str) -> None:
    found = []
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        package = ("volvelle", *path.relative_to(PACKAGE).parent.parts)
        found += [f"{path.name}: {each}" for each in violations(path.read_text(), package)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "from volvelle.cli import app",
        "import volvelle.report.html",
        "from ..report import write_report",
        "from .. import cli",
        "def f():\n    from ..training import loop",
        "if TYPE_CHECKING:\n    from ..inference import Posterior",
        "importlib.import_module('volvelle.cli')",
        "from volvelle import Configuration",
    ],
)
def test_the_check_sees_a_wrong_import(source: str) -> None:
    assert violations(source, ("volvelle", "boltzmann"))


@pytest.mark.parametrize(
    "source",
    [
        "from ..cosmology import Cosmology",
        "from .request import Request",
        "from ..errors import VolvelleError",
        "from volvelle import __version__",
        "import numpy as np",
    ],
)
def test_the_check_lets_right_imports_pass(source: str) -> None:
    assert not violations(source, ("volvelle", "boltzmann"))
