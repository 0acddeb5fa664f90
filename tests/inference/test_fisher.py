"""Fisher matrices: algebra of errors, names, priors, sums and other parameters."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.compute import PrecisionError
from volvelle.inference import (
    DenseCovariance,
    DerivativeError,
    Fisher,
    FisherError,
    InferenceError,
    Normal,
    ParameterNamesError,
    SingularFisherError,
    Uniform,
)

NAMES = ("w0", "wa", "h")
VALUES = np.array([-1.0, 0.0, 0.7])
UNITS = np.array([1.0, 1e4, 1e-5])
"""Very different ones, which must not cost digits."""
ROUNDING = 1e-9


def matrix() -> np.ndarray:
    root = np.random.default_rng(4).normal(size=(7, 3))
    return root.T @ root * np.outer(UNITS, UNITS)


def fisher() -> Fisher:
    return Fisher(NAMES, VALUES, matrix())


def test_errors() -> None:
    made = fisher()
    inverse = np.linalg.inv(matrix() / np.outer(UNITS, UNITS)) / np.outer(UNITS, UNITS)
    np.testing.assert_allclose(made.covariance, inverse, rtol=ROUNDING)
    np.testing.assert_allclose(made.marginal_errors, np.sqrt(np.diag(inverse)), rtol=ROUNDING)
    np.testing.assert_allclose(
        made.conditional_errors, 1 / np.sqrt(np.diag(matrix())), rtol=ROUNDING
    )
    assert made.error("wa") == pytest.approx(np.sqrt(inverse[1, 1]), rel=ROUNDING)
    errors = np.sqrt(np.diag(inverse))
    np.testing.assert_allclose(made.correlation, inverse / np.outer(errors, errors), rtol=1e-8)


def test_fixing_and_marginalising() -> None:
    made = fisher()
    inverse = np.asarray(made.covariance)
    np.testing.assert_allclose(made.fixed("wa").matrix, matrix()[np.ix_([0, 2], [0, 2])])
    left = made.marginalised("wa")
    assert left.names == ("w0", "h")
    np.testing.assert_allclose(left.covariance, inverse[np.ix_([0, 2], [0, 2])], rtol=ROUNDING)
    turned = made.of("h", "w0")
    assert turned.names == ("h", "w0")
    np.testing.assert_allclose(turned.values, VALUES[[2, 0]])
    np.testing.assert_allclose(turned.covariance, inverse[np.ix_([2, 0], [2, 0])], rtol=ROUNDING)
    # The order in which parameters are given up does not matter.
    np.testing.assert_allclose(
        made.marginalised("h", "w0").matrix, made.marginalised("w0", "h").matrix, rtol=ROUNDING
    )


def test_priors() -> None:
    made = fisher()
    expected = matrix() + np.diag([1 / 0.2**2, 0.0, 1 / 0.01**2])
    priors = {"w0": 0.2, "h": Normal(0.7, 0.01), "wa": Uniform(-2.0, 2.0)}
    np.testing.assert_allclose(made.with_priors(priors).matrix, expected, rtol=ROUNDING)
    assert made.with_priors({"h": 1e-12}).error("h") == pytest.approx(1e-12, rel=1e-6)


def test_sums_by_name() -> None:
    made = fisher()
    other = Fisher(("n_s", "w0"), [0.96, -1.0], [[5.0, 1.0], [1.0, 3.0]])
    both = made + other
    assert both.names == (*NAMES, "n_s")
    np.testing.assert_allclose(both.values, [*VALUES, 0.96])
    expected = np.zeros((4, 4))
    expected[:3, :3] = matrix()
    expected[np.ix_([3, 0], [3, 0])] += np.asarray(other.matrix)
    np.testing.assert_allclose(both.matrix, expected)


def test_figure_of_merit() -> None:
    """That of the Task Force: 1 / (sigma(w_p) sigma(wa)), w_p at the pivot without correlation."""
    made = fisher()
    inverse = np.asarray(made.covariance)
    pivot = np.sqrt(inverse[0, 0] - inverse[0, 1] ** 2 / inverse[1, 1])
    expected = 1 / (pivot * np.sqrt(inverse[1, 1]))
    assert made.figure_of_merit("w0", "wa") == pytest.approx(expected, rel=1e-8)
    assert made.figure_of_merit("w0") == pytest.approx(1 / np.sqrt(inverse[0, 0]), rel=1e-8)


def test_other_parameters() -> None:
    made = fisher()

    def old(q: jax.Array) -> jax.Array:
        return jnp.stack([q[0] - q[1] / 1e4, 1e4 * (q[1] ** 2 - q[1]), q[2] / 1e2 * q[0] ** 2])

    new = jnp.asarray([-1.0, 0.0, 70.0])
    moved = made.transformed(("a", "b", "c"), new, old)
    jacobian = np.asarray(jax.jacfwd(old)(new))
    np.testing.assert_allclose(moved.matrix, jacobian.T @ matrix() @ jacobian, rtol=1e-8)
    np.testing.assert_allclose(made.transformed("abc", new, jacobian).matrix, moved.matrix)
    # Derived numbers of the old parameters have errors that follow from either.
    spread = made.propagated(lambda x: jnp.stack([x[0] * x[2], x[1]]))
    slope = np.array([[0.7, 0.0, -1.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(spread, slope @ made.covariance @ slope.T, rtol=1e-8)
    back = moved.propagated(old)
    np.testing.assert_allclose(back, made.covariance, rtol=1e-6, atol=1e-9 * np.max(back))


def test_differentiable() -> None:
    """A figure of merit in the size of a survey, and NaN where a traced matrix is singular."""

    def merit(area: jax.Array, rank: float = 1.0) -> jax.Array:
        scale = area * jnp.diag(jnp.asarray([1.0, 1.0, rank]))
        return Fisher(NAMES, VALUES, scale @ jnp.asarray(matrix())).figure_of_merit("w0", "wa")

    exact = float(jax.jit(jax.grad(merit))(2.0))
    steps = float(merit(2.0 + 1e-5) - merit(2.0 - 1e-5))
    assert exact == pytest.approx(steps / 2e-5, rel=1e-6)
    flat = jax.jit(lambda a: Fisher("ab", [0, 0], a * jnp.ones((2, 2))).figure_of_merit("a"))
    assert np.isnan(flat(1.0))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: fisher().error("w_0"), ParameterNamesError, "no parameter 'w_0'.*w0"),
        (lambda: fisher().fixed("n_s"), ParameterNamesError, "n_s"),
        (lambda: fisher().fixed(*NAMES), ParameterNamesError, "all parameters are fixed"),
        (lambda: fisher().of("w0", "sigma8"), ParameterNamesError, "sigma8"),
        (lambda: fisher().with_priors({"m_nu": 0.1}), ParameterNamesError, "m_nu"),
        (lambda: fisher().figure_of_merit("w0", "x"), ParameterNamesError, "'x'"),
        (lambda: fisher().figure_of_merit(), ParameterNamesError, "no parameter"),
        (lambda: Fisher("aa", [0, 0], np.eye(2)), ParameterNamesError, "different"),
        (lambda: Fisher("ab", [0], np.eye(2)), FisherError, "shape"),
        (lambda: Fisher("ab", [0, 0], [[1.0, 0.1], [0.2, 1.0]]), FisherError, "symmetric"),
        (lambda: Fisher("ab", [0, 0], [[1, np.nan], [np.nan, 1]]), DerivativeError, r"\(a, b\)"),
        (lambda: fisher().with_priors({"h": 0.0}), FisherError, "standard deviation"),
        (lambda: fisher().with_priors({"h": Normal(0.7, 0.1, 0.5, 1)}), FisherError, "cut"),
        (
            lambda: fisher() + Fisher(("h",), [0.71], [[1.0]]),
            FisherError,
            "0.7 in one Fisher matrix and 0.71",
        ),
        (
            lambda: fisher().transformed(("q",), [1.0], lambda q: jnp.stack([q[0]] * 3)),
            FisherError,
            "same universe",
        ),
        (lambda: fisher().transformed("ab", [1.0, 2.0], np.eye(3)), FisherError, "shape"),
        (
            lambda: fisher().transformed(("q",), [0.0], np.full((3, 1), np.nan)),
            DerivativeError,
            "d w0 / d q",
        ),
    ],
)
def test_refusals(make: Callable[[], object], error: type[InferenceError], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_single_precision_is_refused() -> None:
    with jax.enable_x64(False):
        for make in (fisher, lambda: DenseCovariance.of(np.eye(2))):
            with pytest.raises(PrecisionError, match="needs float64"):
                make()


def test_a_singular_matrix_names_the_direction() -> None:
    row = np.array([1.0, 2.0, 0.0])  # the data know a + 2 b, and c
    singular = Fisher("abc", [0, 0, 0], np.outer(row, row) + np.diag([0.0, 0.0, 4.0]))
    with pytest.raises(SingularFisherError, match=r"\+0.71 [ab] -0.71 [ab] \(in units") as found:
        singular.marginal_errors  # noqa: B018
    assert " c" not in str(found.value).split("conditional")[0]
    assert np.isfinite(singular.with_priors({"a": 1.0}).marginal_errors).all()
    with pytest.raises(SingularFisherError, match="nothing about b"):
        Fisher("ab", [0, 0], np.diag([1.0, 0.0])).covariance  # noqa: B018
    saddle = Fisher("ab", [0, 0], [[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(SingularFisherError, match="curvature below 0 along"):
        saddle.figure_of_merit("a")
    # Close to degenerate is no degeneracy: the error is large, and right.
    near = Fisher("ab", [0, 0], [[1.0, 1.0 - 1e-9], [1.0 - 1e-9, 1.0]])
    assert near.error("a") == pytest.approx(np.sqrt(1.0 / (2e-9 - 1e-18)), rel=1e-5)
