"""Learned Boltzmann solvers: surrogates that fit and predict, their domain and their error."""

from volvelle.emulator.accuracy import (
    COSMIC_VARIANCE,
    also_needed,
    error_at,
    error_percentiles,
    error_scale,
    error_unit,
    largest_error,
)
from volvelle.emulator.build import BuildReport, build_emulator
from volvelle.emulator.domain import Box, box_of
from volvelle.emulator.emulator import Emulator, Prediction, load_emulator
from volvelle.emulator.errors import EmulatorError, OutsideDomainError
from volvelle.emulator.export import export_emulator
from volvelle.emulator.foreign import Foreign, Statement, import_network
from volvelle.emulator.foreign_files import read_foreign
from volvelle.emulator.noise import combined_noise

__all__ = [
    "COSMIC_VARIANCE",
    "Box",
    "BuildReport",
    "Emulator",
    "EmulatorError",
    "Foreign",
    "OutsideDomainError",
    "Prediction",
    "Statement",
    "also_needed",
    "box_of",
    "build_emulator",
    "combined_noise",
    "error_at",
    "error_percentiles",
    "error_scale",
    "error_unit",
    "export_emulator",
    "import_network",
    "largest_error",
    "load_emulator",
    "read_foreign",
]
