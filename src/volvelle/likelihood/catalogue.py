"""Likelihoods by name, as a configuration file calls them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from .bao import DATA_SETS as BAO_DATA_SETS
from .bao import Bao
from .base import Likelihood
from .des_y1 import DATA_SET as DES_Y1
from .des_y1 import des_y1_3x2pt
from .errors import LikelihoodOptionError, UnknownLikelihoodError
from .estimated_covariance import corrected
from .external import load_external
from .gaussian import Gaussian
from .low_l import LowL
from .plik_lite import PlikLite
from .simulated_cmb import SimulatedCmb
from .supernovae import DATA_SETS as SUPERNOVA_DATA_SETS
from .supernovae import Supernovae
from .two_point import TwoPoint

LIKELIHOODS: Mapping[str, Callable[..., Likelihood]] = MappingProxyType(
    {
        "planck_2018_plik_lite": PlikLite.from_files,
        "planck_2018_low_l": LowL.from_files,
        "planck_2018_simulated": SimulatedCmb.from_theory,
        **{name: partial(Bao.from_files, name) for name in BAO_DATA_SETS},
        **{name: partial(Supernovae.from_files, name) for name in SUPERNOVA_DATA_SETS},
        "des_y1_3x2pt": des_y1_3x2pt,
        "two_point": TwoPoint.from_sacc,
        "gaussian": Gaussian.from_values,
        "external": load_external,
    }
)
"""What makes each likelihood from its options, by name."""

ESTIMATED = ("two_point", "gaussian")
"""Likelihoods whose covariance may have been estimated; they take the options
``OF_AN_ESTIMATE``."""
OF_AN_ESTIMATE = ("simulations", "correction")

DATA_SETS: Mapping[str, str] = MappingProxyType(
    {
        "planck_2018_plik_lite": "planck-2018-plik-lite",
        "planck_2018_low_l": "planck-2018-low-l",
        **{name: entry[0] for name, entry in BAO_DATA_SETS.items()},
        **{name: entry[0] for name, entry in SUPERNOVA_DATA_SETS.items()},
        "des_y1_3x2pt": DES_Y1,
    }
)
"""The public data set that a likelihood reads, by the likelihood's name."""


def options_of(name: str) -> tuple[str, ...]:
    """Names of the options that a likelihood takes; an ``external`` one takes its class's too.

    Raises UnknownLikelihoodError.
    """
    parameters = inspect.signature(_maker(name)).parameters.values()
    own = tuple(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
    return own + (OF_AN_ESTIMATE if name in ESTIMATED else ())


def get_likelihood(name: str, **options: Any) -> Likelihood:
    """Make the likelihood of this name; its options are those of the maker in `LIKELIHOODS`.

    ``simulations``: how many made the covariance, of those in `ESTIMATED`, and ``correction``: what
    is made of it, ``sellentin_heavens`` (marginalised over the true one) or ``hartlap``.

    Raises UnknownLikelihoodError with the nearest names, LikelihoodOptionError for options that
    do not fit, and whatever the likelihood's maker raises.
    """
    maker = _maker(name)
    estimate = {o: options.pop(o) for o in OF_AN_ESTIMATE if name in ESTIMATED and o in options}
    if "correction" in estimate and "simulations" not in estimate:
        raise LikelihoodOptionError(
            f"{name}: a correction without simulations; say how many made the covariance"
        )
    try:
        inspect.signature(maker).bind(**options)
    except TypeError as error:
        raise LikelihoodOptionError(
            f"{name}: {error}; its options are {', '.join(options_of(name)) or 'none'}"
        ) from error
    made: Any = maker(**options)
    return corrected(made, **estimate) if estimate else made


def _maker(name: str) -> Callable[..., Likelihood]:
    if name not in LIKELIHOODS:
        near = difflib.get_close_matches(name, LIKELIHOODS, n=3) or sorted(LIKELIHOODS)
        raise UnknownLikelihoodError(
            f"there is no likelihood {name!r}; the nearest names are {', '.join(near)}"
        )
    return LIKELIHOODS[name]
