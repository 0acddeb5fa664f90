"""Little networks in the layouts of CosmoPower and Capse, and their answers in plain NumPy."""

from __future__ import annotations

import json
import pickle
import sys
import types
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ["omega_b", "omega_cdm", "h", "tau_reio", "n_s", "ln10^{10}A_s"]
RENAME = {"ln10^{10}A_s": "ln10A_s"}
OURS = tuple(RENAME.get(name, name) for name in NAMES)
CENTRE = np.array([0.0224, 0.12, 0.67, 0.06, 0.965, 3.04])
SCALE = np.array([0.001, 0.01, 0.05, 0.02, 0.02, 0.1])
RANGES = {n: (c - 2 * s, c + 2 * s) for n, c, s in zip(OURS, CENTRE, SCALE, strict=True)}
MODES = np.arange(2, 12)
HIDDEN = 4


class Net:
    """Two hidden layers with CosmoPower's activation, of a few values."""

    def __init__(self, values: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        sizes = [6, HIDDEN, HIDDEN, values]
        self.weights = [rng.normal(size=(n, m)).astype("f4") for n, m in pairwise(sizes)]
        self.biases = [rng.normal(size=m).astype("f4") for m in sizes[1:]]
        self.alphas = [rng.normal(size=HIDDEN).astype("f4") for _ in range(2)]
        self.betas = [rng.normal(size=HIDDEN).astype("f4") for _ in range(2)]
        self.mean = rng.normal(size=values).astype("f4")
        self.std = rng.uniform(0.1, 0.2, size=values).astype("f4")

    def __call__(self, x: np.ndarray, single: bool = False) -> np.ndarray:
        v = (x - CENTRE.astype("f4")) / SCALE.astype("f4")
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            v = v @ w + (b[-1] if single and i == 2 else b)
            if i < 2:
                a, c = self.alphas[i], self.betas[i]
                v = (c + (1.0 - c) / (1.0 + np.exp(-a * v))) * v
        return v * self.std + self.mean

    def packaged(self) -> list[Any]:
        """cosmopower_jax's own list."""
        pairs = [[w.T.copy(), b] for w, b in zip(self.weights, self.biases, strict=True)]
        bends = [[a, b] for a, b in zip(self.alphas, self.betas, strict=True)]
        return [pairs, bends, *self._scales(), 6, NAMES, len(self.mean), MODES, *self._shape()]

    def plain(self) -> list[Any]:
        """cosmopower_NN's."""
        return [*self._parts(), *self._scales(), 6, NAMES, len(self.mean), MODES, *self._shape()]

    def pca(self, matrix: np.ndarray, mean: np.ndarray, std: np.ndarray) -> list[Any]:
        """cosmopower_PCAplusNN's."""
        about = [NAMES, 6, MODES, len(MODES), len(matrix), matrix]
        return [*self._parts(), *self._scales(), mean, std, *about, *self._shape()]

    def _parts(self) -> list[Any]:
        return [self.weights, self.biases, self.alphas, self.betas]

    def _scales(self) -> list[Any]:
        return [CENTRE.astype("f4"), SCALE.astype("f4"), self.mean, self.std]

    def _shape(self) -> list[Any]:
        return [[HIDDEN, HIDDEN], 3, [6, HIDDEN, HIDDEN, len(self.mean)]]

    def entries(self) -> dict[str, Any]:
        """As the archives name them."""
        keys = ("weights_", "biases_", "alphas_", "betas_", "param_train_mean", "param_train_std",
                "feature_train_mean", "feature_train_std", "n_parameters", "parameters",
                "n_modes", "modes", "n_hidden", "n_layers", "architecture")  # fmt: skip
        return dict(zip(keys, self.plain(), strict=True))


def numbered(entries: dict[str, Any]) -> dict[str, Any]:
    """The same with an entry for each array."""
    found = dict(entries)
    for key, stem in (("weights_", "W_"), ("biases_", "b_"), ("alphas_", "alphas_"),
                      ("betas_", "betas_")):  # fmt: skip
        found |= {f"{stem}{i}": array for i, array in enumerate(found.pop(key))}
    return found


def wrapped(content: list[Any]) -> bytes:
    """The pickle of a list whose inner lists are TensorFlow's, as its models hold them."""
    name = "tensorflow.python.trackable.data_structures"
    module = types.ModuleType(name)

    class ListWrapper(list):
        def __reduce__(self) -> Any:
            return ListWrapper, (list(self),)

    ListWrapper.__module__, ListWrapper.__qualname__ = name, "ListWrapper"
    module.ListWrapper = ListWrapper  # type: ignore[attr-defined]
    parents = {".".join(name.split(".")[:i]): types.ModuleType("x") for i in (1, 2, 3)}
    sys.modules.update({**parents, name: module})
    try:
        return pickle.dumps([ListWrapper(v) if isinstance(v, list) else v for v in content])
    finally:
        for key in (*parents, name):
            del sys.modules[key]


def capse(folder: Path, values: int = 10) -> Any:
    """Write a Capse folder; its answer as a function."""
    rng = np.random.default_rng(3)
    setup = {
        "n_input_features": 6,
        "n_output_features": values,
        "n_hidden_layers": 2,
        "layers": {
            "layer_1": {"n_neurons": HIDDEN, "activation_function": "tanh"},
            "layer_2": {"n_neurons": HIDDEN, "activation_function": "relu"},
        },
        "emulator_description": {"author": "nobody"},
    }
    sizes = [6, HIDDEN, HIDDEN, values]
    pairs = list(pairwise(sizes))
    matrices = [(rng.normal(size=(n, m)), rng.normal(size=m)) for n, m in pairs]
    flat = np.concatenate([part.ravel() for pair in matrices for part in pair])
    ends = np.array([RANGES[name] for name in OURS])
    out = np.stack([rng.uniform(0, 1, values), rng.uniform(2, 3, values)], axis=1)
    folder.mkdir(exist_ok=True)
    (folder / "nn_setup.json").write_text(json.dumps(setup))
    for name, array in (("weights", flat), ("inminmax", ends), ("outminmax", out)):
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "l.npy", np.arange(2, values + 2))

    def answer(x: np.ndarray) -> np.ndarray:
        v = (x - ends[:, 0]) / (ends[:, 1] - ends[:, 0])
        v = np.tanh(v @ matrices[0][0] + matrices[0][1])
        v = np.maximum(v @ matrices[1][0] + matrices[1][1], 0.0)
        v = v @ matrices[2][0] + matrices[2][1]
        return (v * (out[:, 1] - out[:, 0]) + out[:, 0]) * np.exp(x[5] - 3.0)

    return answer
