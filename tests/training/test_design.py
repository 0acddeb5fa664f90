"""Where points are placed, and weights of those that are there."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import kstest

import toy
from volvelle.learning import select
from volvelle.training import (
    Filter,
    TrainingError,
    check_size,
    hypersphere,
    initial_design,
    latin_hypercube,
    nearest_neighbour_filter,
    spread_out,
    suffices,
)
from volvelle.training.design import gaussian_start
from volvelle.training.weights import (
    effective_number,
    tempered_weights,
    weighted_std,
    weights_at,
)


def filter_of_the_paper(new: np.ndarray, old: np.ndarray, n: int) -> np.ndarray:
    """Nygaard et al. 2022, section 3.2, word by word."""
    accepted = []
    for i, p in enumerate(new):
        distances = [np.linalg.norm(p - q) for q in old]
        nearest = int(np.argmin(distances))
        x, d_min = old[nearest], distances[nearest]
        others_old = sorted(np.linalg.norm(x - q) for j, q in enumerate(old) if j != nearest)
        others_new = sorted(np.linalg.norm(p - q) for j, q in enumerate(new) if j != i)
        D_old, D_new = np.array(others_old[:n]), np.array(others_new[:n])
        sparse = d_min > np.average(D_old) + 2 * np.std(D_old)
        crowded = np.average(D_new) < np.average(D_old) - 2 * np.std(D_old)
        accepted.append(sparse or crowded)
    return np.array(accepted)


@pytest.mark.parametrize("seed", range(5))
def test_filter_is_that_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    old = rng.normal(size=(60, 3))
    new = np.concatenate([rng.normal(size=(40, 3)), 0.02 * rng.normal(size=(40, 3)) + 0.5])
    new = np.concatenate([new, 4.0 + rng.normal(size=(20, 3))])
    kept = nearest_neighbour_filter(new, old)
    np.testing.assert_array_equal(kept, filter_of_the_paper(new, old, 5))
    assert np.any(kept) and not np.all(kept)


def test_filter_keeps_the_new_and_drops_the_known():
    old = np.random.default_rng(0).normal(size=(100, 2))
    assert np.all(nearest_neighbour_filter(old[:10] + 50.0, old))
    assert not np.any(nearest_neighbour_filter(old[::10] + 1e-6, old))


def test_spread_out_takes_the_farthest_each_time():
    rng = np.random.default_rng(0)
    candidates, old = rng.normal(size=(50, 3)), rng.normal(size=(7, 3))
    chosen = spread_out(candidates, old, 12)
    assert len(set(chosen)) == 12
    known = list(old)
    for index in chosen:
        gaps = np.min([np.linalg.norm(candidates - q, axis=1) for q in known], axis=0)
        assert gaps[index] == pytest.approx(gaps.max())
        known.append(candidates[index])


def test_spread_out_never_takes_a_known_point():
    old = np.random.default_rng(0).normal(size=(7, 3))
    assert spread_out(old, old, 5) == []
    assert spread_out(np.concatenate([old, old[:1] + 1.0]), old, 5) == [7]


@pytest.mark.parametrize("design", [initial_design, latin_hypercube])
def test_start_fills_the_box_inside_the_priors(design):
    problem = toy.problem(width=200.0)
    x = design(problem, 40, 1.0, 3)
    ends = np.array([prior.bounds for prior in problem.priors])
    lower = np.maximum(problem.ref_loc - problem.ref_scale, ends[:, 0])
    upper = np.minimum(problem.ref_loc + problem.ref_scale, ends[:, 1])
    assert x.shape == (40, 6) and np.all((x >= lower) & (x <= upper))
    assert np.any(lower == ends[:, 0]), "the box sticks out of a prior"
    unit = (x - lower) / (upper - lower)
    assert np.all(unit.min(axis=0) < 0.1) and np.all(unit.max(axis=0) > 0.9)
    np.testing.assert_array_equal(x, design(problem, 40, 1.0, 3))
    assert not np.array_equal(x, design(problem, 40, 1.0, 4))


def test_latin_hypercube_has_one_point_per_row():
    problem = toy.problem()
    x = latin_hypercube(problem, 25, 1.0, 0)
    unit = (x - problem.ref_loc) / problem.ref_scale / 2.0 + 0.5
    for column in unit.T:
        assert sorted(np.floor(25 * column).astype(int)) == list(range(25))


def to_ball(problem, x: np.ndarray, width: float) -> np.ndarray:
    """Coordinates in which the ellipsoid inside the reference box is the unit ball."""
    ends = np.array([prior.bounds for prior in problem.priors])
    lower = np.maximum(problem.ref_loc - width * problem.ref_scale, ends[:, 0])
    upper = np.minimum(problem.ref_loc + width * problem.ref_scale, ends[:, 1])
    return (x - 0.5 * (lower + upper)) / (0.5 * (upper - lower))


@pytest.mark.parametrize("box", [5.0, 200.0], ids=["in the prior", "cut by the prior"])
def test_hypersphere_is_uniform_inside_the_ellipsoid(box):
    problem, width = toy.problem(width=box), 1.5
    x = hypersphere(problem, 4000, width, 2)
    assert x.shape == (4000, 6) and np.all(problem.in_prior(x))
    u = to_ball(problem, x, width)
    radius = np.linalg.norm(u, axis=1)
    assert np.all(radius <= 1.0)
    # the volume inside a radius grows as radius^6; a Latin hypercube fails the same test
    assert kstest(radius**6, "uniform").pvalue > 0.01
    assert kstest(np.minimum(np.linalg.norm(2.0 * np.random.default_rng(0).random((4000, 6)) - 1.0,
                  axis=1), 1.0) ** 6, "uniform").pvalue < 1e-6  # fmt: skip
    direction = u / radius[:, None]
    np.testing.assert_allclose(direction.mean(axis=0), 0.0, atol=0.03)
    np.testing.assert_allclose(direction.T @ direction / 4000, np.eye(6) / 6.0, atol=0.02)
    np.testing.assert_array_equal(x, hypersphere(problem, 4000, width, 2))
    assert not np.array_equal(x, hypersphere(problem, 4000, width, 3))


def test_nuisance_parameters_stay_where_they_are():
    problem = dataclasses.replace(toy.problem(), n_theory=4)
    for design in (initial_design, latin_hypercube, hypersphere):
        x = design(problem, 16, 1.0, 0)
        np.testing.assert_array_equal(x[:, 4:], np.tile(problem.ref_loc[4:], (16, 1)))
        assert np.all(np.ptp(x[:, :4], axis=0) > 0)


def test_too_few_points_are_refused():
    words = "initial is 7 points for 6 sampled parameters of the theory; give at least"
    for kind, least in (("auto", 8), ("gaussian_process", 10)):
        check_size(least, 6, "initial", kind=kind)
        with pytest.raises(TrainingError, match=rf"{words} {least} \(32 are enough"):
            check_size(7, 6, "initial", kind=kind)


@pytest.mark.parametrize(("kind", "least"), [("auto", 8), ("gaussian_process", 10)])
def test_as_few_points_as_are_taken_can_be_fitted(kind, least):
    check_size(least, 6, "initial", kind=kind)
    rng = np.random.default_rng(0)
    x, s = rng.normal(size=(least, 6)), rng.normal(size=(least, 2))
    assert select(x, s, np.ones(least), kind).left_out.shape == (least, 2)


@pytest.mark.parametrize(
    ("kind", "folds", "least"),
    [("auto", None, 8), ("gaussian_process", None, 10), ("network", 4, 11)],
)
def test_a_warm_start_suffices_where_a_fit_does(kind, folds, least):
    x = np.random.default_rng(1).normal(size=(least, 7))
    assert suffices(x, 6, folds, kind) and not suffices(x[1:], 6, folds, kind)
    x[:, 5] = 0.3
    assert not suffices(x, 6, folds, kind), "one parameter never varies"
    x[:, 5], x[:, 6] = np.arange(least), 0.3
    assert suffices(x, 6, folds, kind), "a nuisance parameter need not"


def ridge(n: int, seed: int) -> np.ndarray:
    """Two parameters that the data tie together to a hundredth of their widths."""
    rng = np.random.default_rng(seed)
    along = rng.normal(size=n)
    return np.stack([along, along + 0.01 * rng.normal(size=n)], axis=1)


def test_metrics_of_the_filter():
    known, points = ridge(400, 0), ridge(60, 1)
    units, mixed = np.diag([1e-3, 70.0]), np.array([[1.0, 0.4], [-0.9, 2.0]])
    for metric, maps in (("scaled", (units,)), ("whitened", (units, mixed))):
        measure = Filter(tolerance=0.5, metric=metric)
        found = measure.new(points, known)
        assert np.any(found) and not np.all(found)
        for change in maps:
            np.testing.assert_array_equal(measure.new(points @ change, known @ change), found)
    # twenty widths of the ridge to its side: new to the whitened filter alone
    beside = known[:50] + np.array([0.0, 0.2])
    assert np.all(Filter(metric="whitened").new(beside, known))
    assert not np.all(Filter(metric="scaled").new(beside, known))


def test_numbers_of_the_filter_are_used():
    rng = np.random.default_rng(4)
    known, points = rng.normal(size=(200, 3)), rng.normal(size=(100, 3))
    scaled = (points - known.mean(axis=0)) / known.std(axis=0)
    old = (known - known.mean(axis=0)) / known.std(axis=0)
    for n, tolerance in ((2, 2.0), (9, 0.5)):
        expected = nearest_neighbour_filter(scaled, old, n, tolerance)
        np.testing.assert_array_equal(Filter(n, tolerance).new(points, known), expected)
    assert np.sum(Filter(tolerance=0.0).new(points, known)) > np.sum(Filter().new(points, known))


@pytest.mark.parametrize("metric", ["scaled", "whitened"])
def test_a_direction_without_spread_is_no_division_by_zero(metric):
    known = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 1.0, 0.0]
    measure = Filter(metric=metric)
    assert not np.any(measure.new(known[::5] + 1e-9 * np.array([1.0, 1.0, 0.0]), known))
    assert np.all(measure.new(known[:5] + np.array([0.0, 0.0, 100.0]), known))


def test_filter_of_nothing():
    assert len(Filter().new(np.empty((0, 2)), ridge(20, 0))) == 0


@pytest.mark.parametrize("design", [initial_design, latin_hypercube, hypersphere])
def test_box_outside_the_prior(design):
    with pytest.raises(TrainingError, match="lies outside the prior"):
        design(toy.problem(width=5.0, offset=-200.0), 10, 1.0, 0)


def test_walkers_start_inside_the_priors():
    problem = toy.problem()
    scatter = np.diag((100.0 * toy.SIGMA) ** 2)
    start = gaussian_start(toy.TRUTH, scatter, problem, 50, 0)
    assert len(start) == 50 and np.all(problem.in_prior(start))
    far = toy.TRUTH + 10.0 * np.eye(6)[0]
    with pytest.raises(TrainingError, match="widen the prior"):
        gaussian_start(far, np.diag(toy.SIGMA**2), problem, 50, 0)


LOG_LIKE = np.array([-1.0, -2.0, -5.0, -50.0, -1e4, -np.inf])


def test_weights_at_a_temperature():
    for temperature in (1.0, 3.0):
        weights = weights_at(LOG_LIKE, temperature)
        assert weights[0] == 1.0 and weights[-1] == 0.0
        assert weights[1] == pytest.approx(np.exp(-1.0 / temperature))
        np.testing.assert_array_equal(weights_at(LOG_LIKE + 7.0, temperature), weights)
    np.testing.assert_array_equal(weights_at(np.full(3, -np.inf), 1.0), np.ones(3))


def test_effective_number():
    assert effective_number(np.ones(7)) == pytest.approx(7.0)
    assert effective_number(np.array([1.0, 0.0, 0.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("minimum", [1.0, 2.0, 3.5, 4.9, 100.0])
def test_tempered_weights_leave_enough(minimum):
    weights = tempered_weights(LOG_LIKE, minimum)
    assert effective_number(weights) >= min(minimum, 0.99 * 5) - 1e-9
    assert weights[-1] == 0.0 and np.all(np.diff(weights) <= 0)


def test_tempered_weights_are_the_posterior_where_it_is_covered():
    log_like = -0.5 * np.random.default_rng(0).normal(size=(50, 3)) ** 2 @ np.ones(3)
    np.testing.assert_array_equal(tempered_weights(log_like, 10.0), weights_at(log_like, 1.0))


def test_weighted_std():
    values = np.array([1.0, 2.0, 4.0])
    assert weighted_std(values, np.array([2.0, 1.0, 1.0])) == pytest.approx(
        np.std([1.0, 1.0, 2.0, 4.0])
    )
