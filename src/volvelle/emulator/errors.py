"""Errors of the emulator."""

from __future__ import annotations

from volvelle.errors import VolvelleError


class EmulatorError(VolvelleError):
    """The emulator was asked for what it does not have, or could not be built."""


class OutsideDomainError(EmulatorError):
    """The parameters lie outside the region that the training solutions cover."""
