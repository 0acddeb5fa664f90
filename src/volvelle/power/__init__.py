"""Power spectra of matter: linear, non-linear, and their variance."""

from .base import Model, Spectrum
from .errors import PowerError, RedshiftError, WavenumberError

__all__ = ["Model", "PowerError", "RedshiftError", "Spectrum", "WavenumberError"]
