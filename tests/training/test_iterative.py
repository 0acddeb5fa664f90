"""The paper's iteration: what it trains on, what it drops, when it ends, and that it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import volvelle
from volvelle.boltzmann import Ledger, Request
from volvelle.compute import SerialExecutor
from volvelle.cosmology import Cosmology
from volvelle.inference import make_prior
from volvelle.learning import NetworkSettings
from volvelle.likelihood import get_likelihood
from volvelle.training import (
    Exact,
    Filter,
    Halt,
    Iterative,
    IterativeSettings,
    IterativeStage,
    Problem,
    TrainingError,
    request_of,
)

SETTINGS = IterativeSettings(
    initial=40,
    first=20,
    points=70,
    width=2.0,
    most_iterations=6,
    network=NetworkSettings(
        depth=2, width=24, epochs=250, batch=16, learning_rate=5e-3, patience=250, folds=0
    ),
)
SOURCE = Path(volvelle.__file__).parents[1]
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


Make = Callable[..., Iterative]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    like = get_likelihood(
        "gaussian",
        mean=MEAN.tolist(),
        covariance=np.diag([WIDTH**2] * 2).tolist(),
        outputs=["Omega_m", "sigma8"],
    )

    def iterative(
        settings: IterativeSettings = SETTINGS, folder: str = "iterative", **changes: Any
    ) -> Iterative:
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
        return Iterative(exact, settings, tmp_path / folder, **changes)

    return iterative


def numbers(stages: list[IterativeStage]) -> list[tuple[int, int, int]]:
    return [(s.number, s.calls, s.training) for s in stages]


def test_the_hypercube_and_the_first_iteration_are_dropped(make: Make):
    iterative = make()
    stages = list(iterative.stages())
    assert numbers(stages)[:3] == [(0, 40, 40), (1, 60, 20), (2, 130, 70)]
    assert stages[0].r_minus_1 is None and stages[1].r_minus_1 is None
    assert stages[-1].converged != bool(iterative.ending)
    if len(stages) > 3:  # filtered from then on
        assert stages[3].calls - stages[2].calls < SETTINGS.points
        assert stages[3].training == stages[3].calls - 60
    # at temperature 5 the chains are wider than the posterior, and around it
    last = iterative.iterations[-1].walkers
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


POLYNOMIAL = replace(SETTINGS, kind="polynomial", network=None)


def saved(iterative: Iterative, folder: Path) -> bytes:
    assert iterative.emulator is not None
    iterative.emulator.save(folder, {})
    (weights,) = folder.glob("weights-*")
    return (folder / "model.json").read_bytes() + weights.read_bytes()


def test_any_kind_of_surrogate_and_a_hypersphere(make: Make):
    iterative = make(replace(POLYNOMIAL, start="hypersphere", keep_first=True, most_iterations=3))
    trained = iterative.run()
    assert trained != bool(iterative.ending)
    assert iterative.history[0]["reason"] == "hypersphere"
    # with the first iteration kept, the second one is filtered and trained on beside it
    kept = iterative.history[2]["training_set"] - iterative.history[1]["training_set"]
    assert kept == round(iterative.history[2]["new_points"] * SETTINGS.points) < SETTINGS.points
    assert "polynomial" in iterative.history[-1]["surrogates"]["scalars"]
    record = iterative.record()
    assert record["design"] == "iterative" and record["settings"]["halt"]["r_minus_1"] == 0.01
    json.dumps([iterative.history, record], allow_nan=False)


def test_ends_when_almost_no_point_is_new(make: Make):
    iterative = make(replace(POLYNOMIAL, halt=Halt(r_minus_1=None, new_points=0.3)))
    assert iterative.run() and iterative.ending == ""
    fractions = [entry["new_points"] for entry in iterative.history]
    assert fractions[0] is None and fractions[1] == fractions[2] == 1.0, "nothing to be filtered by"
    assert fractions[-1] < 0.3 <= min(fractions[1:-1])


def test_without_a_filter_every_point_is_solved(make: Make):
    iterative = make(replace(POLYNOMIAL, filter=None, most_iterations=3, halt=Halt(-1.0)))
    assert not iterative.run()
    assert [len(i.points) for i in iterative.iterations] == [40, 20, 70, 70]
    assert iterative.ending == "most_iterations (3) were done"
    with pytest.raises(TrainingError, match=r"halt.new_points is 0.1 and there is no filter"):
        replace(SETTINGS, filter=None, halt=Halt(new_points=0.1))


def test_a_point_less_iteration_goes_on(make: Make):
    """A tolerance that lets nothing through: chains are compared, nothing is solved or fitted."""
    settings = replace(POLYNOMIAL, filter=Filter(tolerance=1e6), halt=Halt(-1.0), most_iterations=4)
    iterative = make(settings)
    iterative.run()
    assert [len(i.points) for i in iterative.iterations] == [40, 20, 70, 0, 0]
    assert len(iterative.x) == 70
    again = make(settings)
    again.run()
    assert [e["r_minus_1"] for e in again.history] == [e["r_minus_1"] for e in iterative.history]


def test_an_iteration_that_stops_improving_ends(make: Make):
    said: list[str] = []
    iterative = make(replace(POLYNOMIAL, halt=Halt(-1.0), most_iterations=20), say=said.append)
    assert iterative.run() is False
    assert 5 < len(iterative.iterations) < 21
    assert min(iterative.distances[-3:]) >= min(iterative.distances[:-3])
    words = "R - 1 between iterations has not fallen for 3 iterations"
    assert iterative.ending.startswith(words)
    assert words in said[-1]
    assert iterative.history[-1]["ending"] == iterative.ending
    assert not any("ending" in entry for entry in iterative.history[:-1])


def test_max_training_cuts_and_is_never_passed(make: Make):
    endless = replace(POLYNOMIAL, halt=Halt(-1.0))
    iterative = make(replace(endless, max_training=100))
    assert not iterative.run()
    assert [len(i.points) for i in iterative.iterations] == [40, 20, 40]
    assert "the last iteration was cut: after 100 exact solutions" in iterative.ending
    short = make(replace(endless, max_training=70), "short")
    assert not short.run()
    assert len(short.asked) == 60
    assert "the next iteration was not begun: after 60 exact solutions" in short.ending


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"initial": 2}, "initial is 2 points for 2 sampled parameters"),
        ({"first": 2}, "first is 2 points for 2 sampled parameters"),
        ({"points": 1}, "points is 1 points for 2 sampled parameters"),
        ({"max_training": 39}, "initial is 40, more than max_training, which is 39"),
    ],
)
def test_sizes_that_cannot_be(make: Make, changes: dict[str, int], words: str):
    with pytest.raises(TrainingError, match=words):
        make(replace(POLYNOMIAL, **changes)).run()


def test_warm_starts_and_failed_certificates_are_refused(make: Make):
    iterative = make()
    points = np.array([[0.12, 3.04]])
    with pytest.raises(TrainingError, match="only the adaptive design starts from points"):
        iterative.run(warm=points)
    with pytest.raises(TrainingError, match="only the adaptive design takes points in"):
        iterative.add(points, "more")
    assert not iterative.takes(1)


class Interrupted(BaseException):
    """What a killed process does not survive."""


def test_interrupted_while_the_network_trains_ends_the_same(make: Make, tmp_path: Path):
    settings = replace(SETTINGS, most_iterations=2)
    whole = make(settings, "whole")
    whole.run()
    for number in range(3):
        iterative = make(settings)

        def stop(epoch: int, *_: Any, last: int = number, running: Iterative = iterative) -> None:
            if len(running.iterations) == last + 1 and epoch >= 100:
                raise Interrupted

        iterative.epochs = stop
        with pytest.raises(Interrupted):
            iterative.run()
    again = make(settings)
    again.run()
    assert again.history[-1]["exact_calls_total"] == whole.history[-1]["exact_calls_total"] == 130
    assert saved(again, tmp_path / "again") == saved(whole, tmp_path / "undisturbed")


RUN = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import jax; jax.config.update("jax_enable_x64", True)
from pathlib import Path
import toy
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.training import Exact, Halt, Iterative, IterativeSettings
folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
folder.joinpath("calls").mkdir(parents=True, exist_ok=True)
solver = toy.ToySolver(calls=str(folder / "calls"), kill_at=kill_at)
problem = toy.problem(solver, names=toy.NAMES[:3])
exact = Exact(problem, Ledger(folder / "ledger.sqlite"), SerialExecutor(), "run")
settings = IterativeSettings(
    kind="polynomial", network=None, initial=20, first=16, points=30, most_iterations=2,
    halt=Halt(-1.0),
)
iterative = Iterative(exact, settings, folder / "iterations")
iterative.run()
iterative.emulator.save(folder / "emulator", {{}})
"""


def killed(folder: Path, kill_at: int) -> int:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # compiles faster
    command = [sys.executable, "-c", RUN, str(folder), str(kill_at)]
    return subprocess.run(command, env=environment).returncode


def result(folder: Path) -> tuple[bytes, int]:
    (weights,) = (folder / "emulator").glob("weights-*")
    calls = len(list((folder / "calls").glob("call-*")))
    return (folder / "emulator" / "model.json").read_bytes() + weights.read_bytes(), calls


def test_killed_while_solving_and_repeated_ends_the_same(tmp_path: Path):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    assert killed(undisturbed, 0) == 0
    assert killed(disturbed, 45) == -signal.SIGKILL  # in the second iteration of chains
    assert killed(disturbed, 45) == 0
    assert result(disturbed) == result(undisturbed), "only the one in flight was solved again"
