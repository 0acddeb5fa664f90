"""From a sample's block to its redshifts, densities and nuisance parameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .document import Document, Key
from .forecast_blocks import BinQuantity, SampleBlock, SmailForm

if TYPE_CHECKING:
    from ..probes import Distribution, Sample


def columns(path: Path) -> np.ndarray:
    """The numbers of a text file, [rows, columns]; raises OSError or ValueError."""
    return np.loadtxt(path, ndmin=2)


def make_sample(
    document: Document, name: str, block: SampleBlock
) -> tuple[Sample, tuple[float, ...] | None]:
    """The sample, and the edges of its bins where the file cuts them itself.

    Raises ConfigurationError.
    """
    import jax.numpy as jnp

    from ..probes import ProbeError, Sample

    key: Key = ("samples", name)
    try:
        bins, edges, shares = _bins(document, key, block)
        density = _densities(document, key, block, shares, len(bins))
        return (
            Sample(
                name=name,
                kind=block.kind,
                bins=bins,
                densities=jnp.asarray(density),
                bias=_per_bin(document, (*key, "bias"), block.bias, len(bins)),
                m=_per_bin(document, (*key, "m"), block.m, len(bins)),
                dz=_per_bin(document, (*key, "dz"), block.dz, len(bins)),
                alignment=_alignment(block),
                pivot=block.z_IA,
                ellipticity=block.sigma_e or 0.0,
                ell_max=np.inf if block.ell_max is None else block.ell_max,
            ),
            edges,
        )
    except ProbeError as error:
        raise document.error(key, str(error)) from error


def parent_of(form: SmailForm) -> Distribution:
    """The whole sample."""
    from ..probes import Smail

    parameters = (form.alpha, form.beta, form.z0)
    return Smail(*parameters, z_max=form.z_max)  # pyright: ignore[reportCallIssue]


def _bins(
    document: Document, key: Key, block: SampleBlock
) -> tuple[tuple[Distribution, ...], tuple[float, ...] | None, np.ndarray | None]:
    """n(z) of every bin, the edges, and the share of the sample in each."""
    from ..probes import Table, equal_counts, photometric_bins

    where: Key = (*key, "n_z")
    if block.n_z.smail is not None:
        parent = parent_of(block.n_z.smail)
    else:
        found = _read(document, where, block)
        if len(found) > 1 or block.n_z.sacc is not None:
            if block.bins is not None:
                raise document.error(
                    (*key, "bins"), f"{len(found)} bins are in the file already; drop this"
                )
            return tuple(Table(z, n) for z, n in found), None, None
        parent = Table(*found[0])
        if block.bins is None:
            return (parent,), None, None
    if block.bins is None:
        raise document.error((*key, "bins"), "missing; add edges: or number:, and scatter:")
    cut = block.bins
    edges = cut.edges or equal_counts(parent, cut.number or 1, cut.low, cut.high)
    bins = photometric_bins(parent, np.asarray(edges), cut.scatter)
    shares = np.array([float(each.share) for each in bins])
    return bins, tuple(float(edge) for edge in edges), shares


def _read(document: Document, key: Key, block: SampleBlock) -> list[tuple[np.ndarray, np.ndarray]]:
    """z and n(z) of every distribution in a file."""
    if block.n_z.sacc is not None:
        return [_tracer(document, key, block.n_z.sacc.file, n) for n in block.n_z.sacc.tracers]
    path = block.n_z.table
    assert path is not None
    try:
        table = columns(path)
    except (OSError, ValueError) as error:
        raise document.error((*key, "table"), f"{path} cannot be read: {error}") from error
    if table.shape[1] < 2:
        raise document.error((*key, "table"), f"{path} has one column; expected z and n(z)")
    return [(table[:, 0], table[:, n]) for n in range(1, table.shape[1])]


def _tracer(document: Document, key: Key, path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """n(z) of a tracer of a SACC file in HDF5."""
    import h5py

    where: Key = (*key, "sacc")
    try:
        with h5py.File(path) as file:
            group: Any = file.get("tracer", {})
            if name not in group:
                raise document.error(
                    (*where, "tracers"),
                    f"{path} has no tracer '{name}'; there are {', '.join(group) or 'none'}",
                )
            rows = group[name][()]
            return np.asarray(rows["z"], float), np.asarray(rows["nz"], float)
    except (OSError, ValueError) as error:
        raise document.error(
            (*where, "file"), f"{path} cannot be read as SACC in HDF5: {error}"
        ) from error


def _densities(
    document: Document, key: Key, block: SampleBlock, shares: np.ndarray | None, number: int
) -> np.ndarray:
    """Objects per square arcminute in each bin."""
    if isinstance(block.density, list):
        if len(block.density) != number or min(block.density) <= 0.0:
            raise document.error(
                (*key, "density"), f"expected {number} positive numbers, one per bin"
            )
        return np.asarray(block.density)
    if shares is None:
        if number == 1:
            return np.array([block.density])
        raise document.error(
            (*key, "density"), f"expected a list of {number}, one per bin of the file"
        )
    return block.density * shares


def _per_bin(document: Document, key: Key, quantity: BinQuantity | None, number: int) -> Any:
    import jax.numpy as jnp

    if quantity is None:
        return None
    given = quantity.fiducial
    if isinstance(given, list) and len(given) != number:
        raise document.error(key, f"{len(given)} numbers for {number} bins")
    return jnp.broadcast_to(jnp.asarray(given, dtype=float), (number,))


def _alignment(block: SampleBlock) -> tuple[float, float] | None:
    if block.A_IA is None:
        return None
    return block.A_IA.fiducial, 0.0 if block.eta_IA is None else block.eta_IA.fiducial
