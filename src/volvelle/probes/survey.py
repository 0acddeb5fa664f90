"""A photometric survey: samples in tomographic bins, their noise, spectra and covariance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.neutrinos import is_traced
from volvelle.power import Model

from .covariance import BlockCovariance, gaussian_covariance, shape_noise, shot_noise
from .displaced import Shifted
from .errors import TracerError
from .evolution import Alignment
from .redshift import Distribution
from .spectra import AngularSpectra, angular_cl
from .tracers import NumberCounts, Tracer, WeakLensing

COUNTS, SHEAR, CROSS = "counts", "shear", "cross"
_NO_DATA = 1e6
"""Noise power beyond a sample's last multipole: what has it says nothing, to 1e-9."""
MARGIN = 0.1
"""By which mean redshifts may be off."""


def check_shift(name: str, shift: float) -> None:
    """Raise TracerError for a mean redshift that is farther off than ``MARGIN``."""
    if not abs(shift) <= MARGIN:
        raise TracerError(
            f"{name} = {shift:g} is beyond {MARGIN:g}, the largest shift of a mean redshift that a "
            "survey is projected with; give n(z) itself at other redshifts"
        )


class Sample(eqx.Module):
    """Galaxies of one kind in tomographic bins, with the values of their nuisance parameters.

    Parameters are called ``NAME_SAMPLE_BIN`` with bins from 1, ``dz_sources_2``, and those of the
    whole sample ``A_IA_SAMPLE``, ``eta_IA_SAMPLE``.

    Args:
        name: of the sample.
        kind: ``counts`` or ``shear``.
        bins: n(z) of each.
        densities: [bins] objects per square arcminute.
        bias: [bins], of counts.
        m: [bins] multiplicative bias, of shear.
        dz: [bins] shift of the mean redshifts.
        alignment: amplitude and eta of intrinsic alignments of shear, or None.
        pivot: their z0.
        ellipticity: scatter per component, of shear.
        ell_max: last multipole that is used.
    """

    name: str = eqx.field(static=True)
    kind: str = eqx.field(static=True)
    bins: tuple[Distribution, ...]
    densities: Float[Array, " b"]
    bias: Float[Array, " b"] | None = None
    m: Float[Array, " b"] | None = None
    dz: Float[Array, " b"] | None = None
    alignment: tuple[Any, Any] | None = None
    pivot: float = eqx.field(static=True, default=0.62)
    ellipticity: float | Array = 0.26
    ell_max: float = eqx.field(static=True, default=np.inf)

    def __check_init__(self) -> None:
        if self.kind not in (COUNTS, SHEAR):
            raise TracerError(f"kind is '{self.kind}'; expected {COUNTS} or {SHEAR}")
        wrong = {COUNTS: ("m", "alignment"), SHEAR: ("bias",)}[self.kind]
        given = [name for name in wrong if getattr(self, name) is not None]
        if given:
            raise TracerError(f"{given[0]} of {self.kind} ('{self.name}'); expected none")
        if self.kind == COUNTS and self.bias is None:
            raise TracerError(f"no bias of the counts '{self.name}'; expected one per bin")
        for name in ("densities", "bias", "m", "dz"):
            value = getattr(self, name)
            if value is not None and jnp.shape(value) != (len(self.bins),):
                raise TracerError(
                    f"{name} of '{self.name}' has shape {jnp.shape(value)}; expected one number "
                    f"for each of {len(self.bins)} bins"
                )
        for n, shift in enumerate([] if self.dz is None or is_traced(self.dz) else self.dz):
            check_shift(f"dz_{self.name}_{n + 1}", float(shift))

    @property
    def parameters(self) -> dict[str, Any]:
        """Nuisance parameters by name, with their values."""
        found = {
            f"{name}_{self.name}_{n + 1}": value
            for name in ("bias", "m", "dz")
            if getattr(self, name) is not None
            for n, value in enumerate(getattr(self, name))
        }
        if self.alignment is not None:
            for name, value in zip(("A_IA", "eta_IA"), self.alignment, strict=True):
                found[f"{name}_{self.name}"] = value
        return found

    def tracers(self, values: Mapping[str, Any]) -> list[Tracer]:
        """One per bin; ``values`` take the place of the sample's own."""
        found = self.parameters | dict(values)
        made: list[Tracer] = []
        for n, each in enumerate(self.bins):
            mark = f"{self.name}_{n + 1}"
            sample = each
            if self.dz is not None:
                shift = found[f"dz_{mark}"]
                sample = Shifted(each, shift, margin=MARGIN)  # pyright: ignore[reportCallIssue]
            if self.kind == COUNTS:
                made.append(NumberCounts(sample, bias=found[f"bias_{mark}"]))
                continue
            alignment = None
            if self.alignment is not None:
                names = (f"A_IA_{self.name}", f"eta_IA_{self.name}")
                alignment = Alignment(*(found[name] for name in names), z0=self.pivot)
            shear = 0.0 if self.m is None else found[f"m_{mark}"]
            made.append(WeakLensing(sample, alignment, shear))
        return made

    @property
    def noise(self) -> Float[Array, " b"]:
        """[bins] white noise of the spectra."""
        if self.kind == COUNTS:
            return shot_noise(self.densities)
        return shape_noise(self.densities, self.ellipticity)


