"""Neural transport: NUTS in the coordinates of a fitted guide (Hoffman et al. 2019).

Where the guide is good the posterior is a standard normal in them; where it is not, the chains are
right all the same, and only slower: nothing that the guide has learned enters the density.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import equinox as eqx
from jaxtyping import Array, Float

from volvelle.inference.coordinates import Whitened
from volvelle.inference.drawn import Chains
from volvelle.inference.guides import Guide
from volvelle.inference.laplace import Laplace
from volvelle.inference.nuts import NUTS
from volvelle.inference.posterior import Posterior
from volvelle.inference.sampler import Progress, Watch, run_chains
from volvelle.inference.variational import Variational, fit_guide


@dataclass(frozen=True)
class NeuralTransport:
    """The guide and how it is fitted, then the sampler of its coordinates."""

    variational: Variational = field(default_factory=Variational)
    nuts: NUTS = field(default_factory=lambda: NUTS(warmup=200))


class Transported(eqx.Module):
    """ln density of the normal coordinates eps of a guide."""

    base: Whitened
    guide: Guide

    @property
    def posterior(self) -> Posterior:
        return self.base.posterior

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        whitened, log_det = self.guide.forward(z)
        return self.base(whitened) + log_det

    def real(self, z: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        whitened, log_det = self.guide.forward(z)
        u, beyond = self.base.real(whitened)
        return u, beyond + log_det


def run_transport(
    posterior: Posterior,
    laplace: Laplace,
    method: NeuralTransport,
    *,
    chains: int,
    draws: int,
    seed: int,
    progress: Progress | None = None,
    watch: Watch | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Chains:
    """Fit the guide, then run chains in its coordinates; arguments as of ``run_chains``."""
    target = Whitened.of(posterior, laplace)
    guide_folder, chain_folder = (
        None if folder is None else folder / name for name in ("guide", "chains")
    )
    fitted = fit_guide(target, method.variational, seed=seed, folder=guide_folder, say=say)
    found = run_chains(
        posterior,
        laplace,
        method.nuts,
        chains=chains,
        draws=draws,
        seed=seed + 1,
        progress=progress,
        watch=watch,
        folder=chain_folder,
        coordinates=lambda given, start: Transported(Whitened.of(given, start), fitted.guide),
    )
    return replace(
        found,
        evaluations=found.evaluations + fitted.evaluations,
        gradients=found.gradients + fitted.gradients,
        facts={
            **found.facts,
            "elbo": fitted.elbo,
            "elbo_error": fitted.error,
            "guide_settled": "yes" if fitted.settled else "no",
            "guide_steps": fitted.steps,
        },
    )
