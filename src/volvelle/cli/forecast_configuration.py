"""A file for ``volvelle forecast``, checked before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .blocks import offer
from .document import Document, Key
from .forecast_blocks import ForecastFile, OptimiseBlock, Quantity
from .forecast_samples import make_sample
from .messages import first_error

if TYPE_CHECKING:
    from ..power import Model
    from ..probes import Sample, Survey

SQUARE_DEGREES = 41252.96125
"""Of the whole sky."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*$")
_UNIVERSE = ("Omega_b", "Omega_cdm")
"""Names of a universe beside those of the registry."""


@dataclass(frozen=True)
class ForecastConfiguration:
    """What a forecast needs to know, from a file that has passed every check."""

    source: Path
    text: str
    output: Path
    universe: dict[str, float]
    hierarchy: str
    survey: Survey
    names: tuple[str, ...]
    """Of the parameters that vary."""
    priors: dict[str, float]
    labels: dict[str, str]
    """LaTeX of the parameters."""
    varying: bool
    simulations: int | None
    merits: tuple[tuple[str, ...], ...]
    derived: tuple[tuple[str, str], ...]
    triangle: tuple[str, ...]
    systematics: dict[str, tuple[dict[str, float], Model | None]]
    """Changed parameters and the true power model, by the name of the systematic."""
    optimise: OptimiseBlock | None
    area: float
    """[square degrees]."""
    edges: dict[str, tuple[float, ...]]
    """Of the bins of every sample that the file cuts itself."""

    @classmethod
    def load(cls, path: str | Path, *, output: str | Path | None = None) -> ForecastConfiguration:
        """Read and check a file; raises ConfigurationError: one line with file, line and key."""
        from ..power import power_model
        from ..probes import ProbeError, Survey, bands

        document = Document.load(Path(path))
        try:
            file = ForecastFile.model_validate(document.data)
        except ValidationError as error:
            raise first_error(document, error) from error
        _check_universe(document, file)
        made: list[Sample] = []
        edges: dict[str, tuple[float, ...]] = {}
        for name, block in file.samples.items():
            if not _NAME.match(name):
                raise document.error(("samples", name), "expected a name of letters, digits and _")
            sample, cut = make_sample(document, name, block)
            made.append(sample)
            if cut is not None:
                edges[name] = cut
        block = file.survey
        area = block.area if block.area is not None else (block.f_sky or 0.0) * SQUARE_DEGREES
        limits, ell = bands(block.ell.min, block.ell.max, block.ell.bands)
        try:
            survey = Survey(
                samples=tuple(made),
                ell=ell,
                edges=limits,
                f_sky=area / SQUARE_DEGREES,
                spectra=tuple(block.spectra),
                power=power_model(**file.power.model_dump()),
                limber=file.limber,
            )
        except ProbeError as error:
            raise document.error(("survey", "spectra"), str(error)) from error
        universe = {name: value.fiducial for name, value in file.params.items()}
        clash = sorted(set(universe) & set(survey.parameters))
        if clash:
            raise document.error(("params", clash[0]), "is a parameter of a sample; rename it")
        names, priors = _varying(file)
        if not names:
            raise document.error(
                ("params",), "nothing varies; write NAME: {fiducial: ..} for what shall"
            )
        found = cls(
            source=document.path,
            text=document.text,
            output=Path(output or file.output),
            universe=universe,
            hierarchy=file.neutrino_hierarchy,
            survey=survey,
            names=names,
            priors=priors,
            labels=_labels(file, names),
            varying=block.covariance == "varying",
            simulations=block.simulations,
            merits=tuple(tuple(each) for each in file.report.figures_of_merit),
            derived=_derived(document, file, names),
            triangle=_triangle(file, names),
            systematics={
                name: (
                    dict(each.params),
                    None if each.power is None else power_model(**each.power.model_dump()),
                )
                for name, each in file.systematic.items()
            },
            optimise=file.optimise,
            area=area,
            edges=edges,
        )
        found._check_names(document, file)
        found._check_data(document)
        if found.output.is_file():
            raise document.error(("output",), f"{found.output} is a file; name a folder")
        return found

    def _check_data(self, document: Document) -> None:
        """There are data, and with the priors not fewer than what varies."""
        from ..inference.forecast import used_data

        number = used_data(self.survey)
        if number == 0:
            last = ", ".join(f"{s.name} ends at {s.ell_max:g}" for s in self.survey.samples)
            raise document.error(
                ("survey", "ell"),
                f"no datum is left: the first band is at ell = {self.survey.ell[0]:.4g}, {last}; "
                "lower min, or raise ell_max",
            )
        if number + len(self.priors) < len(self.names):
            raise document.error(
                ("params",),
                f"{len(self.names)} parameters vary, with {number} data and {len(self.priors)} "
                "priors; fix some, or use more bands or spectra",
            )

    def _check_names(self, document: Document, file: ForecastFile) -> None:
        """Every name in report, systematic and optimise is one of this forecast."""
        from ..probes import ProbeError
        from ..probes.survey import check_shift

        shown = [*self.names, *(name for name, _ in self.derived)]
        for n, names in enumerate(self.merits):
            key: Key = ("report", "figures_of_merit", n)
            _refuse_unknown(document, key, names, shown)
            _refuse_repeated(document, key, names)
        _refuse_unknown(document, ("report", "triangle"), self.triangle, shown)
        _refuse_repeated(document, ("report", "triangle"), self.triangle)
        fixed = [n for n in (*self.universe, *self.survey.parameters) if n not in self.names]
        for name, each in file.systematic.items():
            for parameter in each.params:
                key = ("systematic", name, "params", parameter)
                if parameter in self.names:
                    raise document.error(
                        key,
                        "varies in the fit, which would find it; a systematic changes what is "
                        "fixed",
                    )
                _refuse_unknown(document, key, (parameter,), fixed)
                if parameter.startswith("dz_") and parameter in self.survey.parameters:
                    try:
                        check_shift(parameter, each.params[parameter])
                    except ProbeError as error:
                        raise document.error(key, str(error)) from error
        if self.optimise is None:
            return
        _refuse_unknown(document, ("optimise", "maximise"), self.optimise.maximise, self.names)
        _refuse_repeated(document, ("optimise", "maximise"), self.optimise.maximise)
        for name in self.optimise.edges:
            _refuse_unknown(document, ("optimise", "edges"), (name,), list(self.edges))
            if len(self.edges[name]) < 3:
                raise document.error(
                    ("optimise", "edges"), f"{name} has one bin, and no edge inside to be moved"
                )
        if self.optimise.area is None:
            return
        low, high = self.optimise.area
        if not low < self.area < high:
            raise document.error(
                ("optimise", "area"),
                f"the survey's own area, {self.area:g}, lies outside of {low:g} to {high:g}; it is "
                "the start, so widen the range",
            )
        largest = self.area * (1.0 + 1.0 / max(self.optimise.depth.overhead, 1e-9))
        if high >= largest:
            raise document.error(
                ("optimise", "area"),
                f"beyond {largest:.0f} square degrees the overhead leaves no time to expose; lower "
                "the largest area or depth.overhead",
            )

    def summary(self) -> dict[str, Any]:
        """What is asked for, in words."""
        survey = self.survey
        kinds = [f"{s.name}: {len(s.bins)} bins of {s.kind}" for s in survey.samples]
        data = f"{survey.rows.size} spectra of {survey.ell.size} bands"
        return {
            "vary": ", ".join(self.names),
            "priors": ", ".join(f"{n} {s:g}" for n, s in self.priors.items()) or "none",
            "samples": "; ".join(kinds),
            "sky": f"{self.area:.0f} square degrees, f_sky = {float(survey.f_sky):.4g}",
            "data": f"{data}: at most {survey.rows.size * survey.ell.size} numbers",
            "figures of merit": "; ".join(", ".join(each) for each in self.merits) or "none",
            "systematics": ", ".join(self.systematics) or "none",
            "optimise": "no" if self.optimise is None else ", ".join(self.optimise.maximise),
            "output": self.output,
        }


