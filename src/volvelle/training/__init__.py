"""Adaptive training of emulators, and their certification by exact solutions."""

from volvelle.training.adaptive import DOUBTFUL, FAILED, NEW, Trainer, TrainingSettings
from volvelle.training.base import SurrogateSettings, Training
from volvelle.training.black_box import (
    REFERENCE_WIDTHS,
    BlackBox,
    black_box_problem,
    evaluate_all,
)
from volvelle.training.boxed import BoxSettings, BoxTraining
from volvelle.training.certificate import Certificate, certify, smooth_log_weights
from volvelle.training.check import CheckResult, check_request, compare, domain_points
from volvelle.training.design import (
    Filter,
    check_budget,
    check_size,
    default_start,
    hypersphere,
    initial_design,
    latin_hypercube,
    nearest_neighbour_filter,
    spread_out,
    suffices,
)
from volvelle.training.direct import SCALARS as DIRECT_SCALARS
from volvelle.training.direct import DirectTheory, Untrained, certifying
from volvelle.training.errors import TrainingError
from volvelle.training.exact_profile import ExactProfile, Profiler, ProfileSettings
from volvelle.training.fit import fit_emulator
from volvelle.training.halting import Halt
from volvelle.training.iterative import Iterative, IterativeSettings, IterativeStage
from volvelle.training.problem import Exact, Problem, request_of
from volvelle.training.provenance import MALFORMED, Provenance
from volvelle.training.reweighting import ParameterShift
from volvelle.training.space_filling import SpaceFilling, SpaceFillingSettings

__all__ = [
    "DIRECT_SCALARS",
    "DOUBTFUL",
    "FAILED",
    "MALFORMED",
    "NEW",
    "REFERENCE_WIDTHS",
    "BlackBox",
    "BoxSettings",
    "BoxTraining",
    "Certificate",
    "CheckResult",
    "DirectTheory",
    "Exact",
    "ExactProfile",
    "Filter",
    "Halt",
    "Iterative",
    "IterativeSettings",
    "IterativeStage",
    "ParameterShift",
    "Problem",
    "ProfileSettings",
    "Profiler",
    "Provenance",
    "SpaceFilling",
    "SpaceFillingSettings",
    "SurrogateSettings",
    "Trainer",
    "Training",
    "TrainingError",
    "TrainingSettings",
    "Untrained",
    "black_box_problem",
    "certify",
    "certifying",
    "check_budget",
    "check_request",
    "check_size",
    "compare",
    "default_start",
    "domain_points",
    "evaluate_all",
    "fit_emulator",
    "hypersphere",
    "initial_design",
    "latin_hypercube",
    "nearest_neighbour_filter",
    "request_of",
    "smooth_log_weights",
    "spread_out",
    "suffices",
]
