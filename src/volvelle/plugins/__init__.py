"""Emulators as the theory of other people's samplers: Cobaya, MontePython, CosmoSIS.

Each host has a module of its own, which is imported by the host: ``volvelle.plugins.cobaya``,
``volvelle.plugins.montepython``, ``volvelle/plugins/cosmosis.py``.
"""

from .errors import (
    BeyondTableError,
    ExactSolutionError,
    NotLearnedError,
    PluginInputError,
    SolverVersionError,
)
from .solution import Solution
from .theory import OUTSIDE, LearnedTheory

__all__ = [
    "OUTSIDE",
    "BeyondTableError",
    "ExactSolutionError",
    "LearnedTheory",
    "NotLearnedError",
    "PluginInputError",
    "Solution",
    "SolverVersionError",
]
