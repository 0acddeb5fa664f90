"""Training of a network: Adam on minibatches, early stopping, checkpoints.

Every random choice of an epoch follows from the seed and the epoch's number, and a checkpoint holds
the whole state of the optimiser: a training that was killed and is repeated ends in the same bits.

Where JAX shows several devices every batch is shared out among them, each with a copy of the
network: the same training but for the rounding of the mean over the batch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array
from safetensors import SafetensorError
from safetensors.numpy import load, save

from volvelle.learning.activation import ALSING, user_activation
from volvelle.learning.architecture import PERCEPTRON, UserNetwork, make_user_network
from volvelle.learning.errors import LearningError, StorageError
from volvelle.learning.network import Network, Perceptron, initial_perceptron
from volvelle.learning.storage import write_atomically

FORMAT = 1  # of a checkpoint; it enters the digest, so that another format is never read
CHECKPOINT_SECONDS = 2.0  # [s] between two checkpoints; a kill loses that or the epoch in flight
ADAM = optax.scale_by_adam()  # the rate is applied outside, so that a step compiles once
MINIMUM = 8  # solutions of one training, so that the held-out ones mean something

Epochs = Callable[[int, int, float], None]
"""Called as ``epochs(epoch, epochs, held-out loss)`` after every epoch."""


@dataclass(frozen=True)
class NetworkSettings:
    """The network of the paper, or a user's, and how it is trained.

    ``architecture``: see ``make_user_network``, a user's has activations of its own; ``depth`` and
    ``width``: hidden layers and nodes in each, handed to a user's function; ``epochs``: passes
    through the training set; ``batch``: solutions per step; ``learning_rate``: Adam's at the start,
    lowered to zero along a cosine; ``loss`` and ``other_weight``: see ``loss_weights``;
    ``activation``: see ``make_activations``; ``scaling`` of the outputs: see ``emulator.nodes``;
    ``held_out``: fraction of the solutions that decides when to stop; ``patience``: epochs without
    a better held-out loss before stopping; ``folds``: parts of the cross-validation that gives
    left-out predictions.
    """

    architecture: str = PERCEPTRON
    depth: int = 6
    width: int = 512
    epochs: int = 300
    batch: int = 32
    learning_rate: float = 1e-3
    activation: str = ALSING
    loss: str = "cosmic_variance"
    other_weight: float = 1.0
    scaling: str = "standardise"
    held_out: float = 0.1
    patience: int = 100
    folds: int = 4
    seed: int = 1


@dataclass
class _State:
    """All that the next epoch depends on."""

    perceptron: Perceptron | UserNetwork
    optimiser: Any
    best: Perceptron | UserNetwork
    best_loss: float
    best_epoch: int
    epoch: int
    losses: list[float]

    def finished(self, settings: NetworkSettings) -> bool:
        return self.epoch >= settings.epochs or self.epoch - self.best_epoch >= settings.patience


def _loss(trained: Any, rest: Any, x: Array, s: Array, weights: Array) -> Array:
    return jnp.mean(weights * (jax.vmap(eqx.combine(trained, rest))(x) - s) ** 2)


def _parts(perceptron: Perceptron | UserNetwork) -> tuple[Any, Any]:
    """Real arrays, which are trained, and what a user's network may hold besides."""
    return eqx.partition(perceptron, eqx.is_inexact_array)


@eqx.filter_jit
def _held_out_loss(
    perceptron: Perceptron | UserNetwork, x: Array, s: Array, weights: Array
) -> Array:
    return _loss(*_parts(perceptron), x, s, weights)


@partial(jax.jit, donate_argnums=(0, 1))
def _step(
    perceptron: Any, optimiser: Any, rate: Array, x: Array, s: Array, weights: Array
) -> tuple[Any, Any]:
    trained, rest = _parts(perceptron)
    gradient = jax.grad(_loss)(trained, rest, x, s, weights)
    update, optimiser = ADAM.update(gradient, optimiser)
    new = jax.tree.map(lambda p, u: p - rate * u, trained, update)
    return eqx.combine(new, rest), optimiser


