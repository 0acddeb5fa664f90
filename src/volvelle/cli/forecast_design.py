"""The survey of a forecast as a function of what its design may choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..inference import forecast
from ..probes import ObservingTime, PhotometricBin, Sample, Smail, Survey, moved_edges, within
from ..probes import photometric_bins as cut
from .errors import ConfigurationError
from .forecast_configuration import SQUARE_DEGREES, ForecastConfiguration

if TYPE_CHECKING:
    from .forecast_blocks import OptimiseBlock


@dataclass(frozen=True)
class Design:
    """Free coordinates [m] of a survey, 0 at the file's own.

    The area's comes first, then those of the inner edges of each sample.
    """

    configuration: ForecastConfiguration
    block: OptimiseBlock

    @classmethod
    def of(cls, configuration: ForecastConfiguration) -> Design:
        """Raises ConfigurationError for a sample whose answer to the design nobody says."""
        block = configuration.optimise
        assert block is not None
        for sample in configuration.survey.samples:
            if not _shared_out(sample) and (block.area is not None or sample.name in block.edges):
                raise ConfigurationError(
                    f"{configuration.source}: samples.{sample.name}.density: bins of their own "
                    "densities cannot be cut anew; give one density of the whole sample"
                )
        if block.area is not None and block.depth.z0_slope > 0.0:
            for sample in configuration.survey.samples:
                if not isinstance(_parent(sample), Smail):
                    raise ConfigurationError(
                        f"{configuration.source}: optimise.depth.z0_slope: the n(z) of "
                        f"{sample.name} is a table, which has no z0; write z0_slope: 0, or give a "
                        "smail"
                    )
        return cls(configuration, block)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        edges = sum(len(self.configuration.edges[name]) - 2 for name in self.block.edges)
        return edges + (self.block.area is not None)

    @property
    def time(self) -> ObservingTime:
        """How depth follows from the area."""
        depth = self.block.depth
        return ObservingTime(
            self.configuration.area, depth.overhead, depth.density_slope, depth.z0_slope
        )

    def choices(self, u: Array) -> dict[str, Any]:
        """Area [square degrees] and edges at coordinates."""
        found: dict[str, Any] = {}
        start = 0
        if self.block.area is not None:
            found["area"] = within(u[0], self.configuration.area, *self.block.area)
            start = 1
        for name in self.block.edges:
            first = np.asarray(self.configuration.edges[name])
            found[name] = moved_edges(u[start : start + first.size - 2], jnp.asarray(first))
            start += first.size - 2
        return found

    def survey(self, u: Array) -> Survey:
        """The survey of these choices."""
        choices = self.choices(u)
        old = self.configuration.survey
        area = choices.get("area", self.configuration.area)
        samples = tuple(self._sample(sample, choices, area) for sample in old.samples)
        return eqx.tree_at(
            lambda s: (s.samples, s.f_sky), old, (samples, jnp.asarray(area / SQUARE_DEGREES))
        )

    def _sample(self, sample: Sample, choices: dict[str, Any], area: Any) -> Sample:
        deeper = self.block.area is not None
        if not deeper and sample.name not in choices:
            return sample
        factor = self.time.density(area) if deeper else 1.0
        if sample.name not in self.configuration.edges:  # cut by the file: only more of them
            return eqx.tree_at(lambda s: s.densities, sample, sample.densities * factor)
        parent = _parent(sample)
        old = [each for each in sample.bins if isinstance(each, PhotometricBin)]
        if deeper and isinstance(parent, Smail):
            parent = eqx.tree_at(
                lambda p: p.z0, parent, jnp.asarray(parent.z0 + self.time.z0_shift(area))
            )
        edges = choices.get(sample.name, jnp.asarray(self.configuration.edges[sample.name]))
        bins = cut(parent, edges, old[0].scatter)
        whole = jnp.sum(sample.densities) / sum(each.share for each in old)
        densities = factor * whole * jnp.stack([each.share for each in bins])
        return eqx.tree_at(lambda s: (s.bins, s.densities), sample, (bins, densities))

    def merit(self, u: Array) -> Array:
        """The figure of merit, priors included."""
        configuration = self.configuration
        found = forecast(
            self.survey(u),
            configuration.universe,
            configuration.names,
            hierarchy=configuration.hierarchy,
            varying=configuration.varying,
            simulations=configuration.simulations,
        )
        whole = found.fisher.with_priors(configuration.priors)
        return whole.figure_of_merit(*self.block.maximise)


def _shared_out(sample: Sample) -> bool:
    """Whether bins that are cut here have their shares of one density."""
    shares = [float(each.share) for each in sample.bins if isinstance(each, PhotometricBin)]
    if not shares:
        return True
    ratio = np.asarray(sample.densities) / np.asarray(shares)
    return bool(np.allclose(ratio, ratio[0], rtol=1e-9))


def _parent(sample: Sample) -> Any:
    """n(z) of a sample before it was cut into bins, or of its first bin."""
    first = sample.bins[0]
    return first.parent if isinstance(first, PhotometricBin) else first
