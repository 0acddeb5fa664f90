"""The universe as a frozen pytree: parameters, neutrinos, presets, conversions."""

from .conversions import from_camb, from_class, to_astropy, to_camb, to_ccl, to_class
from .cosmology import Cosmology
from .errors import ConversionError, CosmologyError, NeutrinoError, ParameterError
from .neutrinos import (
    HIERARCHIES,
    N_EFF_PER_MASSIVE_STATE,
    NEUTRINO_TEMPERATURE,
    minimal_sum,
    neutrino_masses,
    omega_nu,
)
from .parameters import INPUT_PARAMETERS, PARAMETERS, ParameterInfo, nearest_names
from .presets import planck18

__all__ = [
    "HIERARCHIES",
    "INPUT_PARAMETERS",
    "NEUTRINO_TEMPERATURE",
    "N_EFF_PER_MASSIVE_STATE",
    "PARAMETERS",
    "ConversionError",
    "Cosmology",
    "CosmologyError",
    "NeutrinoError",
    "ParameterError",
    "ParameterInfo",
    "from_camb",
    "from_class",
    "minimal_sum",
    "nearest_names",
    "neutrino_masses",
    "omega_nu",
    "planck18",
    "to_astropy",
    "to_camb",
    "to_ccl",
    "to_class",
]