def fit_network(
    x: np.ndarray,
    s: np.ndarray,
    settings: NetworkSettings,
    weights: np.ndarray | None = None,
    folder: Path | None = None,
    progress: Epochs | None = None,
) -> tuple[Network, list[float]]:
    """Train a network; returns it with the held-out loss after every epoch.

    Args:
        x: features [n, d]; s: standardised coefficients [n, m];
        weights: of each coefficient in the loss [m], see ``loss_weights``; all one by default;
        folder: where checkpoints go, each under the hash of data and settings; a training that is
            stored there goes on, or is read if it is complete.

    Raises:
        LearningError: too few solutions, a loss that is not finite, or an unknown activation or
            architecture or one that does not work.
        StorageError: a damaged checkpoint.
    """
    n = len(x)
    if n < MINIMUM:
        raise LearningError(
            f"a network needs at least {MINIMUM} solutions, got {n}; solve more points"
        )
    loss = np.ones(s.shape[1]) if weights is None else np.asarray(weights, dtype=float)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    inputs = ((x - centre) / scale).astype(np.float32)
    path = None if folder is None else folder / f"{_digest(x, s, loss, settings)}.safetensors"
    order = np.random.default_rng([settings.seed, n]).permutation(n)
    held = order[: max(2, round(settings.held_out * n))]
    kept = order[len(held) :]
    state = _train(
        inputs, s.astype(np.float32), kept, held, loss.astype(np.float32), settings, path, progress
    )
    predicted = np.asarray(jax.vmap(state.best)(jnp.asarray(inputs[held])), dtype=float)
    residual = np.mean((predicted - s[held]) ** 2, axis=0)
    network = Network(jnp.asarray(centre), jnp.asarray(scale), state.best, jnp.asarray(residual))
    return network, state.losses


def _train(
    x: np.ndarray,
    s: np.ndarray,
    kept: np.ndarray,
    held: np.ndarray,
    weights: np.ndarray,
    settings: NetworkSettings,
    path: Path | None,
    progress: Epochs | None,
) -> _State:
    batch = min(settings.batch, len(kept))
    steps = -(-len(kept) // batch)
    state = _initial(x.shape[1], s.shape[1], settings)
    if path is not None and path.exists():
        state = _restore(path, state)
    shared = _shared(batch)
    if shared is not None:
        everywhere = NamedSharding(shared.mesh, PartitionSpec())
        state.perceptron, state.optimiser = jax.device_put(
            (state.perceptron, state.optimiser), everywhere
        )
    loss, held_x, held_s = jnp.asarray(weights), jnp.asarray(x[held]), jnp.asarray(s[held])
    saved = time.monotonic()
    while not state.finished(settings):
        rng = np.random.default_rng([settings.seed, 1 + state.epoch])
        # the last batch is filled up from the first, so that every step has the same shape
        shuffled = np.resize(rng.permutation(kept), steps * batch)
        rates = _rates(settings, state.epoch, steps)
        for rate, rows in zip(rates, shuffled.reshape(steps, batch), strict=True):
            part = (x[rows], s[rows])
            part = part if shared is None else jax.device_put(part, shared)
            state.perceptron, state.optimiser = _step(
                state.perceptron, state.optimiser, rate, *part, loss
            )
        value = float(_held_out_loss(state.perceptron, held_x, held_s, loss))
        _record(state, value)
        if progress is not None:
            progress(state.epoch, settings.epochs, value)
        done = state.finished(settings)
        if path is not None and (done or time.monotonic() - saved > CHECKPOINT_SECONDS):
            _store(path, state, done)
            saved = time.monotonic()
    if shared is not None:  # one copy, bound to no device
        state.best = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), state.best)
    return state


def _shared(batch: int) -> NamedSharding | None:
    """How a batch is cut over the devices: as many as divide it; None where one has all."""
    devices = jax.devices()
    n = max(k for k in range(1, len(devices) + 1) if batch % k == 0)
    return None if n == 1 else NamedSharding(Mesh(devices[:n], ("batch",)), PartitionSpec("batch"))


