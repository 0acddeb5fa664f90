"""What each entry of ``params`` is: sampled, fixed, defined, a likelihood's, the solver's own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .blocks import offer
from .document import Document
from .parameters import Sampled, SampledParameter, Value

if TYPE_CHECKING:
    from ..cosmology import Parametrisation

REQUIRED = ("omega_b", "omega_cdm", "n_s", "tau_reio")
ALTERNATIVES = {
    "the expansion": ("theta_star_100", "h", "H0"),
    "the amplitude": ("ln10A_s", "A_s", "sigma8"),
}
"""Of each row exactly one parameter is given."""
GREEK = re.compile(
    "([Gg]amma|[Dd]elta|[Tt]heta|[Ll]ambda|[Xx]i|[Ss]igma|[Pp]hi|[Pp]si|[Oo]mega|alpha|beta|epsilon"
    "|eta|kappa|mu|nu|rho|tau|chi)$"
)
_TAIL = 4.0
"""Standard deviations of a normal prior that a likelihood has to know: 6e-5 of it lie beyond."""
Nuisance = Mapping[str, tuple[str, Any]]
"""Nuisance parameters by name, with the likelihood that each belongs to."""


@dataclass(frozen=True)
class Roles:
    """All parameters by their role.

    ``natives``: inputs in the solver's own words; ``unclear``: names that stand in an expression
    and may be a solver's input besides, with nothing said about it; ``labels``: of defined ones.
    """

    sampled: tuple[SampledParameter, ...]
    fixed: dict[str, float]
    fixed_nuisance: dict[str, float]
    parametrisation: Parametrisation
    natives: tuple[str, ...]
    unclear: tuple[str, ...]
    labels: dict[str, str]


def roles(document: Document, given: Mapping[str, Any], nuisance: Nuisance) -> Roles:
    """The role of every parameter, all names but the solver's own checked.

    Nuisance parameters that the file does not name get their likelihood's prior.
    """
    from ..cosmology import ExpressionError, Parametrisation, in_order, parse

    for name, value in given.items():
        _check_name(document, name, value, nuisance)
    _check_combinations(document, given)
    texts = {name: text for name, value in given.items() if (text := _text(value)) is not None}
    for name, value in given.items():
        if isinstance(value, Sampled) and value.scale == "log":
            texts[name] = f"10**{_logarithm(document, name, given, nuisance)}"
    _check_expressions(document, texts, given, nuisance)
    try:
        definitions = in_order(texts)
    except ExpressionError as error:
        raise document.error(("params",), str(error)) from error
    used = {name for text in texts.values() for name in parse(text).names}
    dropped, natives, unclear = _outside(document, given, nuisance, used)
    logarithms = {f"log10_{_word(n)}" for n, v in given.items() if _is_log(v)}
    unset = {n: v.unset for n, v in given.items() if isinstance(v, Sampled)}
    sampled, fixed, fixed_nuisance = _values(document, given, nuisance)
    return Roles(
        sampled,
        fixed,
        fixed_nuisance,
        Parametrisation(
            definitions,
            tuple(sorted({*dropped, *logarithms})),
            tuple((name, value) for name, value in unset.items() if value is not None),
            _idle(document, given),
        ),
        natives,
        unclear,
        {name: _label(name, given[name]) for name in texts},
    )


def _text(value: Any) -> str | None:
    """The expression of a defined parameter."""
    written = value.value if isinstance(value, Value) else value
    return written if isinstance(written, str) else None


def _is_log(value: Any) -> bool:
    return isinstance(value, Sampled) and value.scale == "log"


def _word(name: str) -> str:
    """A name as it can stand in an expression."""
    return re.sub(r"\W", "_", name)


def _logarithm(document: Document, name: str, given: Mapping[str, Any], nuisance: Nuisance) -> str:
    """The sampled parameter behind ``scale: log``."""
    log = f"log10_{_word(name)}"
    if log in given or log in nuisance:
        raise document.error(
            ("params", name), f"scale: log samples {log}, which is a parameter already; rename it"
        )
    return log


def _check_name(document: Document, name: str, value: Any, nuisance: Nuisance) -> None:
    from ..cosmology import INPUT_PARAMETERS, PARAMETERS

    key = ("params", name)
    if name in PARAMETERS and name not in INPUT_PARAMETERS:
        raise document.error(
            key,
            "is derived, not an input: it is computed and reported anyway; remove it. To sample in "
            "it, define an input by a name of your own, as in docs/configuration.md, Expressions",
        )
    if name == "A_planck" and name not in nuisance:
        raise document.error(
            key,
            "belongs to planck_2018_plik_lite, which is not in the likelihood block; remove the "
            "parameter or add the likelihood",
        )
    if name in nuisance and (_text(value) is not None or _is_log(value)):
        raise document.error(
            key,
            f"belongs to the likelihood {nuisance[name][0]}, and neither expressions nor scale: "
            "log reach there; give it a number or a prior",
        )
    if name not in INPUT_PARAMETERS and name not in nuisance:
        return
    for option in ("drop", "unset", "unset_with"):
        if getattr(value, option, None) is not None:
            raise document.error(
                (*key, option), f"is for the solver's own inputs; {name} is none, remove it"
            )


def _idle(document: Document, given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Inputs that mean nothing where another one is unset, with that other one."""
    found = {n: v.unset_with for n, v in given.items() if isinstance(v, Sampled) and v.unset_with}
    leaders = [n for n, v in given.items() if isinstance(v, Sampled) and v.unset is not None]
    for name, leader in found.items():
        if leader not in leaders:
            raise document.error(
                ("params", name, "unset_with"),
                f"{leader} is no parameter with unset: VALUE; {offer(leader, leaders)}",
            )
    return tuple(found.items())


