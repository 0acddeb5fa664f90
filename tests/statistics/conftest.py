"""Fields and catalogues that the tests of statistics share."""

import numpy as np
import pytest

BOX = 100.0
"""[Mpc/h]."""


@pytest.fixture(scope="session")
def field() -> np.ndarray:
    """delta on 16^3 points with structure along every axis and a skewed distribution."""
    rng = np.random.default_rng(7)
    white = rng.standard_normal((16, 16, 16))
    smooth = sum(np.roll(white, s, axis) for axis in range(3) for s in (0, axis + 1)) / 3.0
    values = np.exp(0.5 * smooth)
    return values / values.mean() - 1.0


@pytest.fixture(scope="session")
def other(field: np.ndarray) -> np.ndarray:
    """A field that is correlated with it."""
    return 0.7 * field + 0.3 * np.random.default_rng(8).standard_normal(field.shape)


@pytest.fixture(scope="session")
def catalogue() -> np.ndarray:
    """4000 random positions [Mpc/h]."""
    return np.random.default_rng(9).uniform(0.0, BOX, (4000, 3))
