"""Errors of inference."""

from __future__ import annotations

from volvelle.errors import VolvelleError


class InferenceError(VolvelleError):
    """A prior, a posterior or a sampler was set up wrongly or could not run."""
