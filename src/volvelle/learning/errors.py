"""Errors of everything that is learned."""

from __future__ import annotations

from volvelle.errors import VolvelleError


class LearningError(VolvelleError):
    """A fit could not be made from the data given."""


class StorageError(VolvelleError):
    """A stored model is missing, damaged, or of a kind that this version does not know."""
