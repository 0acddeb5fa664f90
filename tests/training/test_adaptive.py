"""The adaptive loop on the toy universe: few calls, any start, failures, kill and resume."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import toy
import volvelle
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.inference import log_likelihoods_at
from volvelle.learning import NetworkSettings
from volvelle.training import Exact, Problem, Trainer, TrainingError, TrainingSettings, doubts
from volvelle.training.adaptive import DOUBTFUL, FAILED
from volvelle.training.history import load_iterations

HERE = Path(__file__).parent
SOURCE = Path(volvelle.__file__).parents[1]
FEW = 80  # solutions for six parameters from a box five sigma wide either way; 48 or 64 measured
DISPLACED = 96  # the box displaced by its half width, five sigma; 64 are measured
TEN_TIMES = 90  # three parameters, the box ten times too wide; 44 are measured
THREE = ("omega_cdm", "theta_star_100", "ln10A_s")
DECADE = toy.SIGMA[0]
TRUE_SCATTER = 3.0  # factor between the scatter at fresh points and the left-out estimate's limit


def trainer(folder: Path, problem=None, **settings) -> Trainer:
    problem = problem or toy.problem()
    exact = Exact(problem, Ledger(folder / "ledger.sqlite"), SerialExecutor(), "run")
    return Trainer(exact, TrainingSettings(**settings), folder / "iterations")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    found = trainer(tmp_path_factory.mktemp("trained"))
    assert found.run()
    return found


def scatter_at_fresh_points(found: Trainer) -> float:
    """Of ln L's error at points of the posterior that the training has not seen."""
    problem = found.exact.problem
    truth = toy.TRUTH[[toy.NAMES.index(name) for name in problem.names]]
    rng = np.random.default_rng(99)
    x = rng.multivariate_normal(truth, toy.covariance(problem.names), 40)
    theories = [problem.solver.solve(problem.cosmology(row), problem.request) for row in x]
    exact = [problem.log_likelihood(row, t) for row, t in zip(x, theories, strict=True)]
    assert found.emulator is not None
    return float(np.std(log_likelihoods_at(problem.posterior(found.emulator), x) - exact))


def test_the_toy_says_its_own_widths():
    np.testing.assert_allclose(np.sqrt(np.diag(toy.covariance())), toy.SIGMA, rtol=0.02)


def test_reaches_its_accuracy_with_few_calls_and_stops(trained):
    assert len(trained.asked) <= FEW
    assert trained.scatter <= trained.settings.scatter_target
    assert scatter_at_fresh_points(trained) < TRUE_SCATTER * trained.settings.scatter_target
    assert trained.history[-1]["exact_calls_total"] == len(trained.asked) == len(trained.x)
    assert [r["reason"] for r in trained.history][:2] == ["initial design", "adaptive"]
    json.dumps(trained.history, allow_nan=False)
    json.dumps(trained.record(), allow_nan=False)


def test_samples_at_which_the_emulator_doubts_itself_are_wanted(trained):
    """Two in a hundred samples beyond what was solved, or a few very far out."""
    rng = np.random.default_rng(7)
    samples = rng.multivariate_normal(toy.TRUTH, toy.covariance(), 1000)
    assert trained.doubtful(samples) is None
    far = samples.copy()
    far[:20] += 40.0 * toy.SIGMA * rng.choice([-1.0, 1.0], size=far[:20].shape)
    wanted = trained.doubtful(far)
    assert 0 < len(wanted) <= trained.batch
    assert {row.tobytes() for row in wanted} <= {row.tobytes() for row in far[:20]}
    light = np.where(np.arange(1000) < 20, 1e-9, 1.0)  # another posterior all but excludes them
    assert trained.doubtful(far, light) is None
    few = samples.copy()
    few[:3] = far[:3]  # a share that moves no mean, and nearly all of the variance
    assert {row.tobytes() for row in trained.doubtful(few)} == {row.tobytes() for row in few[:3]}
    assert trained.doubtful(np.repeat(far[:20], 50, axis=0)) is None  # no tail: all of it


