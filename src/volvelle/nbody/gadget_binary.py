"""Binary snapshots of GADGET-2, formats 1 and 2, of either byte order.

A file is a row of blocks between two 32-bit counts of their bytes: header, positions, velocities,
ids, masses. Format 2 puts a small block with a name of four letters before each. Source: V.
Springel, User guide for GADGET-2 (2005), section 6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .errors import SnapshotError
from .snapshot_header import Header

HEADER_BYTES = 256
LABEL_BYTES = 8
LAYOUT = "6I6ddd2i6I2i4d2i6Ii"
NAMES = {"POS": "positions", "VEL": "velocities", "ID": "ids", "MASS": "masses"}
WIDTH = {"POS": 3, "VEL": 3, "ID": 1, "MASS": 1}


@dataclass(frozen=True)
class _Block:
    offset: int
    size: int


class BinaryFile:
    """One file of a binary snapshot: its header, and its blocks by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = path.stat().st_size
        with path.open("rb") as stream:
            first = stream.read(4)
            self._order, self._labelled = self._recognised(first)
            self._blocks = self._found(stream)
        self.header = self._header()
        self.header.check()

    def _recognised(self, first: bytes) -> tuple[str, bool]:
        for order in "<>":
            (count,) = struct.unpack(f"{order}I", first) if len(first) == 4 else (0,)
            if count in (HEADER_BYTES, LABEL_BYTES):
                return order, count == LABEL_BYTES
        raise SnapshotError(
            f"{self.path} is no GADGET snapshot: it begins with neither a block of "
            f"{HEADER_BYTES} bytes (format 1) nor one of {LABEL_BYTES} (format 2), and is no HDF5"
        )

    def _count(self, stream: BinaryIO, offset: int, what: str) -> int:
        stream.seek(offset)
        read = stream.read(4)
        if len(read) < 4:
            raise SnapshotError(
                f"{self.path} ends at byte {self._bytes}, within {what}: it is truncated; copy it "
                "again"
            )
        return struct.unpack(f"{self._order}I", read)[0]

    def _found(self, stream: BinaryIO) -> dict[str, _Block]:
        """Where every block lies; in format 1 they go by their order."""
        blocks: dict[str, _Block] = {}
        unnamed = iter(("HEAD", *NAMES))
        offset = 0
        while offset < self._bytes:
            name = next(unnamed, f"block {len(blocks)}")
            if self._labelled:
                if self._count(stream, offset, "a label") != LABEL_BYTES:
                    raise SnapshotError(
                        f"{self.path}: no label at byte {offset}, where format 2 has one; the file "
                        "is damaged"
                    )
                label = stream.read(4)
                name = label.decode("latin-1").strip()
                offset += LABEL_BYTES + 8
            size = self._count(stream, offset, f"block {name}")
            end = self._count(stream, offset + 4 + size, f"block {name} of {size} bytes")
            if end != size:
                raise SnapshotError(
                    f"{self.path}: block {name} is said to have {size} bytes at its beginning and "
                    f"{end} at its end; the file is damaged, or has blocks of 4 GB, which 32 bits "
                    "do not count"
                )
            blocks[name] = _Block(offset + 4, size)
            offset += size + 8
        return blocks

    def _header(self) -> Header:
        block = self._blocks.get("HEAD")
        if block is None or block.size != HEADER_BYTES:
            raise SnapshotError(f"{self.path} has no block HEAD of {HEADER_BYTES} bytes")
        with self.path.open("rb") as stream:
            stream.seek(block.offset)
            layout = self._order + LAYOUT
            values = struct.unpack(layout, stream.read(struct.calcsize(layout)))
        high = values[30:36]
        return Header(
            path=self.path,
            counts=values[0:6],
            totals=tuple(low + (word << 32) for low, word in zip(values[16:22], high, strict=True)),
            masses=values[6:12],
            a=values[12],
            redshift=values[13],
            box_size=values[24],
            files=max(values[23], 1),
            Omega_m=values[25],
            Omega_de=values[26],
            h=values[27],
        )

    def read(self, name: str, kind: int) -> np.ndarray:
        """A block of one type of particles, (n, 3) or (n,), in the file's units and precision.

        Args:
            name: POS, VEL, ID or MASS.

        Raises SnapshotError if it is missing or has another size than its particles need.
        """
        if name not in self._blocks:
            raise SnapshotError(
                f"{self.path} has no block {name} ({NAMES[name]}); it has {', '.join(self._blocks)}"
            )
        block, counts = self._blocks[name], list(self.header.counts)
        if name == "MASS":  # only of types whose particles differ in mass
            counts = [0 if mass else n for n, mass in zip(counts, self.header.masses, strict=True)]
        numbers = sum(counts) * WIDTH[name]
        letter = "u" if name == "ID" else "f"
        bytes_each = block.size // numbers if numbers else 0
        if bytes_each not in (4, 8) or block.size != numbers * bytes_each:
            raise SnapshotError(
                f"{self.path}: block {name} has {block.size} bytes, while {numbers} numbers of 4 "
                "or 8 bytes are expected; a block before it is missing or the header is wrong"
            )
        start = block.offset + sum(counts[:kind]) * WIDTH[name] * bytes_each
        kept = counts[kind] * WIDTH[name]
        stored = np.dtype(f"{self._order}{letter}{bytes_each}")
        values = np.fromfile(self.path, stored, kept, offset=start)
        values = values.astype(stored.newbyteorder("="), copy=False)
        return values.reshape(-1, 3) if WIDTH[name] == 3 else values

    def close(self) -> None:
        """Nothing is kept open."""
