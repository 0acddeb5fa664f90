"""The ``sampler`` block of a configuration file, and the method that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .blocks import Block, Count, Positive, empty

if TYPE_CHECKING:
    from ..inference import Method

METROPOLIS_THIN = 20
Chains = Annotated[int, Field(ge=2)]
Draws = Annotated[int, Field(ge=100)]
Warmup = Annotated[int, Field(ge=10)]
Accept = Annotated[float, Field(gt=0.5, lt=1)]
Mass = Literal["dense", "diagonal"] | list[list[str]] | None
"""None is dense; a list holds blocks of names, and who is in none has a block of its own."""


class NutsSampler(Block):
    """The no-U-turn sampler with mass-matrix adaptation."""

    chains: Chains = 4
    draws: Draws = 2000
    """Draws kept per chain."""
    warmup: Warmup = 500
    target_accept: Accept = 0.9
    mass: Mass = None
    max_depth: Annotated[int, Field(ge=1, le=12)] | None = None
    """Of the tree, which has 2^depth steps at most; 8 unless given."""


class HmcSampler(Block):
    """Hamiltonian Monte Carlo with trajectories of random length."""

    chains: Chains = 4
    draws: Draws = 2000
    warmup: Warmup = 500
    target_accept: Accept = 0.9
    length: Positive = 1.5708
    """Mean length of a trajectory; a quarter of a turn of a Gaussian of unit width."""
    mass: Mass = None


class MetropolisSampler(Block):
    """Random-walk Metropolis, the baseline."""

    chains: Chains = 4
    draws: Draws = 4000
    """Draws kept per chain, one in twenty proposals."""
    warmup: Warmup = 10_000
    """Proposals per chain from which scale and shape of the proposal are learned."""


class EnsembleSampler(Block):
    """The affine-invariant ensemble."""

    chains: Chains = 2
    """Independent ensembles."""
    draws: Draws = 500
    """Draws kept per walker, one in twenty moves."""
    warmup: Warmup = 4000
    """Moves of every walker before that."""
    walkers: Annotated[int, Field(ge=4)] | None = None
    """Of an ensemble, even; 32 or four per parameter unless given."""


class MclmcSampler(Block):
    """Microcanonical Langevin Monte Carlo, unadjusted."""

    chains: Chains = 4
    draws: Draws = 2000
    """Draws kept per chain, one in eight steps."""
    warmup: Warmup = 500
    energy_variance: Positive = 5e-4
    """Per parameter and step; decides the step size and with it the bias."""


class AdjustedMclmcSampler(Block):
    """Microcanonical trajectories with a Metropolis step."""

    chains: Chains = 4
    draws: Draws = 2000
    warmup: Warmup = 500
    target_accept: Accept = 0.9


class Fit(Block):
    """How a variational guide is fitted."""

    guide: Literal["normal", "bnaf", "spline"] = "normal"
    particles: Count = 16
    """Draws per step."""
    max_steps: Annotated[int, Field(ge=250)] = 20_000
    """Where a fit whose bound has not settled is given up."""
    learning_rate: Positive | None = None


class SviSampler(Fit):
    """Draws of a variational guide, corrected or refused by their importance weights."""

    chains: Chains = 4
    draws: Draws = 2000
    """chains x draws samples, which are independent."""
    uncorrected: bool = False
    """The guide's own draws, whatever k-hat says."""


class NeuralTransportSampler(Fit):
    """NUTS in the coordinates of a variational guide."""

    chains: Chains = 4
    draws: Draws = 1000
    warmup: Warmup = 200
    target_accept: Accept = 0.9


