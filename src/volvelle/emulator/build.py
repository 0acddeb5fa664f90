"""From exact solutions to an emulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import OUTPUTS
from volvelle.compute import require_float64
from volvelle.cosmology import Definitions
from volvelle.emulator.amplitude import Amplitude, amplitude_of
from volvelle.emulator.basis import principal_components
from volvelle.emulator.block import Block, Output, output_of, scalings, stack
from volvelle.emulator.domain import domain_of
from volvelle.emulator.emulator import Emulator
from volvelle.emulator.errors import EmulatorError
from volvelle.emulator.features import (
    MASSES,
    AngularScale,
    Features,
    Physical,
    hubble_index,
    whiten,
)
from volvelle.emulator.network_block import network_block, ordered
from volvelle.emulator.noise import combined_noise
from volvelle.emulator.splined import splined
from volvelle.learning import Epochs, NetworkSettings, select

COMPONENT_TOLERANCE = 1e-3  # directions of smaller scatter [sigma of the data] are dropped
SEARCH_TOLERANCE = 0.02  # smaller ones share hyperparameters [sigma of the data]
NETWORK = "network"


@dataclass(frozen=True)
class BuildReport:
    """What was chosen and how well it predicts solutions that were left out.

    ``left_out``: for each training solution, the outputs that the data see as the surrogate
    predicts them from all the other solutions (a network: from those of the other folds; empty
    if it was trained without folds); ``interpolation``: of each group of spectra, the largest
    Delta chi2 that interpolation in l costs any solution.
    """

    surrogates: dict[str, str]
    scores: dict[str, dict[str, float]]
    left_out: list[dict[str, np.ndarray]]
    interpolation: dict[str, float]


def group_outputs(
    names: Sequence[str], seen: frozenset[str] = frozenset()
) -> dict[str, tuple[str, ...]]:
    """Outputs that share a basis, by the registry; what it does not have is a scalar, apart from
    the others if some data constrain it (are among ``seen``)."""
    groups: dict[str, list[str]] = {}
    for name in names:
        key = "constrained scalars" if name in seen else "scalars"
        key = OUTPUTS[name].group if name in OUTPUTS else key
        groups.setdefault(key, []).append(name)
    return {key: tuple(members) for key, members in groups.items()}


def _features(
    parameters: Sequence[str],
    x: np.ndarray,
    theories: Sequence[Mapping[str, np.ndarray]],
    weights: np.ndarray,
    kind: str,
    definitions: Definitions,
) -> Features:
    if kind == NETWORK:
        return Features(Physical(None, ()), whiten(x, weights))
    hubble = hubble_index(parameters, definitions)
    if "theta_star_100" not in theories[0]:  # of a black box, which has no universe to speak of
        hubble = None
    angular = None if hubble is None else _angular_scale(hubble, x, theories, weights, kind)
    masses = tuple(i for i, name in enumerate(parameters) if name in MASSES)
    physical = Physical(angular, masses)
    return Features(physical, whiten(physical.batch(x), weights))


def _angular_scale(
    hubble: int,
    x: np.ndarray,
    theories: Sequence[Mapping[str, np.ndarray]],
    weights: np.ndarray,
    kind: str,
) -> AngularScale:
    theta = np.array([float(t["theta_star_100"]) for t in theories])
    offset, scale = float(np.mean(theta)), float(np.std(theta)) or 1.0
    inputs = whiten(x, weights)
    z = np.asarray(jax.vmap(inputs)(jnp.asarray(x)))
    fit = select(z, ((theta - offset) / scale)[:, None], weights, kind)
    return AngularScale(inputs, fit.regressor, jnp.asarray(offset), jnp.asarray(scale), hubble)


def _scalings(amplitude: Amplitude, x: np.ndarray) -> list[tuple[float, float]]:
    pairs = [scalings(amplitude, jnp.asarray(row)) for row in x]
    return [(float(a), float(b)) for a, b in pairs]


def _sigma(
    outputs: Sequence[Output],
    noise: Mapping[str, np.ndarray],
    theory: Mapping[str, np.ndarray],
    ln: tuple[float, float],
) -> np.ndarray:
    """Noise of the fitted vector [k], at a reference solution."""
    return np.concatenate([o.forward_noise(noise[o.name], theory[o.name], ln) for o in outputs])


def _block(
    names: Sequence[str],
    z: np.ndarray,
    theories: Sequence[dict[str, np.ndarray]],
    ln: Sequence[tuple[float, float]],
    noise: Mapping[str, np.ndarray],
    reference: int,
    weights: np.ndarray,
    kind: str,
    in_data: bool,
) -> tuple[Block, list[dict[str, np.ndarray]], str, dict[str, float], float]:
    outputs = tuple(output_of(name, *(t[name] for t in theories)) for name in names)
    y = stack(outputs, theories, ln)
    sigma = _sigma(outputs, noise, theories[reference], ln[reference])
    basis, s = principal_components(y, sigma, weights, COMPONENT_TOLERANCE)
    fit = select(z, s, weights, kind, SEARCH_TOLERANCE)
    predicted = np.asarray(jax.vmap(fit.regressor.variance)(jnp.asarray(z))).sum(axis=1)
    left_out = np.sum(fit.left_out**2, axis=1)
    ratio = np.sum(weights * left_out) / max(float(np.sum(weights * predicted)), 1e-300)
    sparse, interpolation = splined(basis, sigma, s, outputs)
    block = Block(outputs, sparse, fit.regressor, jnp.asarray(ratio), jnp.ones(s.shape[1]), in_data)
    vectors = np.asarray(jax.vmap(sparse.decode)(jnp.asarray(s - fit.left_out)))
    predictions = [
        {k: np.asarray(v) for k, v in block.split(jnp.asarray(row), scale).items()}
        for row, scale in zip(vectors, ln, strict=True)
    ]
    return block, predictions, fit.name, fit.scores, interpolation


def build_emulator(
    parameters: Sequence[str],
    fixed: Mapping[str, float],
    x: np.ndarray,
    theories: Sequence[dict[str, np.ndarray]],
    noises: Sequence[Mapping[str, np.ndarray]],
    weights: np.ndarray | None = None,
    kind: str = "auto",
    network: NetworkSettings | None = None,
    checkpoints: Path | None = None,
    progress: Epochs | None = None,
    definitions: Definitions = (),
) -> tuple[Emulator, BuildReport]:
    """Fit an emulator to exact solutions.

    Args:
        parameters: names of the columns of ``x``; fixed: the other parameters' values;
        x: parameters of the solutions [n, d]; theories: their outputs, all with the same names;
        noises: each likelihood's noise per output (``Likelihood.noise``), the metric of the fit;
        weights: how much an error at each solution matters [n];
        kind: see ``learning.select``; 'network' is the paper's (see ``network_block``), to which
        ``network`` (its settings), ``checkpoints`` and ``progress`` (see ``fit_network``) belong;
        definitions: what follows from the parameters by expressions, so that an amplitude or an
        expansion rate among it is known for what it is.

    Raises:
        EmulatorError: no solution, or solutions with different outputs.
        LearningError: too few solutions for any surrogate.
    """
    require_float64("an emulator's fit")
    if len(theories) == 0 or len(theories) != len(x):
        raise EmulatorError(f"{len(x)} points and {len(theories)} solutions; expected as many")
    names = tuple(theories[0])
    if any(tuple(t) != names for t in theories):
        raise EmulatorError("the solutions hold different outputs; restrict them to one request")
    weights = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=float)
    known = () if kind == NETWORK else parameters
    amplitude = amplitude_of(known, fixed, definitions)
    features = _features(parameters, x, theories, weights, kind, definitions)
    z = features.batch(x)
    ln = _scalings(amplitude, x)
    reference = int(np.argmax(weights))
    noise, seen = combined_noise(names, theories[reference], noises)
    blocks: list[Block] = []
    surrogates: dict[str, str] = {}
    scores: dict[str, dict[str, float]] = {}
    interpolation: dict[str, float] = {}
    left_out: list[dict[str, np.ndarray]] = [{} for _ in theories]
    groups = {"all": names} if kind == NETWORK else group_outputs(names, seen)
    for key, members in groups.items():
        in_data = bool(seen.intersection(members))
        if kind == NETWORK:
            outputs = ordered([output_of(name, *(t[name] for t in theories)) for name in members])
            sigma = _sigma(outputs, noise, theories[reference], ln[reference])
            block, predictions, surrogates[key], scores[key], interpolation[key] = network_block(
                outputs,
                z,
                theories,
                sigma,
                network or NetworkSettings(),
                weights,
                in_data,
                checkpoints,
                progress,
            )
        else:
            block, predictions, surrogates[key], scores[key], interpolation[key] = _block(
                members, z, theories, ln, noise, reference, weights, kind, in_data
            )
        blocks.append(block)
        if not predictions:
            left_out = []
        elif in_data:
            for prediction, own in zip(left_out, predictions, strict=True):
                prediction.update(own)
    domain = domain_of(features.physical.batch(x), features.whitening)
    emulator = Emulator(
        features, amplitude, tuple(blocks), domain, tuple(parameters), tuple(sorted(fixed.items()))
    )
    return emulator, BuildReport(surrogates, scores, left_out, interpolation)
