"""Errors of the adaptive training and of the certificate."""

from __future__ import annotations

from volvelle.errors import VolvelleError


class TrainingError(VolvelleError):
    """The training cannot go on: too many failures, or the budget is spent."""
