"""The particle-mesh force over several devices: particles shared out, the mesh in slabs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh as Devices
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Complex, Float

from .errors import ForceError
from .force import Density, Force, Modification
from .mesh import Mesh
from .painting_jax import Sums
from .particles import as_particles
from .sums import gather, spread, sums_on

SLABS = "slabs"
"""Name of the axis of devices."""


class SlabParticleMesh(Force):
    """The spectral force of ``ParticleMesh`` by all devices: the same numbers.

    Every device paints and reads its share of the particles, wherever they are, and transforms a
    slab of the mesh; slabs are put together by sums, and transposed for the transforms. A device
    holds its particles, its slab of the Fourier fields, and one whole field at a time.

    Args:
        mesh: of the force; its cells per side a multiple of the devices.
        assignment: ``cic``, ``tsc`` or ``pcs``.
        devices: of one kind; all that JAX has if left out.
        modification, density, fraction: as for ``ParticleMesh``.

    Raises ForceError for cells that the devices do not divide, and for ``ngp``; MeshError for
    another assignment.
    """

    mesh: Mesh
    assignment: str = eqx.field(static=True)
    devices: Devices = eqx.field(static=True)
    modification: Modification | None
    density: Density | None
    fraction: float | Array

    def __init__(
        self,
        mesh: Mesh,
        assignment: str = "cic",
        devices: Sequence[Any] | None = None,
        *,
        modification: Modification | None = None,
        density: Density | None = None,
        fraction: float | Array = 1.0,
    ) -> None:
        if sums_on(mesh, assignment).order == 1:
            raise ForceError("a force by 'ngp' jumps; expected cic, tsc or pcs")
        self.mesh, self.assignment = mesh, assignment
        self.devices = Devices(np.array(jax.devices() if devices is None else devices), (SLABS,))
        self.modification, self.density, self.fraction = modification, density, fraction
        if mesh.cells % self.devices.size:
            raise ForceError(
                f"{mesh.cells} cells per side in slabs on {self.devices.size} devices; expected a "
                "multiple of their number"
            )

    def share(self, positions: Any) -> Float[Array, "n 3"]:
        """Positions [N, 3], put on the devices in equal shares.

        Raises ParticleError as ``as_particles``, and ForceError where the devices do not divide
        the particles.
        """
        x = as_particles(positions)
        if len(x) % self.devices.size:
            raise ForceError(
                f"{len(x)} particles on {self.devices.size} devices; expected a multiple of their "
                "number"
            )
        return jax.device_put(x, NamedSharding(self.devices, PartitionSpec(SLABS)))

    def __call__(self, positions: Any, a: Any = 1.0) -> Float[Array, "n 3"]:
        """g [Mpc/h] at positions [N, 3] [Mpc/h], any real numbers, at scale factor ``a``.

        Raises as ``share``.
        """
        on = sums_on(self.mesh, self.assignment)
        return self._solve(on, self.share(positions), jnp.asarray(a))

    @eqx.filter_jit
    def _solve(self, on: Sums, x: Float[Array, "n 3"], a: Array) -> Float[Array, "n 3"]:
        arrays, rest = eqx.partition(self, eqx.is_array)
        whole, shared = PartitionSpec(), PartitionSpec(SLABS)
        run = jax.shard_map(
            lambda arrays, x, a: eqx.combine(arrays, rest)._on_device(on, len(x), x, a),
            mesh=self.devices,
            in_specs=(whole, shared, whole),
            out_specs=shared,
            check_vma=False,  # the sums over particles are primitives of this package
        )
        return run(arrays, x, a)

    def _on_device(
        self, on: Sums, share: int, x: Float[Array, "m 3"], a: Array
    ) -> Float[Array, "m 3"]:
        """The force on this device's particles."""
        mesh, number = self.mesh, self.devices.size
        rows = mesh.cells // number
        first = jax.lax.axis_index(SLABS) * rows
        kx, ky, kz = (jnp.asarray(k, x.dtype) for k in mesh.wavenumbers())
        k = [kx, jax.lax.dynamic_slice_in_dim(ky, first, rows, 1), kz]
        k2 = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
        painted = spread(on, x, jnp.ones((share, 1), x.dtype))[0]
        slab = jax.lax.psum_scatter(painted, SLABS, scatter_dimension=0, tiled=True)
        delta = self.fraction * (mesh.cells**3 / (share * number)) * _forward(slab)
        if self.density is not None:
            other = jnp.asarray(self.density(a)).astype(delta.dtype)
            delta += jax.lax.dynamic_slice_in_dim(other, first, rows, 1)
        potential = -delta * jnp.where(k2 > 0.0, 1.0 / jnp.where(k2 > 0.0, k2, 1.0), 0.0)
        if self.modification is not None:
            length = jnp.where(k2 > 0.0, jnp.sqrt(jnp.where(k2 > 0.0, k2, 1.0)), mesh.fundamental)
            potential *= jnp.asarray(self.modification(length, a)).astype(x.dtype)
        found = []
        for each in k:
            wave = jnp.where(jnp.abs(each) < 0.999 * mesh.nyquist, -each, 0.0)
            slope = _backward(1j * wave * potential, mesh.cells)
            field = jax.lax.all_gather(slope, SLABS, axis=0, tiled=True)
            found.append(gather(on, x, field[None])[:, 0])
        return jnp.stack(found, axis=-1)


_transposed = partial(jax.lax.all_to_all, axis_name=SLABS, tiled=True)


def _forward(slab: Float[Array, "r n n"]) -> Complex[Array, "n r half"]:
    """Slabs of x to Fourier modes in slabs of k_y."""
    modes = _transposed(jnp.fft.rfftn(slab, axes=(1, 2)), split_axis=1, concat_axis=0)
    return jnp.fft.fft(modes, axis=0)


def _backward(modes: Complex[Array, "n r half"], cells: int) -> Float[Array, "r n n"]:
    """Modes in slabs of k_y to slabs of x."""
    planes = _transposed(jnp.fft.ifft(modes, axis=0), split_axis=0, concat_axis=1)
    return jnp.fft.irfftn(planes, s=(cells, cells), axes=(1, 2))
