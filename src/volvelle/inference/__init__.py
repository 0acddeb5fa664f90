"""Inference: priors, posterior, samplers, diagnostics, chains on disk, Fisher matrices."""

from volvelle.inference.affine_ensemble import AffineEnsemble
from volvelle.inference.ascent import Ascent, ascend
from volvelle.inference.batches import log_likelihoods_at, log_probs_at
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
from volvelle.inference.drawn import Chains, load_chains, save_chains
from volvelle.inference.elsewhere import run_chains_on
from volvelle.inference.ensemble import explore
from volvelle.inference.errors import (
    DerivativeError,
    FisherError,
    GradientError,
    InferenceError,
    NotPositiveDefiniteError,
    ParameterNamesError,
    SingularFisherError,
    StartError,
    UndefinedError,
)
from volvelle.inference.evidence import Evidence, bridge
from volvelle.inference.fisher import Fisher
from volvelle.inference.fisher_file import read_fisher, write_fisher
from volvelle.inference.forecast import Forecast, SurveyModel, forecast
from volvelle.inference.hmc import HMC
from volvelle.inference.importance import importance_evidence
from volvelle.inference.information import (
    fisher_from_hessian,
    fisher_from_jacobian,
    gaussian_log_likelihood,
    mean_derivatives,
    parameter_bias,
)
from volvelle.inference.laplace import Conditional, Laplace, conditional, laplace
from volvelle.inference.linear_nuisance import LinearNuisance, marginalise
from volvelle.inference.mclmc import MCLMC, AdjustedMCLMC
from volvelle.inference.methods import (
    LaplaceApproximation,
    Method,
    as_given,
    check_method,
    draw,
    name_of,
    needs_gradients,
    rough_start,
    sample,
)
from volvelle.inference.metropolis import Metropolis
from volvelle.inference.moped import CompressedLikelihood, Moped
from volvelle.inference.nested import Nested
from volvelle.inference.nuts import NUTS
from volvelle.inference.optimum import Objective, Optima, PriorTerms
from volvelle.inference.pareto import pareto_smooth
from volvelle.inference.posterior import Posterior
from volvelle.inference.preconditions import check_defined, check_differentiable, lacks_gradient
from volvelle.inference.priors import LogUniform, Normal, Prior, Uniform, make_prior
from volvelle.inference.profile import LEVELS, Profile, best_fit, profile
from volvelle.inference.sampler import Info, Sampler, run_chains
from volvelle.inference.transport import NeuralTransport
from volvelle.inference.variational import Variational, fit_guide

__all__ = [
    "HMC",
    "LEVELS",
    "MCLMC",
    "NUTS",
    "AdjustedMCLMC",
    "AffineEnsemble",
    "Ascent",
    "ChainFiles",
    "Chains",
    "CompressedLikelihood",
    "Conditional",
    "DenseCovariance",
    "DerivativeError",
    "Diagnostics",
    "Evidence",
    "Fisher",
    "FisherError",
    "Forecast",
    "GradientError",
    "InferenceError",
    "Info",
    "Interval",
    "Laplace",
    "LaplaceApproximation",
    "LinearNuisance",
    "LogUniform",
    "Method",
    "Metropolis",
    "Moped",
    "Nested",
    "NeuralTransport",
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
    "StartError",
    "SurveyModel",
    "UndefinedError",
    "Uniform",
    "Variational",
    "as_given",
    "ascend",
    "best_fit",
    "bridge",
    "check_defined",
    "check_differentiable",
    "check_method",
    "conditional",
    "curve",
    "diagnose",
    "draw",
    "effective_sample_size",
    "explore",
    "fisher_from_hessian",
    "fisher_from_jacobian",
    "fit_guide",
    "forecast",
    "gaussian_log_likelihood",
    "importance_evidence",
    "intervals",
    "lacks_gradient",
    "laplace",
    "load_chains",
    "log_likelihoods_at",
    "log_probs_at",
    "make_prior",
    "marginalise",
    "mean_derivatives",
    "name_of",
    "needs_gradients",
    "parameter_bias",
    "pareto_smooth",
    "profile",
    "read_chains",
    "read_fisher",
    "region",
    "rough_start",
    "run_chains",
    "run_chains_on",
    "sample",
    "save_arviz",
    "save_chains",
    "save_getdist",
    "split_r_hat",
    "surface",
    "write_fisher",
]
