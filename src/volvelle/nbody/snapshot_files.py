"""Snapshots: particles in files with GADGET's conventions.

Files hold u = v / sqrt(a) of the peculiar velocity v, lengths in kpc/h or Mpc/h, masses in
1e10 Msun/h. Everything here is in Mpc/h and km/s, peculiar.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from .errors import SnapshotError
from .gadget_binary import BinaryFile
from .gadget_hdf5 import KIND, TYPES, Hdf5File, write_file
from .snapshot import Snapshot
from .snapshot_header import LENGTHS, Header

NUMBERED = re.compile(r"(?P<base>.+)\.\d+(?P<end>\.hdf5|\.h5)?")
ENDINGS = ("", ".hdf5", ".h5", ".0", ".0.hdf5", ".0.h5")
SPARE = 1 << 20
"""Room on the disk beyond the particles [bytes]."""

SnapshotFile = BinaryFile | Hdf5File


def read_header(path: str | Path) -> Header:
    """The header of a snapshot in the file's own units, without reading a particle.

    Args:
        path: as of ``read_snapshot``.
    """
    with contextlib.closing(_open(_first(Path(path)))) as file:
        return file.header


def read_snapshot(
    path: str | Path, *, kind: int = KIND, length: str | None = None, ids: bool = True
) -> Snapshot:
    """Particles of one type from a snapshot of one or many files.

    GADGET-2's binary formats 1 and 2 of either byte order, and HDF5 with GADGET's names (GADGET-3,
    GADGET-4, AREPO, Quijote); what it is, is seen in the file.

    Args:
        path: the file, one of its files, or their common beginning ("snapdir_004/snap_004").
        kind: type of particles: 1 dark matter, 2 neutrinos in Quijote.
        length: "kpc/h" or "Mpc/h". If not given: what the file states; where it states nothing
            (binary files cannot, Quijote's do not), the one in which the particles' masses make up
            Omega_m.
        ids: whether ids are wanted.

    Positions are wrapped into the box. Raises SnapshotError for files that are missing, truncated
    or damaged, for missing blocks, for units that contradict the masses or that nothing tells, and
    for positions further than half a box outside of it.
    """
    first = _first(Path(path))
    parts: dict[str, list[np.ndarray]] = {"POS": [], "VEL": [], "ID": [], "MASS": []}
    with contextlib.closing(_open(first)) as file:
        header = file.header
    if not 0 <= kind < len(header.totals) or not header.totals[kind]:
        present = ", ".join(f"{n} of type {k}" for k, n in enumerate(header.totals) if n)
        raise SnapshotError(f"{first} has no particles of type {kind}; it has {present}")
    unit = header.unit(length)
    wanted = ("POS", "VEL", *(("ID",) if ids else ()), *(() if header.masses[kind] else ("MASS",)))
    for each in _all(first, header.files):
        with contextlib.closing(_open(each)) as file:
            if not file.header.same(header):
                raise SnapshotError(f"{each} and {first} are not files of the same snapshot")
            for name in wanted:
                parts[name].append(file.read(name, kind))
    found = {name: np.concatenate(values) for name, values in parts.items() if values}
    if len(found["POS"]) != header.totals[kind]:
        raise SnapshotError(
            f"{first}: {header.files} files hold {len(found['POS'])} particles of type {kind}, "
            f"the header says {header.totals[kind]}"
        )
    masses = found["MASS"] if "MASS" in found else header.masses[kind]
    return _snapshot(first, header, unit, found, masses)


def snapshot_pieces(path: str | Path) -> Iterator[Snapshot]:
    """The dark matter of a snapshot file by file, without ids: never all of it in memory.

    Args:
        path: as of ``read_snapshot``, whose errors these are.
    """
    first = _first(Path(path))
    with contextlib.closing(_open(first)) as file:
        header = file.header
    unit = header.unit(None)
    for each in _all(first, header.files):
        with contextlib.closing(_open(each)) as file:
            if not file.header.same(header):
                raise SnapshotError(f"{each} and {first} are not files of the same snapshot")
            mass = header.masses[KIND] or file.read("MASS", KIND)
            found = {name: file.read(name, KIND) for name in ("POS", "VEL")}
        yield _snapshot(each, header, unit, found, mass)


def _snapshot(
    path: Path,
    header: Header,
    unit: float,
    found: dict[str, np.ndarray],
    masses: float | np.ndarray,
) -> Snapshot:
    """Blocks of a file, or of all, in Mpc/h and km/s."""
    box_size = header.box_size * unit
    return Snapshot(
        _wrapped(path, found["POS"] * np.asarray(unit, found["POS"].dtype), box_size),
        found["VEL"] * np.asarray(header.velocity * header.a**0.5, found["VEL"].dtype),
        a=header.a,
        box_size=box_size,
        Omega_m=header.Omega_m,
        Omega_de=header.Omega_de,
        h=header.h,
        masses=masses * header.mass,
        ids=found.get("ID"),
    )


def snapshot_parts(path: str | Path) -> list[Path]:
    """All files of a snapshot, of which ``path`` names one or the common beginning."""
    first = _first(Path(path))
    with contextlib.closing(_open(first)) as file:
        return _all(first, file.header.files)


def write_snapshot(
    path: str | Path,
    particles: Snapshot,
    *,
    length: str = "kpc/h",
    files: int = 1,
    total: int | None = None,
) -> Path:
    """Write particles as one file in HDF5 with GADGET's names, as type 1; returns its path.

    The header states its units. A file of that name is replaced when the new one is whole on the
    disk, so that a kill or a full disk leaves the old one as it was.

    Args:
        path: its name should end in .hdf5.
        length: "kpc/h" or "Mpc/h".
        files, total: of a snapshot of several files, this one of them ("name.3.hdf5"): how many
            there are, and how many particles in all; with masses and ids of the particles given.

    Raises SnapshotError where there is no room, the folder cannot be written to, or the unit of
    length is not known.
    """
    path = Path(path)
    if length not in LENGTHS:
        raise SnapshotError(f"length {length!r} is not known; choose from {', '.join(LENGTHS)}")
    unit, a, count = LENGTHS[length], float(particles.a), particles.count
    positions, velocities = np.asarray(particles.positions), np.asarray(particles.velocities)
    content = {
        "POS": positions / np.asarray(unit, positions.dtype),
        "VEL": velocities / np.asarray(a**0.5, velocities.dtype),
        "ID": np.arange(1, count + 1, dtype=np.uint32 if count < 2**32 - 1 else np.uint64)
        if particles.ids is None
        else np.asarray(particles.ids),
    }
    table = [0.0] * TYPES
    if np.ndim(particles.masses):
        content["MASS"] = np.asarray(particles.masses)
    else:
        table[KIND] = float(particles.masses)
    counts = tuple(count if kind == KIND else 0 for kind in range(TYPES))
    everywhere = count if total is None else total
    header = Header(
        path=path,
        counts=counts,
        totals=tuple(everywhere if kind == KIND else 0 for kind in range(TYPES)),
        masses=tuple(table),
        a=a,
        redshift=1.0 / a - 1.0,
        box_size=float(particles.box_size) / unit,
        files=files,
        Omega_m=float(particles.Omega_m),
        Omega_de=float(particles.Omega_de),
        h=float(particles.h),
        length=length,
    )
    _write(path, content, header)
    return path


def _write(path: Path, content: dict[str, np.ndarray], header: Header) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        needed = sum(values.nbytes for values in content.values()) + SPARE
        free = shutil.disk_usage(path.parent).free
        if free < needed:
            raise SnapshotError(
                f"{path} needs {needed / 1e6:.1f} MB and {free / 1e6:.1f} MB are free there; "
                "nothing was written"
            )
        write_file(temporary, content, header)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        kept = "; the one that was there before is whole" if path.exists() else ""
        raise SnapshotError(f"{path} could not be written ({error}){kept}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _first(path: Path) -> Path:
    """The file that is meant."""
    for ending in ENDINGS:
        candidate = path.with_name(path.name + ending)
        if candidate.is_file():
            return candidate
    tried = ", ".join(path.name + ending for ending in ENDINGS)
    raise SnapshotError(f"{path} is no file; looked for {tried} in {path.parent}")


def _all(first: Path, files: int) -> list[Path]:
    """Every file of the snapshot, of which one is given."""
    if files == 1:
        return [first]
    match = NUMBERED.fullmatch(first.name)
    if match is None:
        raise SnapshotError(
            f"{first} is one of {files} files, and its name has no number by which to find the "
            "others; expected NAME.0 or NAME.0.hdf5"
        )
    base, end = match["base"], match["end"] or ""
    paths = [first.with_name(f"{base}.{number}{end}") for number in range(files)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise SnapshotError(
            f"{first} is one of {files} files, of which {len(missing)} are missing: "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
        )
    return paths


def _open(path: Path) -> SnapshotFile:
    return Hdf5File(path) if h5py.is_hdf5(path) else BinaryFile(path)


def _wrapped(path: Path, positions: np.ndarray, box_size: float) -> np.ndarray:
    low, high = float(positions.min()), float(positions.max())
    if low < -0.5 * box_size or high > 1.5 * box_size:
        raise SnapshotError(
            f"{path}: positions reach from {low:.6g} to {high:.6g} Mpc/h in a box of "
            f"{box_size:.6g} Mpc/h; they and the box are in different units"
        )
    if low >= 0.0 and high < box_size:
        return positions
    wrapped = positions % np.asarray(box_size, positions.dtype)
    return np.where(wrapped < box_size, wrapped, 0.0).astype(positions.dtype)
