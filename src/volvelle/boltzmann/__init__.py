"""Exact Boltzmann solvers behind one protocol, and the ledger of solved models."""

from .camb_solver import CambSolver
from .class_solver import ClassSolver
from .derived import local_rms
from .errors import RequestError, SolverError, SolverNotInstalledError
from .grids import BACKGROUND_Z, EARLY_Z, HISTORY_Z, POWER_K, POWER_Z, TRANSFER_Z
from .ledger import Ledger, LedgerEntry, LedgerError
from .ledger_file import default_ledger
from .library import load_classy, new_class
from .outputs import OUTPUTS, OutputInfo, is_spectrum, suggestion
from .request import SCALARS, SPECTRA, Request, restrict
from .solve import failure_summary, solve_many, unknown_models
from .solver import NON_LINEAR, SOLVERS, Solver, Theory, get_solver

__all__ = [
    "BACKGROUND_Z",
    "EARLY_Z",
    "HISTORY_Z",
    "NON_LINEAR",
    "OUTPUTS",
    "POWER_K",
    "POWER_Z",
    "SCALARS",
    "SOLVERS",
    "SPECTRA",
    "TRANSFER_Z",
    "CambSolver",
    "ClassSolver",
    "Ledger",
    "LedgerEntry",
    "LedgerError",
    "OutputInfo",
    "Request",
    "RequestError",
    "Solver",
    "SolverError",
    "SolverNotInstalledError",
    "Theory",
    "default_ledger",
    "failure_summary",
    "get_solver",
    "is_spectrum",
    "load_classy",
    "local_rms",
    "new_class",
    "restrict",
    "solve_many",
    "suggestion",
    "unknown_models",
]
