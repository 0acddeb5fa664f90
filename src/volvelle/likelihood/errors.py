"""What can go wrong between a theory and a data vector."""

from __future__ import annotations

from ..errors import VolvelleError


class LikelihoodError(VolvelleError):
    """The base of every error about likelihoods."""


class UnknownLikelihoodError(LikelihoodError):
    """There is no likelihood of this name."""


class LikelihoodOptionError(LikelihoodError):
    """An option of a likelihood is unknown, of the wrong type, or impossible."""


class TheoryError(LikelihoodError):
    """The theory lacks an output that the likelihood needs, or it is too short."""


class NuisanceError(LikelihoodError):
    """A nuisance parameter of the likelihood was not given."""


class DataFormatError(LikelihoodError):
    """A data file does not have the layout that the likelihood reads."""
