"""One set of solutions and one fit, on the toy universe."""

import json
from pathlib import Path

import numpy as np
import pytest

import toy
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.training import Exact, SpaceFilling, SpaceFillingSettings, TrainingError
from volvelle.training.design import SPACE_FILLING

POINTS = 45


def training(folder: Path, solver: toy.ToySolver | None = None, **settings) -> SpaceFilling:
    exact = Exact(toy.problem(solver), Ledger(folder / "ledger.sqlite"), SerialExecutor(), "run")
    given = {"points": POINTS, "kind": "polynomial", **settings}
    return SpaceFilling(exact, SpaceFillingSettings(**given), folder / "iterations")


@pytest.mark.parametrize("sampling", sorted(SPACE_FILLING))
def test_solves_what_was_asked_for_and_no_more(sampling, tmp_path):
    found = training(tmp_path, sampling=sampling, seed=4, width=0.8)
    assert found.run()
    expected = SPACE_FILLING[sampling](found.exact.problem, POINTS, 0.8, 4)
    np.testing.assert_array_equal(found.x, expected)
    assert len(found.asked) == len(found.theories) == POINTS
    assert found.emulator is not None and found.ending == ""
    (entry,) = found.history
    assert (entry["reason"], entry["exact_calls_total"]) == (sampling, POINTS)
    assert 0.0 < entry["left_out_log_likelihood_scatter"] == found.scatter
    assert found.record()["design"] == sampling
    json.dumps([found.history, found.record()], allow_nan=False)
    again = training(tmp_path, sampling=sampling, seed=5)  # the stored points, not the seed's
    again.run()
    assert all(entry.cached for entry in again.asked)
    np.testing.assert_array_equal(again.x, found.x)


def test_a_failed_certificate_adds_nothing(tmp_path):
    found = training(tmp_path)
    found.run()
    assert not found.takes(1)
    with pytest.raises(TrainingError, match="latin_hypercube design got 3 points to add; only the"):
        found.add(found.x[:3], "more")
    assert len(found.x) == POINTS


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"points": 6}, "points is 6 points for 6 sampled parameters .* give at least 8 "),
        ({"points": 501}, "points is 501, more than max_training, which is 500; lower the one"),
    ],
)
def test_sizes_that_cannot_be(settings, words, tmp_path):
    found = training(tmp_path, **settings)
    with pytest.raises(TrainingError, match=words):
        found.run()
    assert not found.asked


def test_warm_starts_are_refused(tmp_path):
    found = training(tmp_path, sampling="hypersphere")
    with pytest.raises(TrainingError, match="hypersphere design got 45 points of a warm start"):
        found.run(warm=np.tile(toy.TRUTH, (POINTS, 1)))


def test_failures_leave_too_few(tmp_path):
    """One of the eight rows of a Latin hypercube fails."""
    edge = toy.TRUTH[1] + 5.0 * toy.SIGMA[1] * (1.0 - 2.0 / 8.0)
    found = training(tmp_path, toy.ToySolver(fails_above=edge), points=8)
    with pytest.raises(TrainingError, match="what was solved without failure is 7 points for 6"):
        found.run()
