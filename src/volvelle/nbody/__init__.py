"""Particles: initial conditions, Lagrangian perturbation theory, forces, integrators."""

from .errors import (
    FrameError,
    InitialConditionsError,
    MemoryNeededError,
    NBodyError,
    SimulationError,
)
from .growth import ParticleGrowth, particle_growth

__all__ = [
    "FrameError",
    "InitialConditionsError",
    "MemoryNeededError",
    "NBodyError",
    "ParticleGrowth",
    "SimulationError",
    "particle_growth",
]