def _check_expressions(
    document: Document, texts: Mapping[str, str], given: Mapping[str, Any], nuisance: Nuisance
) -> None:
    """Every name in an expression is a parameter of the theory."""
    from ..cosmology import parse

    logarithms = {f"log10_{_word(name)}" for name, value in given.items() if _is_log(value)}
    known = [name for name in (*given, *logarithms) if name not in nuisance]
    for name, text in texts.items():
        for needed in parse(text).names:
            if needed in nuisance:
                raise document.error(
                    ("params", name),
                    f"{text!r} uses {needed}, which belongs to the likelihood "
                    f"{nuisance[needed][0]}; expressions take cosmological parameters only",
                )
            if needed not in known:
                raise document.error(
                    ("params", name),
                    f"{text!r} uses {needed}, which is not in params; {offer(needed, known)}",
                )


def _outside(
    document: Document, given: Mapping[str, Any], nuisance: Nuisance, used: set[str]
) -> tuple[list[str], tuple[str, ...], tuple[str, ...]]:
    """Of the names that are not Volvelle's own: for expressions only, the solver's, not said."""
    from ..cosmology import INPUT_PARAMETERS

    dropped: list[str] = []
    natives: list[str] = []
    unclear: list[str] = []
    for name, value in given.items():
        if name in INPUT_PARAMETERS or name in nuisance:
            continue
        drop = getattr(value, "drop", None)
        if drop and name not in used:
            raise document.error(
                ("params", name), "drop: true, and no expression uses it; remove the parameter"
            )
        if drop is None and name in used:
            unclear.append(name)
        (dropped if drop or (drop is None and name in used) else natives).append(name)
    return dropped, tuple(natives), tuple(unclear)


def _values(
    document: Document, given: Mapping[str, Any], nuisance: Nuisance
) -> tuple[tuple[SampledParameter, ...], dict[str, float], dict[str, float]]:
    sampled: list[SampledParameter] = []
    fixed: dict[str, float] = {}
    fixed_nuisance: dict[str, float] = {}
    for name, value in given.items():
        if name in nuisance:
            _check_limits(document, name, value, *nuisance[name])
        if isinstance(value, Sampled):
            info = nuisance[name][1] if name in nuisance else None
            sampled.append(_sampled(document, name, value, info))
        elif _text(value) is None:
            number = float(value.value if isinstance(value, Value) else value)
            (fixed_nuisance if name in nuisance else fixed)[name] = number
    for name, (_, info) in nuisance.items():
        if name not in given:
            prior = dict(info.prior)
            sampled.append(
                SampledParameter(name, prior, info.ref, _deviation(prior), info.label, "nuisance")
            )
    if all(parameter.kind == "nuisance" for parameter in sampled):
        raise document.error(
            ("params",),
            "no cosmological parameter has a prior, so there is nothing to infer; give one of "
            f"them prior: and ref: ({', '.join(fixed)})",
        )
    return tuple(sampled), fixed, fixed_nuisance