def _check_universe(document: Document, file: ForecastFile) -> None:
    """Refuse what is no universe, or one whose distances only a solver knows."""
    from ..cosmology import INPUT_PARAMETERS, Cosmology, CosmologyError

    known = [*INPUT_PARAMETERS, *_UNIVERSE]
    for name in file.params:
        if name not in known:
            raise document.error(
                ("params", name), f"is no parameter of the universe; {offer(name, known)}"
            )
    if "theta_star_100" in file.params:
        raise document.error(
            ("params", "theta_star_100"), "only a solver knows h of it; give h or H0"
        )
    values = {name: value.fiducial for name, value in file.params.items()}
    if "tau_reio" not in values:
        raise document.error(("params",), "missing tau_reio; it changes nothing here: any value")
    try:
        Cosmology.from_parameters(values, neutrino_hierarchy=file.neutrino_hierarchy)
    except CosmologyError as error:
        raise document.error(("params",), str(error)) from error


def _varying(file: ForecastFile) -> tuple[tuple[str, ...], dict[str, float]]:
    """Names of what varies, with the priors: the universe first."""
    names: list[str] = []
    priors: dict[str, float] = {}

    def take(name: str, quantity: Any) -> None:
        if quantity.varies:
            names.append(name)
            if quantity.prior is not None:
                priors[name] = quantity.prior

    for name, value in file.params.items():
        take(name, value)
    for sample, block in file.samples.items():
        bins = _number_of_bins(block)
        for name in ("bias", "m", "dz"):
            quantity = getattr(block, name)
            for n in range(bins if quantity is not None else 0):
                take(f"{name}_{sample}_{n + 1}", quantity)
        for name in ("A_IA", "eta_IA"):
            if getattr(block, name) is not None:
                take(f"{name}_{sample}", getattr(block, name))
    return tuple(names), priors


