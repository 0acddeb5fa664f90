"""Statistics of fields and of catalogues, with one convention for both.

Lengths are in Mpc/h, wavenumbers in h/Mpc. Every measurement takes a `Density`, made of a field
on a mesh or of a catalogue, and returns a frozen object.
"""

from .angular_power import (
    AngularPower,
    angular_power,
    band_theory,
    banded,
    redshift_of,
    shell_tracer,
)
from .bins import linear_edges, log_edges
from .bispectrum import Bispectrum, bispectrum, bispectrum_angles
from .convergence import (
    BornKernel,
    born_kernel,
    convergence,
    convergence_noise,
    convergence_tracer,
    smooth_convergence,
)
from .correlation import Correlation, correlation_function, pair_correlation
from .density import Density
from .differentiable import differentiable_pdf, differentiable_power
from .distribution import DensityPDF, Fluctuations, density_pdf, sigma
from .ensemble import Ensemble, Measured, ensemble
from .errors import (
    BinError,
    DensityError,
    EmptyBinWarning,
    RadiusError,
    SkyError,
    StatisticsError,
    TriangleError,
)
from .mock_galaxies import (
    Galaxies,
    bias_weights,
    galaxy_density,
    gaussian_smoothed,
    mock_galaxies,
    write_galaxies,
)
from .mock_survey import SkySample, mock_data_vector
from .power import (
    Multipoles,
    PowerSpectrum,
    Ratio,
    cross_correlation,
    power_multipoles,
    power_spectrum,
    transfer,
)
from .shells import Shells, cap, shells
from .smoothing import smoothed
from .voids import Voids, VoidSizes, find_voids

__all__ = [
    "AngularPower",
    "BinError",
    "Bispectrum",
    "BornKernel",
    "Correlation",
    "Density",
    "DensityError",
    "DensityPDF",
    "EmptyBinWarning",
    "Ensemble",
    "Fluctuations",
    "Galaxies",
    "Measured",
    "Multipoles",
    "PowerSpectrum",
    "RadiusError",
    "Ratio",
    "Shells",
    "SkyError",
    "SkySample",
    "StatisticsError",
    "TriangleError",
    "VoidSizes",
    "Voids",
    "angular_power",
    "band_theory",
    "banded",
    "bias_weights",
    "bispectrum",
    "bispectrum_angles",
    "born_kernel",
    "cap",
    "convergence",
    "convergence_noise",
    "convergence_tracer",
    "correlation_function",
    "cross_correlation",
    "density_pdf",
    "differentiable_pdf",
    "differentiable_power",
    "ensemble",
    "find_voids",
    "galaxy_density",
    "gaussian_smoothed",
    "linear_edges",
    "log_edges",
    "mock_data_vector",
    "mock_galaxies",
    "pair_correlation",
    "power_multipoles",
    "power_spectrum",
    "redshift_of",
    "shell_tracer",
    "shells",
    "sigma",
    "smooth_convergence",
    "smoothed",
    "transfer",
    "write_galaxies",
]
