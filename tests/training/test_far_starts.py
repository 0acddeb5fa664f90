"""The posterior far outside the starting box: the training gets there, or says that it did not.

Theories in closed form, so that a far start costs nothing but fits: y = (x - truth)/sigma itself,
whose posterior is a Gaussian, and y bent into a banana of two parameters' squares.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import toy
from volvelle.boltzmann import Ledger, Request
from volvelle.compute import SerialExecutor
from volvelle.inference import log_likelihoods_at, make_prior
from volvelle.likelihood import Gaussian
from volvelle.training import Exact, Problem, Trainer, TrainingSettings
from volvelle.training.adaptive import ADAPTIVE, OUTSIDE
from volvelle.training.history import Iteration
from volvelle.training.settling import PATIENCE, stalled

SCALARS = ("H0", "Omega_m", "S8", "sigma8", "age", "r_drag")  # names that a scalar may have
OTHERS = {"h": 0.67, "theta_star_100": 1.041, "z_star": 1090.0, "Y_he": 0.245}
SIGNS = np.array([1.0, -1.0, 1.0, -1.0, -1.0, 1.0])
RIGHT = 0.05  # of ln L near the truth; these theories are polynomials


@dataclass(frozen=True)
class ScalarSolver:
    """Six numbers: y, two of them bent by ``bend`` times the square of another."""

    bend: float = 0.0
    name: str = "toy"

    def identity(self):
        return {"solver": "toy", "version": f"scalars, bend {self.bend}", "settings": "{}"}

    def solve(self, cosmology, request):
        values = {name: getattr(cosmology, name, None) for name in toy.NAMES}
        values["ln10A_s"] = np.log(1e10 * cosmology.A_s)
        y = (np.array([values[name] for name in toy.NAMES]) - toy.TRUTH) / toy.SIGMA
        bent = y + self.bend * np.array([0.0, y[0] ** 2, 0.0, y[2] ** 2, 0.0, 0.0])
        theory = OTHERS | dict(zip(SCALARS, map(float, bent), strict=True))
        return {name: theory[name] for name in request.names()}


def far(offset, width: float, bend: float = 0.0) -> Problem:
    """A box of ``width`` sigma either way, ``offset`` sigma away in every parameter."""
    return replace(
        toy.problem(),
        ref_loc=toy.TRUTH + offset * SIGNS * toy.SIGMA,
        ref_scale=width * toy.SIGMA,
        likelihoods=(Gaussian.from_values(np.zeros(6), np.ones(6), SCALARS, name="scalars"),),
        solver=ScalarSolver(bend),
        request=Request(spectra=(), background=False),
    )


def trainer(folder: Path, problem: Problem, **settings) -> Trainer:
    exact = Exact(problem, Ledger(folder / "ledger.sqlite"), SerialExecutor(), "run")
    return Trainer(exact, TrainingSettings(kind="polynomial", **settings), folder / "iterations")


def knows_the_posterior(found: Trainer) -> bool:
    """The solved region holds the truth, and ln L is right within a sigma of it."""
    assert found.emulator is not None
    x = toy.TRUTH + toy.SIGMA * np.concatenate([np.zeros((1, 6)), np.eye(6), -np.eye(6)])
    problem = found.exact.problem
    theories = [problem.solver.solve(problem.cosmology(row), problem.request) for row in x]
    exact = [problem.log_likelihood(row, t) for row, t in zip(x, theories, strict=True)]
    error = log_likelihoods_at(problem.posterior(found.emulator), x) - exact
    return bool(found.emulator.distances(x[:1])[0] < 1.0 and np.max(np.abs(error)) < RIGHT)


@pytest.mark.parametrize(
    ("offset", "width", "bend", "limit"),
    [(20.0, 1.0, 0.05, 128), (50.0, 1.0, 0.0, 144), (5.0, 0.01, 0.0, 160)],
    ids=["20 sigma, a banana", "50 sigma", "a box of a hundredth of a sigma"],
)
def test_gets_to_a_posterior_far_away(offset, width, bend, limit, tmp_path):
    found = trainer(tmp_path, far(offset, width, bend))
    assert found.run()
    assert knows_the_posterior(found)
    assert len(found.asked) <= limit
    assert max(row["reach"] or 0.0 for row in found.history) > 2.0, "far steps where they pay"


def test_too_small_a_budget_says_where_the_posterior_is(tmp_path):
    found = trainer(tmp_path, far(20.0, 1.0), max_training=48)
    assert not found.run()
    assert len(found.asked) == 48
    assert OUTSIDE in found.ending and OUTSIDE in found.history[-1]["ending"]


def test_a_prior_that_excludes_the_best_model(tmp_path):
    """The posterior leans on the prior's end, five sigma from the truth; the box is far inside."""
    problem = far(-20.0, 1.0)
    edge = float(toy.TRUTH[1] + 5.0 * toy.SIGMA[1])
    priors = list(problem.priors)
    priors[1] = make_prior({"min": edge, "max": 0.5})
    found = trainer(tmp_path, replace(problem, priors=tuple(priors)))
    assert found.run()
    best = (found.x[np.argmax(found.log_like)] - toy.TRUTH) / toy.SIGMA
    assert 5.0 < best[1] < 6.5 and np.max(np.abs(np.delete(best, 1))) < 4.0


def stands_still(gained: float) -> bool:
    """Many iterations at one temperature and scatter, whose best ln L rises by ``gained`` each."""
    record = {"left_out_log_likelihood_scatter": 0.3, "posterior_shift_sigma": 0.01}
    log_like = gained * np.arange(2.0 * PATIENCE) - 500.0
    empty = np.empty((0, 6))
    iterations = [
        Iteration(number, 2.0, empty, empty, ADAPTIVE, record | {"training_set": number + 1})
        for number in range(len(log_like))
    ]
    return stalled(iterations, log_like)


def test_a_long_way_is_no_standstill():
    assert stands_still(0.1)
    assert not stands_still(10.0)
