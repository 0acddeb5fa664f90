"""3x2pt: the Gaussian likelihood of galaxy clustering, galaxy-galaxy lensing and cosmic shear.

    t = M C,   C_l^ij of ``probes.angular_cl`` at some multipoles,

with M constant: the transform to functions of angle at the angles of the data, the mean over bins
of angle, bandpower windows, or nothing but an interpolation. The theory gives the ``cosmology``;
what belongs to samples are nuisance parameters (``two_point_nuisance``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..boltzmann import Request
from ..compute import require_float64
from ..cosmology import Cosmology
from ..power import ModelError, NonLinearModel, TabulatedPower, power_model
from ..probes import (
    Alignment,
    AngularSpectra,
    NumberCounts,
    Shifted,
    Table,
    Tracer,
    WeakLensing,
    angular_cl,
)
from .base import GaussianLikelihood, Nuisance, NuisanceParameter, Theory, read_nuisance
from .errors import LikelihoodOptionError, TheoryError
from .gaussian_algebra import BlockWhitening, check_finite
from .two_point_data import COUNTS, SHEAR, Kind, TwoPointData, read_sacc
from .two_point_nuisance import PIVOT, Prior, explained, nuisance_parameters, widest_shift
from .two_point_projection import SHEAR_BEGINS, projection

COSMOLOGY = "cosmology"
"""Name of the theory's output that is read."""


def made_power(who: str, linear: str, nonlinear: str) -> NonLinearModel:
    """The model of these names; raises LikelihoodOptionError."""
    try:
        found = power_model(linear, nonlinear)
    except ModelError as error:
        raise LikelihoodOptionError(f"{who}: {error}") from error
    if not isinstance(found, NonLinearModel):
        raise LikelihoodOptionError(
            f"{who}: nonlinear is {nonlinear!r}, but galaxies are seen where structure is not "
            "linear; choose halofit or hmcode"
        )
    return found


