"""The universe as a frozen pytree: parameters, neutrinos, presets, conversions."""

from .background import dark_energy_equation, hubble, matter_fraction
from .class_file import read_class_ini, write_class_ini
from .constants import LIGHT_SPEED
from .conversions import class_neutrinos, from_class, massless_number, to_class
from .conversions_astropy import from_astropy, to_astropy
from .conversions_camb import from_camb, to_camb
from .conversions_ccl import from_ccl, to_ccl
from .cosmology import Cosmology
from .distances import (
    age,
    angular_diameter_distance,
    comoving_distance,
    lookback_time,
    luminosity_distance,
    sound_horizon,
    transverse_comoving_distance,
)
from .errors import (
    ConversionError,
    CosmologyError,
    ExpansionError,
    ExpressionError,
    NeutrinoError,
    ParameterError,
    ScaleFactorError,
)
from .expression import (
    Definitions,
    Expression,
    hidden,
    in_order,
    needed_for,
    needs,
    parse,
    resolve,
)
from .growth import growth_factor, growth_rate
from .neutrinos import (
    HIERARCHIES,
    MASSES,
    N_EFF_PER_MASSIVE_STATE,
    NATIVE,
    NEUTRINO_TEMPERATURE,
    minimal_sum,
    neutrino_masses,
    omega_nu,
)
from .parameters import INPUT_PARAMETERS, PARAMETERS, ParameterInfo, nearest_names
from .parametrisation import Parametrisation, Universe
from .presets import (
    abacus_summit,
    planck13,
    planck15,
    planck18,
    planck18_lensing,
    planck18_lensing_bao,
    wmap9,
)

__all__ = [
    "HIERARCHIES",
    "INPUT_PARAMETERS",
    "LIGHT_SPEED",
    "MASSES",
    "NATIVE",
    "NEUTRINO_TEMPERATURE",
    "N_EFF_PER_MASSIVE_STATE",
    "PARAMETERS",
    "ConversionError",
    "Cosmology",
    "CosmologyError",
    "Definitions",
    "ExpansionError",
    "Expression",
    "ExpressionError",
    "NeutrinoError",
    "ParameterError",
    "ParameterInfo",
    "Parametrisation",
    "ScaleFactorError",
    "Universe",
    "abacus_summit",
    "age",
    "angular_diameter_distance",
    "class_neutrinos",
    "comoving_distance",
    "dark_energy_equation",
    "from_astropy",
    "from_camb",
    "from_ccl",
    "from_class",
    "growth_factor",
    "growth_rate",
    "hidden",
    "hubble",
    "in_order",
    "lookback_time",
    "luminosity_distance",
    "massless_number",
    "matter_fraction",
    "minimal_sum",
    "nearest_names",
    "needed_for",
    "needs",
    "neutrino_masses",
    "omega_nu",
    "parse",
    "planck13",
    "planck15",
    "planck18",
    "planck18_lensing",
    "planck18_lensing_bao",
    "read_class_ini",
    "resolve",
    "sound_horizon",
    "to_astropy",
    "to_camb",
    "to_ccl",
    "to_class",
    "transverse_comoving_distance",
    "wmap9",
    "write_class_ini",
]
