"""Foreign files, layout by layout, to what is in them; see ``foreign``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from volvelle.emulator.basis import PrincipalComponents
from volvelle.emulator.errors import EmulatorError
from volvelle.emulator.foreign import Elementwise, Foreign, ForeignNetwork
from volvelle.emulator.nodes import Standardised
from volvelle.emulator.plain_arrays import LARGEST, read_npy, read_npz
from volvelle.emulator.plain_pickle import read_pickle
from volvelle.learning import AlsingActivation, StorageError
from volvelle.learning.activation import Activation, FixedActivation
from volvelle.learning.checking import check_module
from volvelle.learning.network import Dense, Perceptron
from volvelle.learning.untrusted import read_bytes, strict_json

_COMMON = ("param_train_mean", "param_train_std", "feature_train_mean", "feature_train_std")
_SHAPE = ("n_hidden", "n_layers", "architecture")
PACKAGED = ("weights", "hyper_params", *_COMMON, "n_parameters", "parameters", "n_modes", "modes",
            *_SHAPE)  # fmt: skip
PLAIN = ("weights_", "biases_", "alphas_", "betas_", *_COMMON, "n_parameters", "parameters",
         "n_modes", "modes", *_SHAPE)  # fmt: skip
PCA = ("weights_", "biases_", "alphas_", "betas_", *_COMMON, "training_mean", "training_std",
       "parameters", "n_parameters", "modes", "n_modes", "n_pcas", "pca_matrix",
       *_SHAPE)  # fmt: skip
LISTS = {len(keys): keys for keys in (PACKAGED, PLAIN, PCA)}
"""Orders of the pickled lists: cosmopower_jax's own, cosmopower_NN's, cosmopower_PCAplusNN's."""
CAPSE = ("nn_setup.json", "weights.npy", "inminmax.npy", "outminmax.npy")
CAPSE_ACTIVATIONS = ("tanh", "relu")


LAST_BIAS = ("full", "single")


def read_foreign(
    path: Path,
    parameters: Sequence[str] = (),
    last_bias: str | None = None,
    components: Sequence[Path] = (),
) -> Foreign:
    """A CosmoPower file (``.pkl``, ``.npz``) or a Capse folder.

    Args:
        parameters: names, in order, where the file has none (Capse);
        last_bias: of files in cosmopower_jax's own layout, which it evaluates in two ways: with the
            'full' bias of the last layer, or, its own networks of the CMB and of matter, with its
            last number for every value, 'single';
        components: ``.npy`` files of the principal components [m, k], of mean and of standard
            deviation [k], where a file's values are coefficients of what is in other files
            (cosmopower_jax's TE and phiphi); the values are then at l = 2 to k + 1.

    Raises:
        EmulatorError: a file that is missing, damaged, dangerous or of another layout.
    """
    try:
        if path.is_dir():
            foreign = _capse(path, parameters)
        else:
            foreign = _cosmopower(path, parameters, last_bias, components)
        for part in (foreign.network.perceptron, foreign.network, foreign.basis):
            check_module(part, "")
    except (StorageError, EmulatorError) as error:
        raise EmulatorError(f"{path}: {error}") from error
    m = foreign.basis.shape[0]
    if not foreign.network.maps(len(foreign.parameters), m):
        raise EmulatorError(
            f"{path}: the network does not map {len(foreign.parameters)} parameters to {m} values"
        )
    if foreign.basis.shape[1] != len(foreign.modes):
        raise EmulatorError(
            f"{path}: {foreign.basis.shape[1]} values for {len(foreign.modes)} modes; the file may "
            "need a transformation that is not in it"
        )
    return foreign


def _cosmopower(
    path: Path, parameters: Sequence[str], last_bias: str | None, components: Sequence[Path]
) -> Foreign:
    content = read_bytes(path, LARGEST)
    if content[:2] == b"PK":
        found: Any = read_npz(content)
        if set(found) == {"arr_0"}:
            found = found["arr_0"]
    elif content.lstrip()[:1] in (b"{", b"[", b"<"):  # with which no pickle begins
        raise EmulatorError(
            f"a text that begins with {content[:20]!r}; expected a file of CosmoPower (a pickle, "
            "or an .npz), or a folder of Capse"
        )
    else:
        found = read_pickle(content)
    if isinstance(found, list) and len(found) in LISTS:
        found = dict(zip(LISTS[len(found)], found, strict=True))
    if isinstance(found, dict) and components:
        keys = ("pca_matrix", "training_mean", "training_std")
        parts = [read_npy(read_bytes(file, LARGEST)) for file in components]
        if len(parts) != len(keys) or any(key in found for key in keys):
            raise EmulatorError(
                "components are three files (matrix, mean, deviation) for a file without them"
            )
        found = {**found, **dict(zip(keys, parts, strict=True))}
        found["modes"] = np.arange(2, np.size(parts[1]) + 2)
    if not isinstance(found, dict):
        sizes = ", ".join(map(str, LISTS))
        raise EmulatorError(f"no layout of CosmoPower's: a dictionary, or a list of {sizes} things")
    return _from_entries(found, parameters, last_bias)


