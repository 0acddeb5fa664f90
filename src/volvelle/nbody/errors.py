"""Errors of the nbody folder."""

from ..errors import VolvelleError


class SimulationError(VolvelleError):
    """A simulation, or a part of one, that cannot be had as asked."""


class ForceError(SimulationError):
    """A force that cannot be computed as asked."""


class FrameError(SimulationError):
    """A frame of reference where it cannot serve, or asked for a time that it does not know."""


class InitialConditionsError(SimulationError):
    """Initial conditions that cannot be made, or that hold values that are no densities."""


class KernelError(SimulationError):
    """The compiled kernel was demanded and cannot be had."""


class LightconeError(SimulationError):
    """A lightcone that cannot be had as asked, or a file that holds none."""


class MemoryNeededError(SimulationError):
    """A simulation that needs more memory than there is."""


class MeshError(SimulationError):
    """A mesh that is none, or a field that does not live on it."""


class ParticleError(SimulationError):
    """Positions or weights of particles without a meaning."""


class ScheduleError(SimulationError):
    """Times, steps or flags that make no simulation."""


class SnapshotError(SimulationError):
    """A snapshot that cannot be read or written as asked."""


class TilingError(SimulationError):
    """Tiles that do not fit a box, or a folder of tiles that is not there or of another run."""
