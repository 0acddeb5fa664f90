"""The templates of pages in HTML."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


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
