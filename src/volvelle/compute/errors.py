"""Errors of the compute folder."""

from ..errors import VolvelleError


class ExecutorError(VolvelleError):
    """An executor cannot run at all: the fault lies with the set-up, not with one task."""


class PrecisionError(VolvelleError):
    """Single precision where double precision is needed."""


class PluginError(VolvelleError):
    """A user's own class or function cannot be found or imported."""
