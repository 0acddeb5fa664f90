"""Errors of the statistics folder."""

from ..errors import VolvelleError


class StatisticsError(VolvelleError):
    """A statistic that cannot be measured as asked."""


class DensityError(StatisticsError):
    """A field or a catalogue that is none, or fields that do not fit together."""


class BinError(StatisticsError):
    """Bins without a meaning, or beyond what a mesh resolves."""


class TriangleError(StatisticsError):
    """Triangles of wavenumbers that do not close, or that a mesh does not resolve."""


class RadiusError(StatisticsError):
    """Radii of spheres that a mesh or a box does not hold."""


class SkyError(StatisticsError):
    """Particles, maps, masks or shells on the sky that do not fit together."""


class EmptyBinWarning(UserWarning):
    """Bins without a mode, a pair or a cell: their values are NaN."""