def _last_bias(bias: Any, wanted: str | None) -> Any:
    """The last layer's bias as its author's program uses it."""
    bias = _floats(bias, 1)
    if wanted is None and np.ptp(np.asarray(bias)) > 0.0:
        raise EmulatorError(
            "a file in cosmopower_jax's own layout, which it evaluates in two ways: its own "
            "networks of the CMB and of matter with the last number of the last bias for every "
            "value, all others with the full bias; say last-bias single, or full"
        )
    return jnp.full(bias.shape, bias[-1]) if wanted == "single" else bias


def _from_entries(
    found: Mapping[Any, Any], parameters: Sequence[str], last_bias: str | None
) -> Foreign:
    if last_bias not in (None, *LAST_BIAS):
        raise EmulatorError(f"last-bias is {last_bias!r}; choose {' or '.join(LAST_BIAS)}")
    if last_bias is not None and "hyper_params" not in found:
        raise EmulatorError("last-bias is for cosmopower_jax's own layout; leave it out")
    get = _Entries(found)
    names = tuple(parameters) or get.names("parameters")
    if "hyper_params" in found:
        weights = [(np.asarray(w).T, b) for w, b in get.pairs("weights")]
        if weights:
            weights[-1] = (weights[-1][0], _last_bias(weights[-1][1], last_bias))
        activations = get.pairs("hyper_params")
    else:
        stems = (("weights_", "W_"), ("biases_", "b_"), ("alphas_",) * 2, ("betas_",) * 2)
        parts = [get.several(whole, stem) for whole, stem in stems]
        if len(parts[0]) != len(parts[1]) or len(parts[2]) != len(parts[3]):
            counts = ", ".join(f"{len(p)} {w}" for p, (w, _) in zip(parts, stems, strict=True))
            raise EmulatorError(f"{counts}: every layer has one of each, the last no activation")
        weights = list(zip(parts[0], parts[1], strict=True))
        activations = list(zip(parts[2], parts[3], strict=True))
    if len(activations) != len(weights) - 1:
        raise EmulatorError(f"{len(weights)} layers with {len(activations)} activations")
    dense = tuple(Dense(_floats(w, 2), _floats(b, 1)) for w, b in weights)
    curved = tuple(AlsingActivation(_floats(a, 1), _floats(b, 1)) for a, b in activations)
    centre = get.array("param_train_mean", "parameters_mean")
    scale = get.array("param_train_std", "parameters_std")
    pca = get.first("pca_matrix", "pca_transform_matrix")
    modes = get.array("modes")
    if pca is None:
        offset = get.array("feature_train_mean", "features_mean")
        basis: Any = Elementwise(offset, get.array("feature_train_std", "features_std"))
    else:
        inner = "pca_mean" in found
        offset = get.array("pca_mean" if inner else "feature_train_mean")
        factor = get.array("pca_std" if inner else "feature_train_std")
        ours = ("feature_train", "features") if inner else ("training",)
        mean = get.array(*(f"{name}_mean" for name in ours))
        spread = get.array(*(f"{name}_std" for name in ours))
        matrix = _floats(pca, 2)
        if matrix.shape != (len(offset), len(mean)) or spread.shape != mean.shape:
            raise EmulatorError(f"components of shape {matrix.shape} for {len(mean)} values")
        basis = Standardised(offset, factor, PrincipalComponents(mean, matrix * spread))
    for given in (centre, scale):
        if len(given) != len(names):
            raise EmulatorError(f"{len(given)} scales for the parameters {', '.join(names)}")
    hints = {n: (float(a), float(b)) for n, a, b in zip(names, centre, scale, strict=True)}
    network = ForeignNetwork(centre, scale, Perceptron(dense, curved))
    layout = "CosmoPower" if pca is None else "CosmoPower PCA"
    return Foreign(layout, names, network, basis, np.asarray(modes), hints=hints)


