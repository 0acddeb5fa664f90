"""Weights of the loss by name: the paper's, the data's, a user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from volvelle.learning import LOSSES, LearningError, loss_weights

from . import own_functions

FILE = str(Path(own_functions.__file__))
ELL = np.array([2.0, 10.0, 2508.0, np.nan])
NOISE = np.array([1.0, 0.5, 0.1, 2.0])
NAMES = ("lensed_tt", "lensed_ee", "lensed_ee", "")


def test_data_noise_is_the_inverse_variance():
    weights = loss_weights("data_noise", ELL, NOISE)
    np.testing.assert_allclose(weights / weights[0], [1.0, 4.0, 100.0, 0.25])
    with pytest.raises(LearningError, match="data_noise needs the noise"):
        loss_weights("data_noise", ELL)


@pytest.mark.parametrize("loss", LOSSES)
def test_other_weight_is_a_factor_on_what_is_no_multipole(loss: str):
    usual = loss_weights(loss, ELL, NOISE)
    raised = loss_weights(loss, ELL, NOISE, other_weight=7.0)
    assert np.mean(raised) == pytest.approx(1.0)
    np.testing.assert_allclose(raised[3] / raised[0], 7.0 * usual[3] / usual[0])
    np.testing.assert_allclose(raised[2] / raised[0], usual[2] / usual[0])


def test_a_users_weights():
    weights = loss_weights(f"{FILE}:polarisation", ELL, NOISE, NAMES, 3.0)
    np.testing.assert_allclose(weights / weights[0], [1.0, 10.0, 10.0, 3.0])


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("mea", "unknown loss 'mea'; choose cosmic_variance, data_noise, mse, or your own"),
        ("no_such_module:f", "loss: no_such_module cannot be imported"),
        (f"{FILE}:none", "has no 'none'"),
        (f"{FILE}:NUMBER", "is a int, not a function"),
        (f"{FILE}:one", "gives weights of shape (1,) for 4 outputs"),
        (f"{FILE}:negative", "negative, not finite, or all zero"),
        (f"{FILE}:two_arguments", "called as function(ell, noise, names)"),
    ],
)
def test_refusals(loss: str, words: str):
    with pytest.raises(LearningError) as caught:
        loss_weights(loss, ELL, NOISE, NAMES)
    assert words in str(caught.value)
