"""Cubic interpolation between nodes against SciPy's splines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from volvelle.cosmology.interpolation import Curve, Nodes, clamp

EVEN = np.linspace(-1.0, 2.0, 13)
UNEVEN = np.sort(np.random.default_rng(1).uniform(-1.0, 2.0, 13))


@pytest.mark.parametrize("x", [EVEN, UNEVEN, EVEN[:2], UNEVEN[:3]])
def test_curve_is_the_spline(x: np.ndarray) -> None:
    nodes, values = Nodes.of(x), np.stack([np.sin(3.0 * x), np.exp(x)], -1)
    spline = CubicSpline(x, values)
    at = np.concatenate([x, np.linspace(x[0] - 0.1, x[-1] + 0.1, 50)])
    found = Curve.through(nodes, jnp.asarray(values))(jnp.asarray(at))
    np.testing.assert_allclose(found, spline(at), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(nodes.matrix(at) @ values, spline(at), rtol=1e-10, atol=1e-11)
    slope = jax.vmap(jax.grad(Curve.through(nodes, jnp.asarray(values[:, 0]))))(at[len(x) :])
    np.testing.assert_allclose(slope, spline(at[len(x) :], 1)[:, 0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("number", [2, 3, 60, 65, 303])
@pytest.mark.parametrize("even", [True, False])
def test_slopes_of_many_nodes_are_all_of_the_splines(number: int, even: bool) -> None:
    rng = np.random.default_rng(2)
    x = np.linspace(-9.0, 3.0, number) if even else np.sort(rng.uniform(-9.0, 3.0, number))
    values = rng.standard_normal((2, 4, number))
    nodes = Nodes.of(x)
    found, back = jax.vjp(nodes.differentiate, jnp.asarray(values))
    exact = CubicSpline(x, values, axis=-1)(x, 1)
    size = np.abs(nodes.slopes).max(axis=1)  # uneven nodes have slopes of any size
    np.testing.assert_allclose(found / size, exact / size, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(
        back(jnp.asarray(values / size))[0], (values / size) @ nodes.slopes, rtol=0.0, atol=1e-11
    )


def test_slopes_of_hundreds_of_nodes_take_less_than_half_the_work() -> None:
    nodes = Nodes.of(np.linspace(-9.0, 3.0, 303))
    assert sum(block.size for _, _, block in nodes._blocks) < 0.5 * nodes.slopes.size


def test_clamp() -> None:
    x = jnp.asarray([-1.0, 0.0, 0.3, 1.0, 2.0])
    np.testing.assert_array_equal(clamp(x, 0.0, 1), [0.0, 0.0, 0.3, 1.0, 1.0])
    assert clamp(x.astype(jnp.float32), 0.0, np.float64(0.1)).dtype == jnp.float32
    np.testing.assert_array_equal(
        jax.vmap(jax.grad(lambda each: clamp(each, 0.0, 1.0)))(x), [0.0, 0.0, 1.0, 0.0, 0.0]
    )
    np.testing.assert_array_equal(clamp([0, 1, 2], 0.5, 1.5), [0.5, 1.0, 1.5])
    assert np.isnan(clamp(jnp.nan, 0.0, 1.0))
    moved = jax.grad(lambda ends: jnp.sum(clamp(x, ends[0], ends[1])))(jnp.asarray([0.1, 0.9]))
    np.testing.assert_array_equal(moved, [2.0, 2.0])


def test_nodes_are_compared_by_value() -> None:
    assert Nodes.of(EVEN) == Nodes.of(list(EVEN)) and hash(Nodes.of(EVEN)) == hash(Nodes.of(EVEN))
    for wrong in ([1.0], [1.0, 1.0], [2.0, 1.0], [0.0, np.nan]):
        with pytest.raises(ValueError, match="expected two or more, finite and increasing"):
            Nodes.of(wrong)