def test_one_doubtful_sample_in_thousands_matters_where_it_is_far_out(trained, monkeypatch):
    """At 8 sigma it is 1.6% of a variance, at 12 sigma 3.6%."""
    rng = np.random.default_rng(7)
    samples = rng.multivariate_normal(toy.TRUTH, toy.covariance(), 4000)
    for sigmas, wanted in ((8.0, False), (12.0, True)):
        samples[0] = toy.TRUTH + sigmas * toy.SIGMA
        # the toy is learned well beyond its posterior
        monkeypatch.setattr(doubts, "DOUBT", 0.5 * trained.emulator.expected(samples[:1])[0])
        assert (trained.doubtful(samples) is not None) == wanted
        # of what follows from the parameters, as a rate from its logarithm, either is nearly all
        with monkeypatch.context() as patch:
            patch.setattr(
                Problem,
                "defined",
                lambda _, x: {"rate": 10.0 ** ((x[:, 0] - toy.TRUTH[0]) / DECADE)},
            )
            assert trained.doubtful(samples) is not None


def test_a_tail_that_decides_over_a_width_gets_solutions(trained, monkeypatch):
    """Whatever the emulator expects of itself there: as many as a batch."""
    samples = np.random.default_rng(7).multivariate_normal(toy.TRUTH, toy.covariance(), 4000)
    monkeypatch.setattr(doubts, "DOUBT", np.inf)
    assert trained.doubtful(samples) is None

    def rate(x):
        return 10.0 ** (0.5 * (x[:, 0] - toy.TRUTH[0]) / DECADE)

    monkeypatch.setattr(Problem, "defined", lambda _, x: {"rate": rate(x)})
    wanted, problem = trained.doubtful(samples), trained.exact.problem
    solved = trained.x, trained.log_like
    tail = doubts.thin_tail(problem, trained.emulator, solved, samples)
    assert tail.name == "rate" and 0 < len(tail.samples) < 0.05 * len(samples)
    parts = [(rate(x) - rate(samples).mean()) ** 2 for x in (tail.samples, samples)]
    assert 0.5 <= parts[0].sum() / parts[1].sum() < 0.6
    assert len(wanted) == min(trained.batch - tail.solved, len(tail.samples)) > 0
    assert {row.tobytes() for row in wanted} <= {row.tobytes() for row in tail.samples}
    unlikely = trained.log_like.min() - 100.0  # too far from the posterior to say anything of it
    for log_like, number in ((trained.log_like.max(), len(wanted)), (unlikely, 0)):
        more = np.concatenate([trained.log_like, np.full(len(wanted), log_like)])
        again = np.concatenate([trained.x, wanted]), more
        found = doubts.thin_tail(problem, trained.emulator, again, samples)
        assert found.solved == tail.solved + number


def test_the_emulators_own_posterior_is_looked_at_before_the_training_ends(tmp_path, monkeypatch):
    """A twentieth of it where nothing was solved: solved before any chain, and the same again."""
    explored = Trainer._explore
    looks = []

    def with_a_tail(self, temperature, seed, reach):
        walkers = explored(self, temperature, seed, reach)
        if temperature == 1.0:
            looks.append(len(self.iterations))
            if len(set(looks)) == 1:
                rng = np.random.default_rng(seed)
                far = rng.choice([-1.0, 1.0], size=(5, walkers.shape[1]))
                walkers = np.concatenate([walkers[5:], walkers[:5] + 40.0 * toy.SIGMA * far])
        return walkers

    monkeypatch.setattr(Trainer, "_explore", with_a_tail)
    found = trainer(tmp_path)
    assert found.run() and found.scatter <= found.settings.scatter_target
    reasons = [record["reason"] for record in found.history]
    assert reasons.count("last look") == 1 and reasons.index("last look") == looks[0]
    assert len(set(looks)) == 2  # the second time there is nothing left
    assert np.max(np.abs(found.x - toy.TRUTH) / toy.SIGMA) > 30.0
    looks[:] = [-1]  # no tail any more
    again = trainer(tmp_path)
    assert again.run() and np.array_equal(again.x, found.x)
    assert [record["reason"] for record in again.history] == reasons


def test_repetition_under_other_rules_overwrites_nothing(tmp_path, monkeypatch):
    """Points that joined after the training stay those; another reason for them is refused."""
    truth = toy.TRUTH[[toy.NAMES.index(name) for name in THREE]]
    first = trainer(tmp_path, toy.problem(names=THREE))
    assert first.run()
    rng = np.random.default_rng(3)
    x = rng.multivariate_normal(truth, toy.covariance(THREE), 4)
    first.add(x, FAILED)
    number = len(first.iterations) - 1
    monkeypatch.setattr(Trainer, "_last_look", lambda self, number: self._propose(number, None))
    again = trainer(tmp_path, toy.problem(names=THREE))
    assert again.run() and len(again.iterations) == number
    other = rng.multivariate_normal(truth, toy.covariance(THREE), 4)
    with pytest.raises(TrainingError, match="choose another output folder"):
        again.add(other, DOUBTFUL)
    again.add(other, FAILED)
    np.testing.assert_array_equal(again.iterations[-1].points, x)
    np.testing.assert_array_equal(load_iterations(again.folder)[number].points, x)


