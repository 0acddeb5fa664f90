"""The verbs of the command line, and the configuration files that they read."""

from .configuration import Configuration
from .errors import ConfigurationError
from .parameters import SampledParameter
from .verbs import run

__all__ = ["Configuration", "ConfigurationError", "SampledParameter", "run"]
