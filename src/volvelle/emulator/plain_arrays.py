"""NumPy's files, read without trust in what they say of themselves."""

from __future__ import annotations

import io
import zipfile
import zlib
from math import prod
from typing import Any

import numpy as np

from volvelle.emulator.errors import EmulatorError
from volvelle.emulator.plain_pickle import CODES, read_pickle

LARGEST = 2**30  # bytes of a file, and of an archive unpacked
MOST_MEMBERS = 1000


def read_npy(content: bytes) -> Any:
    """The array of a ``.npy`` file; one of objects as plain values (see ``plain_pickle``).

    Raises:
        EmulatorError: it is damaged, or holds something else.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if reader is None:
            raise EmulatorError(f"the .npy file has version {version}; 1.0 and 2.0 are read")
        shape, fortran, dtype = reader(stream)
    except EmulatorError:
        raise
    except Exception as error:  # NumPy parses text there, and lets all its errors through
        words = " ".join(str(error).split())[:100]
        raise EmulatorError(
            f"the .npy file is damaged ({type(error).__name__}: {words})"
        ) from error
    rest = content[stream.tell() :]
    if dtype == np.dtype(object):
        return read_pickle(rest)
    if dtype.kind == "U" and shape == () and dtype.itemsize == len(rest):
        return str(np.frombuffer(rest, dtype)[0])
    if dtype.kind == "U" and len(shape) == 1 and dtype.itemsize * shape[0] == len(rest) > 0:
        return [str(each) for each in np.frombuffer(rest, dtype)]
    sound = dtype.str[1:] in CODES and all(n >= 0 for n in shape) and len(shape) <= 4
    if not sound or prod(shape) * dtype.itemsize != len(rest):
        raise EmulatorError(
            f"the .npy file says shape {shape} and type {dtype}, and {len(rest)} bytes follow; "
            "expected real or whole numbers, as many as it says"
        )
    array = np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))


def read_npz(content: bytes) -> dict[str, Any]:
    """Everything in a ``.npz`` file, as ``read_npy`` reads it.

    Raises:
        EmulatorError: it is damaged, packed in another way, or larger than it may be.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check(members)
            return {m.filename.removesuffix(".npy"): read_npy(archive.read(m)) for m in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
            RuntimeError, IndexError, KeyError, OverflowError) as error:  # fmt: skip
        raise EmulatorError(
            f"the .npz file is damaged ({type(error).__name__}: {error})"
        ) from error


def _check(members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    if total > LARGEST or len(members) > MOST_MEMBERS:
        raise EmulatorError(
            f"the .npz file unpacks to {len(members)} files of {total} bytes; at most "
            f"{MOST_MEMBERS} of {LARGEST} are read"
        )
    for member in members:
        known = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not known or member.flag_bits & 1 or not member.filename.endswith(".npy"):
            raise EmulatorError(
                f"the .npz file holds {member.filename!r:.80}, which is no .npy file packed as "
                "NumPy does"
            )
