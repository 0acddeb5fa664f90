"""What a long computation has reached, on disk after every chunk: a kill loses one chunk."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from volvelle.inference.errors import InferenceError
from volvelle.learning import write_atomically

STATE = "state.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A folder with the latest state and what every finished chunk traced.

    ``fingerprint`` names the computation: files of another one are removed, not taken over.
    """

    folder: Path
    fingerprint: str

    def load(self, template: Any) -> tuple[int, Any, list[list[np.ndarray]]] | None:
        """Finished chunks, the state after them, and the traced arrays of each; None if none.

        ``template``: a state, for its structure and types.

        Raises InferenceError for damaged files.
        """
        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as stream:
                metadata = stream.metadata() or {}
            if metadata.get("fingerprint") != self.fingerprint:
                self.clear()
                return None
            found, done = load_file(path), int(metadata["done"])
            parts = [load_file(self._part(i)) for i in range(done)]
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InferenceError(
                f"{self.folder} cannot be read ({error}); remove it, and the computation starts "
                "anew"
            ) from error
        leaves, structure = jax.tree.flatten(template)
        restored = [_restored(found[str(i)], leaf) for i, leaf in enumerate(leaves)]
        traced = [[part[str(i)] for i in range(len(part))] for part in parts]
        return done, jax.tree.unflatten(structure, restored), traced

    def save(self, done: int, state: Any, traced: Sequence[Any]) -> None:
        """After chunk number ``done`` (from 1): its traced arrays, then the state."""
        arrays = {str(i): np.array(a, order="C") for i, a in enumerate(traced)}
        write_atomically(self._part(done - 1), save(arrays))
        leaves = {str(i): _plain(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        metadata = {"fingerprint": self.fingerprint, "done": str(done)}
        write_atomically(self.folder / STATE, save(leaves, metadata))

    def clear(self) -> None:
        """Remove everything: the result is kept elsewhere, or is another computation's."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self.folder / f"part_{number}.safetensors"


def fingerprint(settings: Any, arrays: Sequence[Any]) -> str:
    """sha256 of settings, which JSON or ``repr`` can write, and of the bytes of arrays."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode())
    for array in arrays:
        digest.update(np.array(array, order="C").tobytes())
    return digest.hexdigest()


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> np.ndarray:
    return np.array(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")


def _restored(array: np.ndarray, leaf: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else jnp.asarray(array)
