"""What can go wrong between a configuration file and a run."""

from __future__ import annotations

from ..errors import VolvelleError


class ConfigurationError(VolvelleError):
    """A configuration file asks for something that cannot be done.

    One line: file, line, dotted key, what was given, what was expected and what to do.
    """


class ProfileError(VolvelleError):
    """A profile likelihood was asked for that cannot be made of this run."""


class BlindingError(VolvelleError):
    """A run that cannot be unblinded: not blinded, not finished, or unblinded already."""


class ForecastError(VolvelleError):
    """A forecast was asked for that has no value."""


class SimulationFailedError(VolvelleError):
    """Simulations of an ensemble that ended without a result; the others are kept."""


class MeasureError(VolvelleError):
    """Statistics of snapshots were asked for that cannot be measured."""
