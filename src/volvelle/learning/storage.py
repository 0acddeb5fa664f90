"""Weights in safetensors, structure in JSON, both hashed: no pickle, no eval.

A model is a tree of ``equinox`` modules. Arrays go to ``weights-HASH.safetensors`` under
their path in the tree; everything else (class names, static fields) goes to ``model.json``, which
holds the SHA-256 of the weights and of its own content. Only classes marked ``@storable`` can be
written or read; a user's function is stored by name and has to be passed by who reads (see
``user_function``). Who opens a file need not trust it: what does not fit its class is refused (see
``checking``), whether or not its hash is right. Files of earlier formats are brought to the present
one by ``UPGRADES``, step by step.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save

from volvelle.learning.checking import check_module, require
from volvelle.learning.errors import StorageError
from volvelle.learning.untrusted import (
    DEEPEST,
    LARGEST_TEXT,
    LARGEST_WEIGHTS,
    digest_of,
    read_bytes,
    read_tensors,
    strict_json,
    without_infinities,
)
from volvelle.learning.user_function import Probed, UserBuilder, UserFunction, recalled

FORMAT = 3
"""1: only the weights were hashed; 2: a neutrino mass had one change of variables, unsaid."""
Content = dict[str, Any]
Tensors = dict[str, np.ndarray]
Upgrade = Callable[[Content, Tensors], tuple[Content, Tensors]]
MOST_NODES = 100_000  # of a model's tree; a network of a user's own may have some thousands
WEIGHTS = re.compile(r"weights-[0-9a-f]{12}\.safetensors")
_STORABLE: dict[str, type[eqx.Module]] = {}
_Class = TypeVar("_Class", bound=type)


def _with_fields(node: Any, name: str, more: Content, depth: int = 0) -> Any:
    """A stored tree in which every module of a class has more fields; what is nested too deeply to
    be a model is left for the reader to refuse."""
    if depth > 3 * DEEPEST:
        return node
    if isinstance(node, list):
        return [_with_fields(each, name, more, depth + 1) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _with_fields(each, name, more, depth + 1) for key, each in node.items()}
    if found.get("class") == name and isinstance(found.get("fields"), dict):
        found["fields"] |= {key: {"value": value} for key, value in more.items()}
    return found


def _with_mass_feature(content: Content, tensors: Tensors) -> tuple[Content, Tensors]:
    """The change of variables that a neutrino mass had before it was stored."""
    more = {"mass_scale": 0.015, "mass_power": 0.5}
    return content | {"model": _with_fields(content["model"], "Physical", more)}, tensors


UPGRADES: dict[int, Upgrade] = {
    1: lambda content, tensors: (content, tensors),
    2: _with_mass_feature,
}
"""From each earlier format to the next. One for a field that is new gives it the value that stands
for how things were; one for a class that is renamed, renames it; and so on."""


def storable(cls: _Class) -> _Class:
    """Allow a module class to be stored, under its own name."""
    if cls.__name__ in _STORABLE:
        raise StorageError(f"two storable classes are called {cls.__name__!r}; rename one")
    _STORABLE[cls.__name__] = cls
    return cls


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or none of it: a kill leaves the old file or the new one.

    An OSError (no space left, say) names ``path`` and leaves nothing beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _encode(value: Any, path: str, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(value, eqx.Module):
        name = type(value).__name__
        if name not in _STORABLE:
            raise StorageError(f"{name} at {path or 'the top'} is not storable; mark it @storable")
        content = {
            f.name: _encode(getattr(value, f.name), f"{path}.{f.name}".lstrip("."), tensors)
            for f in fields(value)
        }
        check_module(value, path)
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


class _Reader:
    """Puts a stored tree together, each module checked as soon as its parts are there."""

    def __init__(self, tensors: Tensors, functions: Functions) -> None:
        self.tensors, self.functions = tensors, functions
        self.nodes = 0
        self.used: set[str] = set()

    def decode(self, node: Any, path: str, depth: int = 0) -> Any:
        """The value of a node; ``path`` is its place in the tree."""
        self.nodes += 1
        require(self.nodes <= MOST_NODES, f"the stored model has more than {MOST_NODES} parts")
        require(depth <= DEEPEST, "the stored model is nested too deeply")
        require(isinstance(node, dict), f"{path or 'the model'} is no node of a tree")
        kinds = {"class", "tensor", "tuple", "dict", "function", "value"} & node.keys()
        require(len(kinds) == 1, f"{path or 'the model'} is of no known kind or of several")
        kind = kinds.pop()
        if kind == "class":
            return self._module(node, path, depth)
        if kind == "tensor":
            return self._tensor(node["tensor"], path)
        if kind == "tuple":
            entries = node["tuple"]
            require(isinstance(entries, list), f"{path} holds no list where it should")
            return tuple(self.decode(v, f"{path}.{i}", depth + 1) for i, v in enumerate(entries))
        if kind == "dict":
            entries = node["dict"]
            require(isinstance(entries, dict), f"{path} holds no mapping where it should")
            return {k: self.decode(v, f"{path}.{k}", depth + 1) for k, v in entries.items()}
        if kind == "function":
            return self._function(node, path)
        value = node["value"]
        plain = value is None or isinstance(value, (bool, int, float, str))
        require(plain, f"{path} holds no plain value where it should")
        return value

    def _module(self, node: Content, path: str, depth: int) -> Any:
        name, given = node["class"], node.get("fields")
        cls = _STORABLE.get(name) if isinstance(name, str) else None
        if cls is None:
            raise StorageError(
                f"the stored model uses {name!r:.80}, which this version does not know; it "
                f"knows {', '.join(sorted(_STORABLE))}; read the model with the version that "
                "wrote it, or train again"
            )
        if not isinstance(given, dict):
            raise StorageError(f"the stored {name} at {path or 'the top'} has no fields")
        own = [f.name for f in fields(cls)]
        foreign = [key for key in given if key not in own]
        require(
            not foreign,
            f"the stored {name} has a field {foreign[:1]} that this version does not know; read "
            "the model with the version that wrote it",
        )
        model = object.__new__(cls)  # fields exactly as stored, without a constructor's logic
        for field in own:
            if field not in given:
                raise StorageError(
                    f"the stored {name} lacks its field {field!r}: another version of "
                    "Volvelle wrote it; train again (a repeated run takes its exact solutions from "
                    "the ledger)"
                )
            value = self.decode(given[field], f"{path}.{field}".lstrip("."), depth + 1)
            object.__setattr__(model, field, value)
        check_module(model, path)
        if isinstance(model, Probed):
            model.check(_numbers(node.get("values", []), path))
        return model

    def _tensor(self, name: Any, path: str) -> jax.Array:
        if name != path or path not in self.tensors:
            raise StorageError(f"the stored model lacks the array {name!r:.80}, at {path!r}")
        self.used.add(path)
        return jnp.asarray(self.tensors[path])

    def _function(self, node: Content, path: str) -> Any:
        require(isinstance(node["function"], str), f"{path} names no function")
        if "values" in node:
            _numbers(node["values"], path)
        return recalled(node, self.functions)


def _numbers(values: Any, path: str) -> list[float]:
    right = isinstance(values, list) and all(type(v) in (int, float) for v in values)
    require(right, f"{path} has values that are no list of numbers")
    return values


def sign(content: Content, weights: bytes) -> None:
    """Put the names and hashes of a file into its ``content``."""
    digest = hashlib.sha256(weights).hexdigest()
    content["weights"], content["weights_sha256"] = f"weights-{digest[:12]}.safetensors", digest
    content["sha256"] = digest_of({k: v for k, v in content.items() if k != "sha256"})


def save_model(model: eqx.Module, folder: Path, record: dict[str, Any]) -> None:
    """Write a model and its record (provenance, certificate) to a folder.

    Args:
        model: a tree of storable modules; folder: made if missing;
        record: plain JSON values that say where the model comes from; None takes the place of what
            is no finite number.

    Raises:
        StorageError: the model could not be read again: a class is not storable, or a field is
            not what its class declares.
    """
    tensors: Tensors = {}
    structure = _encode(model, "", tensors)
    weights = save(tensors)
    content = {"format": FORMAT, "model": structure, "record": without_infinities(record)}
    sign(content, weights)
    name = content["weights"]
    write_atomically(folder / name, weights)
    # the JSON is the switch from old to new
    write_atomically(folder / "model.json", json.dumps(content, indent=1).encode())
    for old in folder.glob("weights-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_model(folder: Path, functions: Functions | None = None) -> tuple[Any, dict[str, Any]]:
    """Read a model and its record. The files need not be trusted: see ``checking``.

    Args:
        functions: the user's own that the model holds, by the names it was made with.

    Raises:
        StorageError: a file is missing, damaged, of another format, or holds what does not fit, or
            a user's function is not given or another one.
    """
    folder = Path(folder)
    path = folder / "model.json"
    if not path.exists():
        raise StorageError(f"{folder} holds no stored model: {path} is missing")
    content = _content(path)
    weights = read_bytes(folder / content["weights"], LARGEST_WEIGHTS)
    digest, expected = hashlib.sha256(weights).hexdigest(), content["weights_sha256"]
    if digest != expected:
        raise StorageError(
            f"{folder / content['weights']} is damaged: SHA-256 {digest[:12]}..., expected "
            f"{expected[:12]}...; train again or copy the folder anew"
        )
    try:
        tensors = read_tensors(weights)
    except ValueError as error:
        raise StorageError(f"{folder / content['weights']}: {error}") from error
    for number in range(content["format"], FORMAT):
        content, tensors = UPGRADES[number](content, tensors)
    reader = _Reader(tensors, functions or {})
    model = reader.decode(content["model"], "")
    unused = sorted(tensors.keys() - reader.used)
    require(not unused, f"{folder} holds arrays {unused[:3]} that no part of its model names")
    return model, content["record"]


def model_digest(folder: Path) -> str:
    """SHA-256 of a stored model without its record: the same as long as it computes the same.

    Raises:
        StorageError: there is none, or its ``model.json`` is damaged.
    """
    content = _content(Path(folder) / "model.json")
    return digest_of({key: content[key] for key in ("model", "weights_sha256")})


def _content(path: Path) -> Content:
    """``model.json`` with its hash, its format and the types of its keys checked."""
    try:
        content = strict_json(read_bytes(path, LARGEST_TEXT))
    except ValueError as error:
        raise StorageError(f"{path} is damaged ({error}); train again") from error
    require(isinstance(content, dict), f"{path} is damaged (no mapping); train again")
    number = content.get("format")
    if type(number) is not int or not min(UPGRADES) <= number <= FORMAT:
        raise StorageError(
            f"{path.parent} has format {number!r:.40}, this version reads {min(UPGRADES)} to "
            f"{FORMAT}; read it with the version that wrote it"
        )
    signature = content.pop("sha256", None)
    # real files of format 1 have no hash of their content; one that has was altered to say 1
    hashed = number >= 2 or signature is not None
    if hashed and signature != digest_of(content):
        raise StorageError(
            f"{path} is damaged: its content does not have the SHA-256 that it names; train "
            "again or copy the folder anew"
        )
    types = {"weights": str, "weights_sha256": str, "model": dict, "record": dict}
    for key, kind in types.items():
        if not isinstance(content.get(key), kind):
            raise StorageError(f"{path} is damaged ({key!r} is missing or wrong); train again")
    require(
        WEIGHTS.fullmatch(content["weights"]) is not None,
        f"{path} names {content['weights']!r:.80} as its weights; expected "
        "weights-HASH.safetensors beside it",
    )
    return content