class Survey(eqx.Module):
    """Samples on a part of the sky, and which of their spectra are used.

    Args:
        samples: with different names.
        ell: [l] multipoles, one per band.
        edges: [l + 1] multipoles at which bands begin.
        f_sky: fraction of the sky.
        spectra: any of ``counts``, ``shear`` and ``cross``.
        power: a model of P(k, a), or None as in ``angular_cl``.
        limber: as in ``angular_cl``.

    Raises TracerError for names given twice and where no spectrum is left.
    """

    samples: tuple[Sample, ...]
    ell: np.ndarray
    edges: np.ndarray
    f_sky: float | Float[Array, ""]
    spectra: tuple[str, ...] = eqx.field(static=True, default=(COUNTS, SHEAR, CROSS))
    power: Model | None = None
    limber: str = eqx.field(static=True, default="auto")

    def __check_init__(self) -> None:
        names = [sample.name for sample in self.samples]
        if len(set(names)) < len(names) or not names:
            raise TracerError(f"samples are called {names}; expected different names")
        if not self.rows.size:
            raise TracerError(
                f"no spectra of {', '.join(self.spectra) or 'nothing'} among samples of "
                f"{', '.join(sorted({s.kind for s in self.samples}))}; ask for others"
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """Nuisance parameters of all samples."""
        return {name: v for sample in self.samples for name, v in sample.parameters.items()}

    @property
    def kinds(self) -> list[str]:
        """Of every tracer."""
        return [sample.kind for sample in self.samples for _ in sample.bins]

    @property
    def rows(self) -> np.ndarray:
        """Numbers of the used pairs among all pairs i <= j."""
        kinds = self.kinds
        found = [
            kinds[i] if kinds[i] == kinds[j] else CROSS
            for i in range(len(kinds))
            for j in range(i, len(kinds))
        ]
        return np.flatnonzero([kind in self.spectra for kind in found])

    def all_spectra(
        self, cosmology: Cosmology, values: Mapping[str, Any], power: Model | None = None
    ) -> AngularSpectra:
        """Of all pairs of tracers; raises as ``angular_cl``."""
        tracers = [t for sample in self.samples for t in sample.tracers(values)]
        chosen = self.power if power is None else power
        return angular_cl(cosmology, self.ell, tracers, chosen, limber=self.limber)

    def data(self, spectra: AngularSpectra) -> Float[Array, "p l"]:
        """The used ones."""
        return spectra.values[self.rows]

    def covariance(self, spectra: AngularSpectra) -> BlockCovariance:
        """Gaussian, of the used spectra; raises as ``gaussian_covariance``."""
        whole = gaussian_covariance(spectra, self.noise, self.f_sky, edges=self.edges)
        if self.rows.size == len(spectra.pairs):
            return whole
        return BlockCovariance.of(whole.blocks[:, self.rows][:, :, self.rows])

    @property
    def noise(self) -> Float[Array, "t l"]:
        """Of every tracer, without end beyond its last multipole."""
        rows = []
        for sample in self.samples:
            white = jnp.broadcast_to(sample.noise[:, None], (len(sample.bins), self.ell.size))
            rows.append(jnp.where(self.ell <= sample.ell_max, white, _NO_DATA))
        return jnp.concatenate(rows)


def bands(first: float, last: float, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges [n + 1] of logarithmic bands of multipoles, and the middle [n] of each.

    A middle is the mean multipole of the band's modes.
    """
    edges = np.geomspace(first, last, number + 1)
    low, high = edges[:-1], edges[1:]
    return edges, 2.0 / 3.0 * (high**3 - low**3) / (high**2 - low**2)