def _check_limits(document: Document, name: str, value: Any, owner: str, info: Any) -> None:
    """Refuse values, and priors with some probability, beyond what a likelihood knows."""
    if info.limits is None:
        return
    if isinstance(value, Sampled):
        prior, tail = value.prior, _TAIL * getattr(value.prior, "scale", math.inf)
        loc = getattr(prior, "loc", 0.0)
        low = max(getattr(prior, "min", -math.inf), loc - tail)
        high = min(getattr(prior, "max", math.inf), loc + tail)
    else:
        low = high = float(value.value if isinstance(value, Value) else value)
    if low < info.limits[0] or high > info.limits[1]:
        raise document.error(
            ("params", name),
            f"reaches {low if low < info.limits[0] else high:g}, and beyond {info.limits[0]:g} to "
            f"{info.limits[1]:g} the likelihood {owner} knows no probability: the prior would be "
            "cut there; narrow it, or give the likelihood a larger margin",
        )


def _sampled(document: Document, name: str, value: Sampled, info: Any) -> SampledParameter:
    label = value.latex or (info.label if info else _label(name, value))
    kind = "nuisance" if info else "cosmology"
    loc, scale = value.reference() or _default_reference(document, name, value, info)
    prior = value.prior_dict()
    if value.scale == "linear":
        return SampledParameter(name, prior, loc, scale, label, kind)
    prior = {end: math.log10(number) for end, number in prior.items()}
    label = rf"\log_{{10}} {label}"
    return SampledParameter(
        f"log10_{_word(name)}", prior, math.log10(loc), scale, label, kind, name
    )


def _label(name: str, value: Any) -> str:
    """The user's label, the registry's, or the name set in LaTeX: Gamma_dcdm as \\Gamma_{dcdm}."""
    from ..cosmology import PARAMETERS

    given = getattr(value, "latex", None)
    if given or name in PARAMETERS:
        return given or PARAMETERS[name].label
    base, _, below = name.partition("_")
    if GREEK.match(base):
        base = rf"\{base}"
    elif len(base) > 1:
        base = rf"\mathrm{{{base}}}"
    return rf"{base}_\mathrm{{{below.replace('_', ',')}}}" if below else base


def _check_combinations(document: Document, given: Mapping[str, Any]) -> None:
    from ..cosmology import INPUT_PARAMETERS, nearest_names

    for what, names in ALTERNATIVES.items():
        chosen = [name for name in given if name in names]
        if len(chosen) > 1:
            raise document.error(
                ("params", chosen[1]),
                f"cannot stand beside {chosen[0]}: exactly one of {', '.join(names)} sets {what}; "
                f"remove {chosen[0]} or {chosen[1]}",
            )
        if not chosen:
            raise document.error(
                ("params",), f"nothing sets {what}; add exactly one of {', '.join(names)}"
            )
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        foreign = [name for name in given if name not in INPUT_PARAMETERS]
        near = {name: nearest_names(name, foreign) for name in missing}
        slips = [f"is {found[0]} meant to be {name}?" for name, found in near.items() if found]
        meant = f" ({' '.join(slips)})" if slips else ""
        raise document.error(
            ("params",),
            f"missing {', '.join(missing)}{meant}; give each a number (fixed) or a prior (sampled)",
        )


def _default_reference(
    document: Document, name: str, value: Sampled, info: Any
) -> tuple[float, float]:
    """A likelihood knows where to start for its own parameters; for others the user says it."""
    if info is not None:
        return info.ref, _deviation(value.prior_dict())
    raise document.error(
        ("params", name),
        "has no ref; add ref: {loc: .., scale: ..}, a first guess and its uncertainty: the first "
        "exact solutions are placed there (the prior may be as wide as you like)",
    )


def _deviation(prior: Mapping[str, Any]) -> float:
    """Standard deviation of a prior given as a plain dict; of a log-uniform one roughly."""
    if "scale" in prior:
        return float(prior["scale"])
    return (float(prior["max"]) - float(prior["min"])) / math.sqrt(12.0)
