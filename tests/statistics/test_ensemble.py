"""Mean, scatter and covariance of realisations."""

import numpy as np
import pytest

from volvelle.statistics import Measured, StatisticsError, ensemble


def block(name: str, values: np.ndarray, shift: float = 0.0) -> Measured:
    at = np.arange(float(len(values))) + 1.0 + shift
    return Measured(name, "k", "h/Mpc", "", at, values, np.zeros_like(at))


def test_moments_are_numpys() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.standard_normal((9, 3)), rng.standard_normal((9, 2))
    found = ensemble([[block("a", x), block("b", y)] for x, y in zip(one, two, strict=True)])
    vectors = np.concatenate([one, two], axis=1)
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0))
    np.testing.assert_allclose(found.scatter, vectors.std(axis=0, ddof=1))
    np.testing.assert_allclose(found.covariance, np.cov(vectors.T))
    np.testing.assert_allclose(found.values[:, found.slices[1]], two)
    assert (found.count, found.invertible) == (9, True)
    few = ensemble([[block("a", x)] for x in rng.standard_normal((9, 7))])
    assert not few.invertible


def test_one_realisation_has_no_scatter() -> None:
    found = ensemble([[block("a", np.ones(3))]])
    assert found.scatter is None
    assert found.covariance is None
    assert not found.invertible


def test_realisations_that_do_not_fit_together() -> None:
    first = [block("a", np.ones(3))]
    for other, words in (
        ([block("b", np.ones(3))], "realisation 1 holds b; the first one a"),
        ([block("a", np.ones(4))], "a of realisation 1 has other bins"),
        ([block("a", np.ones(3), 0.1)], "a of realisation 1 has other bins"),
        ([], "holds nothing"),
    ):
        with pytest.raises(StatisticsError, match=words):
            ensemble([first, other])
    with pytest.raises(StatisticsError, match="no realisation"):
        ensemble([])
