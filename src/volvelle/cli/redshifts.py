"""Galaxies and sources of a lightcone: from their blocks to n(z) that the lightcone holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .document import Document, Key
from .forecast_samples import columns, parent_of
from .maps_block import GalaxiesBlock, RedshiftsBlock, SourcesBlock
from .resolution import Interval, Resolution

if TYPE_CHECKING:
    from ..cosmology import Cosmology
    from ..nbody import Lightcone, Mesh
    from ..probes import Distribution, Table

OUTSIDE = 0.01
"""Part of n(z) that may lie beyond a lightcone; it is cut off."""
POINTS = 257
"""Of n(z) as it is tabulated."""
ARCMINUTES = (180.0 * 60.0 / np.pi) ** 2
"""Square ones to a steradian."""
FAR = "far"
"""Sources at the end of a lightcone, where none are given."""


@dataclass(frozen=True)
class Galaxies:
    """A sample of mock galaxies."""

    name: str
    distribution: Table
    per_steradian: float
    bias: float
    rsd: bool
    smoothing: float
    """[Mpc/h]."""
    resolved: Interval
    """Multipoles."""
    ends: Interval
    """Distances [Mpc/h]."""
    number: float
    """Expected in the lightcone."""
    words: str


@dataclass(frozen=True)
class Sources:
    """What is behind the matter."""

    name: str
    distribution: Distribution | float
    density: float | None
    """[1/arcmin^2]."""
    sigma_e: float | None
    missing: float
    """Part of the lensing kernel that lies outside of the shells."""
    resolved: Interval
    """Multipoles."""
    words: str

    @property
    def width(self) -> bool:
        """Whether they have n(z)."""
        return not isinstance(self.distribution, float)


def checked_galaxies(
    document: Document,
    name: str,
    block: GalaxiesBlock,
    cosmology: Cosmology,
    mesh: Mesh,
    cone: Lightcone,
    resolution: Resolution,
) -> Galaxies:
    """A sample whose n(z) the lightcone holds, and which particles suffice for."""
    from ..statistics import galaxy_density

    key: Key = ("lightcone", "galaxies", name)
    low, high = cone.redshifts
    whole = _distribution(document, (*key, "n_z"), block.n_z, cone)
    inside = float(whole.cumulative(high) - whole.cumulative(low))
    if inside < 1.0 - OUTSIDE:
        raise document.error(
            (*key, "n_z"),
            f"{100 * (1 - inside):.3g}% of n(z) lies outside of the lightcone, redshift {low:g} to "
            f"{high:g}; cut it (between: [{low:g}, {high:g}]) or widen lightcone.redshifts",
        )
    table = _table(whole, low, high)
    if block.n_z.comoving is not None:
        ends = [cone.distance(1.0 / (1.0 + z)) for z in (table.z_min, table.z_max)]
        per_steradian = block.n_z.comoving * (ends[1] ** 3 - ends[0] ** 3) / 3.0
    else:
        assert block.density is not None, "one of the two, as was checked"
        per_steradian = block.density * ARCMINUTES * inside
    z = np.linspace(table.z_min, table.z_max, POINTS)[1:]
    chi = np.array([cone.distance(1.0 / (1.0 + each)) for each in z])
    wanted = galaxy_density(cosmology, chi, 1.0 / (1.0 + z), table, per_steradian)
    mean, worst = 1.0 / mesh.cell**3, int(np.argmax(wanted))
    if wanted[worst] > mean:
        raise document.error(
            (*key, "density" if block.n_z.comoving is None else "n_z"),
            f"{wanted[worst]:.3g} galaxies per (Mpc/h)^3 at redshift {z[worst]:.3g} of "
            f"{mean:.3g} particles; take fewer galaxies, or more particles",
        )
    fine = np.linspace(chi[0], chi[-1], POINTS)
    kernel = np.interp(fine, chi, wanted) * fine**2
    return Galaxies(
        name, table, per_steradian, block.bias, block.rsd, block.smoothing,
        resolution.multipoles(fine, kernel), (float(chi[0]), float(chi[-1])),
        per_steradian * 4.0 * np.pi * cone.sky_fraction,
        f"n(z) from {table.z_min:.3g} to {table.z_max:.3g}",
    )  # fmt: skip


def checked_sources(
    document: Document,
    given: dict[str, SourcesBlock] | None,
    cosmology: Cosmology,
    cone: Lightcone,
    edges: np.ndarray,
    resolution: Resolution,
) -> tuple[Sources, ...]:
    """Those behind matter that the lightcone holds; what shells leave out is counted."""
    blocks = {FAR: SourcesBlock(redshift=cone.redshifts[1])} if given is None else given
    return tuple(
        _sources(document, name, block, cosmology, cone, edges, resolution)
        for name, block in blocks.items()
    )


def _sources(
    document: Document,
    name: str,
    block: SourcesBlock,
    cosmology: Cosmology,
    cone: Lightcone,
    edges: np.ndarray,
    resolution: Resolution,
) -> Sources:
    from ..probes import Distribution
    from ..statistics import born_kernel

    key: Key = ("lightcone", "maps", "sources", name)
    low, high = cone.redshifts
    if block.n_z is None:
        assert block.redshift is not None, "one of the two, as was checked"
        whole, last, beyond = block.redshift, block.redshift, float(block.redshift > high)
        words = f"at redshift {block.redshift:g}"
    else:
        whole = _distribution(document, (*key, "n_z"), block.n_z, cone)
        last, beyond = whole.z_max, 1.0 - float(whole.cumulative(high))
        words = f"at redshift {whole.z_min:.3g} to {min(whole.z_max, high):.3g}"
    if last <= low:
        raise document.error(
            key,
            f"the farthest is at redshift {last:g}, and the lightcone begins at {low:g}: no matter "
            "is before it; take farther sources, or a nearer lightcone",
        )
    if beyond > OUTSIDE:
        kernel = born_kernel(cosmology, whole)
        chi = np.array([0.0, cone.far, float(kernel.distance[-1])])
        near, far = kernel.integral(chi)
        raise document.error(
            key,
            f"{100 * beyond:.3g}% of the sources are beyond redshift {high:g}, where the lightcone "
            f"ends: {100 * far / (near + far):.2g}% of the lensing kernel would be missing; take "
            f"nearer sources, or widen lightcone.redshifts to {last:g}",
        )
    cut = _table(whole, 0.0, high) if isinstance(whole, Distribution) else whole
    kernel = born_kernel(cosmology, cut)
    every = np.concatenate([[0.0], edges, [max(float(kernel.distance[-1]), edges[-1] + 1.0)]])
    if edges[0] <= 0.0:
        every = every[1:]
    parts, own = kernel.integral(every), kernel.integral(edges)
    fine = np.linspace(edges[0], edges[-1], POINTS)
    missing = 1.0 - float(own.sum() / parts.sum())
    return Sources(
        name, cut, block.density, block.sigma_e, missing if missing > 1e-6 else 0.0,
        resolution.multipoles(fine, np.asarray(kernel(fine))), words,
    )  # fmt: skip


def _distribution(
    document: Document, key: Key, block: RedshiftsBlock, cone: Lightcone
) -> Distribution:
    """n(z) as the block has it, cut to ``between``."""
    from ..probes import ProbeError, Table

    try:
        if block.comoving is not None:
            low, high = block.between or cone.redshifts
            return _constant(cone, float(low), float(high))
        if block.smail is not None:
            whole = parent_of(block.smail)
        else:
            assert block.table is not None, "one of the three, as was checked"
            numbers = columns(block.table)
            if numbers.shape[1] != 2:
                raise document.error(
                    (*key, "table"),
                    f"{block.table} has {numbers.shape[1]} columns; expected z and n(z)",
                )
            whole = Table(numbers[:, 0], numbers[:, 1])
        return whole if block.between is None else _table(whole, *block.between)
    except (OSError, ValueError) as error:
        raise document.error((*key, "table"), f"{block.table} cannot be read: {error}") from error
    except ProbeError as error:
        raise document.error(key, str(error)) from error


def _constant(cone: Lightcone, low: float, high: float) -> Table:
    """n(z) of a constant comoving number, dchi^3 / dz."""
    from ..probes import Table

    z = np.linspace(low, high, POINTS)
    cube = np.array([cone.distance(1.0 / (1.0 + each)) ** 3 for each in z])
    return Table(z, np.maximum(np.gradient(cube, z, edge_order=2), 0.0), scale=_scale(low, high))


def _table(whole: Distribution, low: float, high: float) -> Table:
    """n(z) between two redshifts."""
    from ..probes import Table

    low, high = max(low, whole.z_min), min(high, whole.z_max)
    z = np.linspace(low, high, POINTS)
    return Table(z, np.asarray(whole(z)), scale=_scale(low, high))


def _scale(low: float, high: float) -> float:
    return min(0.05, (high - low) / 20.0)
