"""Errors of the power folder."""

from ..errors import VolvelleError


class PowerError(VolvelleError):
    """A power spectrum cannot be had."""


class WavenumberError(PowerError):
    """A wavenumber outside of what a spectrum is known for."""


class RedshiftError(PowerError):
    """A time outside of what a spectrum is known for."""
