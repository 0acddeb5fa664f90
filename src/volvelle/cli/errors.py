"""What can go wrong between a configuration file and a run."""

from __future__ import annotations

import errno

from ..errors import VolvelleError

AGAIN = "then repeat the command, and it goes on"
REMEDIES = {
    errno.ENOSPC: f"make room there, {AGAIN}",
    errno.EDQUOT: f"make room there, {AGAIN}",
    errno.EFBIG: f"allow larger files there (ulimit -f), {AGAIN}",
    errno.EACCES: "change its permissions, or give another path",
    errno.EPERM: "change its permissions, or give another path",
    errno.EROFS: "give a path that can be written",
    errno.ENOTDIR: "give a path in a folder",
    errno.EISDIR: "give the path of a file",
    errno.ENOENT: "give another path, or make it",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: f"allow more open files (ulimit -n), {AGAIN}",
}
"""What to do about errors of the operating system that are no fault of the program's."""


def of_the_system(error: OSError) -> str | None:
    """An error of the operating system in one line, with what to do; None where it is another."""
    remedy = REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; {remedy}"


class ConfigurationError(VolvelleError):
    """A configuration file asks for something that cannot be done.

    One line: file, line, dotted key, what was given, what was expected and what to do.
    """


class ProfileError(VolvelleError):
    """A profile likelihood was asked for that cannot be made of this run."""


class BlindingError(VolvelleError):
    """A run that cannot be unblinded: not blinded, not finished, or unblinded already."""


class ForecastError(VolvelleError):
    """A forecast was asked for that has no value."""


class SimulationFailedError(VolvelleError):
    """Simulations of an ensemble that ended without a result; the others are kept."""


class MeasureError(VolvelleError):
    """Statistics of snapshots were asked for that cannot be measured."""
