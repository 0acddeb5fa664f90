"""3x2pt: the Gaussian likelihood of galaxy clustering, galaxy-galaxy lensing and cosmic shear; and
6x2pt, with the lensing of the cosmic microwave background (kappa).

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

from ..boltzmann import POWER_Z, Request
from ..compute import require_float64
from ..cosmology import Cosmology
from ..power import ContinuedPower, Model, ModelError, NonLinearModel, TabulatedPower, power_model
from ..probes import (
    Alignment,
    AngularSpectra,
    CMBLensing,
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
from .two_point_data import COUNTS, KAPPA, SHEAR, Kind, TwoPointData, read_sacc
from .two_point_nuisance import PIVOT, Prior, explained, nuisance_parameters, widest_shift
from .two_point_projection import SHEAR_BEGINS, projection

COSMOLOGY = "cosmology"
"""Name of the theory's output that is read."""
Z_STAR = 1089.92
"""Of the cosmic microwave background's source plane: Planck 2018 VI, table 2."""


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
    z_source: float = eqx.field(static=True, default=Z_STAR)
    """Of the cosmic microwave background."""
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
        smoothed: bool | None = None,
        **settings: Any,
    ) -> TwoPoint:
        """From a SACC file.

        Args:
            name: its name in results, when a run has several.
            linear: ``learned`` (CLASS's, within the domain of its training), ``extended`` (beyond
                it too, to some per cent) or ``eisenstein_hu``.
            nonlinear: ``halofit`` or ``hmcode``.
            statistics: those that are used (``w_theta``, ``gamma_t``, ``xi_plus``, ``xi_minus``,
                ``w_theta_kappa``, ``gamma_t_kappa``; ``cl_counts``, ``cl_counts_shear``,
                ``cl_shear``, ``cl_counts_kappa``, ``cl_shear_kappa``, ``cl_kappa``); all of the
                file unless given.
            edges: of the bins of angle [arcmin], to average the prediction over; without them it
                is evaluated at the angles of the file.
            sky: ``curved``, or ``flat`` as in older analyses (Bessel functions for Wigner's).
            smoothed: whether the data have the beam that the file gives for a map of kappa; to be
                given where there is one.
            settings: ``margin``, ``limber``, ``tolerance``, ``rsd``, ``tracing``, ``pivot``,
                ``z_source`` of kappa.

        Raises PrecisionError, LikelihoodOptionError and DataFormatError.
        """
        data = read_sacc(file, name)
        return cls.from_data(
            data,
            made_power(name, linear, nonlinear),
            statistics=statistics,
            edges=edges,
            sky=sky,
            smoothed=smoothed,
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
        smoothed: bool | None = None,
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
        _check_kappa(data, smoothed, settings)
        if not smoothed:
            data = replace(data, beams={})
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

        def value(parameter: str) -> Array:
            return read_nuisance(nuisance, parameter, self.name)

        found: dict[str, Tracer] = {}
        for name, field in self.fields:
            if field == KAPPA:
                found[name] = CMBLensing(self.z_source)
                continue
            moved = Shifted(  # pyright: ignore[reportCallIssue]  (properties for variables)
                self.tracers[name], value(f"dz_{name}"), self.margin
            )
            if field == COUNTS:
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
        others = [pair for pair in self.pairs if SHEAR not in {fields[n] for n in pair}]
        rows = np.asarray([self.pairs.index(pair) for pair in others], dtype=int)
        return _before(found(ell[:few], others), rows, found(ell[few:], self.pairs))

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

    @property
    def reads_early_power(self) -> bool:
        """Whether it looks beyond z = 4, where solvers' power spectra are outputs of their own."""
        latest = float(POWER_Z[-1])
        deep = any(table.z[-1] > latest for table in self.tracers.values())
        return deep or KAPPA in dict(self.fields).values()

    def lacks(self, outputs: Collection[str]) -> tuple[str, ...]:
        """The power of what counts trace, and of what lies beyond z = 4, where that of all matter
        is the solver's."""
        if "matter_power" not in outputs:
            return ()
        cold = self.tracing == "cb" or "cb_power" in outputs
        names = ["matter_power", "cb_power"] if cold else ["matter_power"]
        early = [f"{name}_early" for name in names] if self.reads_early_power else []
        return tuple(name for name in (*names, *early) if name not in outputs)

    def _model(self, theory: Theory) -> NonLinearModel:
        """The model, of the linear power that the theory brings, if it does."""
        if "matter_power" not in theory:
            return self.power
        lacking = self.lacks(tuple(theory))
        if lacking:
            raise TheoryError(
                f"{self.name} got the solver's matter_power without {' and '.join(lacking)}, which "
                "it needs with it; ask for them too (emulator: {outputs: [matter_power, "
                f"{', '.join(lacking)}]}})"
            )
        linear: Model = TabulatedPower.of_theory(theory)
        if KAPPA in dict(self.fields).values():  # beyond the last redshift of solvers' tables
            linear = ContinuedPower(linear, power_model("extended", "none"))
        return eqx.tree_at(lambda m: m.linear, self.power, linear)

    def _cosmology(self, theory: Theory) -> Cosmology:
        found = theory.get(COSMOLOGY)
        if not isinstance(found, Cosmology):
            raise TheoryError(
                f"{self.name} needs the theory's {COSMOLOGY!r} and got "
                f"{', '.join(sorted(theory)) or 'nothing'}; give {{'cosmology': Cosmology(...)}}"
            )
        return found


_SETTINGS = ("margin", "limber", "tolerance", "rsd", "tracing", "pivot", "z_source")
_NAMED = ("linear", "nonlinear", "statistics", "sky", "smoothed")
"""Other options of all that are made of a file."""


def _check_settings(name: str, settings: Mapping[str, Any]) -> None:
    unknown = [each for each in settings if each not in _SETTINGS]
    if unknown:
        raise LikelihoodOptionError(
            f"{name}: unknown option {unknown[0]!r}; there are {', '.join((*_NAMED, *_SETTINGS))}"
        )


def _check_kappa(data: TwoPointData, smoothed: bool | None, settings: Mapping[str, Any]) -> None:
    """Raise LikelihoodOptionError for options of maps that are not there, for a beam of which
    nothing says whether the data have it, and for a source that no power spectrum reaches."""
    maps = ", ".join(data.of(KAPPA))
    given = {"smoothed": smoothed is not None, "z_source": "z_source" in settings}
    for option in (each for each, there in given.items() if there and not maps):
        raise LikelihoodOptionError(
            f"{data.name}: {option} is of a map of kappa, which the data do not have; leave it out"
        )
    if smoothed is None and data.beams:
        raise LikelihoodOptionError(
            f"{data.name}: the file has a beam of {', '.join(data.beams)} and nothing says whether "
            "the data have it too; give smoothed: true, or false if it was divided out"
        )
    if smoothed and not data.beams:
        raise LikelihoodOptionError(
            f"{data.name}: smoothed is true, but the file has no beam of {maps} (or it is 1); save "
            "it in the tracer, or leave smoothed out"
        )
    z = settings.get("z_source", Z_STAR)
    if not isinstance(z, int | float) or not 1000.0 <= z <= 1200.0:
        raise LikelihoodOptionError(
            f"{data.name}: z_source is {z!r}; expected the redshift of last scattering, 1000 to "
            f"1200 ({Z_STAR} if it is left out)"
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
