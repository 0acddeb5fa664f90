"""Simulations of the matter in a periodic box: meshes, painting and reading, forces.

Lengths are in Mpc/h and wavenumbers in h/Mpc here.
"""

from .compiled import painting_backend
from .contrast import density_contrast
from .errors import (
    ForceError,
    KernelError,
    MeshError,
    ParticleError,
    SimulationError,
    SnapshotError,
)
from .mesh import Mesh
from .painting import paint, read
from .pm import ParticleMesh
from .snapshot import Snapshot
from .snapshot_files import read_header, read_snapshot, snapshot_parts, write_snapshot

__all__ = [
    "ForceError",
    "KernelError",
    "Mesh",
    "MeshError",
    "ParticleError",
    "ParticleMesh",
    "SimulationError",
    "Snapshot",
    "SnapshotError",
    "density_contrast",
    "paint",
    "painting_backend",
    "read",
    "read_header",
    "read_snapshot",
    "snapshot_parts",
    "write_snapshot",
]