class NestedSampler(Block):
    """Nested sampling, for the evidence."""

    chains: Chains = 4
    draws: Draws = 1000
    """chains x draws samples, resampled by their weights."""
    live: Annotated[int, Field(ge=20)] = 500
    slices: Count | None = None
    """Per new point; three per parameter unless given."""
    remainder: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of the evidence that the live points may hold at the end."""


class LaplaceSampler(Block):
    """Draws of the Gaussian at the maximum, corrected or refused by their importance weights."""

    chains: Chains = 4
    draws: Draws = 2000
    uncorrected: bool = False


AnySampler = (
    NutsSampler
    | HmcSampler
    | MetropolisSampler
    | EnsembleSampler
    | MclmcSampler
    | AdjustedMclmcSampler
    | SviSampler
    | NeuralTransportSampler
    | NestedSampler
    | LaplaceSampler
)
NO_SAMPLERS = ("r_hat", "ess_min", "divergent", "evidence")


class SamplerBlock(Block):
    """Which sampler explores the emulator's posterior, and when its chains count as converged."""

    nuts: Annotated[NutsSampler | None, BeforeValidator(empty)] = None
    hmc: Annotated[HmcSampler | None, BeforeValidator(empty)] = None
    metropolis: Annotated[MetropolisSampler | None, BeforeValidator(empty)] = None
    ensemble: Annotated[EnsembleSampler | None, BeforeValidator(empty)] = None
    mclmc: Annotated[MclmcSampler | None, BeforeValidator(empty)] = None
    adjusted_mclmc: Annotated[AdjustedMclmcSampler | None, BeforeValidator(empty)] = None
    svi: Annotated[SviSampler | None, BeforeValidator(empty)] = None
    neural_transport: Annotated[NeuralTransportSampler | None, BeforeValidator(empty)] = None
    nested: Annotated[NestedSampler | None, BeforeValidator(empty)] = None
    laplace: Annotated[LaplaceSampler | None, BeforeValidator(empty)] = None
    r_hat: Annotated[float, Field(gt=1, le=1.1)] = 1.01
    """Largest split R-hat of any parameter."""
    ess_min: Annotated[float, Field(gt=0)] = 400.0
    """Smallest effective sample size of any parameter."""
    divergent: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Largest share of divergent trajectories."""
    evidence: bool | None = None
    """Also ln Z, from the chains by bridge sampling; some methods give it anyway."""

    @model_validator(mode="after")
    def _one_sampler(self) -> SamplerBlock:
        given = [name for name in self.names() if name in self.model_fields_set]
        if len(given) > 1:
            raise PydanticCustomError(
                "sampler",
                "expected one of {known}, got {given}",
                {"known": ", ".join(self.names()), "given": " and ".join(given)},
            )
        if self.evidence and "mclmc" in given:
            raise PydanticCustomError(
                "evidence",
                "mclmc is not exact and gives no evidence; use adjusted_mclmc, or evidence: false",
            )
        if self.evidence and getattr(self.chosen, "uncorrected", False):
            raise PydanticCustomError(
                "evidence",
                "{name} with uncorrected: true gives draws that are not of the posterior, and no "
                "evidence; take uncorrected or evidence out",
                {"name": self.name},
            )
        return self

    @classmethod
    def names(cls) -> list[str]:
        """The samplers' names."""
        return [name for name in cls.model_fields if name not in NO_SAMPLERS]

    @property
    def name(self) -> str:
        """The name of the chosen sampler."""
        given = [name for name in self.names() if getattr(self, name) is not None]
        return given[0] if given else "nuts"

    @property
    def chosen(self) -> AnySampler:
        """The block of the chosen sampler."""
        return getattr(self, self.name) or NutsSampler()


def make_method(block: AnySampler) -> Method:
    """The method that a sampler's block describes."""
    from .. import inference as way

    given: dict[str, Any] = block.model_dump(exclude={"chains", "draws"}, exclude_none=True)
    if isinstance(given.get("mass"), list):
        given["mass"] = tuple(tuple(names) for names in given["mass"])
    match block:
        case NutsSampler():
            return way.NUTS(**given)
        case HmcSampler():
            return way.HMC(**given)
        case MetropolisSampler():
            return way.Metropolis(**given, thin=METROPOLIS_THIN)
        case EnsembleSampler():
            return way.AffineEnsemble(**given)
        case MclmcSampler():
            return way.MCLMC(**given)
        case AdjustedMclmcSampler():
            return way.AdjustedMCLMC(**given)
        case SviSampler():
            return way.Variational(**given)
        case NeuralTransportSampler():
            nuts = way.NUTS(warmup=given.pop("warmup"), target_accept=given.pop("target_accept"))
            return way.NeuralTransport(way.Variational(**given), nuts)
        case NestedSampler():
            return way.Nested(**given)
    return way.LaplaceApproximation(**given)
