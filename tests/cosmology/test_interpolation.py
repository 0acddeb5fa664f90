"""Cubic interpolation between nodes against SciPy's splines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from volvelle.cosmology.interpolation import Curve, Nodes

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


def test_nodes_are_compared_by_value() -> None:
    assert Nodes.of(EVEN) == Nodes.of(list(EVEN)) and hash(Nodes.of(EVEN)) == hash(Nodes.of(EVEN))
    for wrong in ([1.0], [1.0, 1.0], [2.0, 1.0], [0.0, np.nan]):
        with pytest.raises(ValueError, match="expected two or more, finite and increasing"):
            Nodes.of(wrong)
