"""What is many and independent, spread over the devices of this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

AXIS = "devices"
"""The name of the axis of the meshes."""


def mesh_for(number: int) -> Mesh | None:
    """As many devices as divide a number of equal tasks; None for one."""
    devices = jax.local_devices()
    most = max(n for n in range(1, len(devices) + 1) if number % n == 0)
    return None if most == 1 else Mesh(np.array(devices[:most]), (AXIS,))


def mapped(function: Callable[[Any, Array], Any], given: Any, items: Array, batch: int) -> Any:
    """``function(given, item)`` of every item [n, ...], a batch at a time on every device."""
    mesh = mesh_for(len(items))
    arrays, rest = eqx.partition(given, eqx.is_array)

    def some(arrays: Any, items: Array) -> Any:
        whole = eqx.combine(arrays, rest)
        return jax.lax.map(lambda item: function(whole, item), items, batch_size=batch)

    if mesh is None:
        return some(arrays, items)
    specs = (P(), P(AXIS))
    return jax.shard_map(some, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False)(
        arrays, items
    )


def free_of_devices(tree: Any) -> Any:
    """The same arrays, tied to no device: a function over a mesh cannot close over those of another
    one."""
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x)) if eqx.is_array(x) else x, tree)
