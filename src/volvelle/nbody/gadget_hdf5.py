"""Snapshots in HDF5 with GADGET's names, as GADGET-3 and -4, AREPO and Quijote write them.

Quijote's are compressed with Blosc, a filter that HDF5 finds in the package ``hdf5plugin``; it is
loaded where it is installed. Units are read from the attributes UnitLength_in_cm,
UnitVelocity_in_cm_per_s and UnitMass_in_g of the groups Header, Parameters or Units, if there.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .errors import SnapshotError
from .snapshot_header import CENTIMETRES, GRAMS, Header, named_length

TYPES = 6
KIND = 1
"""Of the particles of a simulation of dark matter."""
NAMES = {"POS": "Coordinates", "VEL": "Velocities", "ID": "ParticleIDs", "MASS": "Masses"}
GROUPS = ("Header", "Parameters", "Units")
KMS = 1e5
"""[cm/s]."""


class Hdf5File:
    """One file of a snapshot in HDF5: its header, and its blocks by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise SnapshotError(
                f"{path} cannot be opened as HDF5; it is truncated or damaged ({error})"
            ) from error
        try:
            self.header = self._header()
            self.header.check()
        except Exception:
            self._file.close()
            raise

    def _header(self) -> Header:
        if "Header" not in self._file:
            raise SnapshotError(
                f"{self.path} has no group Header; it holds {', '.join(self._file)}"
            )
        if "Omega_m" in getattr(self._file.get("Cosmology"), "attrs", {}):
            raise SnapshotError(
                f"{self.path} is a snapshot of SWIFT, whose lengths have no h in them; it cannot "
                "be read"
            )
        totals = np.atleast_1d(self._value("NumPart_Total")).astype(np.int64)
        high = self._value("NumPart_Total_HighWord", np.zeros_like(totals))
        length = self._value("UnitLength_in_cm", None)
        return Header(
            path=self.path,
            counts=tuple(int(n) for n in np.atleast_1d(self._value("NumPart_ThisFile"))),
            totals=tuple(
                int(low) + (int(word) << 32)
                for low, word in zip(totals, np.atleast_1d(high), strict=True)
            ),
            masses=tuple(float(m) for m in np.atleast_1d(self._value("MassTable"))),
            a=float(self._value("Time")),
            redshift=float(self._value("Redshift")),
            box_size=float(self._value("BoxSize")),
            files=int(self._value("NumFilesPerSnapshot")),
            Omega_m=float(self._value("Omega0")),
            Omega_de=float(self._value("OmegaLambda")),
            h=float(self._value("HubbleParam")),
            length=None if length is None else named_length(self.path, float(length)),
            velocity=float(self._value("UnitVelocity_in_cm_per_s", KMS)) / KMS,
            mass=float(self._value("UnitMass_in_g", GRAMS)) / GRAMS,
        )

    def _value(self, name: str, *missing: Any) -> Any:
        for group in GROUPS:
            if group in self._file and name in self._file[group].attrs:
                return self._file[group].attrs[name]
        if missing:
            return missing[0]
        raise SnapshotError(
            f"{self.path} has no attribute {name} in {' or '.join(GROUPS[:2])}; it is no snapshot "
            "with GADGET's header"
        )

    def read(self, name: str, kind: int) -> np.ndarray:
        """A block of one type of particles, (n, 3) or (n,), in the file's units and precision.

        Args:
            name: POS, VEL, ID or MASS.

        Raises SnapshotError if it is missing, damaged, compressed by what is not installed, or has
        another shape than its particles need.
        """
        group, block = f"PartType{kind}", NAMES[name]
        count = self.header.counts[kind]
        shape = (count, 3) if name in ("POS", "VEL") else (count,)
        if not count:
            return np.zeros(shape, np.float32 if name != "ID" else np.uint32)
        dataset = self._file.get(f"{group}/{block}")
        if not isinstance(dataset, h5py.Dataset):
            there = self._file.get(group)
            held = ", ".join(there if isinstance(there, h5py.Group) else self._file)
            raise SnapshotError(f"{self.path} has no block {group}/{block}; it has {held}")
        if dataset.shape != shape:
            raise SnapshotError(
                f"{self.path}: {group}/{block} has shape {dataset.shape}, while the header counts "
                f"{count} particles"
            )
        missing = self._missing_filter(dataset)
        if missing:
            raise SnapshotError(
                f"{self.path}: {group}/{block} is compressed by {missing}, which HDF5 does not "
                "know here; `pip install hdf5plugin` brings it"
            )
        try:
            return dataset[...]
        except OSError as error:
            raise SnapshotError(
                f"{self.path}: {group}/{block} cannot be read; the file is truncated or damaged "
                f"({error})"
            ) from error

    @staticmethod
    def _missing_filter(dataset: h5py.Dataset) -> str | None:
        """Name of a compression that cannot be undone here."""
        created = dataset.id.get_create_plist()
        filters = [created.get_filter(i) for i in range(created.get_nfilters())]
        if not all(h5py.h5z.filter_avail(each[0]) for each in filters):
            with contextlib.suppress(ImportError):
                importlib.import_module("hdf5plugin")
        for number, _, _, name in filters:
            if not h5py.h5z.filter_avail(number):
                return f"filter {number} ({name.decode() or 'without a name'})"
        return None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def write_file(path: Path, content: dict[str, np.ndarray], header: Header) -> None:
    """A whole new file with particles of type 1, on the disk when this returns.

    Raises OSError where it cannot be written; what is left of it then is the caller's to remove.
    """
    try:
        with h5py.File(path, "w") as file:
            _write_header(file, header)
            group = file.create_group(f"PartType{KIND}")
            for name, values in content.items():
                group.create_dataset(NAMES[name], data=values)
    except RuntimeError as error:  # HDF5's own, when it closes a file that the disk has no room for
        raise OSError(str(error)) from error
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_header(file: h5py.File, header: Header) -> None:
    attributes = file.create_group("Header").attrs
    totals = np.array(header.totals, np.uint64)
    attributes["NumPart_ThisFile"] = np.array(header.counts, np.uint32)
    attributes["NumPart_Total"] = (totals & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    attributes["NumPart_Total_HighWord"] = (totals >> np.uint64(32)).astype(np.uint32)
    attributes["MassTable"] = np.array(header.masses)
    attributes["Time"] = header.a
    attributes["Redshift"] = header.redshift
    attributes["BoxSize"] = header.box_size
    attributes["NumFilesPerSnapshot"] = np.int32(header.files)
    attributes["Omega0"] = header.Omega_m
    attributes["OmegaLambda"] = header.Omega_de
    attributes["HubbleParam"] = header.h
    for flag in ("Sfr", "Feedback", "Cooling", "StellarAge", "Metals", "Entropy_ICs"):
        attributes[f"Flag_{flag}"] = np.int32(0)
    if header.length is not None:
        attributes["UnitLength_in_cm"] = CENTIMETRES[header.length]
    attributes["UnitMass_in_g"] = GRAMS
    attributes["UnitVelocity_in_cm_per_s"] = KMS
