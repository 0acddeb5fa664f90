"""What is many and independent, spread over the devices of this process."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXIS = "devices"
"""The name of the axis of the meshes."""


def mesh_for(number: int) -> Mesh | None:
    """As many devices as divide a number of equal tasks; None for one."""
    devices = jax.local_devices()
    most = max(n for n in range(1, len(devices) + 1) if number % n == 0)
    return None if most == 1 else Mesh(np.array(devices[:most]), (AXIS,))


def placed(tree: Any, mesh: Mesh | None, spec: P) -> Any:
    """The same arrays where a program over a mesh leaves its results, and as strongly typed as
    those: what it is first called with would compile it a second time otherwise."""
    tree = jax.tree.map(lambda a: jax.lax.convert_element_type(a, a.dtype), tree)
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, spec))


def free_of_devices(tree: Any) -> Any:
    """The same arrays, tied to no device: a function over a mesh cannot close over those of another
    one."""
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x)) if eqx.is_array(x) else x, tree)
