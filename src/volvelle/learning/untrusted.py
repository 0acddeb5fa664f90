"""Reading files that a stranger may have made: bounded, strict, and nothing in them is run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from volvelle.learning.errors import StorageError

LARGEST_TEXT = 64 * 2**20  # bytes of a JSON file; a record of 10^5 points has 20 MB
LARGEST_WEIGHTS = 4 * 2**30  # bytes
DEEPEST = 64  # levels of nesting
TYPES = ("float32", "float64", "int32", "int64", "uint32", "bool")


def read_bytes(path: Path, limit: int) -> bytes:
    """A regular file, whole.

    Raises:
        StorageError: it is missing, is no regular file (a pipe, a device), cannot be read or is
            larger than ``limit``.
    """
    try:
        if not path.exists():
            raise StorageError(f"{path} is missing")
        if not path.is_file():
            raise StorageError(f"{path} is no regular file; expected one")
        size = path.stat().st_size
        if size > limit:
            raise StorageError(
                f"{path} has {size} bytes, more than the {limit} that are read; it is damaged or "
                "no file of this kind"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({error})") from error


def strict_json(content: bytes) -> Any:
    """JSON without repeated keys or deep nesting; what is no finite number is read as None.

    Raises:
        ValueError: it is no such JSON.
    """
    try:
        found = json.loads(
            content.decode(),
            object_pairs_hook=_unique,
            parse_constant=lambda name: None,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level = [found]
    for _ in range(DEEPEST):
        level = [child for value in level for child in _children(value)]
        if not level:
            return found
    raise ValueError(f"nested more than {DEEPEST} levels deep")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:40]!r} stands there twice")
    return found


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [child for child in value.values() if isinstance(child, (dict, list))]
    return [child for child in value if isinstance(child, (dict, list))] * isinstance(value, list)


def without_infinities(value: Any) -> Any:
    """Plain JSON values with None in the place of NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): without_infinities(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_infinities(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(value: Any) -> Any:
    """Plain JSON values whose texts cannot steer a terminal: what is not printable becomes ?."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() else "?" for c in value)
    if isinstance(value, dict):
        return {printable(key): printable(child) for key, child in value.items()}
    return [printable(child) for child in value] if isinstance(value, list) else value


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values, whatever their layout in a file."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_tensors(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, of real or whole numbers or truth values.

    Raises:
        ValueError: it is no such file, or holds other types.
    """
    try:
        found = load(content)
    except (SafetensorError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"no safetensors file ({type(error).__name__}: {error})") from error
    for name, array in found.items():
        if str(array.dtype) not in TYPES:
            raise ValueError(f"the array {name[:80]!r} has type {array.dtype}")
    return found
