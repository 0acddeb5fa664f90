"""Observables of the sky: tracers, angular spectra, correlation functions, covariance."""

from .correlation import (
    SKIES,
    AngularTransform,
    angular_transform,
    beam_at,
    correlation_multipoles,
    sufficient_multipole,
)
from .correlation_functions import AngularCorrelation, gamma_t, w_theta, xi_minus, xi_plus
from .covariance import (
    BlockCovariance,
    LowRankCovariance,
    SumCovariance,
    gaussian_covariance,
    shape_noise,
    shot_noise,
)
from .design import ObservingTime, moved_edges, within
from .displaced import Shifted, Stretched
from .errors import (
    AngleError,
    BeyondLimberError,
    CovarianceError,
    DistributionError,
    MultipoleError,
    PairError,
    ProbeError,
    ResponseError,
    TracerError,
)
from .evolution import Alignment, InverseGrowth, PowerLaw
from .photometric import PhotometricBin, equal_counts, photometric_bins
from .redshift import (
    Delta,
    Distribution,
    Fu,
    KernelDensity,
    Smail,
)
from .response import DensityResponse
from .spectra import AngularSpectra, angular_cl
from .super_sample import cap_window, super_sample_covariance
from .survey import Sample, Survey, bands
from .tabulated import Histogram, Table
from .tracers import (
    CMBLensing,
    Contribution,
    CustomTracer,
    NumberCounts,
    Tracer,
    WeakLensing,
)

__all__ = [
    "SKIES",
    "Alignment",
    "AngleError",
    "AngularCorrelation",
    "AngularSpectra",
    "AngularTransform",
    "BeyondLimberError",
    "BlockCovariance",
    "CMBLensing",
    "Contribution",
    "CovarianceError",
    "CustomTracer",
    "Delta",
    "DensityResponse",
    "Distribution",
    "DistributionError",
    "Fu",
    "Histogram",
    "InverseGrowth",
    "KernelDensity",
    "LowRankCovariance",
    "MultipoleError",
    "NumberCounts",
    "ObservingTime",
    "PairError",
    "PhotometricBin",
    "PowerLaw",
    "ProbeError",
    "ResponseError",
    "Sample",
    "Shifted",
    "Smail",
    "Stretched",
    "SumCovariance",
    "Survey",
    "Table",
    "Tracer",
    "TracerError",
    "WeakLensing",
    "angular_cl",
    "angular_transform",
    "bands",
    "beam_at",
    "cap_window",
    "correlation_multipoles",
    "equal_counts",
    "gamma_t",
    "gaussian_covariance",
    "moved_edges",
    "photometric_bins",
    "shape_noise",
    "shot_noise",
    "sufficient_multipole",
    "super_sample_covariance",
    "w_theta",
    "within",
    "xi_minus",
    "xi_plus",
]
