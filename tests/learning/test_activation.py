"""Activations by name: values, training, storage, and a user's own with its dangers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

import volvelle.learning.fit as fit_module
from stored_files import forge
from volvelle.learning import (
    ACTIVATIONS,
    LearningError,
    NetworkSettings,
    StorageError,
    fit_network,
    load_model,
    save_model,
)
from volvelle.learning.network import initial_perceptron

from . import own_functions
from .test_network import SMALL, smooth, weights_of

OWN = f"{Path(own_functions.__file__)}:bend"
SINGLE = 1e-6  # relative error of single precision, with a few roundings
X = np.linspace(-4.0, 4.0, 9)
EXPECTED = {
    "alsing": X / (1.0 + np.exp(-X)),
    "elu": np.where(X > 0, X, np.expm1(X)),
    "gelu": X * 0.5 * (1.0 + erf(X / np.sqrt(2.0))),
    "leaky_relu": np.where(X > 0, X, 0.01 * X),
    "relu": np.maximum(X, 0.0),
    "sigmoid": 1.0 / (1.0 + np.exp(-X)),
    "silu": X / (1.0 + np.exp(-X)),
    "tanh": np.tanh(X),
    OWN: np.where(X > 0, X, np.expm1(X)),
}


def test_every_name_is_tested():
    assert set(EXPECTED) == {*ACTIVATIONS, OWN}


@pytest.mark.parametrize("name", EXPECTED)
def test_values(name: str):
    (activation,) = initial_perceptron(2, 1, 1, len(X), 1, name).activations
    np.testing.assert_allclose(activation(jnp.asarray(X)), EXPECTED[name], rtol=SINGLE, atol=SINGLE)


@pytest.mark.parametrize("name", EXPECTED)
def test_trained_stored_and_read_again(name: str, tmp_path: Path):
    x, s = smooth(30)
    network, losses = fit_network(x, s, replace(SMALL, activation=name, epochs=10))
    assert losses[-1] < losses[0]
    save_model(network, tmp_path, {})
    read, _ = load_model(tmp_path, {OWN: own_functions.bend})
    point = jnp.asarray(x[3])
    np.testing.assert_array_equal(read(point), network(point))
    assert len(weights_of(read)) == len(weights_of(network))


def test_a_users_function_is_not_imported_by_reading(tmp_path: Path):
    x, s = smooth(30)
    network, _ = fit_network(x, s, replace(SMALL, activation=OWN, epochs=2))
    save_model(network, tmp_path, {})
    with pytest.raises(StorageError, match="whose code is not stored and is never imported"):
        load_model(tmp_path)
    with pytest.raises(StorageError, match="is not the one that the stored model was"):
        load_model(tmp_path, {OWN: own_functions.other_bend})
    with pytest.raises(StorageError, match="returns another shape"):
        load_model(tmp_path, {OWN: own_functions.total})


def test_code_named_in_a_file_is_not_run(tmp_path: Path):
    x, s = smooth(30)
    network, _ = fit_network(x, s, replace(SMALL, activation="tanh", epochs=2))
    save_model(network, tmp_path, {})
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit('run')\n")
    content = json.loads((tmp_path / "model.json").read_text())
    activations = content["model"]["fields"]["perceptron"]["fields"]["activations"]["tuple"]
    activations[0] = {
        "class": "UserActivation",
        "fields": {"function": {"function": f"{trap}:f", "values": [0.0] * 9}},
    }
    forge(tmp_path, lambda original: original.update(content))
    with pytest.raises(StorageError, match="never imported"):
        load_model(tmp_path)


def test_changed_code_under_the_same_name_is_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)
    code = tmp_path / "mine.py"
    settings = replace(SMALL, activation=f"{code}:f", epochs=2)
    x, s = smooth(30)
    for body in ("jnp.tanh(x)", "jnp.sin(x)"):
        code.write_text(f"import jax.numpy as jnp\ndef f(x):\n    return {body}\n")
        fit_network(x, s, settings, folder=tmp_path / "checkpoints")
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rlu", "unknown activation 'rlu'; choose alsing, elu, "),
        ("no_such_module:f", "activation: no_such_module cannot be imported"),
        ("no/such/file.py:f", "activation: there is no file"),
        (OWN.replace(":bend", ":bent"), "has no 'bent'"),
        (OWN.replace(":bend", ":"), "write package.module:function"),
        (OWN.replace(":bend", ":NUMBER"), "does not work on a JAX array"),
        (OWN.replace(":bend", ":total"), "gives shape () for (9,)"),
        (OWN.replace(":bend", ":root"), "is not finite between -8 and 5"),
        (OWN.replace(":bend", ":with_numpy"), "write it with jax.numpy"),
    ],
)
def test_refusals(name: str, words: str):
    x, s = smooth(30)
    with pytest.raises(LearningError) as caught:
        fit_network(x, s, replace(SMALL, activation=name))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_raises(tmp_path: Path):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(LearningError, match="raises ZeroDivisionError"):
        initial_perceptron(2, 1, 1, 4, 1, f"{tmp_path / 'broken.py'}:f")


def test_from_a_module(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(own_functions.__file__).parent))
    (activation,) = initial_perceptron(2, 1, 1, 4, 1, "own_functions:bend").activations
    assert jax.tree.leaves(activation) == []


def test_default_is_the_papers():
    assert NetworkSettings().activation == "alsing"
