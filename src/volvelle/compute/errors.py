"""Errors of the compute folder."""

from ..errors import VolvelleError


class ExecutorError(VolvelleError):
    """An executor cannot run at all: the fault lies with the set-up, not with one task."""


class UnfitWorkerError(ExecutorError):
    """Raised by a task where it must not run: the place is at fault, not the task.

    A worker whose solver is of another version raises it before it solves anything.
    """


class UnsendableError(ExecutorError):
    """A function or a task that cannot travel to another process."""


class PrecisionError(VolvelleError):
    """Single precision where double precision is needed."""


class PluginError(VolvelleError):
    """A user's own class or function cannot be found or imported."""
