"""Checks of a configuration that need the registries: likelihoods, parameters, solver, files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import VolvelleError
from .blocks import offer
from .document import Document
from .parameters import SampledParameter
from .roles import Roles

if TYPE_CHECKING:
    from ..boltzmann import Request, Solver
    from .emulator_block import EmulatorBlock
    from .sampler_block import SamplerBlock

INSIDE = 1e-6
"""How far inside a prior its ends are tried [fraction of its width]; at an end itself, such as
a mass of 0, the probability is nil."""


@dataclass(frozen=True)
class Likelihoods:
    """Nuisance parameters of the likelihoods by name (with the likelihood they belong to), the
    likelihoods whose data are missing, with the reason, what all of them ask of the solver, which
    of it are scalars by the solver's own names, by likelihood, and the hashes of all files that
    they read, a user's own class among them; the parameters that several likelihoods share."""

    nuisance: dict[str, tuple[str, Any]]
    missing: dict[str, str]
    request: Request
    natives: dict[str, tuple[str, ...]]
    data: dict[str, str]
    shared: dict[str, tuple[str, ...]]


def likelihoods(
    document: Document,
    given: Mapping[str, Mapping[str, Any]],
    simulate_if_missing: bool,
    params: Collection[str] = (),
    learned: Collection[str] = (),
) -> Likelihoods:
    """Make every likelihood once: unknown names, wrong options and missing data show up here.

    ``params``: those of the file; nuisance parameters among them may be shared on purpose;
    ``learned``: outputs that the file asks for besides.
    """
    from ..boltzmann import Request
    from ..compute import plugin_sha256
    from ..data import MissingDataError
    from ..likelihood import LIKELIHOODS, PrecisionError, get_likelihood
    from ..likelihood.bandpowers import CALIBRATION

    simulated = {"planck_2018_plik_lite": {"A_planck": CALIBRATION}, "planck_2018_low_l": {}}
    request = Request(spectra=(), background=True)
    nuisance: dict[str, tuple[str, Any]] = {}
    missing: dict[str, str] = {}
    natives: dict[str, tuple[str, ...]] = {}
    data: dict[str, str] = {}
    owners: dict[str, list[str]] = {}
    for name, options in given.items():
        key, lacking = ("likelihood", name), ()
        if name not in LIKELIHOODS:
            raise document.error(key, f"unknown likelihood; {offer(name, tuple(LIKELIHOODS))}")
        if name == "planck_2018_simulated":
            _check_simulated(document, name, options)
            parameters = simulated["planck_2018_plik_lite"]
            missing[name] = "simulated on request"
        else:
            try:
                made = get_likelihood(name, **options)
                parameters, request = made.nuisance, request.union(made.requires)
                lacking = made.lacks(learned)
                natives[name] = made.requires.native
                own = plugin_sha256(options["python"]) if name == "external" else {}
                data.update({**made.data_sha256, **own})
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
        if lacking:
            raise document.error(
                ("emulator", "outputs"),
                f"{name} also needs {' and '.join(lacking)} where the others are learned; add it",
            )
        for parameter, info in parameters.items():
            if parameter in nuisance:
                _check_shared(document, parameter, nuisance[parameter], (name, info), params)
                info = replace(
                    info, limits=_within_both(nuisance[parameter][1].limits, info.limits)
                )
            owners.setdefault(parameter, []).append(name)
            nuisance[parameter] = (name, info)
    if missing or request.spectra:
        request = request.union(Request())
    shared = {parameter: tuple(names) for parameter, names in owners.items() if len(names) > 1}
    return Likelihoods(nuisance, missing, request, natives, data, shared)