class TwoPoint(GaussianLikelihood):
    """Gaussian likelihood of two-point functions; see the module."""

    data: Float[Array, " n"]
    sigma: Float[Array, " n"]
    """Errors, correlations apart."""
    whiten: BlockWhitening
    matrix: Float[Array, "n l"]
    """From C_l of an element's pair to the element."""
    power: NonLinearModel
    """Of its own linear power, unless the theory has ``matter_power``."""
    tracers: dict[str, Table]
    ell: tuple[float, ...] = eqx.field(static=True)
    row: tuple[int, ...] = eqx.field(static=True)
    """[n] which of ``pairs`` an element belongs to."""
    pairs: tuple[tuple[str, str], ...] = eqx.field(static=True)
    kinds: tuple[Kind, ...] = eqx.field(static=True)
    """The statistic of every element."""
    at: tuple[float, ...] = eqx.field(static=True)
    """Its angle [arcmin] or multipole."""
    fields: tuple[tuple[str, str], ...] = eqx.field(static=True)
    """What is observed of each sample."""
    priors: tuple[tuple[str, NuisanceParameter], ...] = eqx.field(static=True)
    name: str = eqx.field(static=True)
    hashes: tuple[tuple[str, str], ...] = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    margin: float = eqx.field(static=True, default=0.1)
    """Largest shift of n(z); beyond it there is no probability."""
    limber: str = eqx.field(static=True, default="always")
    tolerance: float = eqx.field(static=True, default=1e-3)
    rsd: bool = eqx.field(static=True, default=False)
    tracing: str = eqx.field(static=True, default="matter")
    pivot: float = eqx.field(static=True, default=PIVOT)
    simulated: bool = eqx.field(static=True, default=False)

    @classmethod
    def from_sacc(
        cls,
        file: str | Path,
        *,
        name: str = "two_point",
        linear: str = "learned",
        nonlinear: str = "halofit",
        statistics: Sequence[str] | None = None,
        edges: Sequence[float] | None = None,
        sky: str = "curved",
        **settings: Any,
    ) -> TwoPoint:
        """From a SACC file.

        Args:
            name: its name in results, when a run has several.
            linear: ``learned`` (CLASS's, within the domain of its training), ``extended`` (beyond
                it too, to some per cent) or ``eisenstein_hu``.
            nonlinear: ``halofit`` or ``hmcode``.
            statistics: those that are used (``w_theta``, ``gamma_t``, ``xi_plus``, ``xi_minus``,
                ``cl_counts``, ``cl_counts_shear``, ``cl_shear``); all of the file unless given.
            edges: of the bins of angle [arcmin], to average the prediction over; without them it
                is evaluated at the angles of the file.
            sky: ``curved``, or ``flat`` as in older analyses (Bessel functions for Wigner's).
            settings: ``margin``, ``limber``, ``tolerance``, ``rsd``, ``tracing``, ``pivot``.

        Raises PrecisionError, LikelihoodOptionError and DataFormatError.
        """
        data = read_sacc(file, name)
        return cls.from_data(
            data,
            made_power(name, linear, nonlinear),
            statistics=statistics,
            edges=edges,
            sky=sky,
            **settings,
        )

    @classmethod
    def from_data(
        cls,
        data: TwoPointData,
        power: NonLinearModel,
        *,
        statistics: Sequence[str] | None = None,
        edges: Sequence[float] | None = None,
        sky: str = "curved",
        priors: Mapping[str, tuple[Prior, float]] | None = None,
        hashes: Sequence[tuple[str, str]] | None = None,
        cites: Sequence[str] = (),
        **settings: Any,
    ) -> TwoPoint:
        """From data in memory; arguments as for `from_sacc`.

        ``priors``: of nuisance parameters by name, with their references, before `DEFAULT_PRIORS`.
        """
        require_float64(data.name)
        _check_settings(data.name, settings)
        if statistics is not None:
            data = data.selected(_chosen(data, statistics))
        check_finite(data.mean, "the data vector", data.name)
        for window in filter(None, data.windows):
            check_finite(np.concatenate(window), "a bandpower window", data.name)
        ell, matrix = projection(data, edges, sky)
        pairs, row = _distinct(data.pairs)
        parameters = nuisance_parameters(data, priors or {})
        settings.setdefault("margin", widest_shift(parameters))
        parameters = {n: explained(n, p, settings) for n, p in parameters.items()}
        return cls(
            data=jnp.asarray(data.mean),
            sigma=jnp.sqrt(jnp.diagonal(jnp.asarray(data.covariance))),
            whiten=BlockWhitening.of(data.covariance, data.name),
            matrix=jnp.asarray(matrix),
            power=power,
            tracers=dict(data.tracers),
            ell=tuple(ell.tolist()),
            row=row,
            pairs=pairs,
            kinds=data.kinds,
            at=tuple(data.at.tolist()),
            fields=tuple(data.fields.items()),
            priors=tuple(parameters.items()),
            name=data.name,
            hashes=tuple(hashes or [(f"{data.name}/sacc", data.sha256)]),
            cites=tuple(cites),
            **settings,
        )

    @property
    def requires(self) -> Request:
        """Nothing of a solver: the cosmology alone; with ``matter_power`` asked for beside it
        (``emulator: {outputs: [matter_power]}``) that is the linear power."""
        return Request(spectra=(), background=False)

    @property
    def reads_cosmology(self) -> bool:
        """It does."""
        return True

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """Biases, shifts, calibration and alignments."""
        return dict(self.priors)

    def noise(self) -> dict[str, np.ndarray]:
        """Nothing: it reads no output of a solver."""
        return {}

    def sky(self, nuisance: Nuisance) -> dict[str, Tracer]:
        """The samples as tracers, with the nuisance parameters in place."""
        fields = dict(self.fields)

        def value(parameter: str) -> Array:
            return read_nuisance(nuisance, parameter, self.name)

        found: dict[str, Tracer] = {}
        for name, table in self.tracers.items():
            moved = Shifted(  # pyright: ignore[reportCallIssue]  (properties for variables)
                table, value(f"dz_{name}"), self.margin
            )
            if fields[name] == COUNTS:
                bias = value(f"bias_{name}")
                found[name] = NumberCounts(moved, bias, rsd=self.rsd, tracing=self.tracing)
            else:
                aligned = Alignment(value("A_IA"), value("eta_IA"), self.pivot)
                found[name] = WeakLensing(moved, aligned, value(f"m_{name}"))
        return found

    def spectra(self, theory: Theory, nuisance: Nuisance) -> AngularSpectra:
        """C_l of ``pairs`` at ``ell``, with the flags of what may be missing or doubtful."""
        sky = self.sky(nuisance)
        names, ell = list(sky), np.asarray(self.ell)
        cosmology, power = self._cosmology(theory), self._model(theory)

        def found(at: np.ndarray, pairs: Sequence[tuple[str, str]]) -> AngularSpectra:
            return angular_cl(
                cosmology,
                at,
                list(sky.values()),
                power,
                pairs=[(names.index(i), names.index(j)) for i, j in pairs],
                tolerance=self.tolerance,
                limber=self.limber,
            )

        few = int(np.sum(ell < SHEAR_BEGINS))
        if not few or SHEAR not in dict(self.fields).values():
            return found(ell, self.pairs)
        fields = dict(self.fields)
        counts = [pair for pair in self.pairs if {fields[n] for n in pair} == {COUNTS}]
        rows = np.asarray([self.pairs.index(pair) for pair in counts], dtype=int)
        return _before(found(ell[:few], counts), rows, found(ell[few:], self.pairs))

    def model(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """The prediction, in the order of ``data``."""
        values = self.spectra(theory, nuisance).values
        return jnp.sum(self.matrix * values[np.asarray(self.row)], axis=1)

    def whitened_residual(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """W (d - t)."""
        return self.whiten(self.data - self.model(theory, nuisance))

    def simulate(self, theory: Theory, nuisance: Nuisance, key: Array | None = None) -> TwoPoint:
        """The same likelihood with data made from a theory, with noise when a key is given."""
        drawn = self.whiten.scattered(self.model(theory, nuisance), key)
        return replace(self, data=drawn, simulated=True)

    def lacks(self, outputs: Collection[str]) -> tuple[str, ...]:
        """The power of what counts trace, where that of all matter is the solver's."""
        alone = "matter_power" in outputs and "cb_power" not in outputs
        return ("cb_power",) if self.tracing == "cb" and alone else ()

    def _model(self, theory: Theory) -> NonLinearModel:
        """The model, of the linear power that the theory brings, if it does."""
        if "matter_power" not in theory:
            return self.power
        if self.lacks(tuple(theory)):
            raise TheoryError(
                f"{self.name} has tracing: cb and got the solver's matter_power without cb_power; "
                "ask for both (emulator: {outputs: [matter_power, cb_power]})"
            )
        linear = TabulatedPower.of_theory(theory)
        return eqx.tree_at(lambda m: m.linear, self.power, linear)

    def _cosmology(self, theory: Theory) -> Cosmology:
        found = theory.get(COSMOLOGY)
        if not isinstance(found, Cosmology):
            raise TheoryError(
                f"{self.name} needs the theory's {COSMOLOGY!r} and got "
                f"{', '.join(sorted(theory)) or 'nothing'}; give {{'cosmology': Cosmology(...)}}"
            )
        return found


_SETTINGS = ("margin", "limber", "tolerance", "rsd", "tracing", "pivot")
_NAMED = ("linear", "nonlinear", "statistics", "sky")
"""Other options of all that are made of a file."""


def _check_settings(name: str, settings: Mapping[str, Any]) -> None:
    unknown = [each for each in settings if each not in _SETTINGS]
    if unknown:
        raise LikelihoodOptionError(
            f"{name}: unknown option {unknown[0]!r}; there are {', '.join((*_NAMED, *_SETTINGS))}"
        )


def _chosen(data: TwoPointData, statistics: Sequence[str]) -> np.ndarray:
    there = dict.fromkeys(kind.name for kind in data.kinds)
    unknown = [each for each in statistics if each not in there]
    if unknown:
        raise LikelihoodOptionError(
            f"{data.name}: there is no {unknown[0]!r} in the data; there are {', '.join(there)}"
        )
    return np.array([kind.name in statistics for kind in data.kinds])


def _distinct(
    pairs: Sequence[tuple[str, str]],
) -> tuple[tuple[tuple[str, str], ...], tuple[int, ...]]:
    """The pairs, each once whichever sample is named first, and which of them an element has."""
    known: dict[frozenset[str], tuple[str, str]] = {}
    for pair in pairs:
        known.setdefault(frozenset(pair), pair)
    places = {each: n for n, each in enumerate(known)}
    return tuple(known.values()), tuple(places[frozenset(pair)] for pair in pairs)


def _before(low: AngularSpectra, rows: np.ndarray, high: AngularSpectra) -> AngularSpectra:
    """Spectra of some pairs at multipoles below those of all; the others have none there."""

    def joined(part: Any, whole: Any) -> Array:
        begin = jnp.zeros((whole.shape[0], part.shape[1]), whole.dtype).at[rows].set(part)
        return jnp.concatenate([begin, whole], axis=1)

    return AngularSpectra(
        ell=jnp.concatenate([low.ell, high.ell]),
        values=joined(low.values, high.values),
        missing=joined(low.missing, high.missing),
        pairs=high.pairs,
        limber=joined(low.limber, high.limber),
        limber_error=joined(low.limber_error, high.limber_error),
    )
