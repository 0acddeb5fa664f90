"""Two-point functions from a SACC file: numbers, covariance, n(z), and who is correlated how.

Of galaxies, and of the lensing convergence of the cosmic microwave background (kappa).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..probes import DistributionError, Table
from ..probes.survey import COUNTS, SHEAR
from .errors import DataFormatError, LikelihoodOptionError

KAPPA = "kappa"
"""Convergence of the cosmic microwave background."""


@dataclass(frozen=True)
class Kind:
    """A statistic: between whom, and on which axis (``theta`` [arcmin] or ``ell``)."""

    name: str
    fields: tuple[str, str]
    axis: str

    @property
    def function(self) -> str:
        """The correlation function that it is, in `probes.angular_transform`."""
        return self.name.removesuffix("_kappa")


KINDS: Mapping[str, Kind] = {
    "galaxy_density_xi": Kind("w_theta", (COUNTS, COUNTS), "theta"),
    "galaxy_shearDensity_xi_t": Kind("gamma_t", (COUNTS, SHEAR), "theta"),
    "galaxy_shear_xi_plus": Kind("xi_plus", (SHEAR, SHEAR), "theta"),
    "galaxy_shear_xi_minus": Kind("xi_minus", (SHEAR, SHEAR), "theta"),
    "galaxy_density_cl": Kind("cl_counts", (COUNTS, COUNTS), "ell"),
    "galaxy_shearDensity_cl_e": Kind("cl_counts_shear", (COUNTS, SHEAR), "ell"),
    "galaxy_shear_cl_ee": Kind("cl_shear", (SHEAR, SHEAR), "ell"),
    "cmbGalaxy_convergenceDensity_xi": Kind("w_theta_kappa", (COUNTS, KAPPA), "theta"),
    "cmbGalaxy_convergenceShear_xi_t": Kind("gamma_t_kappa", (KAPPA, SHEAR), "theta"),
    "cmbGalaxy_convergenceDensity_cl": Kind("cl_counts_kappa", (COUNTS, KAPPA), "ell"),
    "cmbGalaxy_convergenceShear_cl_e": Kind("cl_shear_kappa", (KAPPA, SHEAR), "ell"),
    "cmb_convergence_cl": Kind("cl_kappa", (KAPPA, KAPPA), "ell"),
}
"""Statistics that are understood, by SACC's names of them."""
_QUANTITIES = {"galaxy_density": COUNTS, "galaxy_shear": SHEAR, "cmb_convergence": KAPPA}


@dataclass(frozen=True)
class TwoPointData:
    """A data vector with all that its prediction needs.

    ``at`` [n] is the angle [arcmin] or multipole of every element, ``windows`` its bandpower window
    (multipoles and weights) or None; ``tracers`` are samples of galaxies by name with their n(z),
    ``fields`` what is observed of each and of maps of kappa, ``pairs`` [n] names in the order of
    the statistic's fields, ``beams`` multipoles and factors of those maps that have one.
    """

    name: str
    mean: np.ndarray
    covariance: np.ndarray
    kinds: tuple[Kind, ...]
    pairs: tuple[tuple[str, str], ...]
    at: np.ndarray
    windows: tuple[tuple[np.ndarray, np.ndarray] | None, ...]
    tracers: Mapping[str, Table]
    fields: Mapping[str, str]
    sha256: str = ""
    beams: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def of(self, what: str) -> tuple[str, ...]:
        """Names of the samples of which that is observed, in their order."""
        return tuple(name for name, observed in self.fields.items() if observed == what)

    def selected(self, chosen: np.ndarray) -> TwoPointData:
        """Some elements [n] of bool; raises LikelihoodOptionError if none is left."""
        where = np.flatnonzero(chosen)
        if not where.size:
            raise LikelihoodOptionError(
                f"{self.name}: no element of the data is left; widen what is kept"
            )
        pairs = tuple(self.pairs[i] for i in where)
        kept = {tracer for pair in pairs for tracer in pair}

        def those(given: Mapping[str, Any]) -> dict[str, Any]:
            return {tracer: value for tracer, value in given.items() if tracer in kept}

        return replace(
            self,
            mean=self.mean[where],
            covariance=self.covariance[np.ix_(where, where)],
            kinds=tuple(self.kinds[i] for i in where),
            pairs=pairs,
            at=self.at[where],
            windows=tuple(self.windows[i] for i in where),
            tracers=those(self.tracers),
            fields=those(self.fields),
            beams=those(self.beams),
        )


