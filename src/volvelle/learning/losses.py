"""What a network is trained to make small, as weights of its outputs.

Nygaard et al. 2022 (arXiv:2205.15726), section 2.2: L = (1/n) sum_i w_i (x_i - y_i)^2 over
standardised outputs, w = 1 (equation 2.1) or by cosmic variance (equation 2.2).
"""

from __future__ import annotations

import numpy as np

from volvelle.learning.errors import LearningError

LOSSES = ("cosmic_variance", "mse")


def loss_weights(loss: str, ell: np.ndarray) -> np.ndarray:
    """Weight of every output in the loss, of mean one.

    For cosmic variance w = (2 l + 1)/2, the number of modes; equation 2.2 is printed inverted,
    against its own text and figure 3. An output that is no multipole counts like the highest.

    Args:
        loss: 'cosmic_variance' or 'mse'; ell: multipole of each output [m], NaN where it has none.

    Raises:
        LearningError: an unknown loss.
    """
    if loss not in LOSSES:
        raise LearningError(f"unknown loss {loss!r}; choose {' or '.join(LOSSES)}")
    if loss == "mse" or np.all(np.isnan(ell)):
        return np.ones(len(ell))
    weights = (2.0 * np.where(np.isnan(ell), np.nanmax(ell), ell) + 1.0) / 2.0
    return weights / np.mean(weights)
