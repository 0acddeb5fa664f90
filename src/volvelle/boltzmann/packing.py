"""How the ledger writes things down: canonical JSON, keys, arrays as bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from ..errors import VolvelleError


class LedgerError(VolvelleError):
    """The ledger cannot do what was asked."""


class BusyLedgerError(LedgerError):
    """Another process kept the ledger locked for too long."""


class DamagedLedgerError(LedgerError):
    """The ledger's file, or a row in it, is not what was written."""


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: keys sorted, numbers as float64 with exact round trip.

    0, 0.0, -0.0 and a NumPy or JAX scalar of that value all read "0.0".
    Raises LedgerError for NaN, infinity and what is neither number, text, None, list nor mapping.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.bool_):
        return bool(value)
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise LedgerError(
            f"{value!r} cannot be part of a ledger key: give a number, text or None"
        ) from error
    if not math.isfinite(number):
        raise LedgerError(f"{number} cannot be part of a ledger key: give a finite number")
    return number + 0.0  # -0.0 becomes 0.0


def model_key(identity: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
    """sha256 [hex] of who solves (`identity`) and what (`parameters`)."""
    text = canonical_json({"identity": identity, "parameters": parameters})
    return hashlib.sha256(text.encode()).hexdigest()


def as_float64(theory: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays as float64 in C order, numbers as float64 scalars."""
    return {
        name: np.asarray(value, dtype=np.float64, order="C")[()] for name, value in theory.items()
    }


def pack(theory: Mapping[str, Any]) -> bytes:
    """Arrays and numbers in the safetensors format; raises LedgerError if one is not finite."""
    wrong = not_finite(theory)
    if wrong:
        raise LedgerError(f"{', '.join(wrong)} holds NaN or infinity: record it as a failure")
    return save({name: np.asarray(value) for name, value in as_float64(theory).items()})


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """Inverse of `pack`."""
    return as_float64(load(data))


def not_finite(arrays: Mapping[str, Any]) -> list[str]:
    """Names of the arrays that hold NaN or infinity."""
    return [name for name, array in arrays.items() if not np.all(np.isfinite(array))]


def digest(fields: Mapping[str, Any], blob: bytes | None) -> str:
    """sha256 [hex] of a row: its small fields and its packed arrays."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode() + b"\0" + (blob or b"")).hexdigest()
