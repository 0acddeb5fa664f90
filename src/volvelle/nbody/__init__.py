"""Simulations of the matter in a periodic box: meshes, painting and reading, forces.

Lengths are in Mpc/h and wavenumbers in h/Mpc here.
"""

from .errors import ForceError, MeshError, ParticleError, SimulationError
from .mesh import Mesh
from .painting import paint, read
from .pm import ParticleMesh

__all__ = [
    "ForceError",
    "Mesh",
    "MeshError",
    "ParticleError",
    "ParticleMesh",
    "SimulationError",
    "paint",
    "read",
]
