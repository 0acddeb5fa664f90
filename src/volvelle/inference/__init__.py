"""Inference: priors, posterior, samplers, diagnostics, chains on disk, Fisher matrices."""

from volvelle.inference.ascent import Ascent, ascend
from volvelle.inference.chain_files import ChainFiles, read_chains
from volvelle.inference.chains import save_arviz, save_getdist
from volvelle.inference.confidence import Interval, Region, curve, intervals, region, surface
from volvelle.inference.covariances import DenseCovariance
from volvelle.inference.diagnostics import (
    Diagnostics,
    diagnose,
    effective_sample_size,
    split_r_hat,
)
from volvelle.inference.elsewhere import run_chains_on
from volvelle.inference.ensemble import explore
from volvelle.inference.errors import (
    DerivativeError,
    FisherError,
    InferenceError,
    NotPositiveDefiniteError,
    ParameterNamesError,
    SingularFisherError,
)
from volvelle.inference.fisher import Fisher
from volvelle.inference.fisher_file import read_fisher, write_fisher
from volvelle.inference.forecast import Forecast, SurveyModel, forecast
from volvelle.inference.information import (
    fisher_from_hessian,
    fisher_from_jacobian,
    gaussian_log_likelihood,
    mean_derivatives,
    parameter_bias,
)
from volvelle.inference.laplace import Laplace, laplace
from volvelle.inference.metropolis import Metropolis
from volvelle.inference.moped import CompressedLikelihood, Moped
from volvelle.inference.nuts import NUTS
from volvelle.inference.optimum import Objective, Optima, PriorTerms
from volvelle.inference.pareto import pareto_smooth
from volvelle.inference.posterior import Posterior
from volvelle.inference.priors import LogUniform, Normal, Prior, Uniform, make_prior
from volvelle.inference.profile import LEVELS, Profile, best_fit, profile
from volvelle.inference.sampler import Chains, Info, Sampler, run_chains

__all__ = [
    "LEVELS",
    "NUTS",
    "Ascent",
    "ChainFiles",
    "Chains",
    "CompressedLikelihood",
    "DenseCovariance",
    "DerivativeError",
    "Diagnostics",
    "Fisher",
    "FisherError",
    "Forecast",
    "InferenceError",
    "Info",
    "Interval",
    "Laplace",
    "LogUniform",
    "Metropolis",
    "Moped",
    "Normal",
    "NotPositiveDefiniteError",
    "Objective",
    "Optima",
    "ParameterNamesError",
    "Posterior",
    "Prior",
    "PriorTerms",
    "Profile",
    "Region",
    "Sampler",
    "SingularFisherError",
    "SurveyModel",
    "Uniform",
    "ascend",
    "best_fit",
    "curve",
    "diagnose",
    "effective_sample_size",
    "explore",
    "fisher_from_hessian",
    "fisher_from_jacobian",
    "forecast",
    "gaussian_log_likelihood",
    "intervals",
    "laplace",
    "make_prior",
    "mean_derivatives",
    "parameter_bias",
    "pareto_smooth",
    "profile",
    "read_chains",
    "read_fisher",
    "region",
    "run_chains",
    "run_chains_on",
    "save_arviz",
    "save_getdist",
    "split_r_hat",
    "surface",
    "write_fisher",
]
