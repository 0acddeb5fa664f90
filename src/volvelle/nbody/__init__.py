"""Simulations of the matter in a periodic box: initial conditions, forces, integrators.

Lengths are in Mpc/h and wavenumbers in h/Mpc here.
"""

from .compiled import painting_backend
from .contrast import contrast_of_parts, density_contrast
from .course import Course, course
from .crossings import (
    Crossings,
    crossing_pieces,
    join_crossings,
    read_crossings,
    write_crossings,
)
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
    TilingError,
)
from .footprint import Cap, Footprint, PixelMask
from .force import Force
from .frames import Frame, LPTFrame, RecordedFrame, Rest
from .ground import Ground, lay_faces, lay_ground
from .growth import ParticleGrowth, particle_growth
from .initial_conditions import (
    BoxPower,
    InitialConditions,
    from_white_noise,
    gaussian,
    to_white_noise,
)
from .integrators import COLA, INTEGRATORS, BullFrog, FastPM, Integrator, KickDriftKick, Stages
from .lightcone import Lightcone, Moment, Watch
from .lpt import Lagrangian, lagrangian
from .lpt_slabs import Slabs
from .memory import check_memory, memory_free, memory_needed, peak_memory
from .mesh import Mesh
from .neutrinos import LinearNeutrinos, LinearResponse, NeutrinoFrame, neutrino_frame
from .observing import moment, observe
from .p3m import P3M
from .painting import paint, read
from .pm import ParticleMesh
from .simulation import Particles, Simulation, State, prepare, simulate
from .slabs import SlabParticleMesh
from .snapshot import Snapshot
from .snapshot_files import (
    read_header,
    read_snapshot,
    snapshot_parts,
    snapshot_pieces,
    write_snapshot,
)
from .tile import Tile, TileParticles
from .tile_costs import disk_needed, expected_errors, ground_memory, measured_pace, tile_memory
from .tiles import TileTask, Universe, run_tile, run_tiles, stages_seen
from .tiling import Tiling
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
    "Course",
    "Crossings",
    "FastPM",
    "Footprint",
    "Force",
    "ForceError",
    "Frame",
    "FrameError",
    "Ground",
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
    "Slabs",
    "Snapshot",
    "SnapshotError",
    "Stages",
    "State",
    "Tile",
    "TileParticles",
    "TileTask",
    "Tiling",
    "TilingError",
    "Universe",
    "Watch",
    "check_memory",
    "contrast_of_parts",
    "course",
    "crossing_pieces",
    "density_contrast",
    "disk_needed",
    "expected_errors",
    "from_white_noise",
    "gaussian",
    "ground_memory",
    "join_crossings",
    "lagrangian",
    "lay_faces",
    "lay_ground",
    "measured_pace",
    "memory_free",
    "memory_needed",
    "moment",
    "neutrino_frame",
    "observe",
    "paint",
    "painting_backend",
    "particle_growth",
    "peak_memory",
    "prepare",
    "read",
    "read_crossings",
    "read_header",
    "read_snapshot",
    "run_tile",
    "run_tiles",
    "simulate",
    "snapshot_parts",
    "snapshot_pieces",
    "stages_seen",
    "step_times",
    "tile_memory",
    "to_white_noise",
    "white_noise",
    "write_crossings",
    "write_snapshot",
]
