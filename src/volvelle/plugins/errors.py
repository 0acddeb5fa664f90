"""Errors of the plug-ins for other programs."""

from __future__ import annotations

from volvelle.errors import VolvelleError


class ForeignError(VolvelleError):
    """A model or a chain of another program cannot be read, loaded again, or evaluated."""
