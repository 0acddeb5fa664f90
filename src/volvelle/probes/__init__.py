"""Observables of the sky: tracers, angular spectra, correlation functions, covariance."""

from .correlation import AngularTransform, angular_transform, correlation_multipoles
from .covariance import BlockCovariance, gaussian_covariance, shape_noise, shot_noise
from .displaced import Shifted, Stretched
from .errors import (
    AngleError,
    BeyondLimberError,
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
    "AngularSpectra",
    "AngularTransform",
    "BeyondLimberError",
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
    "gaussian_covariance",
    "shape_noise",
    "shot_noise",
]
