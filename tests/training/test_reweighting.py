"""Shifts and widths from a hundred weights: unbiased, with errors that are their scatter."""

import numpy as np
import pytest

from volvelle.training.reweighting import ParameterShift, Whitening, shifts, slopes

REPETITIONS = 40


def weighted(rng, log_weight, points: int, samples: int = 500) -> ParameterShift:
    """The first of two normal parameters, under ln w = log_weight(x, rng)."""
    chain = rng.normal(size=(samples, 2))
    x = chain[rng.permutation(samples)[:points]]
    seed = int(rng.integers(2**31))
    return shifts((chain, chain), (x, x, x), log_weight(x, rng), np.ones(2), seed)[0]


CASES = {
    # name: ln w, its exact mean shift in x_0, points
    "a small smooth error": (lambda x, rng: 0.05 * x[:, 0], 0.05, 100),
    "a large smooth error, few points": (lambda x, rng: 1.0 * x[:, 0], 1.0, 60),
    "a rough error": (lambda x, rng: 0.3 * np.sin(3.0 * x[:, 0]), None, 200),
    "smooth and rough": (lambda x, rng: 0.6 * x[:, 0] + 0.2 * rng.normal(size=len(x)), 0.6, 100),
    "a tail that is not there": (lambda x, rng: -300.0 * np.maximum(x[:, 0] - 2.2, 0.0), None, 200),
    "a wrong width": (lambda x, rng: 0.3 * x[:, 0] - 0.2 * x[:, 0] ** 2, 0.3 / 1.4, 200),
}


@pytest.mark.parametrize("case", CASES)
def test_mean_is_unbiased_and_its_error_is_its_scatter(case):
    log_weight, truth, points = CASES[case]
    if truth is None:
        grid = np.linspace(-8.0, 8.0, 20001)
        density = np.exp(-0.5 * grid**2 + log_weight(grid[:, None], None))
        truth = np.sum(density * grid) / np.sum(density)
    rng = np.random.default_rng(5)
    found = [weighted(rng, log_weight, points) for _ in range(REPETITIONS)]
    values = np.array([f.mean_shift_sigma for f in found])
    errors = np.array([f.mean_shift_error for f in found])
    # the scatter of 40 values is known to 11 per cent
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.4)
    assert np.mean(values) == pytest.approx(truth, abs=4.0 * np.std(values) / REPETITIONS**0.5)


def test_width():
    rng = np.random.default_rng(0)
    found = weighted(rng, lambda x, _: -0.5 * x[:, 0] ** 2 * (1.0 / 0.8**2 - 1.0), 400)
    assert found.width_ratio == pytest.approx(0.8, abs=4.0 * found.width_ratio_error)
    assert not found.within(0.5, 0.05)


def test_the_smooth_part_beats_the_bare_weights():
    """Sixty points and an error of one sigma: the bare weights' mean scatters by more than 0.3."""
    rng = np.random.default_rng(1)
    bare, found = [], []
    for _ in range(REPETITIONS):
        x = rng.normal(size=(60, 2))
        bare.append(np.average(x[:, 0], weights=np.exp(x[:, 0])) - x[:, 0].mean())
        found.append(weighted(rng, lambda x, _: x[:, 0], 60).mean_shift_sigma)
    assert np.std(found) < 0.5 * np.std(bare)


def test_a_quantity_that_only_the_exact_solver_knows():
    rng = np.random.default_rng(2)
    chain = rng.normal(size=(500, 1))
    x = chain[:50]
    (found,) = shifts((chain, chain), (x, x, x - 0.3), np.zeros(50), np.ones(1), 0)
    assert found.mean_shift_sigma == pytest.approx(-0.3) and found.mean_shift_error < 1e-12
    assert found.width_ratio == pytest.approx(1.0)


def test_a_few_points_that_are_excluded_hide_no_shift():
    """Two in a hundred at ln w = -100: with a line through them too, the error was 0.6 sigma."""
    rng = np.random.default_rng(4)

    def log_weight(x, rng):
        return 0.1 * rng.normal(size=len(x)) - 100.0 * (x[:, 0] > 2.05)

    found = weighted(rng, log_weight, 400, 2000)
    assert found.mean_shift_error < 0.015
    assert found.mean_shift_sigma == pytest.approx(-0.050, abs=4.0 * found.mean_shift_error)


def test_points_without_weight_take_no_part_in_the_slope():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(100, 2))
    log_weights = 0.4 * z[:, 1]
    log_weights[z[:, 0] > 1.5] = -np.inf
    assert slopes(z, log_weights) == pytest.approx([0.0, 0.4], abs=0.01)
    assert np.all(slopes(z, np.full(100, -np.inf)) == 0.0)
    assert np.all(slopes(z, np.zeros(100)) == 0.0)


def test_whitening():
    rng = np.random.default_rng(4)
    x = rng.multivariate_normal([1e-3, 70.0], [[1e-8, 5e-5], [5e-5, 4.0]], 5000)
    z = Whitening.of(x)(x)
    assert z.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-9)
    assert np.cov(z, rowvar=False) == pytest.approx(np.eye(2), abs=1e-3)
