"""Adaptive training of emulators, and their certification by exact solutions."""

from volvelle.training.adaptive import Trainer, TrainingSettings
from volvelle.training.certificate import Certificate, certify, smooth_log_weights
from volvelle.training.connect import Connect, ConnectSettings, ConnectStage
from volvelle.training.design import (
    initial_design,
    latin_hypercube,
    nearest_neighbour_filter,
    spread_out,
)
from volvelle.training.errors import TrainingError
from volvelle.training.exact_profile import ExactProfile, Profiler, ProfileSettings
from volvelle.training.fit import fit_emulator
from volvelle.training.problem import Exact, Problem, request_of
from volvelle.training.reweighting import ParameterShift

__all__ = [
    "Certificate",
    "Connect",
    "ConnectSettings",
    "ConnectStage",
    "Exact",
    "ExactProfile",
    "ParameterShift",
    "Problem",
    "ProfileSettings",
    "Profiler",
    "Trainer",
    "TrainingError",
    "TrainingSettings",
    "certify",
    "fit_emulator",
    "initial_design",
    "latin_hypercube",
    "nearest_neighbour_filter",
    "request_of",
    "smooth_log_weights",
    "spread_out",
]
