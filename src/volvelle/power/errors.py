"""Errors of the power folder."""

from ..errors import VolvelleError


class PowerError(VolvelleError):
    """A power spectrum cannot be had."""


class WavenumberError(PowerError):
    """A wavenumber outside of what a spectrum is known for."""


class RedshiftError(PowerError):
    """A time outside of what a spectrum is known for."""


class TableError(PowerError):
    """A table that is none: nodes that do not increase, wrong shapes, values that are not P."""


class DomainError(PowerError):
    """A cosmology outside of what a learned spectrum was trained on."""


class ModelError(PowerError):
    """A model in a place where another kind is needed, or one that does not exist."""
