"""Arrays on the disk that are written along one axis and read along another.

Blocks of both axes lie together in the file, so that neither way jumps for every number.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Complex


def largest_divisor(number: int, most: int) -> int:
    """The largest whole number up to ``most``, and 1 at least, that divides another."""
    return next(d for d in range(max(1, min(most, number)), 0, -1) if number % d == 0)


@dataclass(frozen=True)
class Transposed:
    """A complex array [rows, columns, depth] in a file, block by block.

    high, wide: rows and columns of a block, which divide those of the array.
    """

    path: Path
    shape: tuple[int, int, int]
    high: int
    wide: int
    dtype: str

    @property
    def row_blocks(self) -> range:
        """Their numbers."""
        return range(self.shape[0] // self.high)

    @property
    def column_blocks(self) -> range:
        """Their numbers."""
        return range(self.shape[1] // self.wide)

    def put_rows(self, i: int, values: Complex[np.ndarray, "h c d"]) -> None:
        """Write a block of rows, all columns of them."""
        for j in self.column_blocks:
            self._put(i, j, values[:, j * self.wide : (j + 1) * self.wide])

    def put_columns(self, j: int, values: Complex[np.ndarray, "r w d"]) -> None:
        """Write a block of columns, all rows of them."""
        for i in self.row_blocks:
            self._put(i, j, values[i * self.high : (i + 1) * self.high])

    def rows(self, i: int) -> Complex[np.ndarray, "h c d"]:
        """Read a block of rows."""
        return np.concatenate([self._get(i, j) for j in self.column_blocks], axis=1)

    def columns(self, j: int) -> Complex[np.ndarray, "r w d"]:
        """Read a block of columns."""
        return np.concatenate([self._get(i, j) for i in self.row_blocks], axis=0)

    def sync(self) -> None:
        """Wait until it is on the disk."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _offset(self, i: int, j: int) -> int:
        block = self.high * self.wide * self.shape[2] * np.dtype(self.dtype).itemsize
        return (i * len(self.column_blocks) + j) * block

    def _put(self, i: int, j: int, values: np.ndarray) -> None:
        if not self.path.exists():
            self.path.touch()
        with self.path.open("r+b") as stream:
            stream.seek(self._offset(i, j))
            stream.write(np.ascontiguousarray(values, self.dtype).data)

    def _get(self, i: int, j: int) -> np.ndarray:
        shape = (self.high, self.wide, self.shape[2])
        number = int(np.prod(shape))
        found = np.fromfile(self.path, self.dtype, number, offset=self._offset(i, j))
        return found.reshape(shape)
