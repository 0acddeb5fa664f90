"""The amplitude of the primordial fluctuations, which scales spectra exactly before lensing.

Lensed and unlensed CMB spectra at high l go as A_s e^{-2 tau}; C_l^phiphi and P(k) go as A_s.
What is left after the division (lensing, reionisation at low l) is what a surrogate has to learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.cosmology import Definitions, ExpressionError, needed_for, needs, parse, resolve
from volvelle.learning.checking import Validated, require
from volvelle.learning.errors import StorageError
from volvelle.learning.storage import storable

A_S_PIVOT = 2.1e-9
KNOWN = ("ln10A_s", "A_s", "tau_reio")


@storable
class Amplitude(Validated):
    """ln of the known scaling as a function of the parameters.

    ``terms``: which of ``KNOWN`` vary. They are among the ``parameters`` (names of x) or follow
    from them and from ``constants`` by ``definitions`` (arithmetic as text; see
    ``cosmology.expression``).
    """

    terms: tuple[str, ...] = eqx.field(static=True)
    parameters: tuple[str, ...] = eqx.field(static=True)
    constants: tuple[tuple[str, float], ...] = eqx.field(static=True)
    definitions: Definitions = eqx.field(static=True)

    def ln_scaling(self, x: Float[Array, " d"], optical_depth: bool) -> Float[Array, ""]:
        """ln(A_s/2.1e-9) - 2 tau (the second term where ``optical_depth``), of what varies."""
        given = dict(self.constants) | {name: x[i] for i, name in enumerate(self.parameters)}
        values = resolve(self.definitions, given)
        value = jnp.zeros((), x.dtype)
        if "ln10A_s" in self.terms:
            value = value + values["ln10A_s"] - jnp.log(1e10 * A_S_PIVOT)
        if "A_s" in self.terms:
            value = value + jnp.log(values["A_s"] / A_S_PIVOT)
        if optical_depth and "tau_reio" in self.terms:
            value = value - 2.0 * values["tau_reio"]
        return value

    def validate(self) -> None:
        known = [*self.parameters, *(name for name, _ in self.constants)]
        try:
            for name, text in self.definitions:
                lacking = [n for n in parse(text).names if n not in known]
                require(not lacking, f"{name} is defined by {lacking[:1]}, which has no value")
                known.append(name)
        except ExpressionError as error:
            raise StorageError(str(error)) from error
        require(len(set(known)) == len(known), "a name has two values")
        right = all(term in KNOWN and term in known for term in self.terms)
        require(right, f"the terms {self.terms[:9]} are not among {', '.join(KNOWN)} with a value")


def amplitude_of(
    parameters: Sequence[str],
    fixed: Mapping[str, float] | None = None,
    definitions: Definitions = (),
) -> Amplitude:
    """The scaling that the sampled parameters, and what follows from them, allow to take out."""
    terms = tuple(
        name for name in KNOWN if {name, *needs(definitions, name)}.intersection(parameters)
    )
    used = needed_for(definitions, terms)
    constants = {
        name: float(value)
        for name, value in (fixed or {}).items()
        if any(name in needs(used, defined) for defined, _ in used)
    }
    return Amplitude(terms, tuple(parameters), tuple(sorted(constants.items())), used)
