"""Weights in safetensors, structure in JSON, both hashed: no pickle, no eval.

A model is a tree of ``equinox`` modules. Arrays go to ``weights-HASH.safetensors`` under
their path in the tree; everything else (class names, static fields) goes to ``model.json``, which
holds the SHA-256 of the weights. Only classes marked ``@storable`` can be written or read; a
user's function is stored by name and has to be passed by who reads (see ``user_function``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load, save

from volvelle.learning.errors import StorageError
from volvelle.learning.user_function import Probed, UserBuilder, UserFunction, recalled

FORMAT = 1
_STORABLE: dict[str, type[eqx.Module]] = {}
_Class = TypeVar("_Class", bound=type)


def storable(cls: _Class) -> _Class:
    """Allow a module class to be stored, under its own name."""
    if cls.__name__ in _STORABLE:
        raise StorageError(f"two storable classes are called {cls.__name__!r}; rename one")
    _STORABLE[cls.__name__] = cls
    return cls


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or none of it: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _encode(value: Any, path: str, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(value, eqx.Module):
        name = type(value).__name__
        if name not in _STORABLE:
            raise StorageError(f"{name} at {path or 'the top'} is not storable; mark it @storable")
        content = {
            f.name: _encode(getattr(value, f.name), f"{path}.{f.name}".lstrip("."), tensors)
            for f in fields(value)
        }
        node: dict[str, Any] = {"class": name, "fields": content}
        return node | {"values": value.values()} if isinstance(value, Probed) else node
    if isinstance(value, (jax.Array, np.ndarray)):
        tensors[path] = np.array(value, order="C")
        return {"tensor": path}
    if isinstance(value, (tuple, list)):
        return {"tuple": [_encode(v, f"{path}.{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, dict):
        return {"dict": {k: _encode(v, f"{path}.{k}", tensors) for k, v in value.items()}}
    if isinstance(value, (UserFunction, UserBuilder)):
        return value.record()
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise StorageError(f"{path}: cannot store a {type(value).__name__}; use arrays or plain values")


Functions = Mapping[str, Callable[..., Any]]


def _decode(node: Any, tensors: dict[str, np.ndarray], functions: Functions) -> Any:
    if "class" in node:
        cls = _STORABLE.get(node["class"])
        if cls is None:
            raise StorageError(
                f"the stored model uses {node['class']!r}, which this version does not know; it "
                f"knows {', '.join(sorted(_STORABLE))}; read the model with the version that "
                "wrote it, or train again"
            )
        values = {k: _decode(v, tensors, functions) for k, v in node["fields"].items()}
        model = object.__new__(cls)  # fields exactly as stored, without a constructor's logic
        for f in fields(cls):
            if f.name not in values:
                raise StorageError(
                    f"the stored {node['class']} lacks its field {f.name!r}: another version of "
                    "Volvelle wrote it; train again (a repeated run takes its exact solutions from "
                    "the ledger)"
                )
            object.__setattr__(model, f.name, values[f.name])
        if isinstance(model, Probed):
            model.check(node.get("values", []))
        return model
    if "tensor" in node:
        if node["tensor"] not in tensors:
            raise StorageError(f"the stored model lacks the array {node['tensor']!r}")
        return jnp.asarray(tensors[node["tensor"]])
    if "tuple" in node:
        return tuple(_decode(v, tensors, functions) for v in node["tuple"])
    if "dict" in node:
        return {k: _decode(v, tensors, functions) for k, v in node["dict"].items()}
    if "function" in node:
        return recalled(node, functions)
    return node["value"]


def save_model(model: eqx.Module, folder: Path, record: dict[str, Any]) -> None:
    """Write a model and its record (provenance, certificate) to a folder.

    Args:
        model: a tree of storable modules; folder: made if missing;
        record: plain JSON values that say where the model comes from.
    """
    tensors: dict[str, np.ndarray] = {}
    structure = _encode(model, "", tensors)
    weights = save(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    name = f"weights-{digest[:12]}.safetensors"  # the JSON is the switch from old to new
    content = {
        "format": FORMAT,
        "weights": name,
        "weights_sha256": digest,
        "model": structure,
        "record": record,
    }
    write_atomically(folder / name, weights)
    write_atomically(folder / "model.json", json.dumps(content, indent=1).encode())
    for old in folder.glob("weights-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_model(folder: Path, functions: Functions | None = None) -> tuple[Any, dict[str, Any]]:
    """Read a model and its record; the weights' hash is checked.

    Args:
        functions: the user's own that the model holds, by the names it was made with.

    Raises:
        StorageError: a file is missing, damaged, or of another format, or a user's function is
            not given or another one.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / "model.json").read_text())
        weights_path = folder / str(content["weights"])
        weights = weights_path.read_bytes()
        expected, structure, record = (content[k] for k in ("weights_sha256", "model", "record"))
    except FileNotFoundError as error:
        raise StorageError(
            f"{folder} holds no stored model: {error.filename} is missing"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{folder / 'model.json'} is damaged ({error}); train again") from error
    if content.get("format") != FORMAT:
        raise StorageError(
            f"{folder} has format {content.get('format')!r}, this version reads {FORMAT}"
        )
    digest = hashlib.sha256(weights).hexdigest()
    if digest != expected:
        raise StorageError(
            f"{weights_path} is damaged: SHA-256 {digest[:12]}..., expected "
            f"{expected[:12]}...; train again or copy the folder anew"
        )
    return _decode(structure, load(weights), functions or {}), record
