"""Exact Boltzmann solvers behind one protocol, and the ledger of solved models."""

from .camb_solver import CambSolver
from .class_solver import ClassSolver
from .derived import local_rms
from .errors import RequestError, SolverError, SolverNotInstalledError
from .grids import BACKGROUND_Z, POWER_K, POWER_Z
from .ledger import Ledger, LedgerEntry, LedgerError
from .request import SCALARS, SPECTRA, Request, restrict
from .solve import failure_summary, solve_many
from .solver import NON_LINEAR, SOLVERS, Solver, Theory, get_solver

__all__ = [
    "BACKGROUND_Z",
    "NON_LINEAR",
    "POWER_K",
    "POWER_Z",
    "SCALARS",
    "SOLVERS",
    "SPECTRA",
    "CambSolver",
    "ClassSolver",
    "Ledger",
    "LedgerEntry",
    "LedgerError",
    "Request",
    "RequestError",
    "Solver",
    "SolverError",
    "SolverNotInstalledError",
    "Theory",
    "failure_summary",
    "get_solver",
    "local_rms",
    "restrict",
    "solve_many",
]
