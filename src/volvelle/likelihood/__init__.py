"""Data vectors in, log-likelihoods out; each differentiable in the theory."""

from ..compute import PrecisionError
from .around import AroundGaussian
from .bandpowers import Bandpowers, Binning
from .bao import Bao
from .base import GaussianLikelihood, Likelihood, NuisanceParameter
from .catalogue import DATA_SETS, LIKELIHOODS, get_likelihood, options_of
from .errors import (
    DataFormatError,
    LikelihoodError,
    LikelihoodOptionError,
    NuisanceError,
    TheoryError,
    UnknownLikelihoodError,
)
from .estimated_covariance import (
    HartlapLikelihood,
    SellentinHeavensLikelihood,
    hartlap_factor,
    sellentin_heavens,
)
from .external import load_external
from .gaussian import Gaussian
from .learned import LearnedLikelihood, learned_output
from .low_l import LowL
from .plik_lite import PlikLite
from .simulated_cmb import SimulatedCmb
from .supernovae import Supernovae
from .two_point import TwoPoint
from .two_point_data import KINDS, TwoPointData, read_sacc

__all__ = [
    "DATA_SETS",
    "KINDS",
    "LIKELIHOODS",
    "AroundGaussian",
    "Bandpowers",
    "Bao",
    "Binning",
    "DataFormatError",
    "Gaussian",
    "GaussianLikelihood",
    "HartlapLikelihood",
    "LearnedLikelihood",
    "Likelihood",
    "LikelihoodError",
    "LikelihoodOptionError",
    "LowL",
    "NuisanceError",
    "NuisanceParameter",
    "PlikLite",
    "PrecisionError",
    "SellentinHeavensLikelihood",
    "SimulatedCmb",
    "Supernovae",
    "TheoryError",
    "TwoPoint",
    "TwoPointData",
    "UnknownLikelihoodError",
    "get_likelihood",
    "hartlap_factor",
    "learned_output",
    "load_external",
    "options_of",
    "read_sacc",
    "sellentin_heavens",
]
