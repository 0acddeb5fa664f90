"""Simulations of the matter in a periodic box: meshes, painting and reading, forces.

Lengths are in Mpc/h and wavenumbers in h/Mpc here.
"""

from .compiled import painting_backend
from .contrast import density_contrast
from .errors import ForceError, KernelError, MeshError, ParticleError, SimulationError
from .force import Force
from .mesh import Mesh
from .p3m import P3M
from .painting import paint, read
from .pm import ParticleMesh
from .slabs import SlabParticleMesh

__all__ = [
    "P3M",
    "Force",
    "ForceError",
    "KernelError",
    "Mesh",
    "MeshError",
    "ParticleError",
    "ParticleMesh",
    "SimulationError",
    "SlabParticleMesh",
    "density_contrast",
    "paint",
    "painting_backend",
    "read",
]
