"""What can go wrong while a finished run is read and drawn."""

from __future__ import annotations

from ..errors import VolvelleError


class ReportError(VolvelleError):
    """A file of the run's folder cannot be read as what it should be."""


class MissingFileError(ReportError):
    """A file of the run's folder is not there."""
