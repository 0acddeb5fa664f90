"""Whether a module holds what its class declares: types, shapes and sizes of every field.

A stored model is put together field by field, without a constructor. Each field is therefore held
against its annotation; sizes with one name (``"n d"``) agree within a class; what spans several
modules is for the class's own ``validate``.
"""

from __future__ import annotations

import math
import typing
from dataclasses import fields
from functools import lru_cache
from types import UnionType
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import AbstractArray

from volvelle.learning.errors import StorageError

LARGEST = 2**31  # of a whole number among the static fields
LONGEST = 1000  # characters of a text among them
_PLAIN = (bool, int, float, str)


class Validated(eqx.Module):
    """A module whose parts have to fit together beyond what annotations say."""

    def validate(self) -> None:
        """Raise StorageError (see ``require``) unless the parts fit; they are right each."""


def require(fits: bool, what: str) -> None:
    """Raise StorageError with ``what`` is wrong unless it ``fits``."""
    if not fits:
        raise StorageError(what)


def check_module(module: eqx.Module, path: str) -> None:
    """Raise StorageError unless every field is of its declared type and the parts fit together."""
    sizes: dict[str, int] = {}
    for name, hint in _hints(type(module)).items():
        _check(getattr(module, name), hint, f"{path}.{name}".lstrip("."), sizes)
    if isinstance(module, Validated):
        try:
            module.validate()
        except StorageError as error:
            where = f" at {path}" if path else ""
            raise StorageError(f"{type(module).__name__}{where}: {error}") from error


@lru_cache(maxsize=256)
def _hints(cls: type[eqx.Module]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}


def _check(value: Any, hint: Any, path: str, sizes: dict[str, int]) -> None:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        _check_union(value, parts, path, sizes)
    elif origin is tuple:
        _check_tuple(value, parts, path, sizes)
    elif isinstance(hint, type) and issubclass(hint, AbstractArray):
        _check_array(value, hint, path, sizes)
    elif hint in _PLAIN:
        _check_plain(value, hint, path)
    elif isinstance(hint, type):
        require(isinstance(value, hint), f"{path} holds {_kind(value)}, expected {_name(hint)}")
        if isinstance(value, jax.Array):
            _check_finite(value, path)
    else:
        raise StorageError(f"{path} is declared as {hint!r}, which cannot be checked")


def _check_union(value: Any, parts: tuple[Any, ...], path: str, sizes: dict[str, int]) -> None:
    refusals: list[StorageError] = []
    for part in parts:
        try:
            _check(value, part, path, sizes)
            return
        except StorageError as error:
            refusals.append(error)
    raise refusals[0]


def _check_tuple(value: Any, parts: tuple[Any, ...], path: str, sizes: dict[str, int]) -> None:
    require(isinstance(value, tuple), f"{path} holds {_kind(value)}, expected a list")
    if len(parts) == 2 and parts[1] is Ellipsis:
        parts = (parts[0],) * len(value)
    require(len(value) == len(parts), f"{path} has {len(value)} entries, expected {len(parts)}")
    for i, (entry, part) in enumerate(zip(value, parts, strict=True)):
        _check(entry, part, f"{path}.{i}", sizes)


def _check_array(value: Any, hint: Any, path: str, sizes: dict[str, int]) -> None:
    require(isinstance(value, jax.Array), f"{path} holds {_kind(value)}, expected an array")
    require(str(value.dtype) in hint.dtypes, f"{path} is of {value.dtype}, expected {_name(hint)}")
    names = hint.dim_str.split()
    require(
        value.ndim == len(names), f"{path} has shape {value.shape}, expected [{', '.join(names)}]"
    )
    for name, size in zip(names, value.shape, strict=True):
        wanted = int(name) if name.isdigit() else sizes.setdefault(name, size)
        require(
            size == wanted,
            f"{path} has shape {value.shape}, but [{', '.join(names)}] with {name} = {wanted} is "
            "expected",
        )
    _check_finite(value, path)


def _check_finite(value: jax.Array, path: str) -> None:
    require(bool(np.all(np.isfinite(np.asarray(value)))), f"{path} holds a value that is no number")


def _check_plain(value: Any, hint: type, path: str) -> None:
    right = type(value) is hint or (hint is float and type(value) is int)
    require(right, f"{path} holds {_kind(value)}, expected {_name(hint)}")
    if isinstance(value, str):
        require(len(value) <= LONGEST, f"{path} is a text of {len(value)} characters")
        require(value.isprintable(), f"{path} is {value!r:.40}, which cannot be printed")
    elif isinstance(value, (int, float)):
        limit = LARGEST if hint is int else math.inf
        require(abs(value) < limit, f"{path} is {value!r:.40}, beyond what is possible")


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint))
