"""Statistics of fields and of catalogues, with one convention for both.

Lengths are in Mpc/h, wavenumbers in h/Mpc. Every measurement takes a `Density`, made of a field
on a mesh or of a catalogue, and returns a frozen object.
"""

from .bins import linear_edges, log_edges
from .bispectrum import Bispectrum, bispectrum, bispectrum_angles
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
    StatisticsError,
    TriangleError,
)
from .power import (
    Multipoles,
    PowerSpectrum,
    Ratio,
    cross_correlation,
    power_multipoles,
    power_spectrum,
    transfer,
)
from .smoothing import smoothed
from .voids import Voids, VoidSizes, find_voids

__all__ = [
    "BinError",
    "Bispectrum",
    "Correlation",
    "Density",
    "DensityError",
    "DensityPDF",
    "EmptyBinWarning",
    "Ensemble",
    "Fluctuations",
    "Measured",
    "Multipoles",
    "PowerSpectrum",
    "RadiusError",
    "Ratio",
    "StatisticsError",
    "TriangleError",
    "VoidSizes",
    "Voids",
    "bispectrum",
    "bispectrum_angles",
    "correlation_function",
    "cross_correlation",
    "density_pdf",
    "differentiable_pdf",
    "differentiable_power",
    "ensemble",
    "find_voids",
    "linear_edges",
    "log_edges",
    "pair_correlation",
    "power_multipoles",
    "power_spectrum",
    "sigma",
    "smoothed",
    "transfer",
]
