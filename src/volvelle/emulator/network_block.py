"""One network for all outputs, as in CONNECT: the block of an emulator of kind 'network'.

Nothing is taken out of the spectra first and the parameters enter as they are sampled: this is the
paper's baseline. The network is trained on all solutions but the few that decide when to stop;
left-out predictions come from cross-validation, one more training per fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.emulator.basis import Basis
from volvelle.emulator.block import Block, Output, stack
from volvelle.emulator.nodes import joined_basis
from volvelle.learning import Epochs, NetworkSettings, fit_network, loss_weights

NO_SCALING = (0.0, 0.0)


def ordered(outputs: Sequence[Output]) -> tuple[Output, ...]:
    """Spectra in l first, as ``joined_basis`` wants them."""
    return tuple(sorted(outputs, key=lambda o: o.transform not in ("cmb", "potential")))


def network_block(
    outputs: Sequence[Output],
    z: np.ndarray,
    theories: Sequence[dict[str, np.ndarray]],
    sigma: np.ndarray,
    settings: NetworkSettings,
    weights: np.ndarray,
    in_data: bool,
    checkpoints: Path | None = None,
    progress: Epochs | None = None,
) -> tuple[Block, list[dict[str, np.ndarray]], str, dict[str, float], float]:
    """Train a network on solutions.

    Args:
        outputs: in the order of ``ordered``; z: features [n, d];
        sigma: noise of the fitted vector [k], the metric in which errors are reported;
        weights: how much an error at each solution matters [n], in the score only: the paper's
            loss counts all solutions alike; checkpoints: folder, see ``fit_network``.

    Returns:
        The block, for each solution its outputs as predicted by a network that never saw it
        (none without folds), the network's name, the mean Delta chi2 of these predictions, and the
        largest Delta chi2 that splines in l cost.

    Raises:
        LearningError: too few solutions, or an unknown architecture, loss or activation.
        EmulatorError: an unknown scaling, or one that the outputs do not allow.
    """
    y = stack(outputs, theories, [NO_SCALING] * len(theories))
    basis, coefficients = joined_basis(outputs, y, sigma, settings.scaling)
    s = coefficients.s
    unit = _unit_chi2(basis, s, sigma)
    varies = unit > 0.0
    loss = loss_weights(
        settings.loss,
        coefficients.ell,
        np.where(varies, 1.0 / np.sqrt(np.where(varies, unit, 1.0)), np.inf),
        coefficients.names,
        settings.other_weight,
    )
    network, _ = fit_network(z, s, settings, loss, checkpoints, progress)
    block = Block(tuple(outputs), basis, network, jnp.asarray(1.0), jnp.asarray(unit), in_data)
    name = _name(settings)
    if settings.folds == 0:
        return block, [], name, {}, coefficients.interpolation
    predicted = _cross_validate(z, s, settings, loss, checkpoints, progress)
    vectors = np.asarray(jax.vmap(basis.decode)(jnp.asarray(predicted)))
    chi2 = np.sum(((vectors - y) / sigma) ** 2, axis=1)
    score = float(np.average(chi2, weights=weights))
    expected = max(float(unit @ np.asarray(network.residual)), 1e-300)
    block = replace(block, calibration=jnp.asarray(score / expected))
    rows = [_named(block, row) for row in vectors]
    return block, rows, name, {name: score}, coefficients.interpolation


def _unit_chi2(basis: Basis, s: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Delta chi2 of a unit error of one coefficient [m], the others being right.

    Where a scaling is no straight line (a logarithm) it is that of small errors, at the mean of the
    training set.
    """
    rows = jax.jacfwd(basis.decode)(jnp.asarray(s.mean(axis=0)))
    return np.sum((np.asarray(rows) / sigma[:, None]) ** 2, axis=0)


def _name(settings: NetworkSettings) -> str:
    """In words: shape and loss, and what is not as the paper has it."""
    words = [f"{settings.depth} x {settings.width}", settings.loss]
    usual = NetworkSettings()
    words[:0] = [settings.architecture] * (settings.architecture != usual.architecture)
    words += [settings.activation] * (settings.activation != usual.activation)
    words += [settings.scaling] * (settings.scaling != usual.scaling)
    return f"network ({', '.join(words)})"


def _named(block: Block, vector: np.ndarray) -> dict[str, np.ndarray]:
    parts: dict[str, Any] = block.split(jnp.asarray(vector), NO_SCALING)
    return {name: np.asarray(value) for name, value in parts.items()}


def _cross_validate(
    z: np.ndarray,
    s: np.ndarray,
    settings: NetworkSettings,
    loss: np.ndarray,
    checkpoints: Path | None,
    progress: Epochs | None,
) -> np.ndarray:
    """Coefficients [n, m] of each solution by a network that was trained without its fold."""
    fold = np.random.default_rng([settings.seed, 0]).permutation(len(z)) % settings.folds
    predicted = np.empty_like(s)
    for number in range(settings.folds):
        apart = fold == number
        own = replace(settings, seed=settings.seed + 1 + number)
        network, _ = fit_network(z[~apart], s[~apart], own, loss, checkpoints, progress)
        predicted[apart] = np.asarray(jax.vmap(network)(jnp.asarray(z[apart])))
    return predicted
