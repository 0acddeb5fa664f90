"""Where data sets lie on this machine, and whether they are what they should be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .catalogue import DataSetRecord, record, registry
from .errors import DamagedDataError, MissingDataError

DATA_VARIABLE = "VOLVELLE_DATA"
CACHE_VARIABLE = "VOLVELLE_CACHE"


@dataclass(frozen=True)
class DataSet:
    """A data set on disk whose every file has been verified.

    ``files`` are the paths and ``file_sha256`` the hashes by file name; ``sha256`` stands for the
    whole set.
    """

    name: str
    path: Path
    files: Mapping[str, Path]
    file_sha256: Mapping[str, str]
    sha256: str


@dataclass(frozen=True)
class DataSetStatus:
    """A row of `list_sets`; ``state`` is "ok", "missing" or "damaged", ``path`` where it lies."""

    name: str
    description: str
    state: str
    path: Path | None
    bytes: int
    licence: str
    cite: str
    sha256: str


def cache_dir() -> Path:
    """The folder of downloaded data sets: under ``VOLVELLE_CACHE``, else the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser() / "data"
    import pooch

    return Path(pooch.os_cache("volvelle")) / "data"


def search_path() -> tuple[Path, ...]:
    """The folders that are searched for data sets, first one first."""
    named = os.environ.get(DATA_VARIABLE)
    return (*((Path(named).expanduser(),) if named else ()), cache_dir())


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find(entry: DataSetRecord) -> Path | None:
    """The first folder on the search path that holds any file of the data set."""
    for root in search_path():
        folder = root / entry.name
        if any((folder / file).is_file() for file in entry.files):
            return folder
    return None


def problems(entry: DataSetRecord, folder: Path) -> list[tuple[str, str]]:
    """What is wrong with the files in this folder: rows (kind, sentence), empty when all is well.

    The kind is "missing" or "damaged".
    """
    rows = []
    for file, expected in entry.files.items():
        path = folder / file
        if not path.is_file():
            rows.append(("missing", f"{path} is missing"))
            continue
        found = sha256(path)
        if found != expected.sha256:
            rows.append(("damaged", f"{path} has sha256 {found}, expected {expected.sha256}"))
    return rows


def locate(name: str) -> DataSet:
    """Find a data set in ``VOLVELLE_DATA``, then in the user's cache, and verify every file.

    Raises UnknownDataSetError, MissingDataError (naming the command that gets the set) or
    DamagedDataError.
    """
    entry = record(name)
    folder = find(entry)
    if folder is None:
        searched = ", ".join(str(root) for root in search_path())
        raise MissingDataError(
            f"data set {name} is in none of {searched}; get it with `volvelle data get {name}` "
            f"or set {DATA_VARIABLE} to the folder that holds {name}/"
        )
    for kind, sentence in problems(entry, folder):
        cure = f"get it anew with `volvelle data get {name}`"
        if not folder.is_relative_to(cache_dir()):
            cure = f"mend the folder that {DATA_VARIABLE} names, or unset it and {cure}"
        error = DamagedDataError if kind == "damaged" else MissingDataError
        raise error(f"data set {name}: {sentence}; {cure}")
    return DataSet(
        name=name,
        path=folder,
        files={file: folder / file for file in entry.files},
        file_sha256={file: expected.sha256 for file, expected in entry.files.items()},
        sha256=entry.sha256,
    )


def check(name: str) -> list[str]:
    """Problems of a data set on this machine as sentences; an empty list when all is well."""
    entry = record(name)
    folder = find(entry)
    if folder is None:
        return [f"{name} is not on this machine; get it with `volvelle data get {name}`"]
    return [sentence for _, sentence in problems(entry, folder)]


def list_sets() -> list[DataSetStatus]:
    """Every data set of the registry and its state on this machine."""
    rows = []
    for entry in registry().values():
        folder = find(entry)
        kinds = {"missing"} if folder is None else {kind for kind, _ in problems(entry, folder)}
        state = "damaged" if "damaged" in kinds else "missing" if kinds else "ok"
        rows.append(
            DataSetStatus(
                name=entry.name,
                description=entry.description,
                state=state,
                path=folder,
                bytes=entry.bytes,
                licence=entry.licence,
                cite=entry.cite,
                sha256=entry.sha256,
            )
        )
    return rows