def _record(state: _State, loss: float) -> None:
    if not np.isfinite(loss):
        raise LearningError(
            f"the network's loss is {loss} after epoch {state.epoch + 1}; lower learning_rate"
        )
    state.epoch += 1
    state.losses.append(loss)
    if loss < state.best_loss:
        # a copy: the next step overwrites the buffers of the perceptron
        state.best = jax.tree.map(jnp.array, state.perceptron)
        state.best_loss, state.best_epoch = loss, state.epoch


def _rates(settings: NetworkSettings, epoch: int, steps: int) -> np.ndarray:
    """Learning rates of an epoch's steps, from the full one down to zero along a cosine."""
    done = (epoch + np.arange(steps) / steps) / settings.epochs
    rates = 0.5 * settings.learning_rate * (1.0 + np.cos(np.pi * done))
    return rates.astype(np.float32)


def _initial(inputs: int, outputs: int, settings: NetworkSettings) -> _State:
    perceptron = _initial_network(inputs, outputs, settings)
    best = jax.tree.map(jnp.array, perceptron)
    return _State(perceptron, ADAM.init(_parts(perceptron)[0]), best, np.inf, 0, 0, [])


def least_solutions(folds: int) -> int:
    """Fewest solutions of which every training has ``MINIMUM``, those without a fold included."""
    n = MINIMUM
    while folds and n - -(-n // folds) < MINIMUM:
        n += 1
    return n


def _initial_network(
    inputs: int, outputs: int, settings: NetworkSettings
) -> Perceptron | UserNetwork:
    sizes = (inputs, outputs, settings.depth, settings.width, settings.seed)
    own = make_user_network(settings.architecture, *sizes)
    if own is None:
        return initial_perceptron(*sizes, settings.activation)
    if settings.activation != ALSING:
        raise LearningError(
            f"activation {settings.activation!r} was given beside the architecture "
            f"{settings.architecture!r}, which has its own; leave activation out"
        )
    return own


def _digest(x: np.ndarray, s: np.ndarray, loss: np.ndarray, settings: NetworkSettings) -> str:
    activation = user_activation(settings.activation)  # a user's code may change under its name
    values = [] if activation is None else activation.values()
    start: tuple[Array, ...] = ()
    if settings.architecture != PERCEPTRON:
        network = _initial_network(x.shape[1], s.shape[1], settings)
        assert isinstance(network, UserNetwork)
        values, start = network.fingerprint(), network.arrays
    content = hashlib.sha256(repr((FORMAT, x.shape, s.shape, asdict(settings), values)).encode())
    for array in (x, s, loss, *start):
        content.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return content.hexdigest()[:24]


def _store(path: Path, state: _State, done: bool) -> None:
    """The whole state; of a finished training only what the network needs."""
    parts = {"best": state.best}
    if not done:
        parts |= {"perceptron": state.perceptron, "optimiser": state.optimiser}
    tensors = {
        f"{name}.{i}": np.asarray(leaf)
        for name, part in parts.items()
        for i, leaf in enumerate(jax.tree.leaves(part))
    }
    tensors["losses"] = np.array(state.losses)
    tensors["counts"] = np.array([state.epoch, state.best_epoch])
    write_atomically(path, save(tensors))


def _restore(path: Path, empty: _State) -> _State:
    try:
        tensors = load(path.read_bytes())
        epoch, best_epoch = (int(v) for v in tensors["counts"])
        losses = [float(v) for v in tensors["losses"]]

        def part(name: str, like: Any) -> Any:
            leaves, structure = jax.tree.flatten(like)
            found = [jnp.asarray(tensors[f"{name}.{i}"]) for i in range(len(leaves))]
            return jax.tree.unflatten(structure, found)

        best = part("best", empty.best)
        going_on = "perceptron.0" in tensors
        return _State(
            part("perceptron", empty.perceptron) if going_on else best,
            part("optimiser", empty.optimiser) if going_on else empty.optimiser,
            best,
            min(losses),
            best_epoch,
            epoch,
            losses,
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise StorageError(f"{path} is a damaged checkpoint ({error}); delete it") from error
