"""The list of public data sets: what they are, where they come from, what their files hash to."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from .errors import UnknownDataSetError

_ARXIV = re.compile(r"arXiv:\d{4}\.\d{4,5}")
_ENTRY = re.compile(r"^@\w+\{([^,]+),.*?^\}", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class FileRecord:
    """One file of a data set: where it comes from and what it must hash to."""

    sha256: str
    bytes: int
    url: str


@dataclass(frozen=True)
class DataSetRecord:
    """One data set as the registry lists it."""

    name: str
    description: str
    licence: str
    cite: str
    how_to_read: str
    files: Mapping[str, FileRecord]

    @property
    def sha256(self) -> str:
        """The hash of the whole set: sha256 over its sorted file names and file hashes."""
        return set_sha256({name: record.sha256 for name, record in self.files.items()})

    @property
    def bytes(self) -> int:
        """Size of all files together [byte]."""
        return sum(record.bytes for record in self.files.values())

    @property
    def cite_keys(self) -> tuple[str, ...]:
        """Keys of the papers to cite, as in `bibtex`: ``arXiv:NUMBER``."""
        return tuple(_ARXIV.findall(self.cite))


def _packaged(file: str) -> str:
    return resources.files("volvelle.data").joinpath(file).read_text(encoding="utf-8")


def set_sha256(hashes: Mapping[str, str]) -> str:
    """One hash for several files: sha256 over the sorted lines ``NAME SHA256``."""
    text = "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def registry() -> Mapping[str, DataSetRecord]:
    """Every public data set that Volvelle knows, by name."""
    sets = {}
    for name, entry in json.loads(_packaged("registry.json")).items():
        files = {file: FileRecord(**record) for file, record in entry.pop("files").items()}
        sets[name] = DataSetRecord(name=name, files=MappingProxyType(files), **entry)
    return MappingProxyType(sets)


def record(name: str) -> DataSetRecord:
    """The registry's entry of a data set.

    Raises UnknownDataSetError with the nearest names.
    """
    known = registry()
    if name not in known:
        near = difflib.get_close_matches(name.replace("_", "-"), known, n=3) or sorted(known)
        raise UnknownDataSetError(
            f"there is no data set {name!r}; the nearest names are {', '.join(near)} "
            "(`volvelle data list` shows all)"
        )
    return known[name]


@cache
def _references() -> Mapping[str, str]:
    return {match[1]: match[0] for match in _ENTRY.finditer(_packaged("references.bib"))}


def bibtex(keys: Iterable[str]) -> str:
    """BibTeX entries of the papers behind the data, e.g. of `DataSetRecord.cite_keys`.

    Raises UnknownDataSetError for a key without an entry.
    """
    entries = _references()
    unique = list(dict.fromkeys(keys))
    unknown = [key for key in unique if key not in entries]
    if unknown:
        raise UnknownDataSetError(
            f"there is no reference {', '.join(unknown)}; known are {', '.join(sorted(entries))}"
        )
    return "\n\n".join(entries[key] for key in unique)