def _number_of_bins(block: Any) -> int:
    if block.bins is not None:
        return block.bins.number or len(block.bins.edges) - 1
    if block.n_z.sacc is not None:
        return len(block.n_z.sacc.tracers)
    from .forecast_samples import columns

    return columns(block.n_z.table).shape[1] - 1


def _labels(file: ForecastFile, names: tuple[str, ...]) -> dict[str, str]:
    from ..cosmology import PARAMETERS

    labels = {"Omega_b": r"\Omega_\mathrm{b}", "Omega_cdm": r"\Omega_\mathrm{cdm}"}
    labels |= {name: info.label for name, info in PARAMETERS.items()}
    given = {n: v.latex for n, v in file.params.items() if isinstance(v, Quantity) and v.latex}
    symbols = {"bias": "b", "m": "m", "dz": r"\Delta z", "A_IA": "A", "eta_IA": r"\eta"}
    for sample in file.samples:
        for name in names:
            for start, symbol in symbols.items():
                if name.startswith(f"{start}_{sample}"):
                    end = name.removeprefix(f"{start}_{sample}").replace("_", r"\,")
                    labels[name] = rf"{symbol}_\mathrm{{{sample}{end}}}"
    return {name: given.get(name) or labels.get(name, name) for name in (*labels, *names)}


def _derived(
    document: Document, file: ForecastFile, names: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    from ..cosmology import ExpressionError, in_order, parse

    known = [*file.params, *names, "Omega_m", "h"]
    for name, text in file.report.derived.items():
        key = ("report", "derived", name)
        if name in known and name != "Omega_m":
            raise document.error(key, "is a parameter of this forecast; choose another name")
        try:
            needed = parse(text).names
        except ExpressionError as error:
            raise document.error(key, str(error)) from error
        others = [*known, *file.report.derived]
        _refuse_unknown(document, key, [n for n in needed if n != name], others)
    try:
        listed = {n: t for n, t in file.report.derived.items() if (n, t) != ("Omega_m", "Omega_m")}
        ordered = in_order(listed)
    except ExpressionError as error:
        raise document.error(("report", "derived"), str(error)) from error
    plain = [(n, t) for n, t in file.report.derived.items() if n not in listed]
    return (*plain, *ordered)


def _triangle(file: ForecastFile, names: tuple[str, ...]) -> tuple[str, ...]:
    if file.report.triangle is not None:
        return tuple(file.report.triangle)
    own = tuple(name for name in names if name in file.params)
    return own if len(own) > 1 else names[:6]


def _refuse_unknown(
    document: Document, key: Key, names: Any, known: list[str] | tuple[str, ...]
) -> None:
    for name in names:
        if name not in known:
            raise document.error(
                key, f"'{name}' is no parameter of this forecast; {offer(name, list(known))}"
            )


def _refuse_repeated(document: Document, key: Key, names: Sequence[str]) -> None:
    twice = [name for n, name in enumerate(names) if name in names[:n]]
    if twice:
        raise document.error(key, f"{twice[0]} is given twice; give different parameters")
