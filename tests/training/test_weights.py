"""Weights of solutions and the scatter that sets the exploration's temperature."""

import numpy as np

from volvelle.training.weights import robust_scatter, weighted_std


def test_robust_scatter_is_the_standard_deviation_of_a_gaussian():
    values = np.random.default_rng(1).normal(3.0, 2.0, 20_000)
    weights = np.ones_like(values)
    # 68% lie within 0.9945 sigma; the Monte-Carlo error of that quantile is 0.7%
    assert abs(robust_scatter(values, weights) / weighted_std(values, weights) - 0.9945) < 0.03


def test_few_infinite_errors_do_not_count_and_many_do():
    values = np.concatenate([np.linspace(-1.0, 1.0, 90), np.full(10, -np.inf)])
    assert robust_scatter(values, np.ones(100)) < 1.0
    values[:40] = -np.inf
    assert robust_scatter(values, np.ones(100)) == np.inf


def test_a_solution_without_weight_does_not_count():
    values = np.array([0.0, 1.0, -1.0, 0.5, -np.inf])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    assert robust_scatter(values, weights) <= 1.0
