"""Errors of the plugins folder."""

from ..errors import VolvelleError


class PluginInputError(VolvelleError):
    """An option or a parameter that a plug-in cannot use as it was given."""


class NotLearnedError(PluginInputError):
    """Something was asked for that the emulator was not trained for."""


class BeyondTableError(PluginInputError):
    """A multipole, redshift or wavenumber where nothing was learned."""


class SolverVersionError(PluginInputError):
    """The installed solver is not the one that made the training solutions."""


class ForeignError(VolvelleError):
    """A model or a chain of another program cannot be read, loaded again, or evaluated."""


class ExactSolutionError(VolvelleError):
    """An exact solution that was not finished, through no fault of the model's."""
