"""Checks of a configuration that need the registries: likelihoods, parameters, solver, files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import VolvelleError
from .blocks import offer
from .document import Document
from .parameters import Sampled, SampledParameter, Value

REQUIRED = ("omega_b", "omega_cdm", "n_s", "tau_reio")
ALTERNATIVES = {
    "the expansion": ("theta_star_100", "h", "H0"),
    "the amplitude": ("ln10A_s", "A_s", "sigma8"),
}
"""Of each row exactly one parameter is given."""
INSIDE = 1e-6
"""How far inside a prior its ends are tried [fraction of its width]; at an end itself, such as
a mass of 0, the probability is nil."""


@dataclass(frozen=True)
class Likelihoods:
    """Nuisance parameters of the likelihoods by name (with the likelihood they belong to), and the
    likelihoods whose data are missing, with the reason."""

    nuisance: dict[str, tuple[str, Any]]
    missing: dict[str, str]


def likelihoods(
    document: Document, given: Mapping[str, Mapping[str, Any]], simulate_if_missing: bool
) -> Likelihoods:
    """Make every likelihood once: unknown names, wrong options and missing data show up here."""
    from ..data import MissingDataError
    from ..likelihood import LIKELIHOODS, PrecisionError, get_likelihood
    from ..likelihood.bandpowers import CALIBRATION

    simulated = {"planck_2018_plik_lite": {"A_planck": CALIBRATION}, "planck_2018_low_l": {}}
    nuisance: dict[str, tuple[str, Any]] = {}
    missing: dict[str, str] = {}
    for name, options in given.items():
        key = ("likelihood", name)
        if name not in LIKELIHOODS:
            raise document.error(key, f"unknown likelihood; {offer(name, tuple(LIKELIHOODS))}")
        if name == "planck_2018_simulated":
            _check_simulated(document, name, options)
            parameters = simulated["planck_2018_plik_lite"]
            missing[name] = "simulated on request"
        else:
            try:
                parameters = get_likelihood(name, **options).nuisance
            except PrecisionError:
                raise
            except MissingDataError as error:
                if not simulate_if_missing:
                    raise document.error(key, str(error)) from error
                if name not in simulated:
                    raise document.error(
                        key, f"{error}; simulate_if_missing serves {' and '.join(simulated)} only"
                    ) from error
                parameters, missing[name] = simulated[name], str(error)
            except VolvelleError as error:
                raise document.error(key, str(error).removeprefix(f"{name}: ")) from error
        nuisance.update({parameter: (name, info) for parameter, info in parameters.items()})
    return Likelihoods(nuisance, missing)


def _check_simulated(document: Document, name: str, options: Mapping[str, Any]) -> None:
    for option, value in options.items():
        key = ("likelihood", name, option)
        if option != "f_sky":
            raise document.error(key, f"unknown option; {offer(option, ('f_sky',))}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
            raise document.error(key, f"expected a number above 0 and at most 1, got {value!r}")


def parameters(
    document: Document, given: Mapping[str, Any], nuisance: Mapping[str, tuple[str, Any]]
) -> tuple[tuple[SampledParameter, ...], dict[str, float], dict[str, float]]:
    """Sampled parameters, fixed inputs and fixed nuisance parameters, all names checked.

    Nuisance parameters that the file does not name get their likelihood's prior.
    """
    from ..cosmology import PARAMETERS

    for name in given:
        _check_name(document, name, nuisance)
    _check_combinations(document, given)
    sampled: list[SampledParameter] = []
    fixed: dict[str, float] = {}
    fixed_nuisance: dict[str, float] = {}
    for name, value in given.items():
        if isinstance(value, Sampled):
            info = nuisance[name][1] if name in nuisance else None
            label = value.latex or (info.label if info else PARAMETERS[name].label)
            kind = "nuisance" if info else "cosmology"
            loc, scale = value.reference() or _default_reference(document, name, value, info)
            sampled.append(SampledParameter(name, value.prior_dict(), loc, scale, label, kind))
        else:
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


def _check_name(document: Document, name: str, nuisance: Mapping[str, tuple[str, Any]]) -> None:
    from ..cosmology import INPUT_PARAMETERS, PARAMETERS

    key = ("params", name)
    if name in INPUT_PARAMETERS or name in nuisance:
        return
    if name in PARAMETERS:
        raise document.error(
            key, "is derived, not an input: it is computed and reported anyway; remove it"
        )
    if name == "A_planck":
        raise document.error(
            key,
            "belongs to planck_2018_plik_lite, which is not in the likelihood block; remove the "
            "parameter or add the likelihood",
        )
    raise document.error(key, f"unknown parameter; {offer(name, (*INPUT_PARAMETERS, *nuisance))}")


def _check_combinations(document: Document, given: Mapping[str, Any]) -> None:
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
        raise document.error(
            ("params",),
            f"missing {', '.join(missing)}; give each a number (fixed) or a prior (sampled)",
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


def cosmology(
    document: Document,
    sampled: Sequence[SampledParameter],
    fixed: Mapping[str, float],
    hierarchy: str,
) -> None:
    """Build the cosmology at the reference and at both ends of every prior: all must work."""
    from ..cosmology import Cosmology

    centre = {p.name: p.ref_loc for p in sampled if p.kind == "cosmology"}
    trials: list[tuple[str | None, dict[str, float]]] = [(None, {})]
    for parameter in sampled:
        if parameter.kind == "cosmology" and {"min", "max"} <= set(parameter.prior):
            low, high = parameter.prior["min"], parameter.prior["max"]
            margin = INSIDE * (high - low)
            trials += [(parameter.name, {parameter.name: v}) for v in (low + margin, high - margin)]
    for name, change in trials:
        try:
            Cosmology.from_parameters({**fixed, **centre, **change}, neutrino_hierarchy=hierarchy)
        except VolvelleError as error:
            named = name or next(
                (p for p in (*fixed, *centre) if str(error).startswith(f"{p} ")), None
            )
            key = ("params", named) if named else ("params",)
            where = f"the prior reaches {change[name]:.6g}: " if name else ""
            raise document.error(key, f"{where}{error}") from error


def solver(document: Document, name: str, settings: Mapping[str, Any]) -> None:
    """Load the solver's library: a missing or unusable one shows up now."""
    from ..boltzmann import get_solver

    try:
        get_solver(name, **settings).identity()
    except VolvelleError as error:
        key = ("theory", name, "path") if settings.get("path") else ("theory", name)
        raise document.error(key, str(error)) from error


def warm_starts(document: Document, folders: Sequence[Path]) -> None:
    """Every warm start is the output folder of a run that has an emulator."""
    for position, folder in enumerate(folders):
        if not (folder / "emulator").is_dir():
            what = "has no emulator/ in it" if folder.is_dir() else "is not there"
            raise document.error(
                ("emulator", "warm_start", position),
                f"{folder} {what}; run the configuration that writes it first, or remove it here",
            )


def output(document: Document, folder: Path) -> None:
    """The output is a folder, or can become one."""
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise document.error(
                ("output",), f"{path} is a file; name a folder, it is made if need be"
            )
