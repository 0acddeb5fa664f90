"""Volvelle: learned cosmology with the exact solution in the loop.

Importing the package is cheap and changes no global state: the names below are loaded from their
folders when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import VolvelleError

__version__ = "0.1.0"

_HOME = {
    "Cosmology": "cosmology",
    "PARAMETERS": "cosmology",
    "planck18": "cosmology",
    "planck18_lensing": "cosmology",
    "planck18_lensing_bao": "cosmology",
    "planck15": "cosmology",
    "planck13": "cosmology",
    "wmap9": "cosmology",
    "abacus_summit": "cosmology",
    "CambSolver": "boltzmann",
    "ClassSolver": "boltzmann",
    "Ledger": "boltzmann",
    "Request": "boltzmann",
    "Solver": "boltzmann",
    "get_solver": "boltzmann",
    "solve_many": "boltzmann",
    "DaskExecutor": "compute",
    "ProcessExecutor": "compute",
    "SerialExecutor": "compute",
    "LIKELIHOODS": "likelihood",
    "Likelihood": "likelihood",
    "get_likelihood": "likelihood",
    "Emulator": "emulator",
    "build_emulator": "emulator",
    "load_emulator": "emulator",
    "Posterior": "inference",
    "NUTS": "inference",
    "Metropolis": "inference",
    "make_prior": "inference",
    "laplace": "inference",
    "run_chains": "inference",
    "diagnose": "inference",
    "Problem": "training",
    "Exact": "training",
    "Trainer": "training",
    "TrainingSettings": "training",
    "certify": "training",
    "cite": "report",
    "write_report": "report",
    "Configuration": "cli",
    "run": "cli",
}

if TYPE_CHECKING:
    from .boltzmann import CambSolver as CambSolver
    from .boltzmann import ClassSolver as ClassSolver
    from .boltzmann import Ledger as Ledger
    from .boltzmann import Request as Request
    from .boltzmann import Solver as Solver
    from .boltzmann import get_solver as get_solver
    from .boltzmann import solve_many as solve_many
    from .cli import Configuration as Configuration
    from .cli import run as run
    from .compute import DaskExecutor as DaskExecutor
    from .compute import ProcessExecutor as ProcessExecutor
    from .compute import SerialExecutor as SerialExecutor
    from .cosmology import PARAMETERS as PARAMETERS
    from .cosmology import Cosmology as Cosmology
    from .cosmology import abacus_summit as abacus_summit
    from .cosmology import planck13 as planck13
    from .cosmology import planck15 as planck15
    from .cosmology import planck18 as planck18
    from .cosmology import planck18_lensing as planck18_lensing
    from .cosmology import planck18_lensing_bao as planck18_lensing_bao
    from .cosmology import wmap9 as wmap9
    from .emulator import Emulator as Emulator
    from .emulator import build_emulator as build_emulator
    from .emulator import load_emulator as load_emulator
    from .inference import NUTS as NUTS
    from .inference import Metropolis as Metropolis
    from .inference import Posterior as Posterior
    from .inference import diagnose as diagnose
    from .inference import laplace as laplace
    from .inference import make_prior as make_prior
    from .inference import run_chains as run_chains
    from .likelihood import LIKELIHOODS as LIKELIHOODS
    from .likelihood import Likelihood as Likelihood
    from .likelihood import get_likelihood as get_likelihood
    from .report import cite as cite
    from .report import write_report as write_report
    from .training import Exact as Exact
    from .training import Problem as Problem
    from .training import Trainer as Trainer
    from .training import TrainingSettings as TrainingSettings
    from .training import certify as certify

__all__ = ["VolvelleError", "__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Load a public name from its folder at its first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'volvelle' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
