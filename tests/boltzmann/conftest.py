"""Solutions that several tests share: a CLASS call takes 6 s, a CAMB call 2 s."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from volvelle.boltzmann import SPECTRA, Request, Theory, get_solver
from volvelle.boltzmann.request import FUNCTIONS, ON_REQUEST
from volvelle.cosmology import planck18

FULL = Request(spectra=SPECTRA, lmax=2508, background=True, power=False)


@pytest.fixture(scope="session")
def fiducial() -> Callable[[str], Theory]:
    """The fiducial model with all spectra, by the solver's name; solved once."""

    @cache
    def solve(name: str) -> Theory:
        return get_solver(name).solve(planck18(), FULL)

    return solve


MODELS: dict[str, dict[str, Any]] = {
    "standard": {},
    "massive neutrinos": {"m_nu": 0.3, "neutrino_hierarchy": "degenerate"},
    "curved": {"Omega_k": 0.01},
}
FUNCTIONAL = Request(
    spectra=(), background=False, power=True, functions=FUNCTIONS, scalars=ON_REQUEST
)


@pytest.fixture(scope="session")
def functions() -> Callable[[str, str], Theory]:
    """One of MODELS with all functions, by the solver's and the model's name; solved once."""

    @cache
    def solve(name: str, model: str) -> Theory:
        return get_solver(name).solve(planck18().replace(**MODELS[model]), FUNCTIONAL)

    return solve
