"""Simulations of the matter in a periodic box: initial conditions, forces, integrators.

Lengths are in Mpc/h and wavenumbers in h/Mpc here.
"""

from .compiled import painting_backend
from .contrast import density_contrast
from .crossings import Crossings, read_crossings, write_crossings
from .errors import (
    ForceError,
    FrameError,
    InitialConditionsError,
    KernelError,
    LightconeError,
    MemoryNeededError,
    MeshError,
    ParticleError,
    ScheduleError,
    SimulationError,
    SnapshotError,
)
from .footprint import Cap, Footprint, PixelMask
from .force import Force
from .frames import Frame, LPTFrame, RecordedFrame, Rest
from .growth import ParticleGrowth, particle_growth
from .initial_conditions import (
    BoxPower,
    InitialConditions,
    from_white_noise,
    gaussian,
    to_white_noise,
)
from .integrators import COLA, INTEGRATORS, BullFrog, FastPM, Integrator, KickDriftKick, Stages
from .lightcone import Lightcone, Moment
from .lpt import Lagrangian, lagrangian
from .memory import check_memory, memory_free, memory_needed
from .mesh import Mesh
from .neutrinos import LinearNeutrinos, LinearResponse, NeutrinoFrame, neutrino_frame
from .observing import observe
from .p3m import P3M
from .painting import paint, read
from .pm import ParticleMesh
from .simulation import Particles, Simulation, State, prepare, simulate
from .slabs import SlabParticleMesh
from .snapshot import Snapshot
from .snapshot_files import read_header, read_snapshot, snapshot_parts, write_snapshot
from .times import SPACINGS, step_times
from .white_noise import white_noise

__all__ = [
    "COLA",
    "INTEGRATORS",
    "P3M",
    "SPACINGS",
    "BoxPower",
    "BullFrog",
    "Cap",
    "Crossings",
    "FastPM",
    "Footprint",
    "Force",
    "ForceError",
    "Frame",
    "FrameError",
    "InitialConditions",
    "InitialConditionsError",
    "Integrator",
    "KernelError",
    "KickDriftKick",
    "LPTFrame",
    "Lagrangian",
    "Lightcone",
    "LightconeError",
    "LinearNeutrinos",
    "LinearResponse",
    "MemoryNeededError",
    "Mesh",
    "MeshError",
    "Moment",
    "NeutrinoFrame",
    "ParticleError",
    "ParticleGrowth",
    "ParticleMesh",
    "Particles",
    "PixelMask",
    "RecordedFrame",
    "Rest",
    "ScheduleError",
    "Simulation",
    "SimulationError",
    "SlabParticleMesh",
    "Snapshot",
    "SnapshotError",
    "Stages",
    "State",
    "check_memory",
    "density_contrast",
    "from_white_noise",
    "gaussian",
    "lagrangian",
    "memory_free",
    "memory_needed",
    "neutrino_frame",
    "observe",
    "paint",
    "painting_backend",
    "particle_growth",
    "prepare",
    "read",
    "read_crossings",
    "read_header",
    "read_snapshot",
    "simulate",
    "snapshot_parts",
    "step_times",
    "to_white_noise",
    "white_noise",
    "write_crossings",
    "write_snapshot",
]
