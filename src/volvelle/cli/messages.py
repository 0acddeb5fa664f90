"""One-line errors from what pydantic finds wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from .blocks import offer
from .document import Document, Key
from .errors import ConfigurationError
from .parameters import TAGS

UNION = ("int", "float", "str")
"""What pydantic calls the forms of a solver's setting."""

VERBS = {"likelihood": "run", "outputs": "emulate", "survey": "forecast", "box": "simulate"}
"""Keys at the top of a file by which it is seen whose it is."""

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a block of `key: value` lines",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list, such as [a, b]",
    "model_attributes_type": "a block of `key: value` lines",
    "model_type": "a block of `key: value` lines",
    "path_type": "a path",
    "string_too_short": "some text",
    "string_type": "text",
}


def first_error(document: Document, error: ValidationError) -> ConfigurationError:
    """The first problem of a file as a ConfigurationError, with the number of further ones."""
    problems = error.errors(include_url=False)
    keys = [_key(document, problem) for problem in problems]
    at = min(range(len(problems)), key=lambda i: document.lines.get(keys[i], 0))
    text = _words(problems[at], keys[at]) + _other_verb(document, problems[at])
    others = len({key for key in keys if key != keys[at]})
    more = f" ({others} more problem{'s' * (others > 1)} in this file)" if others else ""
    return document.error(keys[at], text + more)


def _key(document: Document, problem: Mapping[str, Any]) -> Key:
    """The place of a problem in the file: pydantic's location without the names of union forms."""
    key: list[str | int] = []
    value: Any = document.data
    location = problem["loc"]
    for position, part in enumerate(location):
        inside = isinstance(value, Mapping) and part in value
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            key.append(part)
            value = value[part]
        elif problem["type"] == "missing" and position == len(location) - 1:
            key.append(part)
        elif part not in (*TAGS, *UNION):
            break
    if problem["type"] == "unknown_key":
        key.append(problem["ctx"]["key"])
    return tuple(key)


def _other_verb(document: Document, problem: Mapping[str, Any]) -> str:
    """For which verb a file is whose keys are not known to this one, if that can be seen."""
    if problem["type"] != "unknown_key" or problem["loc"]:
        return ""
    for key, verb in VERBS.items():
        if key in document.data and key not in problem["ctx"]["known"]:
            return f"; a file with {key}: is one for `volvelle {verb}`"
    return ""


def _words(problem: Mapping[str, Any], key: Key) -> str:
    kind, context, given = problem["type"], problem.get("ctx", {}), problem.get("input")
    if kind == "missing":
        return "missing; add this key"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"expected one of {', '.join(choices)}, got {shown(given)}; " + offer(
            str(given), choices
        )
    if problem["loc"] and problem["loc"][-1] in UNION:
        quotes = "; put yes and no in quotes" if isinstance(given, bool) else ""
        return f"expected a number or text, got {shown(given)}{quotes}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {shown(given)}"
    limits = {
        "greater_than": ("above", "gt"),
        "greater_than_equal": ("of at least", "ge"),
        "less_than": ("below", "lt"),
        "less_than_equal": ("of at most", "le"),
    }
    if kind in limits:
        word, name = limits[kind]
        return f"expected a number {word} {context[name]:g}, got {shown(given)}"
    if kind in ("parameter_form", "prior_form", "likelihoods"):
        return f"{problem['msg']}, got {shown(given)}"
    return problem["msg"].replace("NAME", str(key[1]) if len(key) > 1 else "NAME")


def shown(given: Any) -> str:
    """A wrong value, short enough for one line."""
    if given is None:
        return "nothing"
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."
