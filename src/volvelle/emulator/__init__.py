"""Learned Boltzmann solvers: surrogates that fit and predict, their domain and their error."""

from volvelle.emulator.accuracy import error_percentiles
from volvelle.emulator.build import BuildReport, build_emulator
from volvelle.emulator.emulator import Emulator, Prediction, load_emulator
from volvelle.emulator.errors import EmulatorError, OutsideDomainError
from volvelle.emulator.export import export_emulator
from volvelle.emulator.foreign import Foreign, Statement, import_network
from volvelle.emulator.foreign_files import read_foreign
from volvelle.emulator.noise import combined_noise

__all__ = [
    "BuildReport",
    "Emulator",
    "EmulatorError",
    "Foreign",
    "OutsideDomainError",
    "Prediction",
    "Statement",
    "build_emulator",
    "combined_noise",
    "error_percentiles",
    "export_emulator",
    "import_network",
    "load_emulator",
    "read_foreign",
]
