"""The universe as a frozen pytree: parameters, neutrinos, presets, conversions."""

from .conversions import (
    class_neutrinos,
    from_camb,
    from_class,
    massless_number,
    to_astropy,
    to_camb,
    to_ccl,
    to_class,
)
from .cosmology import Cosmology
from .errors import (
    ConversionError,
    CosmologyError,
    ExpressionError,
    NeutrinoError,
    ParameterError,
)
from .expression import Definitions, Expression, in_order, needed_for, needs, parse, resolve
from .neutrinos import (
    HIERARCHIES,
    N_EFF_PER_MASSIVE_STATE,
    NATIVE,
    NEUTRINO_TEMPERATURE,
    minimal_sum,
    neutrino_masses,
    omega_nu,
)
from .parameters import INPUT_PARAMETERS, PARAMETERS, ParameterInfo, nearest_names
from .parametrisation import Parametrisation
from .presets import planck18

__all__ = [
    "HIERARCHIES",
    "INPUT_PARAMETERS",
    "NATIVE",
    "NEUTRINO_TEMPERATURE",
    "N_EFF_PER_MASSIVE_STATE",
    "PARAMETERS",
    "ConversionError",
    "Cosmology",
    "CosmologyError",
    "Definitions",
    "Expression",
    "ExpressionError",
    "NeutrinoError",
    "ParameterError",
    "ParameterInfo",
    "Parametrisation",
    "class_neutrinos",
    "from_camb",
    "from_class",
    "in_order",
    "massless_number",
    "minimal_sum",
    "nearest_names",
    "needed_for",
    "needs",
    "neutrino_masses",
    "omega_nu",
    "parse",
    "planck18",
    "resolve",
    "to_astropy",
    "to_camb",
    "to_ccl",
    "to_class",
]
