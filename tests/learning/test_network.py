"""The paper's network: what it computes, what its loss weighs, and that a kill changes no bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import volvelle.learning.fit as fit_module
from volvelle.learning import (
    AlsingActivation,
    LearningError,
    Network,
    NetworkSettings,
    StorageError,
    fit_network,
    load_model,
    loss_weights,
    save_model,
)
from volvelle.learning.network import initial_perceptron

SMALL = NetworkSettings(depth=2, width=16, epochs=30, batch=8, patience=30)
SINGLE_PRECISION = 1e-5  # relative; a few hundred roundings of 6e-8


class Killed(BaseException):
    """Stands in for a signal: nothing in the training may catch it."""


def smooth(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).uniform(-1.0, 1.0, (n, 2))
    s = np.stack([np.sin(2.0 * x[:, 0]) + x[:, 1] ** 2, x[:, 0] * x[:, 1], x[:, 1]], axis=1)
    return x, (s - s.mean(axis=0)) / s.std(axis=0)


def weights_of(network: Network) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(network)]


def test_activation_is_equation_2_3():
    beta, gamma = jnp.array([0.5, 2.0, 0.0]), jnp.array([0.1, -0.3, 1.0])
    x = np.array([-1.5, 0.7, 2.0])
    expected = (gamma + (1.0 + np.exp(-beta * x)) ** -1 * (1.0 - gamma)) * x
    np.testing.assert_allclose(AlsingActivation(beta, gamma)(jnp.asarray(x)), expected, rtol=1e-12)


def test_activation_has_two_slopes():
    activation = AlsingActivation(jnp.array([50.0]), jnp.array([0.2]))
    slope = jax.vmap(jax.grad(lambda v: activation(v[None])[0]))(jnp.array([-3.0, 3.0]))
    np.testing.assert_allclose(slope, [0.2, 1.0], atol=1e-10)


def test_cosmic_variance_favours_high_multipoles():
    ell = np.array([2.0, 10.0, 2508.0, np.nan])
    weights = loss_weights("cosmic_variance", ell)
    np.testing.assert_allclose(weights[2] / weights[0], 5017.0 / 5.0)
    assert weights[3] == weights[2]
    assert np.mean(weights) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("loss", "ell"), [("mse", [2.0, 900.0]), ("cosmic_variance", [np.nan] * 2)]
)
def test_equal_weights(loss: str, ell: list[float]):
    np.testing.assert_array_equal(loss_weights(loss, np.array(ell)), [1.0, 1.0])


def test_unknown_loss():
    with pytest.raises(
        LearningError, match="unknown loss 'mae'; choose cosmic_variance, data_noise, mse, or"
    ):
        loss_weights("mae", np.array([2.0]))


def test_network_learns_a_smooth_function():
    x, s = smooth(200)
    network, losses = fit_network(x, s, replace(SMALL, width=32, epochs=200, patience=200))
    assert losses[-1] < 0.02 * losses[0]
    fresh, _ = smooth(50, seed=1)
    predicted = np.asarray(jax.vmap(network)(jnp.asarray(fresh)))
    assert np.corrcoef(predicted[:, 2], fresh[:, 1])[0, 1] > 0.999
    np.testing.assert_array_equal(network.variance(jnp.zeros(2)), network.residual)


def test_boundary_is_float64_and_differentiable():
    x, s = smooth(40)
    network, _ = fit_network(x, s, SMALL)
    point = jnp.asarray(x[0])
    assert network(point).dtype == jnp.float64
    assert jax.tree.leaves(network.perceptron)[0].dtype == jnp.float32
    step = 1e-2  # wide, as the inside is in single precision
    gradient = jax.jacobian(network)(point)[:, 0]
    ends = [network(point.at[0].add(sign * step)) for sign in (1.0, -1.0)]
    np.testing.assert_allclose(gradient, (ends[0] - ends[1]) / (2.0 * step), atol=2e-3)


def test_shape_of_the_paper():
    perceptron = initial_perceptron(6, 400, NetworkSettings().depth, NetworkSettings().width, 1)
    shapes = [layer.weight.shape for layer in perceptron.layers]
    assert shapes == [(6, 512), *[(512, 512)] * 5, (512, 400)]
    assert len(perceptron.activations) == 6


def test_same_seed_same_bits_other_seed_other_bits():
    x, s = smooth(30)
    first, again = (weights_of(fit_network(x, s, SMALL)[0]) for _ in range(2))
    other = weights_of(fit_network(x, s, replace(SMALL, seed=2))[0])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("epoch", [1, 7, 29])
def test_killed_and_repeated_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
):
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)
    x, s = smooth(30)
    whole, losses = fit_network(x, s, SMALL)
    seen: list[int] = []

    def kill(now: int, total: int, loss: float) -> None:
        if now == epoch + 1:
            raise Killed

    with pytest.raises(Killed):
        fit_network(x, s, SMALL, folder=tmp_path, progress=kill)
    resumed, again = fit_network(
        x, s, SMALL, folder=tmp_path, progress=lambda now, total, loss: seen.append(now)
    )
    assert seen == list(range(epoch + 1, 31)), "only the epoch in flight is lost"
    assert again == losses
    assert all(
        np.array_equal(a, b) for a, b in zip(weights_of(whole), weights_of(resumed), strict=True)
    )


def test_finished_training_is_read(tmp_path: Path):
    x, s = smooth(30)
    first, losses = fit_network(x, s, SMALL, folder=tmp_path)
    seen: list[int] = []
    second, again = fit_network(
        x, s, SMALL, folder=tmp_path, progress=lambda now, total, loss: seen.append(now)
    )
    assert seen == []
    assert again == losses
    assert all(
        np.array_equal(a, b) for a, b in zip(weights_of(first), weights_of(second), strict=True)
    )
    fit_network(x, 2.0 * s, SMALL, folder=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2, "other data are another training"


def test_damaged_checkpoint_is_said(tmp_path: Path):
    x, s = smooth(30)
    fit_network(x, s, SMALL, folder=tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"damaged checkpoint .*delete it"):
        fit_network(x, s, SMALL, folder=tmp_path)


def test_early_stopping_keeps_the_best():
    x, s = smooth(30)
    noise = np.random.default_rng(1).normal(size=s.shape)
    settings = replace(SMALL, epochs=400, patience=10)
    _, losses = fit_network(x, noise, settings)
    assert len(losses) < 400
    assert len(losses) - 1 - int(np.argmin(losses)) == 10


def test_too_few_solutions():
    x, s = smooth(7)
    with pytest.raises(LearningError, match="at least 8 solutions, got 7"):
        fit_network(x, s, SMALL)


def test_a_loss_that_explodes_is_said():
    x, s = smooth(30)
    with pytest.raises(LearningError, match="lower learning_rate"):
        fit_network(x, s, replace(SMALL, learning_rate=1e12))


def test_stored_and_read_again(tmp_path: Path):
    x, s = smooth(30)
    network, _ = fit_network(x, s, SMALL)
    save_model(network, tmp_path, {})
    read, _ = load_model(tmp_path)
    point = jnp.asarray(x[3])
    np.testing.assert_allclose(read(point), network(point), rtol=SINGLE_PRECISION)
    assert all(
        np.array_equal(a, b) for a, b in zip(weights_of(network), weights_of(read), strict=True)
    )