def read_sacc(path: str | Path, name: str) -> TwoPointData:
    """Read a SACC file (.fits or .hdf5): galaxy clustering, lensing of galaxies and of the cosmic
    microwave background; all else is refused.

    Raises LikelihoodOptionError for a file that is not there, DataFormatError for one that is no
    SACC file, without covariance or n(z), or with statistics that are not in `KINDS`.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise LikelihoodOptionError(f"{name}: there is no file {file}; name a SACC file")
    found = _load(file, name)
    if not len(found.mean):
        raise DataFormatError(f"{name}: {file.name} holds no data")
    points = list(found.data)
    foreign = sorted({str(p.data_type) for p in points} - set(KINDS))
    if foreign:
        raise DataFormatError(
            f"{name}: {file.name} holds {', '.join(foreign)}; understood are {', '.join(KINDS)}: "
            "keep these (Sacc.keep_selection) and save the file anew"
        )
    kinds = tuple(KINDS[str(p.data_type)] for p in points)
    fields = _fields(found, points, kinds, name)
    return TwoPointData(
        name=name,
        mean=np.array([float(p.value) for p in points]),
        covariance=_covariance(found, len(points), name),
        kinds=kinds,
        pairs=tuple(
            _pair(p.tracers, kind, fields, name) for p, kind in zip(points, kinds, strict=True)
        ),
        at=np.array([_place(p, kind, name) for p, kind in zip(points, kinds, strict=True)]),
        windows=tuple(_window(p, name) for p in points),
        tracers={n: _distribution(found, n, name) for n, f in fields.items() if f != KAPPA},
        fields=fields,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        beams=_beams(found, [n for n, f in fields.items() if f == KAPPA], name),
    )


def _load(file: Path, name: str) -> Any:
    import sacc

    load = sacc.Sacc.load_fits if file.suffix in (".fits", ".sacc") else sacc.Sacc.load_hdf5
    try:
        return load(str(file))
    except Exception as error:  # of many kinds, depending on what the file is
        raise DataFormatError(
            f"{name}: {file.name} cannot be read as a SACC file ({error}); give one in FITS "
            "(.fits, .sacc) or HDF5 (.hdf5)"
        ) from error


def _covariance(found: Any, size: int, name: str) -> np.ndarray:
    if found.covariance is None:
        raise DataFormatError(f"{name}: the file has no covariance; add one (Sacc.add_covariance)")
    matrix = np.asarray(found.covariance.dense, dtype=float)
    if matrix.shape != (size, size):
        raise DataFormatError(
            f"{name}: {size} numbers and a covariance of shape {matrix.shape}; expected "
            f"({size}, {size})"
        )
    return matrix


def _fields(found: Any, points: Sequence[Any], kinds: Sequence[Kind], name: str) -> dict[str, str]:
    """What is observed of every tracer: from statistics of one kind, else from its ``quantity``,
    else from that of its partners."""
    known: dict[str, str] = {}
    for point, kind in zip(points, kinds, strict=True):
        if kind.fields[0] != kind.fields[1]:
            continue
        for tracer in point.tracers:
            if known.setdefault(tracer, kind.fields[0]) != kind.fields[0]:
                raise DataFormatError(
                    f"{name}: {tracer} is both {known[tracer]} and {kind.fields[0]}; give two "
                    "tracers names of their own"
                )
    used = dict.fromkeys(tracer for point in points for tracer in point.tracers)
    for tracer in used:
        if tracer not in found.tracers:
            raise DataFormatError(
                f"{name}: the data speak of the tracer {tracer}, which the file does not have; it "
                f"has {', '.join(found.tracers) or 'none'}"
            )
        quantity = str(getattr(found.tracers[tracer], "quantity", ""))
        if tracer not in known and quantity in _QUANTITIES:
            known[tracer] = _QUANTITIES[quantity]
    for tracer in used:
        if tracer not in known:
            pairs = (
                (kind.fields, set(point.tracers) - {tracer})
                for point, kind in zip(points, kinds, strict=True)
                if tracer in point.tracers
            )
            others = {f for fields, (partner,) in pairs for f in fields if f != known.get(partner)}
            if len(others) != 1:
                raise DataFormatError(
                    f"{name}: nothing says whether {tracer} is counts, shear or kappa; set its "
                    f"quantity to {', '.join(_QUANTITIES)}"
                )
            known[tracer] = others.pop()
    return {tracer: known[tracer] for tracer in found.tracers if tracer in used}


def _pair(
    tracers: Sequence[str], kind: Kind, fields: Mapping[str, str], name: str
) -> tuple[str, str]:
    """The two tracers, counts first."""
    first, second = tracers
    if (fields[first], fields[second]) == kind.fields:
        return first, second
    if (fields[second], fields[first]) == kind.fields:
        return second, first
    raise DataFormatError(
        f"{name}: {kind.name} between {first} ({fields[first]}) and {second} ({fields[second]}); "
        f"expected {' and '.join(kind.fields)}"
    )


def _place(point: Any, kind: Kind, name: str) -> float:
    value = point.tags.get(kind.axis)
    if value is None or not np.isfinite(value) or value <= 0.0:
        raise DataFormatError(
            f"{name}: an element of {kind.name} between {' and '.join(point.tracers)} has "
            f"{kind.axis} = {value}; expected a positive number"
            f"{' [arcmin]' if kind.axis == 'theta' else ''}"
        )
    return float(value)


def _window(point: Any, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    window = point.tags.get("window")
    if window is None:
        return None
    weights, at = np.asarray(window.weight, dtype=float), np.asarray(window.values, dtype=float)
    if weights.ndim == 1:
        weights = weights[:, None]
    number = point.tags.get("window_ind", 0 if weights.shape[1] == 1 else None)
    if number is None or not 0 <= int(number) < weights.shape[1] or len(weights) != len(at):
        raise DataFormatError(
            f"{name}: an element of {point.data_type} between {' and '.join(point.tracers)} is of "
            f"window {number} of {weights.shape[1]}, with weights of shape {weights.shape} at "
            f"{len(at)} multipoles; expected a window_ind from 0 to {weights.shape[1] - 1} and a "
            "row of weights for each multipole"
        )
    return at, weights[:, int(number)]


def _beams(found: Any, maps: Sequence[str], name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Multipoles and factors of maps of kappa that are smoothed."""
    beams: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for tracer in maps:
        entry = found.tracers[tracer]
        at, factors = getattr(entry, "ell", None), getattr(entry, "beam", None)
        if at is None or factors is None:
            continue
        ell, values = np.asarray(at, dtype=float), np.asarray(factors, dtype=float)
        increasing = ell.shape == values.shape and ell.ndim == 1 and np.all(np.diff(ell) > 0.0)
        if not increasing or not np.all(np.isfinite(values)):
            raise DataFormatError(
                f"{name}: the beam of {tracer} has multipoles of shape {ell.shape} and factors of "
                f"shape {values.shape}; expected increasing multipoles with a finite factor each"
            )
        if np.any(values != 1.0):
            beams[tracer] = ell, values
    return beams


def _distribution(found: Any, tracer: str, name: str) -> Table:
    entry = found.tracers[tracer]
    z, values = getattr(entry, "z", None), getattr(entry, "nz", None)
    if z is None or values is None:
        raise DataFormatError(
            f"{name}: the tracer {tracer} has no n(z); expected an NZTracer for each of them"
        )
    try:
        return Table(np.asarray(z, dtype=float), np.asarray(values, dtype=float))
    except DistributionError as error:
        raise DataFormatError(f"{name}: n(z) of {tracer}: {error}") from error
