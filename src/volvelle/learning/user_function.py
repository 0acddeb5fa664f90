"""A function of the user's inside a model: stored by its name, never with its code.

Reading a model runs nothing that its files name. Who reads one with a user's function passes the
function, and it has to give the values that the stored one gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

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


def recalled(record: Mapping[str, Any], given: Mapping[str, Callable[..., Any]]) -> UserFunction:
    """The function of a record, from those that the reader gives by name.

    Raises:
        StorageError: it was not given, or gives other values than the stored one did.
    """
    name = record["function"]
    if name not in given:
        raise StorageError(
            f"the stored model uses the user's function {name!r}, whose code is not stored and "
            f"is never imported from here; import it and pass activations={{{name!r}: function}}"
        )
    function = UserFunction(name, given[name])
    stored, found = np.asarray(record["values"], dtype=float), np.asarray(function.values())
    if stored.shape != found.shape or not np.allclose(
        found, stored, rtol=0.0, atol=SAME * max(1.0, float(np.max(np.abs(stored))))
    ):
        raise StorageError(
            f"the function given for {name!r} is not the one that the stored model was trained "
            f"with: at {PROBE[-1]:g} it gives {found[-1]:.6g}, not {stored[-1]:.6g}; give that one"
            if stored.shape == found.shape
            else f"the function given for {name!r} returns another shape than the stored one did"
        )
    return function