def test_no_point_is_asked_for_twice(trained):
    assert len({row.tobytes() for row in trained.x}) == len(trained.x)
    assert not any(entry.cached for entry in trained.asked)


def test_a_network_starts_with_enough_for_its_folds(tmp_path: Path):
    """Two parameters: a quadratic's 6 points and 4 more leave a fold's network only seven."""
    problem = toy.problem(names=THREE[:2])
    folds = {"kind": "network", "network": NetworkSettings(folds=4)}
    assert trainer(tmp_path, problem).initial == 10
    made = trainer(tmp_path, problem, **folds)
    assert made.initial == 11
    x = np.tile(problem.ref_loc, (11, 1)) * (1.0 + 1e-3 * np.arange(11.0))[:, None]
    for warm, points in ((x, 11), (x[:10], 10 + 11), (x[:1].repeat(11, axis=0), 22)):
        iteration = made._propose(0, warm)
        assert iteration is not None and len(iteration.points) == points
    with pytest.raises(TrainingError, match="initial is 10 points for a network with folds: 4"):
        trainer(tmp_path, problem, initial=10, **folds).run()


def test_warm_start_solves_nothing_new(trained):
    """All points known: the same ledger, another folder, no new solution."""
    exact = Exact(trained.exact.problem, trained.exact.ledger, SerialExecutor(), "another run")
    warm = Trainer(exact, trained.settings, trained.folder.parent / "warm")
    assert warm.run(warm=trained.x)
    assert all(entry.run == "run" for entry in warm.asked), "all paid for by the first run"
    assert len(warm.history) == 1 and warm.history[0]["reason"] == "warm start"
    assert warm.scatter == trained.scatter


def test_warm_start_without_its_ledger_is_said_and_held_to_the_budget(trained, tmp_path: Path):
    """Another ledger here; another solver or setting is the same to it."""
    said: list[str] = []
    exact = Exact(trained.exact.problem, Ledger(tmp_path / "l.sqlite"), SerialExecutor(), "run")
    n = len(trained.x)
    warm = Trainer(exact, TrainingSettings(max_training=n - 1), tmp_path / "warm", said.append)
    words = (
        f"points of the warm start that the ledger does not serve is {n}, more than max_training"
    )
    with pytest.raises(TrainingError, match=words):
        warm.run(warm=trained.x)
    assert f"warm start: {n} points, of which {n} have to be solved: the ledger has" in said[0]
    exact.solve(trained.x[:2])
    assert exact.unknown(trained.x) == n - 2
    again = Trainer(exact, TrainingSettings(max_training=n - 1), tmp_path / "warm", said.append)
    assert len(again._propose(0, trained.x).points) == n


@pytest.mark.parametrize(
    ("start", "limit"),
    [({"offset": 1.0}, DISPLACED), ({"width": 50.0, "names": THREE}, TEN_TIMES)],
    ids=["displaced by 5 sigma", "ten times too wide"],
)
def test_converges_from_a_bad_start(start, limit, tmp_path):
    found = trainer(tmp_path, toy.problem(**start))
    assert found.run()
    assert len(found.asked) <= limit
    assert scatter_at_fresh_points(found) < TRUE_SCATTER * found.settings.scatter_target


def test_budget_ends_it(tmp_path):
    found = trainer(tmp_path, toy.problem(width=50.0), kind="polynomial", max_training=40)
    assert not found.run()
    assert len(found.asked) == 40


def test_an_iteration_that_stops_improving_ends_it(tmp_path):
    """A solver with noise of its own: its likelihood cannot be learned any better."""
    said: list[str] = []
    problem = toy.problem(toy.ToySolver(noise=0.004), names=THREE)
    found = trainer(tmp_path, problem, kind="polynomial", max_training=400)
    found.say = said.append
    assert not found.run()
    assert len(found.asked) < 250
    assert found.scatter > found.settings.scatter_target
    words = "6 iterations in a row did not improve the left-out scatter of ln L"
    assert words in found.ending and any(words in line for line in said)
    assert words in found.history[-1]["ending"]


