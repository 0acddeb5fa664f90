"""Which parameters of a run can be profiled, and what to do about the others."""

from __future__ import annotations

from collections.abc import Sequence

from ..cosmology import Definitions, needs
from ..report import Chain
from .blocks import offer
from .errors import ProfileError

REPLACES = {
    "H0": ("theta_star_100", "h"),
    "h": ("theta_star_100", "H0"),
    "theta_star_100": ("H0", "h"),
    "sigma8": ("ln10A_s", "A_s"),
}
"""What a derived number can be sampled in place of."""
RECIPES = {"Omega_m": ("omega_cdm",), "S8": ("omega_cdm", "sigma8")}
"""What an expression has to define so that a derived number is sampled."""


def check_names(names: Sequence[str], chain: Chain, definitions: Definitions) -> None:
    """Raise ProfileError, with what to do, unless all are sampled parameters, each given once."""
    sampled = [name for name in chain.names if name not in chain.derived]
    if len(set(names)) < len(names):
        raise ProfileError(f"{names[0]} is given twice; name two different parameters")
    for name in names:
        if name in chain.derived:
            raise ProfileError(
                f"{name} is a derived parameter of this run, and only sampled ones can be "
                f"profiled ({', '.join(sampled)}); {advice(name, sampled, definitions)}"
            )
        if name not in sampled:
            raise ProfileError(f"unknown parameter {name!r}; {offer(name, sampled)}")


def advice(name: str, sampled: Sequence[str], definitions: Definitions) -> str:
    """How a profile of a derived parameter can be had all the same, in words."""
    texts = dict(definitions)
    if name in texts:
        behind = sorted(needs(definitions, name) & set(sampled))
        if texts[name] == f"10**log10_{name}":
            return f"profile {behind[0]}, of which it is a function"
        return (
            f"it follows from {', '.join(behind)}: in a run of its own give {name} a prior and "
            f"write {behind[-1]} as an expression of it"
        )
    instead = next((other for other in REPLACES.get(name, ()) if other in sampled), None)
    if instead is not None:
        return f"sample {name} in place of {instead} in a run of its own"
    if name in RECIPES:
        return (
            f"in a run of its own write {' and '.join(RECIPES[name])} as an expression of it; "
            "docs/method.md, Profile likelihoods, has the lines"
        )
    return f"nothing that can be sampled stands for {name}; its posterior is in the report"
