"""A YAML file as plain data that remembers the line of every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigurationError

Key = tuple[str | int, ...]
"""The way to a value: mapping keys and list positions from the top of the file."""

_FLOAT = re.compile(
    r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"
)  # YAML 1.1 reads 1e-3 and 2.1e9 as text; everybody who writes them means numbers


class _Loader(yaml.SafeLoader):
    """Safe YAML without the surprise that 1e-3 is text."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def dotted(key: Key) -> str:
    """``params.omega_b.prior.min``, with list positions in brackets."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@dataclass(frozen=True)
class Document:
    """The content of a configuration file and where its keys stand."""

    path: Path
    text: str
    data: dict[str, Any]
    lines: dict[Key, int]

    @classmethod
    def load(cls, path: Path) -> Document:
        """Read a YAML mapping; raises ConfigurationError for anything else."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigurationError(
                f"{path}: no such file; give the path of a YAML file such as "
                "examples/01_planck_lcdm.yaml"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: cannot be read as text: {error}") from error
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines = {key: line for key, line, _ in _walk(node)} if node is not None else {}
            data = loader.construct_document(node) if node is not None else None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else f"{path}"
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise ConfigurationError(
                f"{where}: not valid YAML: {problem}; mend indentation, colons or brackets"
            ) from error
        finally:
            loader.dispose()
        document = cls(path, text, data if isinstance(data, dict) else {}, lines)
        if not isinstance(data, dict):
            given = "an empty file" if data is None else f"a {type(data).__name__}"
            raise document.error(
                (), f"expected blocks such as theory:, params: and likelihood:, got {given}"
            )
        if node is not None:
            document._refuse_duplicates(node)
        return document

    def error(self, key: Key, problem: str) -> ConfigurationError:
        """The error for a key: ``file:line: dotted.key: problem``, in one line."""
        line = next(
            (self.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.lines), 0
        )
        where = f"{self.path}:{line}" if line else f"{self.path}"
        parts = [where, dotted(key), " ".join(problem.split())]
        return ConfigurationError(": ".join(part for part in parts if part))

    def _refuse_duplicates(self, node: yaml.Node) -> None:
        seen: dict[Key, int] = {}
        for key, line, _ in _walk(node):
            if key in seen:
                raise self.error(
                    key, f"given twice, in lines {seen[key]} and {line}; keep one of them"
                )
            seen[key] = line


def _walk(node: yaml.Node | None, key: Key = ()) -> Iterator[tuple[Key, int, yaml.Node]]:
    """Every key below a node with its line, counted from 1."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = (*key, str(name.value))
            yield inner, name.start_mark.line + 1, value
            yield from _walk(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            inner = (*key, position)
            yield inner, value.start_mark.line + 1, value
            yield from _walk(value, inner)
