"""What can go wrong with a public data set."""

from __future__ import annotations

from ..errors import VolvelleError


class DataError(VolvelleError):
    """The base of every error about public data sets."""


class UnknownDataSetError(DataError):
    """The registry has no data set of this name."""


class MissingDataError(DataError):
    """The data set is neither in ``VOLVELLE_DATA`` nor in the cache."""


class DamagedDataError(DataError):
    """A file is there, but its sha256 is not the registry's."""


class DownloadError(DataError):
    """A file could not be had from its address."""
