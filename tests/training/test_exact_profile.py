"""Exact profile likelihoods of the toy universe, against a search by the exact solver alone."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import toy
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.training import (
    Exact,
    Profiler,
    ProfileSettings,
    TrainingError,
    fit_emulator,
    initial_design,
)

NAMES = ("omega_cdm", "n_s", "ln10A_s")
ACCURACY = 0.1
SEARCH = 2e-3  # of chi2: what a simplex search leaves


def problem_of(solver: toy.ToySolver | None = None):
    return toy.problem(solver, names=NAMES)


def samples_of(n: int = 1000) -> np.ndarray:
    centre = [toy.TRUTH[toy.NAMES.index(name)] for name in NAMES]
    return np.random.default_rng(0).multivariate_normal(centre, toy.covariance(NAMES), n)


def profiler(folder: Path, points: int, solver: toy.ToySolver | None = None, **settings):
    """A profiler of n_s and its first emulator, trained on a few points of a wide box."""
    problem = problem_of(solver)
    exact = Exact(problem, Ledger(folder / "ledger.sqlite"), SerialExecutor(), "run")
    x = initial_design(problem, points, 1.0, 1)
    theories = [exact.theory(entry) for entry in exact.solve(x)]
    log_like = np.array([problem.log_likelihood(a, b) for a, b in zip(x, theories, strict=True)])
    emulator, _ = fit_emulator(problem, x, theories, log_like, "polynomial")
    samples = samples_of()
    grid = samples[:, 1].mean() + samples[:, 1].std() * np.linspace(-3.0, 3.0, 7)
    chosen = {"names": ("n_s",), "axes": (grid,), "kind": "polynomial", **settings}
    said: list[str] = []
    asked = ProfileSettings(**chosen)
    made = Profiler(exact, asked, samples, x, folder / "profile", said.append)
    return made, emulator, said


def chi2_of(problem, x: np.ndarray) -> float:
    theory = problem.solver.solve(problem.cosmology(x), problem.request)
    return -2.0 * problem.log_likelihood(x, theory)


def by_the_solver_alone(problem, value: float | None) -> float:
    """Least chi2 with n_s held at a value (None: free), by a simplex on exact solutions."""
    centre, scale = samples_of().mean(axis=0), samples_of().std(axis=0)
    free = [0, 2] if value is not None else [0, 1, 2]

    def function(step: np.ndarray) -> float:
        x = centre.copy()
        x[free] += step * scale[free]
        if value is not None:
            x[1] = value
        return chi2_of(problem, x)

    options = {"xatol": 1e-5, "fatol": 1e-7, "maxiter": 2000, "maxfev": 2000}
    step = np.zeros(len(free))
    for _ in range(2):  # a fresh simplex at the end of the first, which may have collapsed
        found = minimize(function, step, method="Nelder-Mead", options=options)
        step = found.x
    return float(found.fun)


def test_a_poor_emulator_is_refitted_until_the_profile_is_exact(tmp_path):
    made, emulator, said = profiler(tmp_path, 6, accuracy=ACCURACY)
    found = made.run(emulator)
    assert found.met, said
    first = found.history[0]["max_difference"]
    assert first > ACCURACY  # the emulator that it began with was not good enough
    assert len(found.history) >= 2
    assert np.nanmax(np.abs(found.difference)) <= ACCURACY
    assert np.nanmax(found.slack) <= ACCURACY
    problem = made.exact.problem
    least = by_the_solver_alone(problem, None)
    for value, chi2, slack in zip(
        found.found.axes[0], found.chi2[:-1], found.slack[:-1], strict=True
    ):
        exact = by_the_solver_alone(problem, float(value))
        assert -SEARCH < chi2 - exact < slack + SEARCH
    assert found.chi2[-1] == pytest.approx(least, abs=ACCURACY)
    (interval,) = found.intervals(1.0)
    sigma = np.sqrt(toy.covariance(NAMES)[1, 1])
    # the toy is nearly, not exactly, Gaussian: its profile is not quite a parabola
    assert 0.5 * (interval.high - interval.low) == pytest.approx(sigma, rel=0.05)


def test_chi2_is_that_of_the_exact_solutions(tmp_path):
    made, emulator, _ = profiler(tmp_path, 30)
    found = made.run(emulator)
    for x, chi2 in zip(found.x, found.chi2, strict=True):
        assert chi2 == pytest.approx(chi2_of(made.exact.problem, x), rel=1e-12)
    assert np.min(found.delta_chi2) >= 0.0
    assert found.chi2[found.best] == np.min(found.chi2)


def test_rounds_that_run_out_are_admitted(tmp_path):
    made, emulator, said = profiler(tmp_path, 11, rounds=1, accuracy=1e-6)
    found = made.run(emulator)
    assert not found.met and np.any(found.unsettled)
    assert len(found.entries) == 8
    assert "points beyond 1e-06" in said[-1]


def test_a_repeated_call_solves_nothing_and_ends_the_same(tmp_path):
    made, emulator, _ = profiler(tmp_path, 6)
    first = made.run(emulator)
    again, emulator, _ = profiler(tmp_path, 6)
    second = again.run(emulator)
    assert all(entry.cached for entry in second.entries)
    assert first.x.tobytes() == second.x.tobytes()
    assert first.chi2.tobytes() == second.chi2.tobytes()


def test_a_damaged_round_is_named(tmp_path):
    made, emulator, _ = profiler(tmp_path, 30, rounds=1)
    made.run(emulator)
    (tmp_path / "profile" / "round_000.json").write_text("{")
    with pytest.raises(TrainingError, match=r"round_000.json is damaged"):
        made.run(emulator)


def test_a_round_of_another_request_is_not_taken(tmp_path):
    made, emulator, _ = profiler(tmp_path, 30, rounds=1)
    made.run(emulator)
    path = tmp_path / "profile" / "round_000.json"
    before = json.loads(path.read_text())
    other, emulator, _ = profiler(tmp_path, 30, rounds=1, axes=(made.settings.axes[0][1:-1],))
    other.run(emulator)
    assert json.loads(path.read_text())["asked"] != before["asked"]


def test_failed_solutions_are_flagged_and_left_out(tmp_path):
    """The solver fails where the profile reaches its largest omega_cdm."""
    made, emulator, _ = profiler(tmp_path, 30, rounds=1)
    limit = float(np.sort(made.run(emulator).x[:, 0])[-1]) - 1e-6
    made.exact.problem = problem_of(toy.ToySolver(fails_above=limit))
    made.exact.ledger = Ledger(tmp_path / "other.sqlite")
    made.training = made.training[made.training[:, 0] < limit]
    made.entries.clear()
    found = made.run(emulator)
    failed = ["exact solution failed" in flags for flags in found.flags]
    assert sum(failed) == 1
    np.testing.assert_array_equal(np.isnan(found.chi2), failed)
    assert len(found.intervals(1.0)) == 1


def test_points_outside_the_domain_are_found_again(tmp_path):
    """Four sigma beyond the box that was solved: the first emulator extrapolates, the last not."""
    made, emulator, _ = profiler(tmp_path, 30)
    far = made.settings.axes[0].mean() + 8.0 * np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]) * float(
        samples_of()[:, 1].std()
    )
    made, emulator, _ = profiler(tmp_path, 30, axes=(far,))
    start = float(emulator.distance(jnp.asarray([toy.TRUTH[1], far[-1], toy.TRUTH[4]])))
    assert start > 1.0
    found = made.run(emulator)
    assert found.met and len(found.history) >= 2
    assert not any("outside the emulator's domain" in flags for flags in found.flags)
