"""Errors of the probes folder."""

from ..errors import VolvelleError


class ProbeError(VolvelleError):
    """An observable cannot be computed as asked."""


class DistributionError(ProbeError):
    """A redshift distribution that is none: no finite, positive integral, or no support."""


class TracerError(ProbeError):
    """A tracer whose parts do not fit together."""


class MultipoleError(ProbeError):
    """A multipole that an observable does not have."""


class PairError(ProbeError):
    """A pair of tracers that was not asked for or does not exist."""


class AngleError(ProbeError):
    """Angles or angular bins without a meaning."""


class ResponseError(ProbeError):
    """A power spectrum of which nobody says how it answers to the mean density of a survey."""


class CovarianceError(ProbeError):
    """A covariance matrix that cannot be made or used as asked."""


class BeyondLimberError(ProbeError):
    """Spectra without Limber's approximation that cannot be had as asked."""
