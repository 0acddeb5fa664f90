"""Errors of the cosmology folder."""

from ..errors import VolvelleError


class CosmologyError(VolvelleError):
    """A cosmology cannot be built, or lacks what was asked of it."""


class ParameterError(CosmologyError):
    """A parameter is unknown, out of range, or in conflict with another one."""


class NeutrinoError(CosmologyError):
    """Neutrino masses that no hierarchy allows."""


class ScaleFactorError(CosmologyError):
    """A time that no universe has, or that a function is not made for."""


class ExpansionError(CosmologyError):
    """A universe that does not exist at a time that was asked for: H^2 is not above 0 there."""


class ConversionError(CosmologyError):
    """Parameters of another code that have no counterpart here."""


class ExpressionError(CosmologyError):
    """Text that is no arithmetic expression of parameters, or one without a finite value."""
