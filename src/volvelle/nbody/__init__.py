"""Simulations of the matter in a periodic box: initial conditions, forces, integrators.

Lengths are in Mpc/h and wavenumbers in h/Mpc here.
"""

from .errors import (
    FrameError,
    InitialConditionsError,
    MemoryNeededError,
    ScheduleError,
    SimulationError,
)
from .growth import ParticleGrowth, particle_growth
from .initial_conditions import (
    BoxPower,
    InitialConditions,
    from_white_noise,
    gaussian,
    to_white_noise,
)
from .lpt import Lagrangian, lagrangian
from .white_noise import white_noise

__all__ = [
    "BoxPower",
    "FrameError",
    "InitialConditions",
    "InitialConditionsError",
    "Lagrangian",
    "MemoryNeededError",
    "ParticleGrowth",
    "ScheduleError",
    "SimulationError",
    "from_white_noise",
    "gaussian",
    "lagrangian",
    "particle_growth",
    "to_white_noise",
    "white_noise",
]
