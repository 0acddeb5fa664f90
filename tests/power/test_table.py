"""Tables of power: between their nodes, at their edges, and what is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from power_references import BASE, arrays, made
from volvelle.boltzmann import POWER_K, POWER_Z
from volvelle.cosmology.interpolation import Nodes
from volvelle.power import (
    EisensteinHu,
    RedshiftError,
    TableError,
    TabulatedPower,
    WavenumberError,
    linear_power,
)
from volvelle.power.table import Surface

SOLVER_NODES = 2e-4
"""Relative error between the nodes of ``boltzmann.POWER_K``, at the acoustic peaks."""


@pytest.fixture(scope="module")
def truth():
    return made(arrays(EisensteinHu()), arrays(BASE))


def table_of(truth, k: np.ndarray, z: np.ndarray, share: float = 1.0) -> TabulatedPower:
    power = truth(*np.meshgrid(k, 1.0 / (1.0 + z)))
    return TabulatedPower(k, z, power, None if share == 1.0 else share * power)


@pytest.mark.parametrize("uneven", [False, True])
def test_between_the_nodes(truth, uneven: bool) -> None:
    k, z = POWER_K, POWER_Z
    if uneven:
        k, z = np.sort(np.concatenate([k, np.geomspace(0.02, 0.3, 99)])), np.linspace(0.0, 4.0, 60)
    theory = {"matter_power": table_of(truth, k, z).matter}
    model = table_of(truth, k, z) if uneven else TabulatedPower.of_theory(theory)
    generator = np.random.default_rng(2)
    points = np.exp(generator.uniform(np.log(1e-4), np.log(10.0), 3000))
    a = 1.0 / (1.0 + generator.uniform(0.0, 4.0, 3000))
    spectrum = made(model, arrays(BASE))
    np.testing.assert_allclose(spectrum(points, a), truth(points, a), rtol=SOLVER_NODES)
    nodes, times = np.meshgrid(k, 1.0 / (1.0 + z))
    np.testing.assert_allclose(spectrum(nodes, times), model.matter, rtol=1e-10)


def test_known_times_are_taken_by_a_matrix() -> None:
    """The same function, with the same derivatives, as where times are traced."""
    rng = np.random.default_rng(1)
    x, y = Nodes.of(np.sort(rng.random(9))), Nodes.of(np.sort(rng.random(6)))
    values = jnp.asarray(rng.standard_normal((6, 9)))
    at, times = jnp.asarray(rng.random((5, 4))), rng.random(4)

    def known(values: jax.Array, at: jax.Array) -> jax.Array:
        return Surface.through(x, y, values)(at, times)

    def traced(values: jax.Array, at: jax.Array) -> jax.Array:
        return Surface.through(x, y, values)(at, jnp.asarray(times))

    one, other = jax.jit(known)(values, at), jax.jit(traced)(values, at)
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.max(np.abs(other)))
    for argument in (0, 1):
        slopes = [
            jax.jit(jax.grad(lambda *a, f=f: jnp.sum(jnp.sin(f(*a))), argument))(values, at)
            for f in (known, traced)
        ]
        np.testing.assert_allclose(*slopes, rtol=1e-7, atol=1e-7 * np.max(np.abs(slopes[1])))


def test_species(truth) -> None:
    spectrum = made(table_of(truth, POWER_K, POWER_Z, 1.02), arrays(BASE))
    k, a = jnp.asarray([0.013, 2.2]), jnp.asarray(0.63)
    np.testing.assert_allclose(spectrum(k, a, "cb") / spectrum(k, a), 1.02, rtol=1e-10)
    alone = made(table_of(truth, POWER_K, POWER_Z), arrays(BASE))
    np.testing.assert_array_equal(alone(k, a, "cb"), alone(k, a))


def test_edges(truth) -> None:
    model = table_of(truth, POWER_K, POWER_Z)
    for k, a, error, words in (
        (9e-5, 1.0, WavenumberError, r"k is 9e-05; .* from 0\.0001 to 10 \[1/Mpc\]"),
        (np.array([1.0, 10.1]), 1.0, WavenumberError, r"k is 10\.1"),
        (1.0, 0.19, RedshiftError, r"a is 0\.19; .* from 0\.2 to 1"),
        (1.0, np.array([1.0, 1.01]), RedshiftError, r"a is 1\.01"),
    ):
        with pytest.raises(error, match=words):
            linear_power(BASE, k, a, model)
        inside = jax.jit(lambda k, a: linear_power(BASE, k, a, model))(k, a)
        assert np.any(np.isnan(inside)) and np.isnan(inside).all() == (np.ndim(k + a) == 0)
    corners = linear_power(BASE, np.array([1e-4, 10.0]), np.array([0.2, 1.0]), model)
    assert np.all(np.isfinite(corners))


def test_gradients_in_the_table(truth) -> None:
    """ln P is linear in the table's ln P: the gradient's entries sum to 1."""
    base = table_of(truth, POWER_K[::8], POWER_Z[::4])

    @jax.jit
    @jax.grad
    def slope(log_power: jax.Array) -> jax.Array:
        model = TabulatedPower(POWER_K[::8], POWER_Z[::4], jnp.exp(log_power))
        return jnp.log(model.spectrum(BASE)(jnp.asarray(0.1), jnp.asarray(0.7)))

    found = slope(jnp.log(base.matter))
    assert jnp.sum(found) == pytest.approx(1.0, rel=1e-12)
    assert jnp.max(found) > 0.2


def test_what_is_no_table() -> None:
    k, z, ones = [0.1, 1.0], [0.0, 1.0], np.ones((2, 2))
    for wrong, words in (
        (([1.0, 0.1], z, ones), "k: 2 nodes; expected two or more, finite and increasing"),
        (([0.0, 1.0], z, ones), "k is no one-dimensional array of finite values above 0"),
        ((k, [0.0, -2.0], ones), "z is no one-dimensional array of finite values above -1"),
        ((k, [0.5, 1.0], ones), r"first redshift is 0\.5; expected 0"),
        ((k, z, np.ones((2, 3))), r"matter has shape \(2, 3\); expected \(2, 2\), of \(z, k\)"),
        ((k, z, ones - 1.0), "matter holds values that are not above 0"),
        ((k, z, ones, ones * np.nan), "cb holds values that are not above 0, or not finite"),
    ):
        with pytest.raises(TableError, match=words):
            TabulatedPower(*wrong)
    with pytest.raises(TableError, match="no matter_power; ask the solver"):
        TabulatedPower.of_theory({"hubble": 70.0})
    with pytest.raises(TableError, match="the nodes of k are traced"):
        jax.jit(lambda k: TabulatedPower(k, z, ones).matter)(jnp.asarray(k))
