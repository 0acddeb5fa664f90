"""Errors of the nbody folder."""

from ..errors import VolvelleError


class SimulationError(VolvelleError):
    """A simulation, or a part of one, that cannot be had as asked."""


class MeshError(SimulationError):
    """A mesh that is none, or a field that does not live on it."""


class ParticleError(SimulationError):
    """Positions or weights of particles without a meaning."""


class ForceError(SimulationError):
    """A force that cannot be computed as asked."""


class KernelError(SimulationError):
    """The compiled kernel was demanded and cannot be had."""


class SnapshotError(SimulationError):
    """A snapshot that cannot be read or written as asked."""
