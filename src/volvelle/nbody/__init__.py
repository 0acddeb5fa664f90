"""Mock universes: particles, meshes, forces, integrators, snapshots."""

from .errors import NbodyError, ParticlesError, SnapshotError
from .particles import Particles
from .snapshots import read_header, read_snapshot, write_snapshot

__all__ = [
    "NbodyError",
    "Particles",
    "ParticlesError",
    "SnapshotError",
    "read_header",
    "read_snapshot",
    "write_snapshot",
]
