"""Errors of the nbody folder."""

from ..errors import VolvelleError


class NBodyError(VolvelleError):
    """A simulation, or a part of one, cannot be had."""


class FrameError(NBodyError):
    """A frame of reference in a place where it cannot serve, or asked for a time it lacks."""


class InitialConditionsError(NBodyError):
    """Initial conditions that cannot be made, or that hold values that are no densities."""


class MemoryNeededError(NBodyError):
    """A simulation that needs more memory than there is."""


class SimulationError(NBodyError):
    """Times, flags or states that do not make a simulation."""