class _Entries:
    """Named entries of a file under the several names they go by."""

    def __init__(self, found: Mapping[Any, Any]) -> None:
        self.found = found

    def first(self, *names: str) -> Any:
        """The first that is there; None without any."""
        return next((self.found[name] for name in names if name in self.found), None)

    def array(self, *names: str) -> jnp.ndarray:
        """A vector of real numbers."""
        value = self.first(*names)
        if value is None:
            raise EmulatorError(f"{' or '.join(names)} is missing")
        return _floats(value, 1)

    def names(self, name: str) -> tuple[str, ...]:
        """Names of parameters."""
        value = self.first(name)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value) or not value:
            raise EmulatorError(f"{name} is no list of names; give the names yourself")
        if len(set(value)) < len(value) or max(map(len, value)) > 100:
            raise EmulatorError(f"{name} holds a name twice, or one of no sensible length")
        return tuple(value)

    def pairs(self, name: str) -> list[tuple[Any, Any]]:
        """A list of pairs."""
        value = self.first(name)
        good = isinstance(value, list) and all(isinstance(v, list) and len(v) == 2 for v in value)
        if not good:
            raise EmulatorError(f"{name} is no list of pairs")
        return [(pair[0], pair[1]) for pair in value]

    def several(self, whole: str, stem: str) -> list[Any]:
        """A list, or entries that are numbered."""
        value = self.first(whole)
        if isinstance(value, list):
            return value
        count = sum(str(k).startswith(stem) and str(k)[len(stem) :].isdigit() for k in self.found)
        numbered = [self.found.get(f"{stem}{i}") for i in range(count)]
        if not numbered or any(each is None for each in numbered):
            raise EmulatorError(f"{whole} is missing, or no list of arrays numbered from 0 on")
        return numbered


def _floats(value: Any, dimensions: int) -> Any:
    """An array of real numbers, in its own precision."""
    if isinstance(value, list) and all(type(v) in (int, float) for v in value):
        value = np.array(value, dtype=float)
    if not isinstance(value, (np.ndarray, jnp.ndarray)) or value.ndim != dimensions:
        raise EmulatorError(f"a {type(value).__name__} where an array [{dimensions} axes] belongs")
    if value.dtype not in (np.float32, np.float64):
        value = value.astype(np.float64)
    if value.size == 0 or not np.all(np.isfinite(value)):
        raise EmulatorError("an array that is empty or holds what is no number")
    return jnp.asarray(value)


def _capse(folder: Path, parameters: Sequence[str]) -> Foreign:
    try:
        setup = strict_json(read_bytes(folder / CAPSE[0], 2**20))
    except ValueError as error:
        raise EmulatorError(f"{CAPSE[0]} is damaged ({error})") from error
    weights, inputs, outputs = (read_npy(read_bytes(folder / n, LARGEST)) for n in CAPSE[1:])
    sizes, names = _capse_sizes(setup)
    given, values = _floats(weights, 1), (_floats(inputs, 2), _floats(outputs, 2))
    if [v.shape for v in values] != [(sizes[0], 2), (sizes[-1], 2)]:
        raise EmulatorError(f"inminmax and outminmax are not [{sizes[0]}, 2] and [{sizes[-1]}, 2]")
    needed = sum((n + 1) * m for n, m in pairwise(sizes))
    if len(given) != needed:
        raise EmulatorError(f"{len(given)} weights for layers {sizes}, which have {needed}")
    dense, at = [], 0
    for n, m in pairwise(sizes):
        dense.append(
            Dense(given[at : at + n * m].reshape(n, m), given[at + n * m : at + n * m + m])
        )
        at += (n + 1) * m
    ranges, spread = np.asarray(values[0]), values[1]
    if len(parameters) != sizes[0]:
        raise EmulatorError(
            f"the files name no parameters and {len(parameters)} names were given; name all "
            f"{sizes[0]}, in the network's order"
        )
    centre, scale = values[0][:, 0], values[0][:, 1] - values[0][:, 0]
    activations: tuple[Activation, ...] = tuple(FixedActivation(name) for name in names)
    network = ForeignNetwork(centre, scale, Perceptron(tuple(dense), activations))
    basis = Elementwise(spread[:, 0], spread[:, 1] - spread[:, 0])
    grid = folder / "l.npy"
    modes = (
        np.arange(2, sizes[-1] + 2) if not grid.exists() else read_npy(read_bytes(grid, LARGEST))
    )
    box = {name: (float(a), float(b)) for name, (a, b) in zip(parameters, ranges, strict=True)}
    return Foreign(
        "Capse", tuple(parameters), network, basis, np.asarray(_floats(modes, 1)), ranges=box
    )


def _capse_sizes(setup: Any) -> tuple[list[int], list[str]]:
    """Widths of all layers, and the activations between them."""
    try:
        hidden = setup["n_hidden_layers"]
        if type(hidden) is not int or not 1 <= hidden <= 100:
            raise EmulatorError(f"{hidden!r:.40} hidden layers; expected 1 to 100")
        layers = [setup["layers"][f"layer_{i + 1}"] for i in range(hidden)]
        widths = [layer["n_neurons"] for layer in layers]
        sizes = [setup["n_input_features"], *widths, setup["n_output_features"]]
        names = [layer["activation_function"] for layer in layers]
    except (KeyError, TypeError, IndexError) as error:
        raise EmulatorError(f"{CAPSE[0]} lacks {error}") from error
    if not all(type(n) is int and 1 <= n <= 2**20 for n in sizes):
        raise EmulatorError(f"layers of {sizes} nodes; expected whole numbers")
    if not all(name in CAPSE_ACTIVATIONS for name in names):
        raise EmulatorError(f"activations {names}; known are {', '.join(CAPSE_ACTIVATIONS)}")
    return sizes, names
