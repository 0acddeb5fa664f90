"""Networks of the user's own making: training, kills, storage, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import volvelle.learning.fit as fit_module
from volvelle.learning import (
    ARCHITECTURES,
    LearningError,
    NetworkSettings,
    StorageError,
    check_architecture,
    fit_network,
    least_solutions,
    load_model,
    save_model,
)

from . import own_networks
from .test_network import SMALL, Killed, smooth, weights_of

FILE = str(Path(own_networks.__file__))
OWN = replace(SMALL, architecture=f"{FILE}:residual")


def test_default_is_the_papers():
    assert NetworkSettings().architecture in ARCHITECTURES
    check_architecture("perceptron", 2, 4)


@pytest.mark.parametrize("name", ["residual", "shuffled"])
def test_trained_stored_and_read_again(name: str, tmp_path: Path):
    x, s = smooth(40)
    settings = replace(OWN, architecture=f"{FILE}:{name}")
    network, losses = fit_network(x, s, settings)
    assert losses[-1] < losses[0]
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(network.perceptron)}
    assert kinds - {"int32", "int64"} == {"float32"}
    save_model(network, tmp_path, {})
    read, _ = load_model(tmp_path, {f"{FILE}:{name}": getattr(own_networks, name)})
    point = jnp.asarray(x[3])
    np.testing.assert_array_equal(read(point), network(point))
    assert read(point).dtype == jnp.float64
    for a, b in zip(weights_of(read), weights_of(network), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_a_residual_network_learns_a_smooth_function():
    x, s = smooth(200)
    network, _ = fit_network(x, s, replace(OWN, epochs=150, patience=150))
    fresh, _ = smooth(50, seed=1)
    predicted = np.asarray(jax.vmap(network)(jnp.asarray(fresh)))
    assert np.corrcoef(predicted[:, 2], fresh[:, 1])[0, 1] > 0.999


def test_whole_numbers_are_kept(tmp_path: Path):
    x, s = smooth(30)
    settings = replace(OWN, architecture=f"{FILE}:shuffled", seed=3)
    network, _ = fit_network(x, s, settings)
    order, weight = jax.tree.leaves(network.perceptron)
    made = own_networks.shuffled(jax.random.key(3), 2, 3, 0, 0)
    np.testing.assert_array_equal(order, made.order)
    assert not np.allclose(weight, made.weight, atol=1e-3)


def test_depth_and_width_are_handed_on():
    x, s = smooth(30)
    network, _ = fit_network(x, s, replace(OWN, epochs=1, depth=3, width=5))
    shapes = [leaf.shape for leaf in jax.tree.leaves(network.perceptron)]
    assert shapes == [(5, 2), (5,), *[(5, 5), (5,)] * 3, (3, 5), (3,)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, s = smooth(30)
    network, _ = fit_network(x, s, replace(OWN, epochs=2))
    folder = tmp_path_factory.mktemp("stored")
    save_model(network, folder, {})
    return folder


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "whose code is not stored and is never imported from here"),
        ({"residual": "bent"}, "is not the one that the stored model was trained with"),
        ({"residual": "shallow"}, "a network of 6 arrays and the stored one has 8"),
        ({"residual": "narrow"}, "first that differs is ((8, 2), 'float32'), not ((16, 2), "),
        ({"residual": "two_arguments"}, "does not make the stored network (TypeError"),
    ],
)
def test_another_function_is_refused(given: dict[str, str], words: str, stored: Path):
    functions = {f"{FILE}:{k}": getattr(own_networks, v) for k, v in given.items()}
    with pytest.raises(StorageError) as caught:
        load_model(stored, functions)
    assert words in str(caught.value)


@pytest.mark.parametrize("epoch", [1, 17])
def test_killed_and_repeated_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
):
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)
    x, s = smooth(30)
    settings = replace(OWN, epochs=20, architecture=f"{FILE}:shuffled")
    whole, losses = fit_network(x, s, settings)
    seen: list[int] = []

    def kill(now: int, total: int, loss: float) -> None:
        if now == epoch + 1:
            raise Killed

    with pytest.raises(Killed):
        fit_network(x, s, settings, folder=tmp_path, progress=kill)
    resumed, again = fit_network(
        x, s, settings, folder=tmp_path, progress=lambda now, total, loss: seen.append(now)
    )
    assert seen == list(range(epoch + 1, 21)) and again == losses
    for a, b in zip(weights_of(whole), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_changed_code_under_the_same_name_is_another_training(tmp_path: Path):
    code = tmp_path / "mine.py"
    x, s = smooth(30)
    start = "0.1 * jax.random.normal(key, (inputs, outputs))"
    bodies = [
        ("jnp.tanh(x) @ w", start),
        ("jnp.sin(x) @ w", start),
        ("jnp.sin(x) @ w", f"2*{start}"),
    ]
    bodies.append(("jnp.sin(x) @ w", "jnp.zeros((inputs, outputs))"))
    bodies.append(("jnp.tanh(x) @ w", "jnp.zeros((inputs, outputs))"))
    for body, weights in [*bodies, bodies[0]]:
        code.write_text(
            "import jax, jax.numpy as jnp\n"
            "def f(key, inputs, outputs, depth, width):\n"
            f"    return jax.tree_util.Partial(lambda w, x: {body}, {weights})\n"
        )
        settings = replace(SMALL, architecture=f"{code}:f", epochs=1)
        fit_network(x, s, settings, folder=tmp_path / "checkpoints")
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == len(bodies)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet", "unknown architecture 'resnet'; choose perceptron, or your own as package."),
        ("no_such_module:f", "architecture: no_such_module cannot be imported"),
        (f"{FILE}:none", "has no 'none'"),
        (f"{FILE}:two_arguments", "it is called as function(key, inputs, outputs, depth, width)"),
        (f"{FILE}:total", "gives shape () for 2 outputs; expected (2,)"),
        (f"{FILE}:infinite", "is not finite for inputs between -1 and 1"),
        (f"{FILE}:unused", "does not depend on its arrays"),
        (f"{FILE}:untrained", "holds no real arrays to train; return an equinox.Module"),
        (f"{FILE}:complex_numbers", "holds an array of type complex64"),
        (f"{FILE}:with_keys", "without states and without keys in its call"),
        (f"{FILE}:FILE", "has no 'FILE'"),
    ],
)
def test_refusals(name: str, words: str):
    with pytest.raises(LearningError) as caught:
        check_architecture(name, 2, 8)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_activation_beside_it_is_refused():
    x, s = smooth(30)
    with pytest.raises(LearningError, match="activation 'tanh' was given beside the architecture"):
        fit_network(x, s, replace(OWN, activation="tanh"))


@pytest.mark.parametrize(("folds", "n"), [(0, 8), (2, 16), (3, 12), (4, 11), (20, 9)])
def test_least_solutions_of_every_training(folds: int, n: int):
    def smallest(solutions: int) -> int:
        parts: Any = np.bincount(np.arange(solutions) % folds) if folds else [0]
        return solutions - max(parts)

    assert least_solutions(folds) == n
    assert smallest(n) >= fit_module.MINIMUM > smallest(n - 1)