# Failures ---------------------------------------------------------------------------------------


def failing(tmp_path, share: float, **settings) -> Trainer:
    """A solver that fails in about ``share`` of the starting box, at large omega_cdm."""
    edge = toy.TRUTH[1] + 5.0 * toy.SIGMA[1] * (1.0 - 2.0 * share)
    return trainer(
        tmp_path,
        toy.problem(toy.ToySolver(fails_above=edge, **settings)),
        kind="polynomial",
        max_training=48,
    )


def test_many_failures_stop_it(tmp_path):
    with pytest.raises(TrainingError, match=r"more than 20%.*toy: shooting failed"):
        failing(tmp_path, 0.35).run()


@pytest.mark.parametrize("not_finite", [False, True])
def test_few_failures_are_excluded_and_counted(not_finite, tmp_path):
    found = failing(tmp_path, 0.1, not_finite=not_finite)
    found.run()
    failed = sum(entry.failed for entry in found.asked)
    assert 0 < failed <= 0.2 * len(found.asked)
    assert len(found.x) == len(found.theories) == len(found.asked) - failed
    assert found.history[-1]["failed"] == failed
    assert found.history[-1]["exact_calls_total"] == len(found.asked)
    for theory in found.theories:
        assert all(np.all(np.isfinite(value)) for value in theory.values())
    assert np.all(np.isfinite(found.log_like))


def test_failures_are_not_tried_again(tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    first = failing(tmp_path, 0.1, calls=str(calls))
    first.run()
    solved = len(list(calls.iterdir()))
    again = failing(tmp_path, 0.1, calls=str(calls))
    again.run()
    assert len(list(calls.iterdir())) == solved == len(first.asked)


# Kill and resume --------------------------------------------------------------------------------

RUN = f"""
import sys
sys.path.insert(0, {str(HERE.parent)!r})
import jax; jax.config.update("jax_enable_x64", True)
from pathlib import Path
import toy
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.learning import NetworkSettings
from volvelle.training import Exact, Problem, Trainer, TrainingSettings
folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
folder.joinpath("calls").mkdir(parents=True, exist_ok=True)
solver = toy.ToySolver(calls=str(folder / "calls"), kill_at=kill_at)
problem = toy.problem(solver, width=25.0, names=toy.NAMES[:4])
exact = Exact(problem, Ledger(folder / "ledger.sqlite"), SerialExecutor(), "run")
settings = TrainingSettings(kind="polynomial", max_training=43)
trainer = Trainer(exact, settings, folder / "iterations")
trainer.run()
trainer.emulator.save(folder / "emulator", {{}})
"""


def run(folder: Path, kill_at: int) -> int:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, str(folder), str(kill_at)]
    return subprocess.run(command, env=environment).returncode


def result(folder: Path) -> bytes:
    (weights,) = (folder / "emulator").glob("weights-*")
    return (folder / "emulator" / "model.json").read_bytes() + weights.read_bytes()


@pytest.mark.parametrize("kill_at", [10, 28], ids=["in the start", "in an iteration"])
def test_killed_and_repeated_is_undisturbed(kill_at, tmp_path, undisturbed):
    assert run(tmp_path, kill_at) == -signal.SIGKILL
    assert len(list((tmp_path / "calls").glob("call-*"))) == kill_at - 1
    assert run(tmp_path, kill_at) == 0
    assert result(tmp_path) == result(undisturbed)
    calls = [len(list((folder / "calls").glob("call-*"))) for folder in (tmp_path, undisturbed)]
    assert calls[0] == calls[1], "only the one in flight was solved again"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(folder, 0) == 0
    return folder


def test_damaged_history_is_said(trained, tmp_path):
    again = trainer(tmp_path, kind="polynomial")
    again.folder.mkdir()
    (again.folder / "iteration_000.json").write_text('{"number": 0, "points"')
    with pytest.raises(TrainingError, match="is damaged"):
        again.run()


def test_posterior_of_the_emulator_peaks_at_the_truth(trained):
    """The data are the truth's own, without noise."""
    posterior = trained.exact.problem.posterior(trained.emulator)
    best = float(posterior.log_likelihood(jnp.asarray(toy.TRUTH)))
    assert best == pytest.approx(0.0, abs=0.01)
