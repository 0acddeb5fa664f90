"""From the parameters of an inference to a universe: definitions, and what the solver gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .cosmology import Cosmology
from .expression import Definitions, needs, resolve
from .parameters import INPUT_PARAMETERS


@dataclass(frozen=True)
class Universe:
    """The cosmology at a point [d] of named parameters, traced or not.

    ``fixed``: the others by name. What a solver has found, where a theory's outputs hold it, takes
    the place of what only a solver knows: h of a cosmology given by ``theta_star_100``.
    """

    names: tuple[str, ...]
    fixed: tuple[tuple[str, float], ...]
    parametrisation: "Parametrisation"
    neutrino_hierarchy: str

    def __call__(self, x: Any, outputs: Mapping[str, Any] | None = None) -> Cosmology:
        """Raises ExpressionError, ParameterError and NeutrinoError."""
        given = dict(self.fixed) | {name: x[i] for i, name in enumerate(self.names)}
        found = self.parametrisation.cosmology(given, self.neutrino_hierarchy)
        if found.h is None and outputs is not None and "h" in outputs:
            return found.replace(theta_star_100=None, h=outputs["h"])
        return found


@dataclass(frozen=True)
class Parametrisation:
    """How named values become a `Cosmology`.

    ``definitions``: parameters that follow from others, in the order of their evaluation.
    ``dropped``: names that stand in definitions only and are not handed on. All other names that
    are not Volvelle's own are inputs of the solver, in its own words (``Cosmology.extra``).
    ``unset``: the value of a solver's input at which the model is the one without it; there it is
    left out, so that the ledger knows the two for the same. ``idle``: inputs that mean nothing
    where another one, the second name, is unset (the rate of a decay, without what decays).
    """

    definitions: Definitions = ()
    dropped: tuple[str, ...] = ()
    unset: tuple[tuple[str, float], ...] = ()
    idle: tuple[tuple[str, str], ...] = ()

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """``given`` and every defined parameter; raises ExpressionError without a finite value."""
        return resolve(self.definitions, given)

    def cosmology(self, given: Mapping[str, Any], neutrino_hierarchy: str = "single") -> Cosmology:
        """The universe at the values of all parameters that are not defined.

        Raises ExpressionError, ParameterError and NeutrinoError.
        """
        values = self.values(given)
        own = {name: value for name, value in values.items() if name in INPUT_PARAMETERS}
        without = {name for name, value in self.unset if values.get(name) == value}
        without |= {name for name, leader in self.idle if leader in without}
        extra = {
            name: value
            for name, value in values.items()
            if name not in own and name not in self.dropped and name not in without
        }
        return Cosmology.from_parameters(own, neutrino_hierarchy=neutrino_hierarchy, extra=extra)

    def follow_from(self, sampled: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the defined parameters that vary with any of ``sampled``, in order."""
        return tuple(
            name for name, _ in self.definitions if needs(self.definitions, name) & {*sampled}
        )
