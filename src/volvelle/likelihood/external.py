"""A user's own likelihood, named in a configuration file as ``module:Class``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..boltzmann import Request
from ..compute import PluginError, load_plugin
from .base import Likelihood, NuisanceParameter
from .errors import LikelihoodOptionError

NAME = "external"


def load_external(python: str, **options: Any) -> Likelihood:
    """Make a likelihood from a user's class, and check that it has what a likelihood needs.

    Args:
        python: ``package.module:Class`` as Python would import it, or ``path/file.py:Class``. The
            class derives from `Likelihood`.
        options: given to the class as keyword arguments.

    Raises LikelihoodOptionError that says what is wrong with the name, the class or its options.
    """
    try:
        kind = load_plugin(python, "Class")
    except PluginError as error:
        raise LikelihoodOptionError(f"{NAME}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Likelihood)):
        raise LikelihoodOptionError(
            f"{NAME}: {python} does not derive from volvelle.likelihood.Likelihood; let it do so"
        )
    try:
        likelihood = kind(**options)
    except TypeError as error:  # abstract names left open, or options that do not fit
        raise LikelihoodOptionError(f"{NAME}: {python} cannot be made: {error}") from error
    _check(likelihood, python)
    return likelihood


def _check(likelihood: Likelihood, python: str) -> None:
    """Raise LikelihoodOptionError unless every name of the protocol has its type."""
    expected = {
        "name": str,
        "requires": Request,
        "nuisance": Mapping,
        "data_sha256": Mapping,
        "cites": tuple,
        "simulated": bool,
    }
    for name, kind in expected.items():
        value = getattr(likelihood, name)
        if not isinstance(value, kind):
            raise LikelihoodOptionError(
                f"{NAME}: {python}.{name} is of type {type(value).__name__}, "
                f"expected {kind.__name__.lower()}"
            )
    for name, parameter in likelihood.nuisance.items():
        if not isinstance(parameter, NuisanceParameter):
            raise LikelihoodOptionError(
                f"{NAME}: {python}.nuisance[{name!r}] is of type {type(parameter).__name__}, "
                "expected NuisanceParameter"
            )
    _check_noise(likelihood, python)


def _check_noise(likelihood: Likelihood, python: str) -> None:
    known = likelihood.requires.names()
    for name, sigma in likelihood.noise().items():
        if name not in known:
            raise LikelihoodOptionError(
                f"{NAME}: {python}.noise() names {name!r}, which its `requires` does not ask for"
            )
        if not np.all(np.asarray(sigma) > 0.0):  # also catches NaN
            raise LikelihoodOptionError(
                f"{NAME}: {python}.noise()[{name!r}] must be positive, infinite where uninformed"
            )
