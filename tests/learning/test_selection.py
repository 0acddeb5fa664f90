"""The surrogate is chosen by its left-out error."""

import numpy as np
import pytest

from volvelle.learning import LearningError, select


def points(n: int, d: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_noisy_line_is_a_line():
    x = points(40)
    noise = 0.1 * np.random.default_rng(1).normal(size=(40, 20))  # of many coefficients: no luck
    s = (x @ [1.0, -2.0])[:, None] + noise
    found = select(x, s, np.ones(40), "polynomial")
    assert found.name == "polynomial (degree 1)"


def test_cubic_is_a_cubic():
    x = points(40)
    s = (x[:, 0] ** 3 - x[:, 1] ** 2)[:, None]
    found = select(x, s, np.ones(40))
    assert found.name == "polynomial (degree 3)"
    assert found.scores[found.name] == min(found.scores.values())
    assert set(found.scores) == {
        *(f"polynomial (degree {n})" for n in (1, 2, 3)),
        *(f"gaussian_process (degree {n})" for n in (1, 2)),
    }


def test_a_wiggle_is_a_process():
    x = points(40)
    s = np.sin(2.0 * x[:, 0] + x[:, 1])[:, None]
    assert select(x, s, np.ones(40)).name.startswith("gaussian_process")


def test_weights_say_where_it_matters():
    """A line in the middle, a cubic on the whole: points that do not matter decide nothing."""
    x = np.linspace(-1.0, 1.0, 41)[:, None]
    wild = np.random.default_rng(2).normal(size=(41, 20))
    s = np.where(np.abs(x) > 0.5, 5.0 * wild, x + 0.01 * wild)
    inner = (np.abs(x[:, 0]) < 0.5).astype(float)
    near = select(x, s, inner, "polynomial").scores
    everywhere = select(x, s, np.ones(41), "polynomial").scores
    assert all(near[name] < 0.5 * everywhere[name] for name in near)


def test_what_cannot_be_fitted_is_left_out():
    x = points(8)
    found = select(x, x[:, :1] ** 2, np.ones(8))
    assert "polynomial (degree 3)" not in found.scores
    assert "polynomial (degree 2)" in found.scores


def test_errors():
    x = points(3)
    with pytest.raises(LearningError, match="no surrogate can be fitted to 3 solutions"):
        select(x, x, np.ones(3))
    with pytest.raises(LearningError, match="unknown surrogate 'forest'"):
        select(x, x, np.ones(3), "forest")
