"""A function of the user's inside a model: stored by its name, never with its code.

Reading a model runs nothing that its files name. Who reads one with a user's function passes the
function, and it has to give the values that the stored one gave: an activation by itself, an
architecture with the weights that are stored (see ``Probed``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from volvelle.learning.checking import Validated
from volvelle.learning.errors import StorageError

PROBE = (-8.0, -3.0, -1.0, -0.3, 0.0, 0.1, 0.7, 2.0, 5.0)
"""Where a function is evaluated to know it again."""
SAME = 1e-4  # of the largest value: single precision on two machines, with much to spare


@dataclass(frozen=True)
class UserFunction:
    """A function of an array, under the name by which the user's settings call it."""

    name: str
    function: Callable[[Array], Array]

    def __call__(self, x: Array) -> Array:
        return self.function(x)

    def values(self) -> list[float]:
        """What it gives at ``PROBE``: equal for equal functions, whatever they are called."""
        return np.asarray(self(jnp.asarray(PROBE, jnp.float32)), dtype=float).tolist()

    def record(self) -> dict[str, Any]:
        """What is stored of it: plain JSON values."""
        return {"function": self.name, "values": self.values()}


@dataclass(frozen=True)
class UserBuilder:
    """A function that makes a network, under the name by which the user's settings call it.

    ``function(key, inputs, outputs, depth, width)`` returns a callable tree of arrays.
    """

    name: str
    function: Callable[..., Any]

    def record(self) -> dict[str, Any]:
        """What is stored of it; the network that it made holds the values to know it by."""
        return {"function": self.name}


class Probed(Validated):
    """A module that a user's code computes: its values at a fixed point are stored with it."""

    @abstractmethod
    def values(self) -> list[float]:
        """What it gives at a fixed point."""

    @abstractmethod
    def check(self, stored: list[float]) -> None:
        """Raise StorageError unless the user's code fits the stored arrays and values."""


def recalled(
    record: Mapping[str, Any], given: Mapping[str, Callable[..., Any]]
) -> UserFunction | UserBuilder:
    """The function of a record, from those that the reader gives by name.

    Raises:
        StorageError: it was not given, or gives other values than the stored one did.
    """
    name = record["function"]
    if name not in given:
        raise StorageError(
            f"the stored model uses the user's function {name!r}, whose code is not stored and "
            f"is never imported from here; import it and pass functions={{{name!r}: function}}"
        )
    if "values" not in record:
        return UserBuilder(name, given[name])
    function = UserFunction(name, given[name])
    check_values(name, function.values(), record["values"])
    return function


def check_values(name: str, found: list[float], stored: list[float]) -> None:
    """Raise StorageError unless a function gives what the stored one gave."""
    new, old = np.asarray(found, dtype=float), np.asarray(stored, dtype=float)
    if new.shape != old.shape:
        raise StorageError(
            f"the function given for {name!r} returns another shape than the stored one did"
        )
    if not np.allclose(new, old, rtol=0.0, atol=SAME * max(1.0, float(np.max(np.abs(old))))):
        worst = int(np.argmax(np.abs(new - old)))
        raise StorageError(
            f"the function given for {name!r} is not the one that the stored model was trained "
            f"with: where that gave {old[worst]:.6g} it gives {new[worst]:.6g}; give that one"
        )
