"""The paper's recipe: what it trains on, what it drops, when it ends, and that it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volvelle.boltzmann import Ledger, Request
from volvelle.compute import SerialExecutor
from volvelle.cosmology import Cosmology
from volvelle.inference import make_prior
from volvelle.learning import NetworkSettings
from volvelle.likelihood import get_likelihood
from volvelle.training import Connect, ConnectSettings, ConnectStage, Exact, Problem, request_of
from volvelle.training.connect import r_minus_1

SETTINGS = ConnectSettings(
    initial=40,
    first=20,
    points=70,
    width=2.0,
    most_iterations=6,
    network=NetworkSettings(
        depth=2, width=24, epochs=250, batch=16, learning_rate=5e-3, patience=250, folds=0
    ),
)
MEAN, WIDTH = np.array([0.316, 0.811]), 0.008


class Solver:
    """Two scalars, smooth in two parameters; counts its calls."""

    name = "smooth"

    def __init__(self) -> None:
        self.calls = 0

    def identity(self) -> dict[str, str]:
        return {"solver": self.name, "version": "1", "settings": "{}"}

    def solve(self, cosmology: Cosmology, request: Request) -> dict[str, Any]:
        self.calls += 1
        matter, amplitude = float(cosmology.omega_cdm) / 0.12, float(cosmology.A_s or 0.0) / 2.1e-9
        theory: dict[str, Any] = {name: np.asarray(1.0) for name in request.names()}
        theory |= {"Omega_m": 0.316 * matter, "sigma8": 0.811 * amplitude**0.5 * matter**0.6}
        grid = np.linspace(1.0, 2.0, 160) * matter
        theory |= {"hubble": grid, "transverse_comoving_distance": grid - matter}
        return {name: np.asarray(theory[name], dtype=float) for name in request.names()}


Make = Callable[..., Connect]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    like = get_likelihood(
        "gaussian",
        mean=MEAN.tolist(),
        covariance=np.diag([WIDTH**2] * 2).tolist(),
        outputs=["Omega_m", "sigma8"],
    )

    def connect(**changes: Any) -> Connect:
        problem = Problem(
            names=("omega_cdm", "ln10A_s"),
            n_theory=2,
            priors=(make_prior({"min": 0.05, "max": 0.3}), make_prior({"min": 2.0, "max": 4.0})),
            ref_loc=np.array([0.121, 3.03]),
            ref_scale=np.array([0.012, 0.1]),
            fixed={"omega_b": 0.0224, "theta_star_100": 1.041, "n_s": 0.965, "tau_reio": 0.054},
            neutrino_hierarchy="single",
            likelihoods=(like,),
            solver=Solver(),
            request=request_of((like,)),
        )
        exact = Exact(problem, Ledger(tmp_path / "ledger.sqlite"), SerialExecutor(), "test")
        return Connect(exact, SETTINGS, tmp_path / "connect", **changes)

    return connect


def numbers(stages: list[ConnectStage]) -> list[tuple[int, int, int]]:
    return [(s.number, s.calls, s.training) for s in stages]


def test_the_hypercube_and_the_first_iteration_are_dropped(make: Make):
    connect = make()
    stages = list(connect.stages())
    assert numbers(stages)[:3] == [(0, 40, 40), (1, 60, 20), (2, 130, 70)]
    assert stages[0].r_minus_1 is None and stages[1].r_minus_1 is None
    assert stages[-1].converged or len(stages) == SETTINGS.most_iterations + 1
    if len(stages) > 3:  # filtered from then on
        assert stages[3].calls - stages[2].calls < SETTINGS.points
        assert stages[3].training == stages[3].calls - 60
    # at temperature 5 the chains are wider than the posterior, and around it
    last = connect.iterations[-1].walkers
    assert np.all(np.abs(last.mean(axis=0) - [0.12, 3.044]) < 0.5 * last.std(axis=0))
    width = np.std(last[:, 0]) / (0.12 * WIDTH / 0.316)
    assert 1.5 < width < 3.0


def test_killed_and_repeated_ends_the_same(make: Make):
    whole = make()
    first = list(whole.stages())
    again = make()
    second = list(again.stages())
    assert numbers(first) == numbers(second)
    assert again.exact.problem.solver.calls == 0, "every solution was in the ledger"
    x = np.array([0.1205, 3.04])
    a, b = (stages[-1].emulator.batch(x[None], ("sigma8",))["sigma8"] for stages in (first, second))
    np.testing.assert_array_equal(a, b)


def test_budget_cuts_the_last_iteration(make: Make):
    left = [100]

    def afford(wanted: int) -> int:
        granted = min(wanted, left[0])
        left[0] -= granted
        return granted

    stages = list(make(afford=afford).stages())
    assert numbers(stages) == [(0, 40, 40), (1, 60, 20), (2, 100, 40)]
    assert numbers(list(make(afford=afford).stages())) == numbers(stages)


def test_an_iteration_that_cannot_be_afforded_is_not_begun(make: Make):
    stages = list(make(afford=lambda wanted: wanted if wanted == 40 else 3).stages())
    assert numbers(stages) == [(0, 40, 40)]


def test_r_minus_1():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5000, 3))
    assert abs(r_minus_1(a, b)) < 1e-3
    b[:, 2] += 1.0
    # means one sigma apart: between = 1/2, R = sqrt(3/2)
    assert r_minus_1(a, b) == pytest.approx(np.sqrt(1.5) - 1.0, abs=0.02)
