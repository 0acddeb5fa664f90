"""Pages in HTML: their templates, the pictures inside them, how they are written."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib.figure import Figure

from volvelle.learning import write_atomically

from .errors import ReportError
from .record import read_json
from .style import figure_bytes

REPORT = "report.html"
MEDIA = {"png": "image/png", "svg": "image/svg+xml"}


def template(name: str) -> Template:
    """One of those in ``templates``; a value that it misses is an error."""
    environment = Environment(
        loader=PackageLoader("volvelle.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def write_page(folder: Path, form: str, /, **values: Any) -> Path:
    """A template filled in, as ``report.html`` of a folder, whole or not at all; its path."""
    path = Path(folder) / REPORT
    write_atomically(path, template(form).render(**values).encode())
    return path


def inlined(figure: Figure, kind: str = "png") -> str:
    """A figure as an address that stands in a page."""
    return _address(figure_bytes(figure, kind), kind)


def written_and_inlined(folder: Path, figures: Mapping[str, Figure]) -> dict[str, str]:
    """Figures as files of these names in PNG, and as addresses that stand in a page."""
    found = {}
    for name, figure in figures.items():
        code = figure_bytes(figure, "png")
        write_atomically(Path(folder) / name, code)
        found[name] = _address(code, "png")
    return found


def _address(code: bytes, kind: str) -> str:
    return f"data:{MEDIA[kind]};base64,{base64.b64encode(code).decode('ascii')}"


def read_content(path: Path, keys: Sequence[str], verb: str) -> dict[str, Any]:
    """The content of a JSON file that ``volvelle verb`` wrote.

    Raises MissingFileError, and ReportError for content without the keys.
    """
    content = read_json(path)
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ReportError(f"{path} has no {', '.join(missing)}; repeat `volvelle {verb}`")
    return content


def configuration_of(folder: Path) -> str | None:
    """The text of ``config.yaml``, if it is there."""
    path = Path(folder) / "config.yaml"
    return path.read_text(encoding="utf-8") if path.exists() else None
