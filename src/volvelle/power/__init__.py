"""Power spectra of matter: linear, non-linear, and their variance."""

from .base import Model, Spectrum
from .eisenstein_hu import EisensteinHu
from .errors import DomainError, ModelError, PowerError, RedshiftError, TableError, WavenumberError
from .extended import ExtendedPower
from .functions import (
    linear_power,
    nonlinear_power,
    nonlinear_spectrum,
    power_model,
    scale_dependent_growth,
    scale_dependent_growth_rate,
    sigma8,
    sigma_r,
)
from .halofit import Halofit
from .hmcode import HMcode2020
from .learned import LearnedPower, learned_power, learned_record
from .nonlinear import NonLinearModel
from .table import ContinuedPower, ContinuedSpectrum, TabulatedPower, TabulatedSpectrum

__all__ = [
    "ContinuedPower",
    "ContinuedSpectrum",
    "DomainError",
    "EisensteinHu",
    "ExtendedPower",
    "HMcode2020",
    "Halofit",
    "LearnedPower",
    "Model",
    "ModelError",
    "NonLinearModel",
    "PowerError",
    "RedshiftError",
    "Spectrum",
    "TableError",
    "TabulatedPower",
    "TabulatedSpectrum",
    "WavenumberError",
    "learned_power",
    "learned_record",
    "linear_power",
    "nonlinear_power",
    "nonlinear_spectrum",
    "power_model",
    "scale_dependent_growth",
    "scale_dependent_growth_rate",
    "sigma8",
    "sigma_r",
]
