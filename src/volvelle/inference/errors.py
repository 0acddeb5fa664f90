"""Errors of inference."""

from __future__ import annotations

from volvelle.errors import VolvelleError


class InferenceError(VolvelleError):
    """A prior, a posterior or a sampler was set up wrongly or could not run."""


class StartError(InferenceError):
    """A prior excludes the point that sampling should start from."""


class UndefinedError(InferenceError):
    """ln P is NaN at the start."""


class GradientError(InferenceError):
    """A method needs gradients that the posterior does not have."""
