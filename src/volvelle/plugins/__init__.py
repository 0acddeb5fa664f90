"""Volvelle in other people's samplers, and their likelihoods and chains in Volvelle.

Emulators are the theory of Cobaya, MontePython and CosmoSIS: each host has a module of its own,
which is imported by the host (``volvelle.plugins.cobaya``, ``volvelle.plugins.montepython``,
``volvelle/plugins/cosmosis.py``). Their models are black boxes to be learned (``cobaya_model``,
``montepython_model``), their chains are certified (``certify_chain``).
"""

from .certify_chain import ForeignChain, certify_chain, write_certified
from .errors import (
    BeyondTableError,
    ExactSolutionError,
    ForeignError,
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
    "ForeignChain",
    "ForeignError",
    "LearnedTheory",
    "NotLearnedError",
    "PluginInputError",
    "Solution",
    "SolverVersionError",
    "certify_chain",
    "write_certified",
]
