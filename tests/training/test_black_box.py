"""A posterior of which only the value is known: learned, sampled, certified."""

import numpy as np
import pytest

from black_boxes import BEND, NAMES, Banana
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.inference import NUTS, Uniform
from volvelle.training import (
    Exact,
    Trainer,
    TrainingError,
    TrainingSettings,
    black_box_problem,
    evaluate_all,
)
from volvelle.training.black_box import log_likelihood_of
from volvelle.training.rounds import Rounds, Settings

PRIORS = (Uniform(-2.0, 4.0), Uniform(-3.0, 3.0), Uniform(-6.0, 6.0))
REFERENCE = ((0.8, 0.5), (0.0, 0.3), (0.0, 1.0))
MONTE_CARLO = 0.1  # of sigma: four chains of 1000 draws, certified to 0.05


def problem_of(box: Banana):
    return black_box_problem(box, NAMES, PRIORS, REFERENCE)


def test_learned_sampled_certified(tmp_path):
    """Means and widths of the bent posterior, which a quadrature knows."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    exact = Exact(problem_of(Banana()), ledger, SerialExecutor(), "run")
    settings = TrainingSettings(max_training=300)
    trainer = Trainer(exact, settings, tmp_path / "training")
    sampling = Settings(NUTS(warmup=500), 4, 1000, ("product",), 0.05, 100, 400, 1)
    found = Rounds(trainer, sampling, tmp_path / "sampling").run()
    assert found.trained and found.certificate.passed, found.certificate.words()
    assert set(found.certificate.parameters) == {*NAMES, "product"}
    assert len(trainer.asked) <= 200
    flat = found.chains.flat
    # E a = 1, E b = BEND (E a^2 - 1) = BEND 0.25, both with Gaussian or chi2 widths
    a = np.random.default_rng(0).normal(1.0, 0.5, 200_000)
    b = BEND * (a**2 - 1.0) + np.random.default_rng(1).normal(0.0, 0.1, len(a))
    for column, truth in zip(flat.T[:2], (a, b), strict=True):
        assert column.mean() == pytest.approx(truth.mean(), abs=MONTE_CARLO * truth.std())
        assert column.std() == pytest.approx(truth.std(), rel=0.1)
    again = Exact(problem_of(Banana()), ledger, SerialExecutor(), "again")
    assert all(entry.cached for entry in again.solve(trainer.x)), "nothing is evaluated twice"
    # the same folders with another model: its own posterior, not the stored one certified
    moved = Exact(problem_of(Banana(centre=1.6)), ledger, SerialExecutor(), "moved")
    said: list[str] = []
    trainer = Trainer(moved, settings, tmp_path / "training")
    found = Rounds(trainer, sampling, tmp_path / "sampling", said.append).run()
    assert "drawn from another emulator" in " ".join(said)
    # certified or not, which 300 evaluations of both models decide: it is that of the new one
    assert found.chains.flat[:, 0].mean() == pytest.approx(1.6, abs=0.5 * 0.5)
    said.clear()
    trainer = Trainer(moved, settings, tmp_path / "training")
    same = Rounds(trainer, sampling, tmp_path / "sampling", said.append).run()
    assert "sampling:" not in " ".join(said), "unchanged chains are kept"
    np.testing.assert_array_equal(same.chains.samples, found.chains.samples)


def test_points_that_cannot_be_evaluated_are_failures(tmp_path):
    points = [{"a": 0.0, "b": 0.0, "noise": n} for n in (0.0, -4.0)]
    points.append({"a": 5.0, "b": 0.0, "noise": 0.0})
    box = Banana(forbidden=3.0)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    found = evaluate_all(box, points, ledger, SerialExecutor(), "run")
    assert [entry.failed for entry in found] == [False, True, True]
    assert "ln L = -inf" in found[1].failure and "a = 5 is forbidden" in found[2].failure
    expected = -0.5 * (4.0 + (BEND / 0.1) ** 2)
    assert log_likelihood_of(box, found[0].theory) == pytest.approx(expected, rel=1e-12)
    assert found[0].theory["product"] == 0.0


def test_refusals():
    box = Banana()
    with pytest.raises(TrainingError, match="3 parameters, 1 priors"):
        black_box_problem(box, NAMES, PRIORS[:1], REFERENCE)
    with pytest.raises(TrainingError, match=r"gives no ratio; it gives product"):
        black_box_problem(box, NAMES, PRIORS, REFERENCE, derived=["ratio"])
