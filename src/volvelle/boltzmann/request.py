"""What is asked of a solver, and how a larger solution serves a smaller request."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import RequestError
from .outputs import FOLLOWS, OUTPUTS, names_of, suggestion

SPECTRA: tuple[str, ...] = names_of("spectrum")
"""Angular power spectra: C_l [muK^2] with index l from 0; ``phiphi`` is dimensionless."""

BACKGROUND: tuple[str, ...] = names_of("background")
"""H [km/s/Mpc] and D_M [Mpc] on ``BACKGROUND_Z``."""

POWER: tuple[str, ...] = names_of("power")
"""P(k, z) of total matter [Mpc^3], shape (n_z, n_k), on ``POWER_Z`` and ``POWER_K``."""

FUNCTIONS: tuple[str, ...] = names_of("function")
"""Functions of redshift, and of redshift and wavenumber, that are asked for one by one."""

ON_REQUEST: tuple[str, ...] = ("sigma8_cb", "z_reio")
"""Scalars that mean the same from every solver and are had on request."""

SCALARS: tuple[str, ...] = tuple(n for n in names_of("scalar") if n not in ON_REQUEST)
"""Numbers that every solution holds; units in ``cosmology.PARAMETERS``."""

NON_LINEAR_OUTPUTS = ("matter_power_nonlinear", "cb_power_nonlinear")
REVISION = 2
"""Of the non-linear outputs. CLASS's of revision 1 fell to the linear ones from z = 3.3 on, where
its range of wavenumbers did not reach the non-linear scale."""
SHORT = 2508
"""Spectra to a smaller l are computed to this one and cut: CLASS's wavenumbers end with its largest
l, and lensing brings power from beyond (to l = 600 alone TT is 2.5% off there, BB 40%)."""
SHORT_REVISION = 3
"""Of such spectra. Those of older revisions were computed to the l that was asked for."""

MINIMAL_LMAX = 2


@dataclass(frozen=True)
class Request:
    """Outputs wanted from a solver.

    spectra: angular ones, up to ``lmax``; background: ``BACKGROUND``; power: both of ``POWER``;
    functions: names of ``FUNCTIONS``, or one of ``POWER`` alone; scalars: beside the ``SCALARS``,
    which every solution holds, ``ON_REQUEST`` and derived numbers by the solver's own names.
    ``standard`` is false for what is no universe (a black box), which has no ``SCALARS``.
    Equal wishes make equal requests. Raises RequestError for what is unknown.
    """

    spectra: tuple[str, ...] = ("lensed_tt", "lensed_te", "lensed_ee", "phiphi")
    lmax: int = 2508
    background: bool = True
    power: bool = False
    functions: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    standard: bool = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.spectra if name not in SPECTRA]
        if unknown:
            raise RequestError(f"unknown spectrum '{unknown[0]}'; known: {', '.join(SPECTRA)}")
        if isinstance(self.lmax, bool) or int(self.lmax) != self.lmax or self.lmax < MINIMAL_LMAX:
            raise RequestError(f"lmax is {self.lmax}; expected a whole number from {MINIMAL_LMAX}")
        for name in self.functions:
            if name not in POWER + FUNCTIONS:
                hint = suggestion(name, POWER + FUNCTIONS)
                raise RequestError(f"unknown function '{name}'; {hint}")
        for name in self.scalars:
            if name in FOLLOWS or (name in OUTPUTS and OUTPUTS[name].kind != "scalar"):
                hint = FOLLOWS.get(name, "it is a function or a spectrum")
                raise RequestError(f"'{name}' is no scalar; {hint}")
        power = self.power or set(self.functions) >= set(POWER)
        functions = FUNCTIONS if power else POWER + FUNCTIONS
        settle = {
            "spectra": tuple(name for name in SPECTRA if name in self.spectra),
            "lmax": int(self.lmax),
            "power": power,
            "functions": tuple(name for name in functions if name in self.functions),
            "scalars": tuple(sorted(set(self.scalars) - set(SCALARS if self.standard else ()))),
        }
        for field, value in settle.items():
            object.__setattr__(self, field, value)

    @classmethod
    def of(cls, names: Iterable[str], lmax: int = MINIMAL_LMAX) -> "Request":
        """The request for these outputs, spectra up to ``lmax``.

        A name that the registry does not have is taken for a scalar of the solver's own. Raises
        RequestError for what only repeats another output.
        """
        names = tuple(names)
        kinds = {name: OUTPUTS[name].kind if name in OUTPUTS else "scalar" for name in names}
        return cls(
            spectra=tuple(name for name in names if kinds[name] == "spectrum"),
            lmax=lmax,
            background="background" in kinds.values(),
            functions=tuple(name for name in names if kinds[name] in ("function", "power")),
            scalars=tuple(name for name in names if kinds[name] == "scalar"),
        )

    @property
    def native(self) -> tuple[str, ...]:
        """Scalars that only the solver itself knows."""
        return tuple(name for name in self.scalars if name not in OUTPUTS)

    @property
    def transfers(self) -> tuple[str, ...]:
        """The transfer functions among the functions."""
        return tuple(name for name in self.functions if OUTPUTS[name].group == "transfer")

    @property
    def wavenumbers(self) -> bool:
        """Whether anything on ``POWER_K`` is asked for."""
        return any(OUTPUTS[name].grids[1:] for name in self.names() if name in OUTPUTS)

    @property
    def non_linear(self) -> bool:
        """Whether a non-linear power spectrum is asked for."""
        return any(name in NON_LINEAR_OUTPUTS for name in self.names())

    @property
    def early(self) -> bool:
        """Whether anything on ``EARLY_Z`` is asked for."""
        return bool({"matter_power_early", "cb_power_early"} & set(self.functions))

    @property
    def growth(self) -> bool:
        """Whether sigma8 or its growth at several redshifts is asked for."""
        return any(OUTPUTS[name].group == "growth" for name in self.functions)

    @property
    def history(self) -> bool:
        """Whether ionisation or visibility is asked for."""
        return bool({"ionisation_fraction", "visibility"} & set(self.functions))

    def covers(self, other: "Request") -> bool:
        """Whether a solution of this request holds all that ``other`` asks for."""
        enough = self.lmax >= other.lmax or not other.spectra
        return enough and set(self.names()) >= set(other.names())

    def union(self, other: "Request") -> "Request":
        """The smallest request that covers both."""
        limits = [request.lmax for request in (self, other) if request.spectra]
        return Request(
            spectra=self.spectra + other.spectra,
            lmax=max(limits, default=self.lmax),
            background=self.background or other.background,
            power=self.power or other.power,
            functions=self.functions + other.functions,
            scalars=self.scalars + other.scalars,
            standard=self.standard or other.standard,
        )

    def names(self) -> tuple[str, ...]:
        """Names of all outputs that a solution holds."""
        background = BACKGROUND if self.background else ()
        power = POWER if self.power else ()
        standard = SCALARS if self.standard else ()
        return self.spectra + background + power + self.functions + standard + self.scalars

    def to_json(self) -> str:
        """Canonical text, the same for equal requests; what is not asked for is left out, so that
        a request that could be made before functions and scalars existed has the text of then."""
        fields: dict[str, Any] = {
            "spectra": list(self.spectra),
            "lmax": self.lmax,
            "background": self.background,
            "power": self.power,
        }
        for name in ("functions", "scalars"):
            if getattr(self, name):
                fields[name] = list(getattr(self, name))
        if not self.standard:
            fields["standard"] = False
        if self.non_linear:
            fields["revision"] = REVISION
        if self.spectra and self.lmax < SHORT:
            fields["revision"] = SHORT_REVISION
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """Inverse of ``to_json``; non-linear outputs and short spectra of an older revision are
        left out."""
        fields = json.loads(text)
        revision = fields.pop("revision", 1)
        names = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        request = cls(**{**fields, **names})
        if request.non_linear and revision < REVISION:
            kept = tuple(n for n in request.functions if n not in NON_LINEAR_OUTPUTS)
            linear = ("matter_power",) if request.power else ()
            request = replace(request, power=False, functions=kept + linear)
        if request.lmax < SHORT and revision < SHORT_REVISION:
            request = replace(request, spectra=())
        return request


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
