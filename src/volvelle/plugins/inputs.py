"""From the parameters of a host to the inputs of an emulator."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..cosmology import NATIVE
from ..emulator import Emulator
from .errors import PluginInputError
from .names import (
    FRACTIONS,
    NEUTRINOS,
    OTHER_ANGLES,
    PIVOTS,
    neutrinos,
    other_names,
    own_name,
    translate,
    unknown,
    with_equivalents,
)

STANDARD = {"m_nu": 0.06, "N_eff": 3.044, "w0": -1.0, "wa": 0.0, "Omega_k": 0.0, "T_cmb": 2.7255}
"""What the training's universes had where nothing was said."""

SAME = 1e-5
"""Relative difference at which a fixed parameter counts as the training's: CLASS's N_ur = 2.0308
stands for N_eff = 3.043998, not 3.044."""

SOUGHT = ("H0", "theta_star_100", "sigma8")
"""Learned scalars that may be given in the place of an input, which is then sought."""
_STEPS, _TOLERANCE = 25, 1e-11


class Inputs:
    """The parameters that an emulator takes, by any name, and those that it was trained at.

    Args:
        record: of the emulator; scalars: names of the learned numbers.
    """

    def __init__(
        self, emulator: Emulator, record: Mapping[str, Any], scalars: Collection[str]
    ) -> None:
        self.emulator, self.record, self.scalars = emulator, record, scalars
        self._plans: dict[frozenset[str], tuple[tuple[str, ...], tuple[str, ...]]] = {}

    @property
    def fixed(self) -> dict[str, float]:
        """Parameters that the training held fixed, and their values."""
        return dict(self.emulator.fixed)

    @cached_property
    def standard(self) -> dict[str, float]:
        """``STANDARD``, without neutrinos where the training's are in the solver's own words."""
        if self.record["neutrino_hierarchy"] != NATIVE:
            return dict(STANDARD)
        return {n: v for n, v in STANDARD.items() if n not in ("m_nu", "N_eff")}

    @cached_property
    def known(self) -> frozenset[str]:
        """Every parameter that may be given, by Volvelle's name."""
        names = {*self.emulator.parameters, *self.fixed, *self.standard}
        for group in (("H0", "h", "theta_star_100"), ("A_s", "ln10A_s", "sigma8")):
            if names & set(group):
                names |= {n for n in group if n not in SOUGHT or n in self.scalars or n in names}
        return frozenset(names)

    def values(self, given: Mapping[str, Any]) -> dict[str, float]:
        """Parameters in Volvelle's names, checked against what the training held fixed.

        Raises PluginInputError: an unknown name, one given twice, or another value than the
        training's.
        """
        own = {*self.emulator.parameters, *self.fixed}
        sector = neutrinos(given, own)
        hierarchy = sector.pop("neutrino_hierarchy", None)
        plain = {n: float(v) for n, v in given.items() if n in own or n not in NEUTRINOS}
        values = translate({**plain, **sector}, own | {*self.scalars})
        trained = self.record["neutrino_hierarchy"]
        massive = values.get("m_nu", self.fixed.get("m_nu", STANDARD["m_nu"])) != 0.0
        if hierarchy not in (None, trained) and massive:
            raise PluginInputError(
                f"the neutrino masses were given as {hierarchy}, this emulator was trained with "
                f"{trained}; give those, or train again"
            )
        full = with_equivalents(values)
        for name in values:
            if name not in self.known:
                raise unknown(name, self.known)
        for name, expected in {**self.standard, **self.fixed}.items():
            if name in full and name not in self.emulator.parameters:
                _check_fixed(name, full[name], expected)
        return values

    def check_names(self, names: Iterable[str]) -> None:
        """Whether parameters of these names, by any name that is known, give a model.

        Raises PluginInputError: see ``plan``, or a name that means nothing here.
        """
        own = {*self.emulator.parameters, *self.fixed}
        found: set[str] = set()
        for name in names:
            if name not in own and name in (*NEUTRINOS, *PIVOTS):
                continue
            ours = name if name in own else FRACTIONS.get(name, own_name(name)[0])
            if ours not in self.known:
                translate({name: 1.0}, own)  # has words of its own for angles of another kind
                raise unknown(name, self.known)
            found.add(ours)
        self.plan(found)

    def names(self) -> tuple[str, ...]:
        """Every name under which a parameter may be given, in its own words or another code's."""
        own = {name for known in self.known for name in other_names(known)}
        fractions = {name for name, ours in FRACTIONS.items() if ours in self.known}
        return (*sorted(own | fractions), *NEUTRINOS, *PIVOTS, *OTHER_ANGLES)

    def derived_names(self) -> tuple[str, ...]:
        """Every name of a number that a solution holds."""
        own = {
            *self.scalars,
            *self.emulator.parameters,
            *self.fixed,
            *self.standard,
        }
        own |= {n for n in ("H0", "h", "A_s", "ln10A_s") if n in self.known}
        return tuple(sorted(name for known in own for name in other_names(known)))

    def plan(self, names: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Inputs that are to be sought, and the learned scalars that say which they are.

        Args:
            names: of the parameters given, Volvelle's.

        Raises PluginInputError: too few or too many parameters.
        """
        key = frozenset(names)
        if key not in self._plans:
            given = {*with_equivalents(dict.fromkeys(names, 1.0))}
            inputs = self.emulator.parameters
            missing = tuple(name for name in inputs if name not in given)
            settled = {*with_equivalents(dict.fromkeys((*inputs, *self.fixed), 1.0))}
            over = given - settled
            sought = tuple(name for name in SOUGHT if name in over and name in self.scalars)
            pairs = {"H0": ("theta_star_100",), "theta_star_100": ("h", "H0")}
            pairs["sigma8"] = ("ln10A_s", "A_s")
            for name in sought:
                if not set(pairs[name]) & set(missing):
                    raise PluginInputError(
                        f"{name} follows from the other parameters of this emulator "
                        f"({', '.join(inputs)}); drop it, or give it in the place of "
                        f"{' or '.join(pairs[name])}"
                    )
            replaced = {input_ for name in sought for input_ in pairs[name]}
            wanting = [name for name in missing if name not in replaced]
            if wanting:
                raise PluginInputError(
                    f"missing {', '.join(wanting)}; this emulator takes {', '.join(inputs)}"
                )
            self._plans[key] = missing, sought
        return self._plans[key]

    def vector(
        self, full: Mapping[str, float], missing: tuple[str, ...], sought: tuple[str, ...]
    ) -> Array | None:
        """The emulator's inputs [d]; None where no ``missing`` gives the scalars ``sought``."""
        names = self.emulator.parameters
        centre = dict(
            zip(self.record["parameters"], np.mean(self.record["points"], 0), strict=True)
        )
        x = jnp.asarray([full.get(name, centre[name]) for name in names])
        if not missing:
            return x
        places = tuple(names.index(name) for name in missing)
        targets = jnp.asarray([full[name] for name in sought])
        for _ in range(_STEPS):
            residual, slope = _mismatch(self.emulator, x, places, sought, targets)
            if not np.all(np.isfinite(slope)) or np.linalg.matrix_rank(slope) < len(places):
                return None
            if float(jnp.max(jnp.abs(residual))) < _TOLERANCE:
                return x
            x = x.at[jnp.asarray(places)].add(-jnp.linalg.solve(slope, residual))
        return None


def _check_fixed(name: str, value: float, expected: float) -> None:
    if abs(value - expected) > SAME * abs(expected):
        raise PluginInputError(
            f"{name} = {value:.8g} was given, but this emulator was trained at {name} = "
            f"{expected:.8g}; give that, or train one that samples {name}"
        )


@eqx.filter_jit
def _mismatch(
    emulator: Emulator,
    x: Float[Array, " d"],
    places: tuple[int, ...],
    sought: tuple[str, ...],
    targets: Float[Array, " n"],
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Relative mismatch of learned scalars, and its slope in the inputs at ``places``."""

    def mismatch(u: Array) -> Array:
        theory = emulator(x.at[jnp.asarray(places)].set(u))
        return jnp.stack([theory[name] for name in sought]) / targets - 1.0

    u = x[jnp.asarray(places)]
    return mismatch(u), jax.jacfwd(mismatch)(u)
