"""Public data sets: their registry, where they lie on this machine, and how to get them."""

from .catalogue import DataSetRecord, FileRecord, bibtex, record, registry, set_sha256
from .errors import (
    DamagedDataError,
    DataError,
    DownloadError,
    MissingDataError,
    UnknownDataSetError,
)
from .retrieval import Progress, download
from .store import (
    CACHE_VARIABLE,
    DATA_VARIABLE,
    DataSet,
    DataSetStatus,
    cache_dir,
    check,
    list_sets,
    locate,
    search_path,
)

__all__ = [
    "CACHE_VARIABLE",
    "DATA_VARIABLE",
    "DamagedDataError",
    "DataError",
    "DataSet",
    "DataSetRecord",
    "DataSetStatus",
    "DownloadError",
    "FileRecord",
    "MissingDataError",
    "Progress",
    "UnknownDataSetError",
    "bibtex",
    "cache_dir",
    "check",
    "download",
    "list_sets",
    "locate",
    "record",
    "registry",
    "search_path",
    "set_sha256",
]
