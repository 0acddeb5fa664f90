"""The ``blind`` block: hidden shifts of sampled parameters, until ``volvelle unblind``.

A blinded parameter NAME is sampled as NAME_blind, and NAME = NAME_blind - width * hidden(KEY) is a
definition like any other: prior and reference move along, so that nothing but the number shown
differs from the run without. What tells of NAME (itself, all that follows from it, the theory's
scalars) is left out of every output of the run.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from .blocks import Block, Positive, offer
from .document import Document
from .errors import BlindingError
from .parameters import SampledParameter
from .roles import Roles

if TYPE_CHECKING:
    from .configuration import Configuration

SUFFIX = "_blind"
RECORD = "unblinded.json"
"""In the output folder, from the moment on that the shifts are known."""
ASIDE = 0.5
"""[ref.scale] By at most how much the reference of a blinded parameter is moved aside, and by how
much its scale grows, so that the box of the first solutions still holds all of its own: the middle
of that box is not the reference plus the shift."""


class BlindBlock(Block):
    """Which parameters are shifted, by at most how much, and the phrase that the shifts are of."""

    key: Annotated[str, Field(min_length=4)]
    """Any phrase; the same phrase shifts a parameter by the same share of its width everywhere."""
    shifts: Annotated[dict[str, Positive], Field(min_length=1)]
    """Largest shift, up or down, by name; of log10 NAME where the scale is log."""

    def number(self, name: str) -> int:
        """What stands in ``hidden(..)`` for a parameter."""
        return int(hashlib.sha256(f"{self.key}\n{name}".encode()).hexdigest()[:12], 16)

    def shift(self, name: str) -> float:
        """By how much a parameter is shown too high."""
        from ..cosmology import hidden

        return self.shifts[name] * hidden(self.number(name))

    def aside(self, name: str) -> float:
        """Where in [-1, 1] the reference of a parameter is moved, another number than the shift."""
        from ..cosmology import hidden

        return hidden(self.number(f"{name}\nreference"))


def blinded(document: Document, block: BlindBlock | None, found: Roles) -> Roles:
    """The roles with every blinded parameter sampled as its shifted self.

    Raises ConfigurationError for a name that is not sampled, a likelihood's own parameter, or a
    prior whose form does not survive a shift.
    """
    if block is None:
        return found
    from ..cosmology import in_order

    sampled = {parameter.key: parameter for parameter in found.sampled}
    texts = dict(found.parametrisation.definitions)
    labels, dropped = dict(found.labels), {*found.parametrisation.dropped}
    for name, width in block.shifts.items():
        old = _checked(document, name, sampled)
        sampled[name] = _shifted(old, block.shift(name), block.aside(name))
        texts[old.name] = f"{old.name}{SUFFIX} - {width!r} * hidden({block.number(name)})"
        labels[old.name] = old.label
        dropped.add(f"{old.name}{SUFFIX}")
    ways = replace(
        found.parametrisation, definitions=in_order(texts), dropped=tuple(sorted(dropped))
    )
    return replace(found, sampled=tuple(sampled.values()), parametrisation=ways, labels=labels)


def blinded_run(folder: Path) -> tuple[Configuration, str]:
    """The configuration of a finished run that is still blinded, and its status.

    Raises BlindingError for any other.
    """
    from ..report import read_summary
    from .configuration import Configuration

    if (folder / RECORD).exists() and (folder / "summary.json").exists():
        raise BlindingError(f"{folder} is unblinded already; see {folder / RECORD}")
    if not (folder / "config.yaml").exists():
        raise BlindingError(f"{folder} holds no run (no config.yaml); give the output of a run")
    configuration = Configuration.load(folder / "config.yaml", output=folder)
    if configuration.blind is None:
        raise BlindingError(f"the run in {folder} is not blinded: its file has no blind block")
    if (folder / RECORD).exists():
        return configuration, "unblinded, its results not all written yet"
    if not (folder / "summary.json").exists():
        raise BlindingError(
            f"the run in {folder} is not finished; finish it blinded first: volvelle run "
            f"{folder / 'config.yaml'} --output {folder}"
        )
    return configuration, str(read_summary(folder)["status"])


def unblind(folder: Path, configuration: Configuration) -> dict[str, float]:
    """Record that the shifts are known from now on; returns them, by the parameter's name.

    The blinded summary and report are kept as summary_blind.json and report_blind.html.
    """
    assert configuration.blind is not None
    shifts = {name: configuration.blind.shift(name) for name in configuration.blind.shifts}
    if (folder / RECORD).exists():
        return shifts
    from ..learning import write_atomically

    for name in ("report.html", "summary.json"):  # the run is unfinished once the latter is gone
        path = folder / name
        if path.exists():
            path.replace(path.with_name(f"{path.stem}_blind{path.suffix}"))
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = {"when": when, "shifts": shifts}
    write_atomically(folder / RECORD, json.dumps(record, indent=1).encode())
    return shifts


def _checked(
    document: Document, name: str, sampled: Mapping[str, SampledParameter]
) -> SampledParameter:
    place = ("blind", "shifts", name)
    cosmological = [each for each, p in sampled.items() if p.kind == "cosmology"]
    if name not in sampled:
        raise document.error(place, f"{name} is not sampled; {offer(name, cosmological)}")
    found = sampled[name]
    if found.kind != "cosmology":
        raise document.error(
            place, f"{name} is a likelihood's own parameter; blind one of the cosmology's"
        )
    if f"{found.name}{SUFFIX}" in sampled:
        raise document.error(
            place, f"{name} is sampled as {found.name}{SUFFIX}, which is a parameter already"
        )
    if found.prior.get("dist") == "loguniform":
        raise document.error(
            place,
            f"the prior of {name} is loguniform, which a shift bends; write scale: log with min "
            "and max, and the shift is one of log10",
        )
    return found


def _shifted(old: SampledParameter, shift: float, aside: float) -> SampledParameter:
    """Prior and reference moved by the shift, the reference aside as well (see ``ASIDE``), at most
    half the way to an end of the prior."""
    from ..inference import make_prior

    moved: dict[str, Any] = {
        key: value + shift if key in ("min", "max", "loc") else value
        for key, value in old.prior.items()
    }
    low, high = make_prior(old.prior).bounds
    room = high - old.ref_loc if aside > 0.0 else old.ref_loc - low
    step = aside * ASIDE * min(old.ref_scale, room)
    return replace(
        old,
        name=f"{old.name}{SUFFIX}",
        prior=moved,
        ref_loc=old.ref_loc + shift + step,
        ref_scale=(1.0 + ASIDE) * old.ref_scale,
        label=rf"{old.label}\,[\mathrm{{blind}}]",
    )
