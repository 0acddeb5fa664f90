"""Errors of the boltzmann folder."""

from ..errors import VolvelleError


class RequestError(VolvelleError):
    """A request names unknown outputs, or a solution does not hold what was asked of it."""


class SolverError(VolvelleError):
    """A solver failed for a cosmology; the message holds the solver's own words."""


class SolverNotInstalledError(SolverError):
    """The library behind a solver cannot be imported."""