def _within_both(
    one: tuple[float, float] | None, two: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Limits of one number that serves two likelihoods."""
    if one is None or two is None:
        return one or two
    return max(one[0], two[0]), min(one[1], two[1])


def _check_shared(
    document: Document,
    parameter: str,
    first: tuple[str, Any],
    second: tuple[str, Any],
    params: Collection[str],
) -> None:
    """Refuse one name for two numbers, unless the file itself says what it is."""
    conventions = first[1].convention, second[1].convention
    if all(conventions) and conventions[0] != conventions[1]:
        raise document.error(
            ("likelihood", second[0]),
            f"has a parameter {parameter} {conventions[1]}, which {first[0]} has {conventions[0]}: "
            "one number would serve both and mean two things; give both the same",
        )
    if parameter in params or first[1].same(second[1]):
        return
    alike = dict(first[1].prior) == dict(second[1].prior)
    what = "of different samples" if alike else f"{first[1].prior} and {second[1].prior}"
    raise document.error(
        ("likelihood", second[0]),
        f"has a parameter {parameter}, as {first[0]} has, {what}, and one number would serve both; "
        f"if it should, give {parameter} in params with a prior or a value, else name the samples "
        "of one of the files anew",
    )


def direct(
    document: Document, given: Mapping[str, Mapping[str, Any]], params: Iterable[str], parts: Roles
) -> None:
    """Likelihoods and parameters that the package's own theory serves, and no block for what it
    does not train."""
    from ..likelihood import get_likelihood

    for name, options in given.items():
        if not get_likelihood(name, **options).reads_cosmology:
            raise document.error(
                ("likelihood", name),
                "reads what only a solver computes; write theory: {class: } (or camb), which is "
                "learned, and of which the other likelihoods take the cosmology",
            )
    if "theta_star_100" in params:
        raise document.error(
            ("params", "theta_star_100"),
            "only a solver knows h of it; theory: {volvelle: } takes h or H0",
        )
    if parts.natives:
        raise document.error(
            ("params", parts.natives[0]),
            "is a solver's own input, which theory: {volvelle: } does not know; remove it, or say "
            "drop: true if it stands in expressions only",
        )
    if "emulator" in document.data:
        raise document.error(
            ("emulator",), "theory: {volvelle: } trains nothing; leave the block out"
        )


def likelihood_scalars(
    document: Document, found: Roles, hierarchy: str, solver: Solver, likelihoods: Likelihoods
) -> None:
    """Scalars that likelihoods read by the solver's own names, which the solver has to know."""
    for name, natives in likelihoods.natives.items():
        if natives:
            key = ("likelihood", name)
            _deliverable(document, key, found, hierarchy, solver, natives)


def _deliverable(
    document: Document,
    key: tuple[Any, ...],
    found: Roles,
    hierarchy: str,
    solver: Solver | None,
    names: Sequence[str],
) -> None:
    """Outputs that can be asked for, and of this solver if there is one, in its own words."""
    from ..boltzmann import Request

    centre = {p.name: p.ref_loc for p in found.sampled if p.kind == "cosmology"}
    try:
        request = Request.of(names).union(Request())  # some inputs are read with C_l only
        if solver is not None:
            universe = found.parametrisation.cosmology({**found.fixed, **centre}, hierarchy)
            solver.check(universe, request)
    except VolvelleError as error:
        raise document.error(key, str(error)) from error


def _check_simulated(document: Document, name: str, options: Mapping[str, Any]) -> None:
    for option, value in options.items():
        key = ("likelihood", name, option)
        if option != "f_sky":
            raise document.error(key, f"unknown option; {offer(option, ('f_sky',))}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
            raise document.error(key, f"expected a number above 0 and at most 1, got {value!r}")


def cosmology(document: Document, found: Roles, hierarchy: str) -> None:
    """Build the cosmology at the reference and at both ends of every prior: all must work."""
    from ..cosmology import NATIVE, massless_number

    sampled = [p for p in found.sampled if p.kind == "cosmology"]
    centre = {p.name: p.ref_loc for p in sampled}
    trials: list[tuple[SampledParameter | None, dict[str, float]]] = [(None, {})]
    for parameter in sampled:
        if {"min", "max"} <= set(parameter.prior):
            low, high = parameter.prior["min"], parameter.prior["max"]
            margin = INSIDE * (high - low)
            trials += [(parameter, {parameter.name: v}) for v in (low + margin, high - margin)]
    defined = [name for name, _ in found.parametrisation.definitions]
    for parameter, change in trials:
        values = {**found.fixed, **centre, **change}
        try:
            universe = found.parametrisation.cosmology(values, hierarchy)
            if hierarchy != NATIVE:
                massless_number(universe)  # refuses an N_eff below that of the massive states
        except VolvelleError as error:
            words = str(error)
            named = parameter.key if parameter else _named(words, (*values, *defined))
            key = ("params", named) if named else ("params",)
            end = change[parameter.name] if parameter else 0.0
            of = f" in {parameter.name}" if parameter and parameter.name != named else ""
            where = f"the prior reaches {end:.6g}{of}: " if parameter else ""
            raise document.error(key, f"{where}{words}") from error


def _named(words: str, names: Sequence[str]) -> str | None:
    """The parameter that a message begins with."""
    return next((name for name in names if re.match(rf"{re.escape(name)}[ :]", words)), None)


def natives(
    document: Document,
    found: Roles,
    hierarchy: str,
    solver: Solver,
    request: Request,
    nuisance: Sequence[str],
    settings: Mapping[str, Any],
) -> None:
    """Let the solver read its own inputs at the reference; it knows best which there are.

    These are parameters and, of the theory block's ``settings``, ``precision`` and ``extra``. A
    name that stands in an expression and that the solver takes as well could be meant either
    way: then the file has to say which.
    """
    from ..cosmology import INPUT_PARAMETERS, NATIVE, nearest_names

    centre = {p.name: p.ref_loc for p in found.sampled if p.kind == "cosmology"}
    values = {**found.fixed, **centre}
    parametrisation = found.parametrisation
    given = {"precision": settings.get("precision", {}), "extra_args": settings.get("extra", {})}
    if found.natives or hierarchy == NATIVE or any(given.values()):
        try:
            solver.check(parametrisation.cosmology(values, hierarchy), request)
        except VolvelleError as error:
            words = str(error)
            for block, names in given.items():
                for name in filter(lambda setting: _mentions(words, setting), names):
                    raise document.error(("theory", solver.name, block, name), words) from error
            own = [name for name in found.natives if _mentions(words, name)]
            name = own[0] if own else next(iter(found.natives), None)
            known = [*INPUT_PARAMETERS, *nuisance]
            near = nearest_names(name, known) if own and name else []
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            key = ("params", name) if name else ("theory", solver.name)
            raise document.error(key, words + hint) from error
    for name in found.unclear:
        dropped = tuple(other for other in parametrisation.dropped if other != name)
        try:
            handed = replace(parametrisation, dropped=dropped)
            solver.check(handed.cosmology(values, hierarchy), request)
        except VolvelleError:
            continue  # no input of the solver, or not beside the others: for expressions only
        raise document.error(
            ("params", name),
            f"stands in an expression, and {solver.name} has an input of this name as well; write "
            "it as a block and add drop: true if it is for expressions only, or drop: false to "
            f"hand it to {solver.name} too",
        )


def with_outputs(request: Request, names: Sequence[str]) -> Request:
    """The request with the outputs of all solvers among ``names``: some inputs are read beside the
    spectra only (those of tensors)."""
    from ..boltzmann import OUTPUTS, Request

    return request.union(Request.of([name for name in names if name in OUTPUTS]))


def _mentions(words: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", words) is not None


def solver(document: Document, name: str, settings: Mapping[str, Any]) -> Solver:
    """Load the solver's library: a missing or unusable one shows up now."""
    from ..boltzmann import get_solver

    try:
        made = get_solver(name, **settings)
        made.identity()
        return made
    except VolvelleError as error:
        key = ("theory", name, "path") if settings.get("path") else ("theory", name)
        raise document.error(key, str(error)) from error


def outputs(
    document: Document,
    found: Roles,
    hierarchy: str,
    solver: Solver | None,
    names: Sequence[str],
    block: tuple[str, ...] = ("emulator", "outputs"),
) -> None:
    """What the emulator is to learn besides: our names, and the solver's own, which it knows best.

    Without a solver only our own names are checked. ``block``: where the names stand in the file.
    """
    for position, name in enumerate(names):
        key = (*block, position)
        _deliverable(document, key, found, hierarchy, solver, [name])


def design(document: Document, emulator: EmulatorBlock, parameters: int) -> None:
    """A design has the points that its surrogate needs."""
    from ..training import TrainingError, check_size

    block = ("emulator", "design", emulator.design.name)
    own = emulator.design.sizes()
    sizes: list[tuple[Any, ...]] = [(*block, name, points) for name, points in own.items()]
    if emulator.initial is not None:
        sizes.append(("emulator", "initial", emulator.initial))
    for *key, points in sizes:
        try:
            check_size(points, parameters, key[-1], emulator.folds, emulator.kind)
        except TrainingError as error:
            raise document.error(tuple(key), str(error).removeprefix(f"{key[-1]} is ")) from error


def sampler(document: Document, block: SamplerBlock, names: Sequence[str]) -> None:
    """The sampler fits the sampled parameters: names in blocks, walkers, live points."""
    from ..inference import InferenceError, check_method
    from .sampler_block import make_method

    chosen = block.chosen
    try:
        check_method(make_method(chosen), tuple(names), chosen.chains * chosen.draws)
    except InferenceError as error:
        raise document.error(("sampler", block.name), str(error)) from error


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
