"""Mock universes: particles, meshes, forces, integrators, snapshots."""

from .errors import NbodyError, ParticlesError, SnapshotError
from .particles import Particles

__all__ = [
    "NbodyError",
    "Particles",
    "ParticlesError",
    "SnapshotError",
]
