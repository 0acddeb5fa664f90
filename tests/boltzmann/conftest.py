"""Solutions that several tests share: a CLASS call takes 6 s, a CAMB call 2 s."""

from collections.abc import Callable
from functools import cache

import pytest

from volvelle.boltzmann import SPECTRA, Request, Theory, get_solver
from volvelle.cosmology import planck18

FULL = Request(spectra=SPECTRA, lmax=2508, background=True, power=False)


@pytest.fixture(scope="session")
def fiducial() -> Callable[[str], Theory]:
    """The fiducial model with all spectra, by the solver's name; solved once."""

    @cache
    def solve(name: str) -> Theory:
        return get_solver(name).solve(planck18(), FULL)

    return solve
