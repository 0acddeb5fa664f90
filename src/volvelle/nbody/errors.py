"""Errors of the nbody folder."""

from ..errors import VolvelleError


class NbodyError(VolvelleError):
    """A simulation, or a part of one, cannot be had as asked."""


class ParticlesError(NbodyError):
    """Particles whose arrays or numbers do not fit together."""


class SnapshotError(NbodyError):
    """A snapshot that cannot be read or written as asked."""
