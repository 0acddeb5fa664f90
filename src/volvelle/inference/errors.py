"""Errors of inference."""

from __future__ import annotations

from volvelle.errors import VolvelleError


class InferenceError(VolvelleError):
    """A prior, a posterior or a sampler was set up wrongly or could not run."""


class FisherError(InferenceError):
    """A Fisher matrix cannot be made or used as asked."""


class SingularFisherError(FisherError):
    """The data leave a direction of the parameters free, or are least likely at the fiducial."""


class ParameterNamesError(FisherError):
    """Names that a Fisher matrix does not have, or that do not fit together."""


class DerivativeError(FisherError):
    """A derivative is not a number, or has the wrong shape."""


class NotPositiveDefiniteError(FisherError):
    """A matrix that should be a covariance is none."""


class StartError(InferenceError):
    """A prior excludes the point that sampling should start from."""


class UndefinedError(InferenceError):
    """ln P is NaN at the start."""


class GradientError(InferenceError):
    """A method needs gradients that the posterior does not have."""
