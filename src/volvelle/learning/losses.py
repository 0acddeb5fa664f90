"""What a network is trained to make small, as weights of its outputs.

Nygaard et al. 2022 (arXiv:2205.15726), section 2.2: L = (1/n) sum_i w_i (x_i - y_i)^2 over the
scaled outputs, w = 1 (equation 2.1), by cosmic variance (equation 2.2), by the noise of the data at
hand, or by a function of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volvelle.compute import PluginError, load_named
from volvelle.learning.errors import LearningError

LOSSES = ("cosmic_variance", "data_noise", "mse")
GROUP = "volvelle.losses"
"""Of the entry points by which packages add others."""


def loss_weights(
    loss: str,
    ell: np.ndarray,
    noise: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    other_weight: float = 1.0,
) -> np.ndarray:
    """Weight of every output in the loss, of mean one.

    'mse': w = 1. 'cosmic_variance': w = (2 l + 1)/2, the number of modes; equation 2.2 is printed
    inverted, against its own text and figure 3. An output that is no multipole counts like the
    highest, as the paper has it. 'data_noise': w = 1/noise^2, the Delta chi2 of a unit error.
    A user's (``package.module:function``, ``path/file.py:function`` or an entry point of
    ``GROUP``): w = function(ell, noise, names).

    Args:
        loss: one of ``LOSSES``, or a user's function as above;
        ell: multipole of each output [m], NaN where it has none;
        noise: of the data, in each output's unit [m], infinite where it never varies; needed by
            'data_noise' and handed on;
        names: of the quantity that each output belongs to [m], such as 'lensed_ee' (empty where
            several are mixed); handed on;
        other_weight: factor on the weights of outputs that are no multipoles.

    Raises:
        LearningError: an unknown loss, 'data_noise' without noise, or a user's function that
            cannot be imported or gives no weights.
    """
    own = check_loss(loss)
    if own is not None:
        weights = _users(loss, own, ell, noise, names)
    elif loss == "data_noise":
        if noise is None:
            raise LearningError("loss data_noise needs the noise of every output; give noise")
        weights = 1.0 / np.asarray(noise, dtype=float) ** 2
        if not np.any(weights > 0.0):  # nothing varies, and nothing is to be learned
            weights = np.ones(len(ell))
    elif loss == "mse" or np.all(np.isnan(ell)):
        weights = np.ones(len(ell))
    else:
        weights = (2.0 * np.where(np.isnan(ell), np.nanmax(ell), ell) + 1.0) / 2.0
    weights = np.where(np.isnan(ell), other_weight, 1.0) * weights
    return weights / np.mean(weights)


def check_loss(loss: str) -> Callable[..., Any] | None:
    """The user's function that a loss names, None for one of ``LOSSES``.

    Raises:
        LearningError: neither of them.
    """
    try:
        function = load_named("loss", GROUP, loss, LOSSES)
    except PluginError as error:
        raise LearningError(f"loss: {error}") from error
    if function is not None and not callable(function):
        raise LearningError(f"loss: {loss} is a {type(function).__name__}, not a function")
    return function


def _users(
    python: str,
    function: Callable[..., Any],
    ell: np.ndarray,
    noise: np.ndarray | None,
    names: Sequence[str] | None,
) -> np.ndarray:
    try:
        weights = np.asarray(function(ell, noise, names), dtype=float)
    except Exception as error:
        raise LearningError(
            f"loss: {python} raises {type(error).__name__} ({' '.join(str(error).split())}); it is "
            "called as function(ell, noise, names) and returns a weight for each output"
        ) from error
    if weights.shape != ell.shape:
        raise LearningError(
            f"loss: {python} gives weights of shape {weights.shape} for {len(ell)} outputs; "
            f"expected {ell.shape}"
        )
    if not (np.all(np.isfinite(weights)) and np.all(weights >= 0.0) and np.any(weights > 0.0)):
        raise LearningError(
            f"loss: {python} gives weights that are negative, not finite, or all zero; expected "
            "finite ones of at least 0"
        )
    return weights
