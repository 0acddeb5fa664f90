"""Gaussian initial conditions and their displacement fields, of boxes larger than memory.

Equal to ``lagrangian(gaussian(...), order)`` to rounding. A Fourier transform of the box is one
along x of some columns at a time, and one of y and z of some planes at a time, with the disk
between the two. Steps, each of which begins with what the one before has left on the disk:

    waves      modes of phi1, some kx at a time
    bent       phi1, kx phi1, kx^2 phi1 along x, on 3/2 of the mesh
    source     mu2(phi1, phi1) in planes of x, transformed along y and z
    slopes     phi and kx phi along x, of phi1 and phi2
    fields     planes of the displacements
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float
from scipy.fft import fft, ifft, irfft, rfft

from volvelle.cosmology import Cosmology

from .errors import InitialConditionsError
from .ground import Ground
from .initial_conditions import BoxPower, Power
from .mesh import Mesh
from .modes import refined
from .transposed import Transposed, largest_divisor
from .white_noise import Seed, key_of, modes_of_rows

TOGETHER = 2**22
"""Numbers of one field that are worked on at a time."""
SLABS = "slabs"
STEPS = ("waves", "bent", "source", "slopes", "fields")

Planes = Float[np.ndarray, "p n n"]
Waves = Complex[np.ndarray, "p n h"]


@dataclass(frozen=True)
class Slabs:
    """A folder in which displacement fields are made."""

    ground: Ground
    cosmology: Cosmology
    seed: Seed
    power: Power = None
    fixed_amplitude: bool = False
    paired: bool = False
    species: str = "matter"

    def __post_init__(self) -> None:
        if self.ground.orders > 2:
            raise InitialConditionsError(
                f"{self.ground.orders} displacement fields slab by slab; expected first or second "
                "order: third is made in memory"
            )

    @property
    def folder(self) -> Path:
        """Of what is between two steps."""
        return self.ground.folder / SLABS

    @property
    def mesh(self) -> Mesh:
        """Of the particles."""
        return Mesh(self.ground.tiling.particles, self.ground.tiling.box_size)

    @property
    def finer(self) -> Mesh:
        """On which products have no aliases."""
        return refined(self.mesh, 1.5)

    def make(self) -> Iterator[str]:
        """All steps that are not done; yields the name of each that is.

        Raises InitialConditionsError where the power does not cover the box.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        second = self.ground.orders > 1
        works: dict[str, Callable[[], list[Transposed]]] = {
            "waves": self._waves,
            "bent": self._bent,
            "source": self._source,
            "slopes": self._slopes,
            "fields": self._fields,
        }
        for name in STEPS:
            mark = self.folder / f"{name}.done"
            if mark.exists() or (not second and name in ("bent", "source")):
                continue
            for each in works[name]():
                each.sync()
            mark.touch()
            yield name

    def waves(self, rows: Iterable[np.ndarray] | None = None) -> Iterator[Waves]:
        """Modes of the linear density today, as of ``rfftn``, some numbers of kx after the other.

        ``rows``: the numbers; all, in blocks, if None.
        """
        mesh = self.mesh
        spectrum = BoxPower.of(self.cosmology, mesh, self.power, self.species)
        key, sign = key_of(self.seed), -1.0 if self.paired else 1.0
        dtype = jnp.dtype(self.ground.dtype)
        for each in self._rows() if rows is None else rows:
            found = _rows(key, mesh, self.fixed_amplitude, dtype, spectrum, jnp.asarray(each))
            yield sign * np.asarray(found)

    def _rows(self) -> list[np.ndarray]:
        n = self.mesh.cells
        high = self._block(n * (n // 2 + 1), n)
        return [np.arange(first, first + high) for first in range(0, n, high)]

    def _block(self, of_one: int, number: int) -> int:
        return largest_divisor(number, max(1, TOGETHER // of_one))

    def _file(self, name: str, rows: int) -> Transposed:
        n, half = self.mesh.cells, self.mesh.cells // 2 + 1
        dtype = np.result_type(self.ground.dtype, np.complex64).name
        across = n if rows == n else self.finer.cells
        high, wide = self._block(across**2, rows), self._block(self.finer.cells * half, n)
        if name == "phi1":  # as its rows are made
            high = self._block(n * half, n)
        return Transposed(self.folder / name, (rows, n, half), high, wide, dtype)

    def _waves(self) -> list[Transposed]:
        found = self._file("phi1", self.mesh.cells)
        kx, ky, kz = self.mesh.wavenumbers()
        for i, (rows, modes) in enumerate(zip(self._rows(), self.waves(), strict=True)):
            square = kx[rows] ** 2 + ky**2 + kz**2
            inverse = np.where(square > 0.0, 1.0 / np.where(square > 0.0, square, 1.0), 0.0)
            found.put_rows(i, -modes * inverse.astype(self.ground.dtype))
        return [found]

    def _bent(self) -> list[Transposed]:
        n, m = self.mesh.cells, self.finer.cells
        phi = self._file("phi1", n)
        found = [self._file(f"bent{power}", m) for power in range(3)]
        k = self._along_x()
        for j in phi.column_blocks:
            columns = phi.columns(j)
            for power, each in enumerate(found):
                waves = _padded(columns * k**power, m, 0) * self._number(m / n)
                each.put_columns(j, np.asarray(ifft(waves, axis=0, overwrite_x=True)))
        return found

    def _source(self) -> list[Transposed]:
        n, m = self.mesh.cells, self.finer.cells
        bent = [self._file(f"bent{power}", m) for power in range(3)]
        found = self._file("source", m)
        _, ky, kz = self._derivatives()
        for i in found.row_blocks:
            none, one, two = (each.rows(i) for each in bent)

            def planes(waves: Waves) -> Planes:
                return self._to_planes(-waves, m)

            x, y, z = planes(two), planes(ky * ky * none), planes(kz * kz * none)
            total = x * y + (x + y) * z
            for waves in (ky * one, kz * one, ky * kz * none):
                total -= planes(waves) ** 2
            back = np.asarray(rfft(total, axis=2))
            back = np.asarray(fft(_cut(back, n // 2 + 1, 2), axis=1, overwrite_x=True))
            found.put_rows(i, _cut(back, n, 1))
        for each in bent:
            each.path.unlink()
        return [found]

    def _slopes(self) -> list[Transposed]:
        n, m = self.mesh.cells, self.finer.cells
        phi, found = self._file("phi1", n), []
        k = self._along_x()
        kx, ky, kz = self.mesh.wavenumbers()
        for number in range(self.ground.orders):
            across, along = self._file(f"across{number}", n), self._file(f"along{number}", n)
            for j in phi.column_blocks:
                if number == 0:
                    potential = phi.columns(j)
                else:
                    source = self._file("source", m)
                    here = slice(j * phi.wide, (j + 1) * phi.wide)
                    square = kx**2 + ky[:, here] ** 2 + kz**2
                    inverse = np.where(square > 0.0, 1.0 / np.where(square > 0.0, square, 1.0), 0.0)
                    modes = _cut(np.asarray(fft(source.columns(j), axis=0)), n, 0)
                    potential = modes * inverse.astype(self.ground.dtype) * self._number(n / m) ** 3
                across.put_columns(j, np.asarray(ifft(potential, axis=0)))
                along.put_columns(j, np.asarray(ifft(k * potential, axis=0)))
            found += [across, along]
        return found

    def _fields(self) -> list[Transposed]:
        n = self.mesh.cells
        _, ky, kz = self._derivatives()
        for number in range(self.ground.orders):
            path = self.ground.field_path(number)
            temporary = path.with_name(f".{path.name}.tmp")
            shape = (n, n, n, 3)
            held = np.lib.format.open_memmap(temporary, "w+", self.ground.dtype, shape)
            across, along = self._file(f"across{number}", n), self._file(f"along{number}", n)
            offset, size = held.offset, held[0].nbytes
            held.flush()
            del held
            with temporary.open("r+b") as stream:
                for i in across.row_blocks:
                    flat, steep = across.rows(i), along.rows(i)
                    slopes = [self._to_planes(-1j * w, n) for w in (steep, ky * flat, kz * flat)]
                    stream.seek(offset + i * across.high * size)
                    stream.write(np.stack(slopes, -1).astype(self.ground.dtype).data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        return []

    def _to_planes(self, waves: Waves, cells: int) -> Planes:
        """Fields of planes of x, from waves along y and z."""
        n = self.mesh.cells
        if cells != n:
            scale = self._number(cells / n) ** 2
            waves = scale * _padded(_padded(waves, cells, 1), cells // 2 + 1, 2)
        waves = np.asarray(ifft(waves, axis=1))
        return np.asarray(irfft(waves, n=cells, axis=2, overwrite_x=True))

    def _derivatives(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wavenumbers, 0 at Nyquist's, where a real field has no odd derivative."""
        limit = self.mesh.nyquist * (1.0 - 1e-9)
        found = [np.where(np.abs(k) < limit, k, 0.0) for k in self.mesh.wavenumbers()]
        x, y, z = (each.astype(self.ground.dtype) for each in found)
        return x, y, z

    def _along_x(self) -> np.ndarray:
        return self._derivatives()[0]

    def _number(self, value: float) -> Any:
        return np.dtype(self.ground.dtype).type(value)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _rows(
    key: Array, mesh: Mesh, fixed: bool, dtype: jnp.dtype, spectrum: BoxPower, rows: Array
) -> Complex[Array, "r n h"]:
    modes = modes_of_rows(key, mesh, fixed, dtype, rows)
    kx, ky, kz = (jnp.asarray(k**2) for k in mesh.wavenumbers())
    power = spectrum.at((kx[rows] + ky + kz).astype(dtype), mesh)
    # rfftn of a field of unit variance per cell, times sqrt(P / V_cell)
    scale = jnp.sqrt(power / mesh.cell**3) * jnp.asarray(mesh.cells**1.5, dtype)
    return modes * scale


def _padded(waves: np.ndarray, number: int, axis: int) -> np.ndarray:
    """More waves along an axis, those beyond the old Nyquist wavenumber and at it 0."""
    moved = np.moveaxis(waves, axis, 0)
    old = len(moved)
    found = np.zeros((number, *moved.shape[1:]), waves.dtype)
    if axis == 2:
        found[: old - 1] = moved[: old - 1]
    else:
        keep = old // 2
        found[:keep] = moved[:keep]
        found[number - keep + 1 :] = moved[old - keep + 1 :]
    return np.moveaxis(found, 0, axis)


def _cut(waves: np.ndarray, number: int, axis: int) -> np.ndarray:
    """Fewer waves along an axis, those at the new Nyquist wavenumber 0."""
    moved = np.moveaxis(waves, axis, 0)
    if axis == 2:
        found = moved[:number].copy()
        found[-1] = 0.0
    else:
        keep = number // 2
        zero = np.zeros((1, *moved.shape[1:]), waves.dtype)
        found = np.concatenate([moved[:keep], zero, moved[len(moved) - keep + 1 :]])
    return np.moveaxis(found, 0, axis)
