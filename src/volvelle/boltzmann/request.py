"""What is asked of a solver, and how a larger solution serves a smaller request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import RequestError

SPECTRA: tuple[str, ...] = (
    "lensed_tt",
    "lensed_te",
    "lensed_ee",
    "lensed_bb",
    "unlensed_tt",
    "unlensed_te",
    "unlensed_ee",
    "unlensed_bb",
    "phiphi",
)
"""Angular power spectra: C_l [muK^2] with index l from 0; ``phiphi`` is dimensionless."""

BACKGROUND: tuple[str, ...] = ("hubble", "transverse_comoving_distance")
"""H [km/s/Mpc] and D_M [Mpc] on ``BACKGROUND_Z``."""

POWER: tuple[str, ...] = ("matter_power", "matter_power_nonlinear")
"""P(k, z) of total matter [Mpc^3], shape (n_z, n_k), on ``POWER_Z`` and ``POWER_K``."""

SCALARS: tuple[str, ...] = (
    "H0",
    "h",
    "Omega_m",
    "sigma8",
    "S8",
    "theta_star_100",
    "r_drag",
    "age",
    "z_star",
    "Y_he",
)
"""Numbers that every solution holds; units in ``cosmology.PARAMETERS``."""

MINIMAL_LMAX = 2


@dataclass(frozen=True)
class Request:
    """Outputs wanted from a solver: angular spectra up to ``lmax``, background, matter power.

    Every solution also holds the ``SCALARS``. Raises RequestError for unknown or repeated spectra.
    """

    spectra: tuple[str, ...] = ("lensed_tt", "lensed_te", "lensed_ee", "phiphi")
    lmax: int = 2508
    background: bool = True
    power: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.spectra if name not in SPECTRA]
        if unknown:
            raise RequestError(f"unknown spectrum '{unknown[0]}'; known: {', '.join(SPECTRA)}")
        if isinstance(self.lmax, bool) or int(self.lmax) != self.lmax or self.lmax < MINIMAL_LMAX:
            raise RequestError(f"lmax is {self.lmax}; expected a whole number from {MINIMAL_LMAX}")
        ordered = tuple(name for name in SPECTRA if name in self.spectra)
        object.__setattr__(self, "spectra", ordered)
        object.__setattr__(self, "lmax", int(self.lmax))

    def covers(self, other: "Request") -> bool:
        """Whether a solution of this request holds all that ``other`` asks for."""
        return (
            set(self.spectra) >= set(other.spectra)
            and (self.lmax >= other.lmax or not other.spectra)
            and (self.background or not other.background)
            and (self.power or not other.power)
        )

    def union(self, other: "Request") -> "Request":
        """The smallest request that covers both."""
        limits = [request.lmax for request in (self, other) if request.spectra]
        return Request(
            spectra=self.spectra + other.spectra,
            lmax=max(limits, default=self.lmax),
            background=self.background or other.background,
            power=self.power or other.power,
        )

    def names(self) -> tuple[str, ...]:
        """Names of all outputs that a solution holds."""
        background = BACKGROUND if self.background else ()
        power = POWER if self.power else ()
        return self.spectra + background + power + SCALARS

    def to_json(self) -> str:
        """Canonical text, the same for equal requests."""
        fields: dict[str, Any] = {
            "spectra": list(self.spectra),
            "lmax": self.lmax,
            "background": self.background,
            "power": self.power,
        }
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """Inverse of ``to_json``."""
        fields = json.loads(text)
        return cls(**{**fields, "spectra": tuple(fields["spectra"])})


def restrict(theory: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """The part of a solution that ``request`` asks for, spectra cut at its lmax.

    Raises RequestError if something asked for is absent or too short.
    """
    result: dict[str, Any] = {}
    for name in request.names():
        if name not in theory:
            raise RequestError(f"the solution holds no '{name}'; solve again with a larger request")
        value = theory[name]
        if name in SPECTRA:
            if len(value) <= request.lmax:
                raise RequestError(
                    f"{name} ends at l={len(value) - 1}, l={request.lmax} is asked for; "
                    "solve again with a larger lmax"
                )
            value = value[: request.lmax + 1]
        result[name] = value
    return result
