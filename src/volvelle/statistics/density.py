"""The density contrast that every statistic measures, of a field or of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import scipy.fft

from volvelle.compute import available_cores
from volvelle.nbody import Mesh, SimulationError, density_contrast
from volvelle.nbody.assignment import ORDERS

from .errors import DensityError

OUTSIDE = 0.5
"""How far outside of the box, in boxes, a catalogue may reach: further is another unit."""


@dataclass(frozen=True)
class Density:
    """delta = rho / mean - 1 in a periodic cube, by its modes; made by `of_field`, `of_catalogue`.

    ``modes`` [n, n, n/2 + 1] is ``rfftn`` of delta, not normalised, with the assignment divided out
    and 0 for the mean. ``shot_noise`` [(Mpc/h)^3] is V sum(w^2) / (sum w)^2 of a catalogue of
    objects with weights w, ``triple_noise`` [(Mpc/h)^6] V^2 sum(w^3) / (sum w)^3; both are 0 for a
    field. ``assignment`` and ``interlaced`` say how a catalogue was painted.
    """

    mesh: Mesh
    modes: np.ndarray
    shot_noise: float = 0.0
    triple_noise: float = 0.0
    assignment: str | None = None
    interlaced: bool = False

    @classmethod
    def of_field(
        cls,
        field: Any,
        box_size: float,
        *,
        contrast: bool = True,
        assignment: str | None = None,
        shot_noise: float = 0.0,
    ) -> Density:
        """A field on the points of a mesh.

        Args:
            field: delta of shape (n, n, n), n even; lists, NumPy or JAX arrays. Computed in
                float32 if it is that, else in float64.
            box_size: side of the cube [Mpc/h].
            contrast: False for a density, which is divided by its mean.
            assignment: by which it was painted ("ngp", "cic", "tsc", "pcs"): divided out.
            shot_noise: of the objects that it was painted from [(Mpc/h)^3].

        Raises DensityError for other shapes, NaN, and densities whose mean is not positive.
        """
        values = known_array(field)
        if values.dtype.kind not in "fiub":
            raise DensityError(f"the field is of {values.dtype}; expected real numbers")
        if values.dtype != np.float32:
            values = values.astype(np.float64)
        if values.ndim != 3 or len(set(values.shape)) != 1 or values.shape[0] % 2:
            raise DensityError(
                f"the field has shape {values.shape}; expected (n, n, n) with an even n"
            )
        total = float(values.sum(dtype=np.float64))
        if not np.isfinite(total):
            wrong = int(np.count_nonzero(~np.isfinite(values)))
            raise DensityError(f"{wrong} of {values.size} values of the field are NaN or infinite")
        if not (np.isfinite(shot_noise) and shot_noise >= 0.0):
            raise DensityError(f"shot_noise is {shot_noise}; expected a number from 0 on")
        mesh = _mesh(values.shape[0], box_size)
        modes = transform(values)
        modes[0, 0, 0] = 0.0
        if not contrast:
            if total <= 0.0:
                raise DensityError(
                    f"the density has the mean {total / values.size:.6g}; expected a positive "
                    "one (contrast=True is for a field that is a contrast already)"
                )
            modes *= np.asarray(values.size / total, modes.dtype)
        if assignment is not None:
            _divide_out(modes, assignment)
        return cls(mesh, modes, float(shot_noise), float(shot_noise) ** 2)

    @classmethod
    def of_catalogue(
        cls,
        positions: Any,
        box_size: float,
        *,
        cells: int,
        weights: Any = None,
        assignment: str = "pcs",
        interlaced: bool = True,
    ) -> Density:
        """Particles, halos or galaxies, painted on a mesh.

        Args:
            positions: of shape (n, 3) [Mpc/h]; those outside of the box are wrapped into it.
            box_size: side of the cube [Mpc/h].
            cells: of the mesh, per side; even.
            weights: of shape (n,), or none for equal ones.
            assignment: "ngp", "cic", "tsc" or "pcs".
            interlaced: average two meshes, half a cell apart (Sefusatti et al. 2016).

        Raises DensityError for other shapes, NaN, weights that do not add up to more than 0, and
        catalogues that reach further than half a box outside of it: these are in another unit.
        """
        where = known_array(positions)
        if where.ndim != 2 or where.shape[1] != 3 or not len(where):
            raise DensityError(f"positions have shape {where.shape}; expected (n, 3), n >= 1")
        low, high = float(where.min()), float(where.max())
        if low < -OUTSIDE * box_size or high > (1.0 + OUTSIDE) * box_size:
            raise DensityError(
                f"the catalogue reaches from {low:.6g} to {high:.6g}, in a box of {box_size:.6g} "
                "Mpc/h; give both in Mpc/h, and positions of the box itself"
            )
        mesh = _mesh(cells, box_size)
        try:
            modes = np.asarray(
                density_contrast(mesh, where, weights, assignment, interlaced=interlaced)
            )
        except SimulationError as error:
            raise DensityError(str(error)) from error
        w = np.ones(1) if weights is None else known_array(weights).astype(np.float64)
        w = np.broadcast_to(w, len(where))
        share = mesh.volume * w / w.sum()
        noise = float(np.sum(share**2)) / mesh.volume, float(np.sum(share**3)) / mesh.volume
        return cls(mesh, modes, *noise, assignment, interlaced)

    @property
    def precision(self) -> type[np.floating]:
        """Of a field that is made of the modes."""
        return np.float32 if self.modes.dtype == np.complex64 else np.float64

    @property
    def cells(self) -> int:
        """Of the mesh, per side."""
        return self.mesh.cells

    def field(self) -> np.ndarray:
        """delta of shape (n, n, n)."""
        return inverse(self.modes.copy(), self.cells)


def same_mesh(first: Density, second: Density) -> None:
    """Raise DensityError unless both live on one mesh."""
    if first.mesh != second.mesh:
        one, other = first.mesh, second.mesh
        raise DensityError(
            f"the two fields live on different meshes: {one.cells} cells in {one.box_size} Mpc/h "
            f"and {other.cells} cells in {other.box_size} Mpc/h"
        )


def transform(values: np.ndarray) -> np.ndarray:
    """``rfftn`` on all cores, in the precision of the values."""
    return np.asarray(scipy.fft.rfftn(values, workers=available_cores()))


def inverse(modes: np.ndarray, cells: int) -> np.ndarray:
    """``irfftn`` on all cores; the modes are used up."""
    shape = (cells,) * 3
    return np.asarray(scipy.fft.irfftn(modes, s=shape, overwrite_x=True, workers=available_cores()))


def cosine_transform(octant: np.ndarray) -> np.ndarray:
    """``rfftn`` of what is even along every axis, from its values at 0..n/2 to those of the modes;
    the octant is used up."""
    workers = available_cores()
    return np.asarray(scipy.fft.dctn(octant, type=1, overwrite_x=True, workers=workers))


def _mesh(cells: int, box_size: float) -> Mesh:
    try:
        return Mesh(cells, box_size)
    except SimulationError as error:
        raise DensityError(str(error)) from error


def _divide_out(modes: np.ndarray, assignment: str) -> None:
    """(sin x / x)^order along every axis, x = pi i / n, in place."""
    if assignment not in ORDERS:
        raise DensityError(f"assignment is {assignment!r}; expected one of {', '.join(ORDERS)}")
    cells = len(modes)
    real = np.float32 if modes.dtype == np.complex64 else np.float64
    full = (1.0 / np.sinc(np.fft.fftfreq(cells)) ** ORDERS[assignment]).astype(real)
    plane = full[:, None] * full[None, : cells // 2 + 1]
    for i in range(cells):
        modes[i] *= full[i] * plane


def known_array(values: Any) -> np.ndarray:
    """An array whose values are there; JAX's tracers are no measurement."""
    try:
        return np.asarray(values)
    except jax.errors.TracerArrayConversionError as error:
        raise DensityError(
            "measurements read numbers and cannot be traced by JAX; use differentiable_power and "
            "differentiable_pdf inside of jit and grad"
        ) from error
