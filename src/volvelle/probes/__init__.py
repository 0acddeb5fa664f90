"""Observables of the sky: tracers, angular spectra, correlation functions, covariance."""

from .correlation import AngularTransform, angular_transform, correlation_multipoles
from .correlation_functions import AngularCorrelation, gamma_t, w_theta, xi_minus, xi_plus
from .covariance import BlockCovariance, gaussian_covariance, shape_noise, shot_noise
from .displaced import Shifted, Stretched
from .errors import (
    AngleError,
    CovarianceError,
    DistributionError,
    MultipoleError,
    PairError,
    ProbeError,
    TracerError,
)
from .redshift import (
    Delta,
    Distribution,
    Fu,
    Histogram,
    KernelDensity,
    Smail,
    Table,
)
from .spectra import AngularSpectra, angular_cl
from .tracers import (
    Alignment,
    CMBLensing,
    Contribution,
    CustomTracer,
    InverseGrowth,
    NumberCounts,
    PowerLaw,
    Tracer,
    WeakLensing,
)

__all__ = [
    "Alignment",
    "AngleError",
    "AngularCorrelation",
    "AngularSpectra",
    "AngularTransform",
    "BlockCovariance",
    "CMBLensing",
    "Contribution",
    "CovarianceError",
    "CustomTracer",
    "Delta",
    "Distribution",
    "DistributionError",
    "Fu",
    "Histogram",
    "InverseGrowth",
    "KernelDensity",
    "MultipoleError",
    "NumberCounts",
    "PairError",
    "PowerLaw",
    "ProbeError",
    "Shifted",
    "Smail",
    "Stretched",
    "Table",
    "Tracer",
    "TracerError",
    "WeakLensing",
    "angular_cl",
    "angular_transform",
    "correlation_multipoles",
    "gamma_t",
    "gaussian_covariance",
    "shape_noise",
    "shot_noise",
    "w_theta",
    "xi_minus",
    "xi_plus",
]
